//! The segment of the C client: the stores of the mirror's plans against the loads of a
//! follower.
//!
//! The stores and their order are those of `tendmap::internals::c_client::Planner`; only
//! the words that the follower looks at are kept. Its loads are those of the C client: the
//! generation Relaxed, entries Acquire, a slot from its start to its end.
//!
//! Time is an order here: what waits for a time goes on only when a look of the follower has
//! ended that began after the change before.

use std::net::SocketAddr;
use std::rc::Rc;

use loom::sync::mpsc;
use loom::thread;
use tendmap::internals::c_client::{
    Capacity, Identity, Layout, NOBODY, PARTITIONS, Planner, Shape, Store, Value, Wanted,
    WantedNamespace, WantedNode, header,
};
use tendmap::map::{NamespaceName, Node, NodeId};
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::sync::{AtomicU64, Ordering, Step};

/// A slot is filled before it becomes active.
const FILLED: Step = Step::new("FILLED");
/// It becomes active when copies that were begun before are done.
const SETTLE: Step = Step::new("SETTLE");
/// The generation changes once more only when followers may have looked.
const NOTED: Step = Step::new("NOTED");
/// The generation changes once more.
const AGAIN: Step = Step::new("AGAIN");
/// An entry names a slot after its grace.
const GRACE: Step = Step::new("GRACE");
/// `ready` is stored last.
const LAST: Step = Step::new("LAST");
/// The ordering of the stores.
const RELEASE: Step = Step::new("RELEASE");

const SHAPE: Shape = Shape::new(
    Layout::E,
    match Capacity::new(2, 1) {
        Ok(capacity) => capacity,
        Err(_) => panic!("in range"),
    },
);

/// The words that a follower looks at, by place.
const WORDS: [usize; 8] = [
    header::READY,
    header::NODES_SIZE,
    header::NODES_GEN,
    header::TABLES_SIZE,
    SHAPE.name(1),
    SHAPE.address(1),
    SHAPE.active(1),
    SHAPE.holder(0, 0, 0),
];
const READY: usize = 0;
const SIZE: usize = 1;
const GENERATION: usize = 2;
const TABLES: usize = 3;
const NAME: usize = 4;
const ADDRESS: usize = 5;
const ACTIVE: usize = 6;
const ENTRY: usize = 7;

/// A store of one of these words; `body` if their order is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    place: usize,
    value: u64,
    body: bool,
}

fn words(stores: &[Store]) -> Vec<Word> {
    let of = |store: &Store| -> Vec<Word> {
        let word = |value: u64, body| {
            let place = WORDS.iter().position(|&at| at == store.offset);
            place.map(|place| Word { place, value, body }).into_iter().collect()
        };
        match &store.value {
            Value::U8(value) => word(u64::from(*value), false),
            Value::U32(value) => word(u64::from(*value), false),
            Value::U64(_) | Value::Clear(_) => Vec::new(),
            Value::Body(bytes) => {
                let reached = |at: usize| bytes.get(at.checked_sub(store.offset)?..)?.first_chunk();
                let word = |(place, &at): (usize, &usize)| {
                    let value = u64::from(u32::from_ne_bytes(*reached(at)?));
                    Some(Word { place, value, body: true })
                };
                WORDS.iter().enumerate().filter_map(word).collect()
            }
        }
    };
    stores.iter().flat_map(of).collect()
}

/// A map of these nodes, the last of which holds partition 0.
fn map(names: &[(&str, u16)]) -> Wanted {
    let node = |&(name, port): &(&str, u16)| {
        let id = NodeId::new(name).expect("a name");
        let node = Node::new(id, SocketAddr::from(([127, 0, 0, 1], port)));
        WantedNode { identity: Identity::of(&node, Layout::E), build_known: false, rack: 0 }
    };
    let mut holders = vec![[NOBODY; 3]; PARTITIONS];
    holders[0][0] = names.len() as u16 - 1;
    let namespace = WantedNamespace {
        name: NamespaceName::new("test").expect("a name"),
        replication_factor: 1,
        strong_consistency: false,
        holders,
        regimes: vec![0; PARTITIONS],
    };
    Wanted { nodes: names.iter().map(node).collect(), namespaces: vec![namespace] }
}

/// The words of a segment.
struct Segment(Vec<AtomicU64>);

impl Segment {
    fn new(first: &[u64; 8]) -> Rc<Segment> {
        Rc::new(Segment(first.iter().map(|&value| AtomicU64::new(value)).collect()))
    }

    fn store(&self, word: &Word) {
        let order = if word.body { Ordering::Relaxed } else { RELEASE.order(Ordering::Release) };
        self.0[word.place].store(word.value, order);
    }

    fn load(&self, place: usize, order: Ordering) -> u64 {
        self.0[place].load(order)
    }
}

fn apply(words: &[Word], to: &mut [u64; 8]) {
    for word in words {
        to[word.place] = word.value;
    }
}

