//! A segment as bytes, followers as the C client has them, and what must hold after
//! every store.

use std::net::SocketAddr;

use proptest::prelude::*;
use tendmap::internals::c_client::{
    Capacity, GRACE_MS, Identity, Layout, MIXED_RACK, NOBODY, PARTITIONS, Pass, Planner, Shape,
    Store, Value, Wanted, WantedNamespace, WantedNode, header,
};
use tendmap::map::{Build, NamespaceName, Node, NodeId};

/// The interval in which a follower looks at the generation of the nodes.
const INTERVAL: u64 = 1000;

/// The partitions that the maps of these tests use.
pub const USED: usize = 4;

pub fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(image[at..at + 4].try_into().unwrap())
}

/// A client that follows the segment.
#[derive(Clone, Debug)]
struct Follower {
    generation: u32,
    next: u64,
    /// What it keeps of each slot that it saw active.
    nodes: Vec<Option<Vec<u8>>>,
}

/// The segment and who looks at it.
#[derive(Clone, Debug)]
pub struct World {
    pub shape: Shape,
    pub image: Vec<u8>,
    pub now: u64,
    /// When each slot became active, while it is.
    since: Vec<Option<u64>>,
    /// When a slot in use was filled.
    filled: Vec<u64>,
    followers: Vec<Follower>,
    /// Stores made.
    pub stores: usize,
}

/// What followers keep of a slot: all except the lock, the racks, and whether it is active.
fn body(shape: Shape, image: &[u8], slot: usize) -> Vec<u8> {
    let name = &image[shape.name(slot)..shape.slot_lock(slot)];
    [name, &image[shape.address(slot)..shape.rebalance_generation(slot)]].concat()
}

impl World {
    /// A segment made for this map, with followers that look at these times.
    pub fn create(shape: Shape, wanted: &Wanted, phases: &[u64]) -> (World, Planner) {
        let now = 1_000_000;
        let mut world = World {
            shape,
            image: vec![0; shape.bytes()],
            now,
            since: vec![None; shape.capacity.max_nodes()],
            filled: vec![0; shape.capacity.max_nodes()],
            followers: Vec::new(),
            stores: 0,
        };
        let (planner, pass) = Planner::create(shape, wanted, 77, now, now);
        let ready = pass.stores.len() - 1;
        for (index, store) in pass.stores.iter().enumerate() {
            assert_eq!(world.image[header::READY], 0, "ready before store {index} of {ready}");
            store.put(&mut world.image);
        }
        assert_eq!(world.image[header::READY], 1);
        // Established: nobody could follow before.
        for slot in 0..shape.capacity.max_nodes() {
            world.since[slot] = world.active(slot).then_some(0);
        }
        for phase in phases {
            let nodes = vec![None; shape.capacity.max_nodes()];
            let mut follower = Follower { generation: 0, next: now + phase, nodes };
            follower.look(&world);
            world.followers.push(follower);
        }
        world.check_all();
        (world, planner)
    }

    pub fn nodes_size(&self) -> usize {
        u32_at(&self.image, header::NODES_SIZE) as usize
    }

    pub fn tables_size(&self) -> usize {
        u32_at(&self.image, header::TABLES_SIZE) as usize
    }

    pub fn active(&self, slot: usize) -> bool {
        slot < self.nodes_size() && self.image[self.shape.active(slot)] != 0
    }

    /// Time passes; followers look when their interval is over.
    pub fn wait(&mut self, ms: u64) {
        self.now += ms;
        for index in 0..self.followers.len() {
            let mut follower = self.followers[index].clone();
            while follower.next <= self.now {
                follower.look(self);
                follower.next += INTERVAL;
            }
            self.followers[index] = follower;
        }
    }

    /// Makes the stores; a follower looks just before the one of index `looks`.
    pub fn apply(&mut self, stores: &[Store], looks: Option<usize>) {
        for (index, store) in stores.iter().enumerate() {
            if looks == Some(index) && !self.followers.is_empty() {
                let mut follower = self.followers[0].clone();
                follower.look(self);
                follower.next = self.now + INTERVAL;
                self.followers[0] = follower;
            }
            self.store(store);
        }
    }

