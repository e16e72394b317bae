//! A segment with arbitrary mutable words, including the records of node health:
//! reading the map, the status and routing end with a result or an error.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use libfuzzer_sys::arbitrary::Unstructured;
use tendmap::client::Reader;
use tendmap::internals::layout::{Geometry, frame};
use tendmap::internals::map::{FrameExtent, snapshot, tables};
use tendmap::internals::protocol::{Head, Publisher, Term};
use tendmap::internals::segment::{Carryover, CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap, NamespaceName, Node, NodeId, Slot};
use tendmap::route::{Partition, Policy};
use tendmap::segment::Place;

const CAPACITY: Capacity =
    Capacity { max_nodes: 4, max_namespaces: 2, max_replicas: 4, partitions: 16 };
const HEAD: usize = 256 / 8;

/// One segment, filled again for every input.
struct Rig {
    reader: Reader,
    file: File,
    whole: Vec<u8>,
    directory: PathBuf,
}

impl Rig {
    fn new() -> Rig {
        let directory = std::env::temp_dir().join(format!("tendmap-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let place = Place { directory: directory.clone(), ..Place::of_key(0xA700_0000) };
        let map = map();
        let inherited = Carryover { sequence: 2, table_generation: 1, map: &map };
        let CreateOutcome::Owner(ownership) = create(&place, 1, CAPACITY, Some(inherited)).unwrap()
        else {
            panic!("the directory was empty");
        };
        drop(ownership);
        let reader = Reader::attach(&place).unwrap();
        let path = place.segment(1);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        Rig { reader, file, whole, directory }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn map() -> ClusterMap {
    let mut map = ClusterMap::new(CAPACITY);
    for number in 0..3_u16 {
        let id = NodeId::new(&format!("BB9{number:04}")).unwrap();
        let address = ([127, 0, 0, 1], 3000 + number).into();
        map.nodes.insert(Node::new(id, address)).unwrap();
    }
    let namespace = map.namespace_entry(NamespaceName::new("test").unwrap()).unwrap();
    namespace.replication_factor = 2;
    for partition in 0..16 {
        for replica in 0..2 {
            let slot = Slot::new((partition + replica) % 3);
            namespace.partitions.set_holder(partition, replica, slot);
        }
    }
    map
}

/// The index of the word for a number of the input: in the head, the owner block,
/// either frame, or the rest.
fn place_of(number: u16, geometry: &Geometry) -> usize {
    let start = geometry.frame_start(0);
    let (number, words) = (usize::from(number), geometry.frame_words());
    // The tables of both frames are a few hundred words each; arrays follow.
    match number % 8 {
        0 => HEAD + number / 8 % 40,
        1..=3 => start + number / 8 % frame::PREFIX.max(geometry.table_words()),
        4..=6 => start + words + number / 8 % geometry.table_words(),
        _ => start + number / 8 % (geometry.total_bytes() / 8 - start),
    }
}

thread_local! {
    static RIG: OnceCell<Rig> = const { OnceCell::new() };
}

pub fn run(bytes: &[u8]) {
    let Ok(changes) = Unstructured::new(bytes).arbitrary::<Vec<(u16, u64)>>() else { return };
    RIG.with(|rig| run_on(rig.get_or_init(Rig::new), &changes));
}

fn run_on(rig: &Rig, changes: &[(u16, u64)]) {
    rig.file.write_all_at(&rig.whole[HEAD * 8..], HEAD as u64 * 8).unwrap();
    let segment = rig.reader.segment();
    let (mapping, geometry) = (segment.mapping(), *segment.geometry());
    let mut router = rig.reader.router_with(|node| node.id);
    let namespace = router.namespace("test");
    for &(number, word) in changes {
        let at = place_of(number, &geometry) as u64 * 8;
        rig.file.write_all_at(&word.to_le_bytes(), at).unwrap();
    }
    if let Ok(found) = snapshot(mapping) {
        // A map that was read can be written again.
        let image = FrameExtent::of(&found.map, &geometry).unwrap();
        let mut publisher = Publisher::new(Term::FIRST, Head::new(Term::FIRST, 0));
        image.put(&found.map, &geometry, &mut publisher);
        image.seal(found.table_generation, true, &mut publisher);
        let holes: usize = found.map.namespaces().iter().map(|namespace| namespace.holes()).sum();
        assert!(holes <= 2 * 16);
    }
    let _ = tables(mapping);
    let _ = rig.reader.status().map(|status| status.verdict());
    let Ok(namespace) = namespace else { return };
    for partition in 0..16 {
        for policy in [Policy::Master, Policy::Any, Policy::Sequence, Policy::PreferRack] {
            let mut attempt = router.attempt(policy);
            for _ in 0..3 {
                let Ok(route) = router.route_attempt(namespace, Partition(partition), &attempt)
                else {
                    break;
                };
                let (replica, slot) = (route.replica(), route.slot());
                assert!(slot.index() < CAPACITY.max_nodes && replica < CAPACITY.max_replicas);
                attempt.fail(replica, slot);
            }
        }
    }
    let _ = router.namespace("other");
}
