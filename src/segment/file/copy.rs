//! Private copies of a segment's file, for callers that only look at it.
//!
//! A file that another user can truncate is not mapped, because an access
//! beyond its end would raise SIGBUS. It is read piece by piece into private
//! memory, and then by the same code as a mapping. If the file is truncated
//! during the copy, at whatever moment, that is an error.

use core::sync::atomic::fence;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread};

use crate::descriptor::KeptDescriptor;
use crate::layout::{Capacity, Geometry, Mapping, WriteMapping};
use crate::protocol::Head;
use crate::segment::backend::SegmentPart;
use crate::sync::Ordering;

/// The number of bytes read at a time.
const PIECE: usize = 64 * 1024;
/// The size of a word in bytes.
const WORD: usize = size_of::<u64>();
/// How often a copy is tried. A try fails only if a publication completes
/// during it, and publications are at least 50 ms apart.
const TRIES: usize = 16;
/// The longest file of an untrusted user that is copied completely. A segment
/// for 4096 nodes and 4096 namespaces is shorter.
const LONGEST_OF_A_STRANGER: usize = 1 << 30;

/// Copies the requested part.
///
/// # Errors
/// The error of the system call, and `UnexpectedEof` if the file has become shorter than its
/// header says.
pub fn take(
    file: &KeptDescriptor,
    geometry: Geometry,
    part: SegmentPart,
    is_strangers: bool,
) -> io::Result<WriteMapping> {
    match part {
        SegmentPart::Words => words(file),
        SegmentPart::Whole if is_strangers && geometry.total_bytes() > LONGEST_OF_A_STRANGER => {
            let wanted = LONGEST_OF_A_STRANGER;
            let found = geometry.total_bytes();
            Err(io::Error::other(format!(
                "another user's file has {found} bytes; wanted at most {wanted}"
            )))
        }
        SegmentPart::Whole => whole(file, geometry),
    }
}

/// The current head.
///
/// # Errors
/// As [`take`].
pub fn head(file: &KeptDescriptor) -> io::Result<Head> {
    let mut bytes = [0; WORD];
    fill(file, &mut bytes, Mapping::HEAD_BYTE)?;
    Ok(Head::from_bits(u64::from_ne_bytes(bytes)))
}

/// The fixed words only, which have the same place in every geometry, in memory
/// of the smallest geometry.
fn words(file: &KeptDescriptor) -> io::Result<WriteMapping> {
    let smallest = Capacity { max_nodes: 1, max_namespaces: 1, max_replicas: 1, partitions: 1 };
    let geometry = Geometry::new(smallest).map_err(io::Error::other)?;
    let copy = WriteMapping::private(geometry)?;
    fixed(file, &copy)?;
    Ok(copy)
}

/// The fixed words, the live frame, and the words behind the frames.
///
/// The frame is that of the head's publication by the same proof as every read
/// of a mapping (`protocol::read`): the head is loaded before and after it.
fn whole(file: &KeptDescriptor, geometry: Geometry) -> io::Result<WriteMapping> {
    let copy = WriteMapping::private(geometry)?;
    for _ in 0..TRIES {
        fixed(file, &copy)?;
        // R1: pairs with P2, the Release head exchange of the publication.
        // (What the kernel loads for this thread is ordered like the thread's
        // own loads.)
        fence(Ordering::Acquire);
        // Relaxed, here and below: private memory.
        let found = Head::from_bits(copy.head().load(Ordering::Relaxed));
        let start = geometry.frame_start(found.stamp().frame());
        read(file, &copy, start, start + geometry.frame_words())?;
        // R2: pairs with P1, the Release fence before a frame's first word.
        fence(Ordering::Acquire);
        if head(file)? == found {
            let behind = geometry.node_health(0);
            read(file, &copy, behind, geometry.total_bytes() / WORD)?;
            return Ok(copy);
        }
    }
    Err(io::Error::other(
        "every read was overtaken by a publication; they come faster than the 50 ms allowed",
    ))
}