    /// One store, and what must hold before and after it.
    fn store(&mut self, store: &Store) {
        let shape = self.shape;
        let before: Vec<_> = (0..shape.capacity.max_nodes())
            .map(|slot| self.active(slot).then(|| body(shape, &self.image, slot)))
            .collect();
        let filled: Vec<_> =
            (0..self.nodes_size()).map(|slot| body(shape, &self.image, slot)).collect();
        store.put(&mut self.image);
        self.stores += 1;
        for (slot, filled) in filled.into_iter().enumerate() {
            if filled != body(shape, &self.image, slot) {
                self.filled[slot] = self.now;
            }
        }
        assert_eq!(store.offset % store.bytes().min(4), 0, "aligned: {store:?}");
        let owned = [header::OWNER_PID, header::LOCK, header::TAKE_OVER_LOCK, header::TIMESTAMP];
        assert!(!owned.contains(&store.offset), "the owner's and the locks: {store:?}");
        assert!(self.nodes_size() <= shape.capacity.max_nodes());
        assert!(self.tables_size() <= shape.capacity.max_namespaces());
        for (slot, before) in before.into_iter().enumerate() {
            let lock = shape.slot_lock(slot);
            let reached = store.offset..store.offset + store.bytes();
            assert!(!reached.contains(&lock), "a slot's lock is left alone");
            match (before, self.active(slot)) {
                (Some(before), true) => {
                    assert!(before == body(shape, &self.image, slot), "slot {slot} changed");
                }
                (None, true) => {
                    assert_eq!(store.value, Value::U8(1), "active is one byte");
                    assert!(self.filled[slot] < self.now, "a copy of slot {slot} may be half old");
                    self.since[slot] = Some(self.now);
                }
                (_, false) => self.since[slot] = None,
            }
        }
        self.check_all();
    }

    /// Each entry names nothing, or a slot that is active and that all followers have.
    pub fn check_all(&self) {
        for table in 0..self.tables_size() {
            for partition in 0..USED {
                for replica in 0..self.shape.layout.replicas() {
                    let at = self.shape.holder(table, partition, replica);
                    let Some(slot) = (u32_at(&self.image, at) as usize).checked_sub(1) else {
                        continue;
                    };
                    assert!(self.active(slot), "an entry names slot {slot}, which is inactive");
                    let since = self.since[slot].unwrap();
                    assert!(self.now - since >= GRACE_MS, "slot {slot} is in its grace");
                    for follower in &self.followers {
                        let kept = follower.nodes[slot].as_ref();
                        let found = body(self.shape, &self.image, slot);
                        assert!(kept == Some(&found), "a follower has not slot {slot} as it is");
                    }
                }
            }
        }
    }

    /// Passes until nothing is due, and what must hold then.
    pub fn settle(&mut self, planner: &mut Planner, wanted: &Wanted) {
        for _ in 0..20 {
            let pass = planner.pass(wanted, self.now);
            self.apply(&pass.stores, None);
            let Some(due) = pass.due else {
                assert_eq!(planner.mend(&self.image).stores, [], "as meant");
                let more = planner.pass(wanted, self.now + 1);
                assert_eq!(more.stores, [], "nothing more to do");
                return self.check_end(wanted, &pass);
            };
            assert!(due > self.now, "due at {due}, now is {}", self.now);
            self.wait(due - self.now);
        }
        panic!("something is due for ever");
    }

    fn slot_of(&self, node: &WantedNode) -> Option<usize> {
        let (shape, name) = (self.shape, node.identity.id);
        let port = node.identity.address.port().to_be_bytes();
        (0..self.nodes_size()).find(|&slot| {
            let (at, address) = (shape.name(slot), shape.address(slot));
            let found = &self.image[at..at + name.as_bytes().len() + 1];
            let features = u32_at(&self.image, shape.features(slot));
            self.active(slot)
                && found == [name.as_bytes(), &[0]].concat()
                && self.image[address + 2..address + 4] == port
                && (!node.build_known || features == node.identity.features)
        })
    }

    /// The segment holds what was wanted, as far as there is room.
    fn check_end(&self, wanted: &Wanted, pass: &Pass) {
        let shape = self.shape;
        let slots: Vec<_> = wanted.nodes.iter().map(|node| self.slot_of(node)).collect();
        let held = slots.iter().flatten().count();
        assert_eq!(held, wanted.nodes.len().min(shape.capacity.max_nodes()), "{slots:?}");
        let active = (0..shape.capacity.max_nodes()).filter(|&slot| self.active(slot)).count();
        assert_eq!(active, held, "no other slot is active");
        for (node, slot) in wanted.nodes.iter().zip(&slots) {
            if let &Some(slot) = slot {
                assert_eq!(u32_at(&self.image, shape.rack(slot)) as i32, node.rack);
            }
        }
        let tables: Vec<_> = (0..self.tables_size()).map(|table| self.table_name(table)).collect();
        let mut left_out = wanted.nodes.len() - held;
        for namespace in &wanted.namespaces {
            let Some(table) = tables.iter().position(|name| *name == namespace.name.as_str())
            else {
                left_out += 1;
                continue;
            };
            assert_eq!(self.image[shape.sc_mode(table)], namespace.strong_consistency as u8);
            if let Some(at) = shape.replica_size(table) {
                assert_eq!(self.image[at], namespace.replication_factor);
            }
            for partition in 0..USED {
                assert_eq!(
                    u32_at(&self.image, shape.regime(table, partition)),
                    namespace.regimes[partition]
                );
                self.check_entry(namespace, table, partition, &slots);
            }
        }
        for (table, name) in tables.iter().enumerate() {
            if wanted.namespaces.iter().all(|namespace| namespace.name.as_str() != name) {
                for replica in 0..shape.layout.replicas() {
                    assert_eq!(u32_at(&self.image, shape.holder(table, 0, replica)), 0);
                }
            }
        }
        assert_eq!(pass.notes.len(), left_out, "what is left out is told: {:?}", pass.notes);
    }

