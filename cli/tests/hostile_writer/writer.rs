//! The writer: it maps the newest segment, as any process of the same user may,
//! and stores arbitrary values there.

use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tendmap::internals::layout::{Geometry, Header, Shm, WriteMapping, shm_find};
use tendmap::internals::protocol::Head;
use tendmap::internals::segment::SegmentName;
use tendmap::segment::{Backend, Place};

use crate::values::{KINDS, regions, value};

/// The aim of a writer.
#[derive(Clone, Copy)]
pub enum Aim {
    /// To overwrite every word.
    Everything,
    /// To make segments succeed each other while the old ones stay.
    Succession,
}

/// A running writer. Dropping it stops the writer.
pub struct Writer {
    stop: Arc<AtomicBool>,
    /// The number of turns, each on the newest segment.
    pub turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(place: Place, geometry: Geometry, aim: Aim, seed: u64) -> Writer {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, made) = (stop.clone(), turns.clone());
        let thread = thread::spawn(move || {
            let mut random = Rng::with_seed(seed);
            while !told.load(Ordering::Relaxed) {
                match newest(&place, geometry) {
                    Some((memory, generation)) => {
                        match aim {
                            Aim::Everything => turn(&mut random, &memory, &told),
                            Aim::Succession => {
                                succession(&mut random, &memory);
                                // Until there is a newer segment, or a while.
                                let begun = Instant::now();
                                let another = || {
                                    newest(&place, geometry)
                                        .is_some_and(|(_, now)| now != generation)
                                };
                                while !another() && begun.elapsed() < Duration::from_millis(100) {
                                    thread::sleep(Duration::from_micros(200));
                                }
                                revive(&mut random, &memory);
                            }
                        }
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                    None => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Writer { stop, turns, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || thread::panicking());
    }
}

/// The newest segment, found by its name, because its header may be damaged. All
/// segments have the geometry of the first.
fn newest(place: &Place, geometry: Geometry) -> Option<(WriteMapping, u64)> {
    match place.backend {
        Backend::File => {
            let names = fs::read_dir(&place.directory).ok()?.filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.parse::<SegmentName>().ok()
            });
            let name = names.max_by_key(|name| name.generation)?;
            let path = place.directory.join(name.to_string());
            let file = File::options().read(true).write(true).open(path).ok()?;
            let bytes = file.metadata().ok()?.len();
            let memory = WriteMapping::of_file(&file, shape(&head_of(&file), bytes, geometry));
            Some((memory.ok()?, name.generation))
        }
        Backend::SystemV => {
            let id = shm_find(place.key).ok()??;
            let shm = Shm::attach(id, true).ok()?;
            let geometry = shape(&shm.header(), shm.stat().bytes, geometry);
            Some((WriteMapping::of_shm(shm, geometry).ok()?, id as u64))
        }
    }
}

fn head_of(file: &File) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; size_of::<Header>()];
    let _ = file.read_exact_at(&mut bytes, 0);
    bytes
}

fn shape(header: &[u8], bytes: u64, known: Geometry) -> Geometry {
    Header::validate(header, bytes).map_or(known, |(_, geometry)| geometry)
}

const RETIRED: u64 = 1 << 47;

/// Makes all processes leave a segment for another one.
fn succession(random: &mut Rng, memory: &WriteMapping) {
    let head = memory.head();
    match random.u32(..4) {
        0 => head.store(head.load(Ordering::Relaxed) | RETIRED, Ordering::Relaxed),
        // The length in the header.
        1 => memory.words()[3].store(random.u64(..), Ordering::Relaxed),
        2 => memory.words()[random.usize(..32)].store(random.u64(..), Ordering::Relaxed),
        _ => {
            let last = Head::LAST_SEQUENCE | u64::MAX << 48;
            head.store(last, Ordering::Relaxed);
        }
    }
}

/// Makes the segment that was left look live again.
fn revive(random: &mut Rng, memory: &WriteMapping) {
    let head = memory.head();
    match random.u32(..3) {
        0 => head.store(head.load(Ordering::Relaxed) & !RETIRED, Ordering::Relaxed),
        1 => {
            head.store(random.u64(..) & !RETIRED, Ordering::Relaxed);
            memory.words()[random.usize(..32)].store(random.u64(..), Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Writes in one way for a while.
fn turn(random: &mut Rng, memory: &WriteMapping, stop: &AtomicBool) {
    let regions = regions(memory.geometry());
    let (_, region) = random.choice(&regions).unwrap().clone();
    let words = memory.words();
    let kind = random.choice(KINDS).unwrap();
    let store = |random: &mut Rng, at: usize| {
        let found = words[at].load(Ordering::Relaxed);
        let other = words[random.usize(..words.len())].load(Ordering::Relaxed);
        words[at].store(value(random, kind, found, other), Ordering::Relaxed);
    };
    match random.u32(..10) {
        // One word, without a pause.
        0 | 1 => {
            let at = random.usize(region);
            for _ in 0..random.u32(1000..200_000) {
                store(random, at);
            }
        }
        // Words of the region, without a pause.
        2..5 => {
            for _ in 0..random.u32(1000..100_000) {
                let at = random.usize(region.clone());
                store(random, at);
            }
        }
        // A word now and then, so that the others make progress in between.
        5..8 => {
            for _ in 0..random.u32(1..100) {
                let at = random.usize(region.clone());
                store(random, at);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_micros(random.u64(10..200)));
            }
        }
        // Earlier values of the words.
        8 => {
            let load = |at: usize| words[at].load(Ordering::Relaxed);
            let before: Vec<u64> = region.clone().map(load).collect();
            for _ in 0..random.u32(1..8) {
                thread::sleep(Duration::from_millis(random.u64(1..8)));
                for (at, &bits) in region.clone().zip(&before) {
                    words[at].store(bits, Ordering::Relaxed);
                }
            }
        }
        // Nothing, so that all processes recover and the next turn meets a healthy
        // segment.
        _ => thread::sleep(Duration::from_millis(random.u64(20..100))),
    }
}