/// Copies the fixed words.
fn fixed(file: &KeptDescriptor, copy: &WriteMapping) -> io::Result<()> {
    let mut page = [0; Mapping::FIXED_BYTES];
    fill(file, &mut page, 0)?;
    put(copy, 0, page.as_chunks::<WORD>().0.iter().map(|&word| u64::from_ne_bytes(word)));
    Ok(())
}

/// Copies words; words that are zero take no memory.
fn read(file: &KeptDescriptor, copy: &WriteMapping, first: usize, end: usize) -> io::Result<()> {
    let mut piece = [0; PIECE];
    let mut at = first;
    while at < end {
        let data = next_data(file, at, end)?;
        put(copy, at, std::iter::repeat_n(0, data - at));
        at = data;
        let bytes = &mut piece[..PIECE.min((end - at) * WORD)];
        fill(file, bytes, (at * WORD) as u64)?;
        let (words, _) = bytes.as_chunks::<WORD>();
        put(copy, at, words.iter().map(|&word| u64::from_ne_bytes(word)));
        at += words.len();
    }
    Ok(())
}

fn put(copy: &WriteMapping, first: usize, words: impl Iterator<Item = u64>) {
    for (to, word) in copy.words()[first..].iter().zip(words) {
        // A page that was never written takes no memory.
        if to.load(Ordering::Relaxed) != word {
            to.store(word, Ordering::Relaxed);
        }
    }
}

/// The first word from `at` on for which the file has data, as far as the file
/// system knows. A hole reads as zeros.
fn next_data(file: &KeptDescriptor, at: usize, end: usize) -> io::Result<usize> {
    match seek(file.get()?, SeekFrom::Data((at * WORD) as u64)) {
        Ok(found) => {
            let found = usize::try_from(found).unwrap_or(usize::MAX) / WORD;
            Ok(found.clamp(at, end))
        }
        // There is no data behind it. If the file was truncated, the next check
        // of the head detects that.
        Err(Errno::NXIO) => Ok(end),
        // The file system can't find holes.
        Err(_) => Ok(at),
    }
}

/// Fills the whole buffer from that position in the file.
fn fill(file: &KeptDescriptor, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(file.get()?, &mut buffer[filled..], at + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "tend"))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::map::{ClusterMap, Node, NodeId, SnapshotError, snapshot};
    use crate::segment::file::check::open;
    use crate::segment::{CreateOutcome, Place, create};

    fn map(nodes: u16) -> ClusterMap {
        let mut map = ClusterMap::new(Capacity::DEFAULT);
        for number in 1..=nodes {
            let id = NodeId::new(&format!("BB9{number:04}")).unwrap();
            let address = ([127, 0, 0, 1], 3000 + number).into();
            map.nodes.insert(Node::new(id, address)).unwrap();
        }
        map
    }

    #[test]
    fn h127_a_copy_is_of_one_whole_publication() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { directory: folder.path().into(), ..Place::of_key(7) };
        let CreateOutcome::Owner(mut ownership) =
            create(&place, 1, Capacity::DEFAULT, None).unwrap()
        else {
            panic!("it was there")
        };
        ownership.set_checksums(true);
        let geometry = *ownership.segment().geometry();
        let file = open(&place.segment(1)).unwrap();
        let done = AtomicBool::new(false);
        let (mut last, mut seen, mut overtaken) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let maps: Vec<ClusterMap> = (1..10).map(map).collect();
                for map in maps.iter().cycle() {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    ownership.publish(map).unwrap();
                    // Yields often enough for a copy to succeed now and then.
                    std::thread::yield_now();
                }
            });
            while seen < 100 && overtaken < 100_000 {
                match take(&file, geometry, SegmentPart::Whole, false) {
                    Ok(copy) => match snapshot(&copy) {
                        Ok(found) => {
                            assert_eq!(found.intact, Some(true));
                            assert!(found.sequence >= last, "{} after {last}", found.sequence);
                            (last, seen) = (found.sequence, seen + 1);
                        }
                        Err(SnapshotError::Empty) => {}
                        Err(error) => panic!("{error}"),
                    },
                    Err(_) => overtaken += 1,
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(seen > 0, "{overtaken} copies were overtaken");
    }
}