    fn check_entry(
        &self,
        namespace: &WantedNamespace,
        table: usize,
        partition: usize,
        slots: &[Option<usize>],
    ) {
        let holders = namespace.holders[partition];
        let slot = |holder: u16| slots.get(usize::from(holder)).copied().flatten();
        for replica in 0..self.shape.layout.replicas() {
            let found = u32_at(&self.image, self.shape.holder(table, partition, replica)) as usize;
            let wanted = match holders[replica] {
                NOBODY => None,
                holder => slot(holder).or_else(|| holders.into_iter().find_map(slot)),
            };
            assert_eq!(found, wanted.map_or(0, |slot| slot + 1), "{holders:?} {slots:?}");
        }
    }

    fn table_name(&self, table: usize) -> String {
        let name = &self.image[self.shape.table(table)..self.shape.table(table) + 32];
        let end = name.iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(name[..end].to_vec()).unwrap()
    }
}

impl Follower {
    fn look(&mut self, world: &World) {
        let generation = u32_at(&world.image, header::NODES_GEN);
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        for slot in 0..world.nodes_size() {
            let kept = &mut self.nodes[slot];
            match world.active(slot) {
                // An address that changes is not noticed.
                true if kept.is_none() => *kept = Some(body(world.shape, &world.image, slot)),
                true => {}
                false => *kept = None,
            }
        }
    }
}

/// Segments with little room, of each layout.
pub fn shape() -> impl Strategy<Value = Shape> {
    (prop::sample::select(&Layout::ALL[..]), 1usize..6, 1usize..3).prop_map(
        |(layout, nodes, namespaces)| Shape::new(layout, Capacity::new(nodes, namespaces).unwrap()),
    )
}

/// A node of the map: its place (port and build) and its rack, if it is there.
type NodeSpec = Option<(u8, u8, i32)>;
/// A namespace: its factor, whether it is strongly consistent, its holders and regime.
type NamespaceSpec = Option<(u8, bool, [[Option<u8>; 3]; USED], u32)>;
/// A map.
pub type Spec = (Vec<NodeSpec>, Vec<NamespaceSpec>);

pub fn spec() -> impl Strategy<Value = Spec> {
    let rack = prop::sample::select(vec![0, 1, MIXED_RACK]);
    let node = prop::option::weighted(0.7, (0u8..2, 0u8..3, rack));
    let holder = || prop::option::weighted(0.8, 0u8..6);
    let holders = [holder(), holder(), holder()];
    let entries = [holders.clone(), holders.clone(), holders.clone(), holders];
    let namespace = prop::option::weighted(0.7, (1u8..4, any::<bool>(), entries, 0u32..3));
    (prop::collection::vec(node, 6), prop::collection::vec(namespace, 3))
}

/// The map of that description, as a segment of that layout is to hold it.
pub fn wanted((nodes, namespaces): &Spec, layout: Layout) -> Wanted {
    let builds = [None, Build::parse(b"6.0"), Build::parse(b"8.1.2.0")];
    let mut index = vec![NOBODY; nodes.len()];
    let mut wanted = Wanted { nodes: Vec::new(), namespaces: Vec::new() };
    for (number, spec) in nodes.iter().enumerate() {
        let &Some((port, build, rack)) = spec else { continue };
        index[number] = wanted.nodes.len() as u16;
        let id = NodeId::new(&format!("N{number}")).unwrap();
        let address = SocketAddr::from(([10, 0, 0, number as u8], 3000 + u16::from(port)));
        let build = builds[usize::from(build)];
        let mut node = Node::new(id, address);
        node.build = build;
        let identity = Identity::of(&node, layout);
        wanted.nodes.push(WantedNode { identity, build_known: build.is_some(), rack });
    }
    for (number, spec) in namespaces.iter().enumerate() {
        let &Some((replication_factor, strong_consistency, entries, regime)) = spec else {
            continue;
        };
        let mut holders = vec![[NOBODY; 3]; PARTITIONS];
        for (holders, entry) in holders.iter_mut().zip(entries) {
            *holders = entry.map(|holder| holder.map_or(NOBODY, |node| index[usize::from(node)]));
        }
        let mut regimes = vec![0; PARTITIONS];
        regimes[..USED].fill(regime);
        wanted.namespaces.push(WantedNamespace {
            name: NamespaceName::new(&format!("ns{number}")).unwrap(),
            replication_factor,
            strong_consistency,
            holders,
            regimes,
        });
    }
    wanted
}
