//! A segment in use while its words and its file are damaged: bits are flipped, the
//! file is enlarged, gets another mode, is replaced or removed, while routers and
//! readers run. No process crashes or hangs. After a few turns of the owner every
//! process, also a new one, reads the whole map again.
//!
//! A file that is cut short under running readers is not tested here: the kernel
//! answers a load beyond its end with SIGBUS. Only a process that may write the file
//! can do that.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tendmap::client::{Client, Config, Reader, Verdict};
use tendmap::internals::layout::{Header, OwnerWord, WriteMapping, frame};
use tendmap::internals::protocol::{
    Head, PublishError, Publisher, Term, Word, add_owner, raise_event, store_owner,
};
use tendmap::internals::segment::SegmentName;
use tendmap::internals::segment::{Candidate, TakeoverOutcome};
use tendmap::map::{NodeId, Slot};
use tendmap::route::{Partition, Policy};
use tendmap_testkit::{Cluster, config, directory};

const NODES: u16 = 4;
const PARTITIONS: usize = 4096;

/// A client on a segment of its own, and readers that use it all the time.
struct Rig {
    cluster: Cluster,
    config: Config,
    client: Client,
    readers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    routed: Arc<AtomicU64>,
    turn: usize,
    _directory: TempDir,
}

impl Rig {
    fn new() -> Rig {
        let directory = directory();
        let mut config = config(&directory);
        config.set_checksums(true);
        let cluster = Cluster::new(NODES, 2);
        let client = Client::connect_with(config.clone(), cluster.source()).unwrap();
        let (stop, routed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let readers = (0..2)
            .map(|_| {
                let (client, stop, routed) = (client.clone(), stop.clone(), routed.clone());
                let place = config.place();
                thread::spawn(move || read(&client, &place, &stop, &routed))
            })
            .collect();
        let mut rig =
            Rig { cluster, config, client, readers, stop, routed, turn: 0, _directory: directory };
        // Both frames hold a map.
        rig.change();
        rig.change();
        rig
    }

    /// Gives every partition to the next node, and waits until readers see it.
    fn change(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        self.cluster.change(|map| {
            let namespace = &mut map.namespaces_mut()[0];
            for partition in 0..PARTITIONS {
                for replica in 0..2 {
                    let slot = Slot::new((partition + replica + turn) % usize::from(NODES));
                    namespace.partitions.set_holder(partition, replica, slot);
                }
            }
        });
        self.wait_whole("a change");
    }

    /// What is wrong, for the attached processes or for a new one.
    fn wrong(&self) -> Option<String> {
        let expected = |partition: usize| -> NodeId {
            tendmap_testkit::node(((partition + self.turn) % usize::from(NODES)) as u16).id
        };
        // This process shares its attachment. The file shows what another process
        // would find.
        let path = self.client.segment().path().unwrap().to_path_buf();
        let Ok(bytes) = fs::read(&path) else { return Some("no file".into()) };
        if let Err(error) = Header::validate(&bytes, bytes.len() as u64) {
            return Some(error.to_string());
        }
        let newcomer = match Reader::attach(&self.config.place()) {
            Ok(reader) => reader,
            Err(error) => return Some(error.to_string()),
        };
        for snapshot in [self.client.map(), newcomer.map()] {
            let snapshot = match snapshot {
                Ok(snapshot) => snapshot,
                Err(error) => return Some(error.to_string()),
            };
            if snapshot.intact != Some(true) {
                return Some(format!("publication {} is not intact", snapshot.sequence));
            }
        }
        let mut router = self.client.router();
        let namespace = match router.namespace("test") {
            Ok(namespace) => namespace,
            Err(error) => return Some(error.to_string()),
        };
        for partition in 0..PARTITIONS {
            match router.route(namespace, Partition(partition), Policy::Master) {
                Ok(route) if route.id() == expected(partition) => {}
                Ok(route) => return Some(format!("partition {partition} goes to {}", route.id())),
                Err(error) => return Some(error.to_string()),
            }
        }
        let status = match self.client.status() {
            Ok(status) => status,
            Err(error) => return Some(error.to_string()),
        };
        let mut members = status.members.iter();
        if let Some(node) =
            members.find(|node| node.health != Some(tendmap_testkit::node_health(node.id)))
        {
            return Some(format!("{node:?}"));
        }
        match status.verdict() {
            Verdict::Healthy => None,
            other => Some(format!("{other:?}")),
        }
    }

    #[track_caller]
    fn wait_whole(&self, after: &str) {
        let begun = Instant::now();
        while let Some(wrong) = self.wrong() {
            assert!(begun.elapsed() < Duration::from_secs(20), "after {after}: {wrong}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that the readers still run.
    #[track_caller]
    fn wait_routed(&self) {
        let before = self.routed.load(Ordering::Relaxed);
        tendmap_testkit::wait_until("a lookup", || self.routed.load(Ordering::Relaxed) > before);
    }

    fn file(&self) -> File {
        let path = self.client.segment().path().unwrap().to_path_buf();
        File::options().read(true).write(true).open(path).unwrap()
    }

    fn flip(&self, byte: u64, bit: u32) {
        let file = self.file();
        let mut found = [0];
        file.read_exact_at(&mut found, byte).unwrap();
        file.write_all_at(&[found[0] ^ 1 << bit], byte).unwrap();
    }

    /// Flips one bit of a word; bit 0 is the lowest.
    fn flip_word(&self, index: usize, bit: u32) {
        self.flip(index as u64 * 8 + u64::from(bit / 8), bit % 8);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            let ended = reader.join();
            assert!(ended.is_ok() || thread::panicking(), "a reader crashed");
        }
    }
}

/// Routes, reads whole maps and takes statuses. The results may be wrong, but each
/// call must return.
fn read(client: &Client, place: &tendmap::segment::Place, stop: &AtomicBool, routed: &AtomicU64) {
    let mut router = client.router();
    let mut namespace = None;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(handle) = router.namespace("test") {
            namespace = Some(handle);
        }
        let Some(namespace) = namespace else { continue };
        for partition in 0..PARTITIONS {
            for policy in [Policy::Master, Policy::Any, Policy::Sequence, Policy::PreferRack] {
                let _ = router.route(namespace, Partition(partition), policy);
            }
            routed.fetch_add(1, Ordering::Relaxed);
        }
        let _ = router.pin(|pinned| pinned.master(namespace, Partition(1)));
        let _ = (client.map(), client.status().map(|status| status.verdict()));
        let _ = Reader::attach(place).map(|reader| reader.map());
    }
}

fn name(path: &std::path::Path) -> SegmentName {
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// The words of both frames that a map uses, and the words before and behind the
/// frames.
fn words(rig: &Rig) -> [Vec<usize>; 5] {
    let segment = rig.client.segment();
    let geometry = segment.geometry();
    let head = vec![256 / 8];
    let mut owner: Vec<usize> = OwnerWord::ALL.iter().map(|word| word.index()).collect();
    owner.push(512 / 8);
    // A bucket and a sum of the histograms.
    owner.extend([640 / 8, (640 + 128) / 8 + 14]);
    let (mut tables, mut arrays) = (Vec::new(), Vec::new());
    for start in [geometry.frame_start(0), geometry.frame_start(1)] {
        tables.extend(start..start + geometry.node(usize::from(NODES)));
        let record = start + geometry.namespace(0);
        tables.extend(record..record + frame::NAMESPACE_WORDS + usize::from(NODES));
        let routing = start + geometry.routing(0, 0);
        arrays.extend(routing..routing + geometry.array_words());
        let regimes = start + geometry.regimes(0);
        arrays.extend(regimes..regimes + geometry.array_words());
    }
    let troubles = (geometry.node_health(0)..geometry.node_health(usize::from(NODES))).collect();
    [head, owner, tables, arrays, troubles]
}

fn flips(seed: u64, part: usize, rounds: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::new();
    for round in 0..rounds {
        let index = *random.choice(&words(&rig)[part]).unwrap();
        flip(&mut rig, &mut random, index, &format!("round {round} of seed {seed}"));
    }
}

fn flip(rig: &mut Rig, random: &mut fastrand::Rng, index: usize, when: &str) {
    let bit = random.u32(..64);
    rig.flip_word(index, bit);
    rig.wait_routed();
    rig.wait_whole(&format!("{when}: bit {bit} of word {index}"));
    if random.bool() {
        rig.change();
    }
}

#[test]
fn h43_a_flipped_head_is_noticed_and_a_whole_map_follows() {
    flips(1, 0, 40);
}

#[test]
fn h43_flipped_owner_words_are_noticed_and_a_whole_map_follows() {
    let (mut random, mut rig) = (fastrand::Rng::with_seed(2), Rig::new());
    // Each of them twice; a random choice could miss some.
    for round in 0..2 {
        for index in words(&rig)[1].clone() {
            flip(&mut rig, &mut random, index, &format!("round {round}"));
        }
    }
}

#[test]
fn h43_flipped_tables_are_noticed_and_a_whole_map_follows() {
    flips(3, 2, 40);
}

#[test]
fn h43_flipped_routing_words_are_noticed_and_a_whole_map_follows() {
    flips(4, 3, 40);
}

#[test]
fn h43_flipped_trouble_records_are_noticed_and_a_whole_map_follows() {
    flips(5, 4, 60);
}

#[test]
fn h43_a_flipped_header_locks_no_newcomer_out_for_long() {
    let rig = Rig::new();
    for bit in [3, 8 * 9, 8 * 33, 8 * 200, 8 * 255 + 7] {
        rig.flip(bit / 8, (bit % 8) as u32);
        rig.wait_routed();
        rig.wait_whole(&format!("bit {bit} of the header"));
    }
}

#[test]
fn h43_a_sequence_at_its_end_does_not_end_the_publications() {
    let mut rig = Rig::new();
    let word = Head::from_bits(rig.client.segment().head().bits());
    let last = Head::from_bits(word.bits() | Head::LAST_SEQUENCE);
    rig.file().write_all_at(&last.bits().to_le_bytes(), 256).unwrap();
    rig.wait_whole("the largest sequence");
    for _ in 0..3 {
        rig.change();
    }
    assert!(rig.client.map().unwrap().sequence < Head::LAST_SEQUENCE / 2);
}

#[test]
fn h30_an_enlarged_segment_is_replaced() {
    let mut rig = Rig::new();
    let file = rig.file();
    file.set_len(file.metadata().unwrap().len() + 4096).unwrap();
    rig.wait_routed();
    rig.wait_whole("the enlarged file");
    rig.change();
}

#[test]
fn h29_a_segment_that_became_world_writable_is_replaced() {
    let mut rig = Rig::new();
    let current = |rig: &Rig| rig.client.segment().path().unwrap().to_path_buf();
    for mode in [0o666, 0o602] {
        let path = current(&rig);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        rig.wait_routed();
        rig.wait_whole(&format!("mode {mode:o}"));
        rig.change();
        let now = current(&rig);
        assert_ne!(now, path, "mode {mode:o}");
        assert_eq!(fs::metadata(now).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn h32_a_segment_whose_name_was_taken_by_anything_is_replaced() {
    let mut rig = Rig::new();
    for what in [
        "garbage",
        "the last number",
        "nothing",
        "a directory",
        "a link",
        "removed",
        "lock removed",
        // This one comes last, because the copy stays and is whole. If the newest
        // segment were removed afterwards without being retired, the copy would be
        // the newest live one.
        "a copy",
    ] {
        let segment = rig.client.segment();
        let path = segment.path().unwrap().to_path_buf();
        let generation = segment.identity().generation;
        let bytes = fs::read(&path).unwrap();
        match what {
            "lock removed" => fs::remove_file(segment.lock().unwrap().path()).unwrap(),
            "the last number" => {
                let mut last = name(&path);
                last.generation = u64::MAX;
                fs::write(path.with_file_name(last.to_string()), b"planted").unwrap();
                fs::remove_file(&path).unwrap();
            }
            _ => fs::remove_file(&path).unwrap(),
        }
        match what {
            "garbage" => fs::write(&path, vec![b'x'; 10_000]).unwrap(),
            "nothing" => fs::write(&path, b"").unwrap(),
            "a directory" => fs::create_dir(&path).unwrap(),
            "a link" => std::os::unix::fs::symlink("/dev/null", &path).unwrap(),
            // A whole segment in the state of a moment ago, but another file.
            "a copy" => {
                fs::write(&path, &bytes).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            }
            _ => {}
        }
        rig.wait_routed();
        let now = || rig.client.segment().identity().generation;
        if what == "a copy" {
            // A new process finds nothing wrong with it until the owner looks.
            tendmap_testkit::wait_until("the copy is noticed", || now() > generation);
        }
        rig.wait_whole(what);
        assert_eq!(now() > generation, what != "lock removed", "{what}");
        rig.change();
    }
}

#[test]
fn h43_a_newer_tag_makes_the_next_generation() {
    let mut rig = Rig::new();
    let segment = rig.client.segment();
    let first = segment.identity().generation;
    for frame in 0..2 {
        let index = segment.geometry().frame_start(frame) + segment.geometry().routing(0, 0);
        rig.flip_word(index, 63);
    }
    rig.change();
    rig.change();
    assert!(rig.client.segment().identity().generation > first);
    // A candidate that still holds the old segment finds nothing to own there.
    let entered = Candidate::default().enter(&segment, true).unwrap();
    assert!(matches!(entered, TakeoverOutcome::Retired), "{entered:?}");
}

/// Another thread stores into a word in a loop, each time a value that makes the
/// exchange fail once more.
fn hammered(word: &AtomicU64, with: [u64; 4], calls: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                with.iter().for_each(|&bits| word.store(bits, Ordering::Relaxed));
            }
        });
        calls();
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn h130_a_word_that_never_stays_as_it_is_holds_up_nobody() {
    let term = Term::new(9).unwrap();
    let old = |tag, payload| Word::new(Term::new(tag).unwrap(), payload).bits();
    let all = [old(1, 0), old(2, 1), old(3, 2), old(8, 3)];
    let word = AtomicU64::new(all[0]);
    hammered(&word, all, || {
        for payload in 0..4_000 {
            // The other thread may overwrite the result at once, so it is not
            // checked.
            let _ = store_owner(&word, term, payload);
            let _ = add_owner(&word, term, 1);
            raise_event(&word, Head::new(term, 1));
        }
    });
    let frame = [AtomicU64::new(0)];
    let reach: Vec<_> = std::iter::once(0..frame.len()).collect();
    hammered(&frame[0], all, || {
        for sequence in 0..4_000 {
            let head = AtomicU64::new(Head::new(term, sequence).bits());
            let mut publisher = Publisher::new(term, Head::from_bits(head.load(Ordering::Relaxed)));
            publisher.set(0, &[7]);
            match publisher.publish(&head, &frame, &reach) {
                Ok(_) | Err(PublishError::Corrupt { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn h130_terms_that_follow_each_other_without_an_end_hold_up_nobody() {
    let rig = Rig::new();
    let segment = rig.client.segment();
    let memory = WriteMapping::of_mapped(segment.mapping()).unwrap();
    let head = segment.head();
    let with = [1, 2, 3, 4].map(|by| head.with_term(Term::new(head.term() + by).unwrap()).bits());
    hammered(memory.head(), with, || {
        for _ in 0..500 {
            Candidate::look(&segment).unwrap();
            let _ = rig.client.status();
        }
    });
    rig.wait_whole("ever larger terms");
}