/// A slot that another node had gets a new one, and an entry names it: a lookup by that
/// entry always finds the node, whole.
#[test]
fn m16_a_follower_has_each_node_that_an_entry_names() {
    let (old, new) = (map(&[("A", 3000), ("B", 3001)]), map(&[("A", 3000), ("C", 3002)]));
    let alone = map(&[("A", 3000)]);
    let (mut planner, created) = Planner::create(SHAPE, &old, 1, 1, 1);
    let mut first = [0; 8];
    apply(&words(&created.stores), &mut first);
    let before = [first[NAME], first[ADDRESS]];
    for now in [10, 40, 2000] {
        apply(&words(&planner.pass(&alone, now).stores), &mut first);
    }
    assert_eq!((first[ACTIVE], first[SIZE]), (0, 2), "B has left");
    let mut at = |now| words(&planner.pass(&new, now).stores);
    let (fill, noted, active) = (at(2010), at(2040), at(2070));
    let (again, entry) = (at(2100), at(4000));
    assert_eq!(noted, [], "it only settles");
    let filled = |place: usize| fill.iter().find(|w| w.place == place).map(|w| w.value);
    let wanted = [NAME, ADDRESS].map(|place| filled(place).expect("the body is stored first"));
    assert!(wanted != before && active.iter().any(|w| (w.place, w.value) == (ACTIVE, 1)));
    assert!(again.iter().all(|w| w.place == GENERATION) && !again.is_empty());
    assert_eq!(entry, [Word { place: ENTRY, value: 2, body: false }]);

    Model::bounded("C follower", 2, 3)
        .reaching(&["saw it active", "followed the entry"])
        .needing(&[FILLED, SETTLE, NOTED, AGAIN, GRACE])
        .check(move || {
            let segment = Segment::new(&first);
            // The follower's own table: whether it has slot 1, which is nobody else's.
            let own = Rc::new(AtomicU64::new(0));
            let (tick, time) = mpsc::channel();
            let (looked, ended) = mpsc::channel();
            let (fill, active) = (fill.clone(), active.clone());
            let (again, entry) = (again.clone(), entry.clone());
            let memory = segment.clone();
            thread::spawn(move || {
                let all = |words: &[Word]| words.iter().for_each(|word| memory.store(word));
                // Time passes, until a look has ended that began after this.
                let mut due = 0;
                let mut pass = |step: Step| {
                    tick.send(()).expect("a follower");
                    due += 1;
                    step.act(|| {
                        (0..core::mem::take(&mut due)).for_each(|_| ended.recv().expect("a look"))
                    });
                };
                if FILLED.check(false) {
                    all(&active);
                    all(&fill);
                } else {
                    all(&fill);
                    pass(SETTLE);
                    all(&active);
                }
                pass(NOTED);
                AGAIN.act(|| all(&again));
                pass(GRACE);
                all(&entry);
                // Loom wants each message to be received.
                (0..due).for_each(|_| ended.recv().expect("a look"));
            });
            let (memory, table) = (segment.clone(), own.clone());
            thread::spawn(move || {
                let mut known = first[GENERATION];
                let mut look = || {
                    let generation = memory.load(GENERATION, Ordering::Relaxed);
                    if generation == known {
                        return;
                    }
                    known = generation;
                    let copy = [NAME, ADDRESS, ACTIVE];
                    let copy = copy.map(|place| memory.load(place, Ordering::Acquire));
                    if copy[2] != 0 {
                        reach("saw it active");
                        invariant(copy[..2] == wanted, "the node is whole");
                        table.store(1, Ordering::Release);
                    }
                };
                // One look at any time, one after each change has had its time.
                for _ in 0..if FILLED.check(false) { 2 } else { 3 } {
                    look();
                    time.recv().expect("time goes on");
                    look();
                    let _ = looked.send(());
                }
            });
            thread::spawn(move || {
                if segment.load(ENTRY, Ordering::Acquire) == 2 {
                    reach("followed the entry");
                    invariant(own.load(Ordering::Acquire) == 1, "the follower has the node");
                }
            });
        });
}

/// A follower that finds a segment ready finds all of it.
#[test]
fn m16_a_segment_that_is_ready_is_whole() {
    let (_, created) = Planner::create(SHAPE, &map(&[("A", 3000), ("B", 3001)]), 1, 1, 1);
    let stores = words(&created.stores);
    let mut whole = [0; 8];
    apply(&stores, &mut whole);
    assert_eq!(stores.last().map(|word| word.place), Some(READY));
    assert_eq!((whole[READY], whole[SIZE], whole[TABLES], whole[ENTRY]), (1, 2, 1, 2));
    Model::bounded("C segment made", 2, 3)
        .reaching(&["ready", "not ready"])
        .needing(&[LAST, RELEASE])
        .check(move || {
            let segment = Segment::new(&[0; 8]);
            let (memory, stores) = (segment.clone(), stores.clone());
            thread::spawn(move || {
                let (ready, rest) = stores.split_last().expect("not empty");
                if LAST.check(false) {
                    memory.store(ready);
                    return rest.iter().for_each(|word| memory.store(word));
                }
                rest.iter().chain([ready]).for_each(|word| memory.store(word));
            });
            thread::spawn(move || {
                if segment.load(READY, Ordering::Acquire) == 0 {
                    return reach("not ready");
                }
                reach("ready");
                let found: Vec<u64> =
                    (0..8).map(|place| segment.load(place, Ordering::Relaxed)).collect();
                invariant(found == whole, "all that was made");
            });
        });
}
