//! The stores that bring a segment from what it holds to what it is to hold.
//!
//! # The invariant
//! **After every store, each entry names nothing, or a slot that is active and
//! established.** A slot that became active in this plan, or is in its grace, is never
//! named: a follower that has not read it yet has no node there (and one that prefers
//! racks would follow a null pointer). An entry that names an inactive slot would lose the
//! command. It rests on the order in a pass:
//!
//! 1. `nodes_gen` once more, if an earlier pass changed it and that has settled. A follower
//!    loads it without order, so it may have seen it change before the slots did.
//! 2. New slots: the body, then `nodes_size`, then `active`; `nodes_gen` after all. One
//!    that was in use before becomes active in a later pass than its body is stored in.
//! 3. Racks, then `rebalance_gen`. A slot in its grace never has the rack -1, which sends
//!    followers to the node.
//! 4. Tables: entries go to established slots; new tables are filled before
//!    `partition_tables_size`.
//! 5. Slots that no node needs and no entry names become inactive; `nodes_gen` after all.
//!
//! **A slot never changes while it is active**, except its rack. **No count exceeds the
//! capacity**: a client crashes on more nodes than it has room for.
//!
//! # An entry whose holder can't be named
//! The holder may be in its grace, or have no slot. The first of these serves instead:
//! the slot that the entry names now, if its node is in the map (only during a grace);
//! another replica of the partition; the slot that the node had before (only during a
//! grace); nobody. A server that does not hold a partition passes the command on.
//!
//! # Dying
//! A plan can stop after any store. The next process reads the segment
//! ([`Planner::adopt`]) and goes on: slots that entries name are established, all other
//! active ones begin their grace again, and `nodes_gen` changes again.

use super::entries::Serving;
use super::header::{self, HEADER_BYTES, Header, ShapeError};
use super::layout::{PARTITIONS, Shape, TABLE_BYTES};
use super::note::Note;
use super::slots::{Assigned, Book, SETTLE_MS, names};
use super::store::{Store, Value};
use super::wanted::{MIXED_RACK, Wanted, WantedNamespace, WantedNode};
use super::words::{put, text_at, u32_at};
use crate::map::NamespaceName;

/// What a segment was meant to hold last, and how it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planner {
    pub(super) shape: Shape,
    /// The segment as it is after the last plan. The fields of the owner, the locks and
    /// whatever lies beyond the counts do not matter.
    pub(super) meant: Vec<u8>,
    book: Book,
    /// The namespace of each table in use; `None` if its name is not a namespace's.
    tables: Vec<Option<NamespaceName>>,
    /// When `nodes_gen` changed, if it has to change once more.
    pub(super) again: Option<u64>,
    /// No pass was planned since the segment was adopted.
    adopted: bool,
}

/// What a pass has to do, and what should be known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The stores, in their order.
    pub stores: Vec<Store>,
    /// What could not be done, or not as it should be. What lasts is in every pass.
    pub notes: Vec<Note>,
    /// When the next pass is due though the map may not change until then.
    pub due: Option<u64>,
}

/// Whose nodes an existing segment has in its active slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinship {
    /// How many are in the map.
    pub known: usize,
    /// The names that are not.
    pub strangers: Vec<String>,
}

impl Planner {
    /// The plan that fills a new segment, or one that was never ready, and its last store
    /// makes it ready.
    ///
    /// The first step is not part of it: a client that attaches meanwhile may have taken
    /// `lock`, so the caller exchanges it from 0 to 1 and goes on only if that succeeded.
    #[must_use]
    pub fn create(
        shape: Shape,
        wanted: &Wanted,
        owner_pid: u32,
        timestamp: u64,
        now: u64,
    ) -> (Planner, Pass) {
        let mut planner = Planner {
            shape,
            meant: vec![0; shape.bytes()],
            book: Book::new(shape.capacity.max_nodes()),
            tables: Vec::new(),
            again: None,
            adopted: false,
        };
        let mut pass = Pass::default();
        let stores = &mut pass.stores;
        let timestamp = Store { offset: header::TIMESTAMP, value: Value::U64(timestamp) };
        planner.push(stores, timestamp);
        let capacity = shape.capacity;
        let words = [
            (header::OWNER_PID, owner_pid),
            (header::NODES_SIZE, 0),
            (header::TABLES_SIZE, 0),
            (header::NODES_CAPACITY, capacity.max_nodes() as u32),
            (header::PARTITION_COUNT, PARTITIONS as u32),
            (header::TABLES_CAPACITY, capacity.max_namespaces() as u32),
            (header::TABLES_OFFSET, shape.table(0) as u32),
            (header::TABLE_SIZE, TABLE_BYTES as u32),
            (header::TAKE_OVER_LOCK, 0),
            (header::REBALANCE_GEN, 1),
        ];
        for (offset, value) in words {
            planner.push(stores, Store::u32(offset, value));
        }
        let assigned = planner.book.assign(&wanted.nodes, now);
        planner.book.establish_all();
        for &(slot, index) in &assigned.fills {
            planner.push(stores, Store::u32(shape.slot_lock(slot), 0));
            planner.fill(&wanted.nodes[index], slot, stores);
            planner.activate(&wanted.nodes[index], slot, stores);
        }
        planner.push(stores, Store::u32(header::NODES_GEN, 1));
        planner.tables(wanted, &assigned, &mut pass);
        planner.push(&mut pass.stores, Store::u8(header::READY, 1));
        planner.left_out(wanted, &assigned, &mut pass.notes);
        (planner, pass)
    }

    /// Goes on with a segment that exists, from a copy of it.
    ///
    /// Whose it is has to be known already; see also [`kinship`](Self::kinship).
    ///
    /// # Errors
    /// [`ShapeError`] if it is of another shape. One that is not ready has to be filled by
    /// [`create`](Self::create).
    pub fn adopt(shape: Shape, image: &[u8]) -> Result<Planner, ShapeError> {
        let header = checked(shape, image)?;
        let tables = (header.tables_size as usize).min(shape.capacity.max_namespaces());
        let table = |table: usize| {
            let name = text_at(image, shape.table(table), super::layout::NAMESPACE_BYTES)?;
            NamespaceName::from_bytes(name).ok()
        };
        let mut planner = Planner {
            shape,
            meant: image.to_vec(),
            book: Book::new(shape.capacity.max_nodes()),
            tables: (0..tables).map(table).collect(),
            again: Some(0),
            adopted: true,
        };
        let named = planner.named();
        planner.book = Book::read(shape, image, &header, &named);
        Ok(planner)
    }

    /// Compares the active nodes of a segment with those of the map. One whose nodes are
    /// all strangers belongs to another cluster.
    ///
    /// # Errors
    /// [`ShapeError`] as for [`adopt`](Self::adopt).
    pub fn kinship(shape: Shape, image: &[u8], wanted: &Wanted) -> Result<Kinship, ShapeError> {
        let header = checked(shape, image)?;
        let mut kinship = Kinship::default();
        for name in names(shape, image, &header) {
            match name {
                Some(id) if wanted.nodes.iter().any(|node| node.identity.id == id) => {
                    kinship.known += 1;
                }
                Some(id) => kinship.strangers.push(id.to_string()),
                None => kinship.strangers.push("a name that is invalid".into()),
            }
        }
        Ok(kinship)
    }

    /// The shape of the segment.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many slots were ever in use, and how many tables.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.book.size(), self.tables.len())
    }

    /// Plans the next pass towards what is wanted. All its stores must be made, or the
    /// planner be dropped and the segment be adopted again.
    #[must_use]
    pub fn pass(&mut self, wanted: &Wanted, now: u64) -> Pass {
        let mut pass = Pass::default();
        let adopted = core::mem::take(&mut self.adopted);
        let settled = self.again.is_none_or(|at| now >= at.saturating_add(SETTLE_MS));
        // Graces begin when the generation changes for the second time.
        self.book.advance(now, settled && !adopted);
        if settled && self.again.take().is_some() {
            self.bump(header::NODES_GEN, &mut pass.stores);
            self.again = adopted.then_some(now);
        }
        let assigned = self.book.assign(&wanted.nodes, now);
        for &(slot, index) in &assigned.fills {
            self.fill(&wanted.nodes[index], slot, &mut pass.stores);
        }
        for &(slot, index) in &assigned.activations {
            self.activate(&wanted.nodes[index], slot, &mut pass.stores);
        }
        if !assigned.activations.is_empty() {
            self.bump(header::NODES_GEN, &mut pass.stores);
            self.again = Some(now);
        }
        self.racks(&wanted.nodes, &assigned, &mut pass.stores);
        self.tables(wanted, &assigned, &mut pass);
        self.retire(&assigned, now, &mut pass.stores);
        self.left_out(wanted, &assigned, &mut pass.notes);

        let pending = self.again.or(assigned.waits.then_some(now));
        let settled = pending.map(|at| at.saturating_add(SETTLE_MS));
        let grace = self.book.grace_ends(assigned.slots.iter().copied().flatten());
        let waits = assigned.slots.contains(&None).then(|| self.book.free_at()).flatten();
        pass.due = [settled, grace, waits].into_iter().flatten().min();
        pass
    }

    pub(super) fn push(&mut self, stores: &mut Vec<Store>, store: Store) {
        store.put(&mut self.meant);
        stores.push(store);
    }

    /// Stores a word if it differs; returns whether it did.
    fn set(&mut self, stores: &mut Vec<Store>, offset: usize, value: u32) -> bool {
        let differs = u32_at(&self.meant, offset) != value;
        if differs {
            self.push(stores, Store::u32(offset, value));
        }
        differs
    }

    fn set_byte(&mut self, stores: &mut Vec<Store>, offset: usize, value: u8) {
        if self.meant.get(offset) != Some(&value) {
            self.push(stores, Store::u8(offset, value));
        }
    }

    fn bump(&mut self, offset: usize, stores: &mut Vec<Store>) {
        let next = u32_at(&self.meant, offset).wrapping_add(1);
        self.push(stores, Store::u32(offset, next));
    }

    /// Fills an inactive slot.
    fn fill(&mut self, node: &WantedNode, slot: usize, stores: &mut Vec<Store>) {
        let shape = self.shape;
        let active = shape.active(slot);
        // A process may have died between `active` and a count, long ago.
        self.push(stores, Store::u8(active, 0));
        let rack = self.rack(node, slot);
        let identity = self.book.identity(slot).unwrap_or(&node.identity);
        let image = identity.image(shape.layout, rack as i32);
        let (lock, end) = (shape.slot_lock(slot) - shape.node(slot), active - shape.node(slot));
        self.push(stores, Store::body(shape.node(slot), &image[..lock]));
        self.push(stores, Store::body(shape.node(slot) + lock + 4, &image[lock + 4..end]));
    }

    /// Makes a slot active that has been filled.
    fn activate(&mut self, node: &WantedNode, slot: usize, stores: &mut Vec<Store>) {
        let rack = self.rack(node, slot);
        self.set(stores, self.shape.rack(slot), rack);
        let size = slot as u32 + 1;
        if u32_at(&self.meant, header::NODES_SIZE) < size {
            self.push(stores, Store::u32(header::NODES_SIZE, size));
        }
        self.push(stores, Store::u8(self.shape.active(slot), 1));
    }

    /// The rack that a slot may have now: -1 only when all followers have the node.
    fn rack(&self, node: &WantedNode, slot: usize) -> u32 {
        let held_back = node.rack == MIXED_RACK && !self.book.is_established(slot);
        if held_back { 0 } else { node.rack as u32 }
    }

    fn racks(&mut self, nodes: &[WantedNode], assigned: &Assigned, stores: &mut Vec<Store>) {
        let mut changed = false;
        for (node, slot) in nodes.iter().zip(&assigned.slots) {
            let &Some(slot) = slot else { continue };
            let (at, rack) = (self.shape.rack(slot), self.rack(node, slot));
            // One that was found in an adopted segment may stay as it is.
            if u32_at(&self.meant, at) != node.rack as u32 {
                changed |= self.set(stores, at, rack);
            }
        }
        if changed {
            self.bump(header::REBALANCE_GEN, stores);
        }
    }

    fn tables(&mut self, wanted: &Wanted, assigned: &Assigned, pass: &mut Pass) {
        let serving = Serving::new(&self.book, &wanted.nodes, &assigned.slots);
        let known = self.tables.len();
        let mut current = vec![false; known];
        for namespace in &wanted.namespaces {
            let table = self.tables[..known].iter().position(|name| *name == Some(namespace.name));
            if let Some(table) = table {
                current[table] = true;
                self.update(table, namespace, &serving, &mut pass.stores);
            } else if self.tables.len() < self.shape.capacity.max_namespaces() {
                self.add(namespace, &serving, &mut pass.stores);
            } else {
                let (name, capacity) = (namespace.name, self.shape.capacity.max_namespaces());
                pass.notes.push(Note::NamespaceLeftOut { name, capacity });
            }
        }
        // A table can't be removed, nor be given to another namespace under its readers.
        for table in (0..known).filter(|&table| !current[table]) {
            for partition in 0..PARTITIONS {
                for replica in 0..self.shape.layout.replicas() {
                    let holder = self.shape.holder(table, partition, replica);
                    self.set(&mut pass.stores, holder, 0);
                }
            }
        }
    }

    fn update(
        &mut self,
        table: usize,
        namespace: &WantedNamespace,
        serving: &Serving,
        stores: &mut Vec<Store>,
    ) {
        let shape = self.shape;
        self.set_byte(stores, shape.sc_mode(table), u8::from(namespace.strong_consistency));
        // Clients look at as many replicas as the factor says: those leave after it has
        // fallen, and come before it rises.
        let factor = shape.replica_size(table);
        let falls = factor.filter(|&at| self.meant[at] > namespace.replication_factor);
        if let Some(at) = falls {
            self.set_byte(stores, at, namespace.replication_factor);
        }
        let entries = namespace.holders.iter().zip(&namespace.regimes).enumerate();
        for (partition, (holders, &regime)) in entries.take(PARTITIONS) {
            for replica in 0..shape.layout.replicas() {
                let at = shape.holder(table, partition, replica);
                let now = u32_at(&self.meant, at);
                let next = serving.choose(now, holders, replica);
                if next != now {
                    self.push(stores, Store::u32(at, next));
                }
            }
            self.set(stores, shape.regime(table, partition), regime);
        }
        if let Some(at) = factor {
            self.set_byte(stores, at, namespace.replication_factor);
        }
    }

    fn add(&mut self, namespace: &WantedNamespace, serving: &Serving, stores: &mut Vec<Store>) {
        let (shape, table) = (self.shape, self.tables.len());
        let start = shape.table(table);
        // Filled in a copy, where the order does not matter.
        if let Some(body) = self.meant.get_mut(start..start + TABLE_BYTES) {
            body.fill(0);
        }
        put(&mut self.meant, start, namespace.name.as_bytes());
        self.update(table, namespace, serving, &mut Vec::new());
        let body = &self.meant[start..start + TABLE_BYTES];
        stores.push(Store::body(start, body));
        self.tables.push(Some(namespace.name));
        self.push(stores, Store::u32(header::TABLES_SIZE, table as u32 + 1));
    }

    /// Makes slots inactive that no node needs, unless an entry still names them.
    fn retire(&mut self, assigned: &Assigned, now: u64, stores: &mut Vec<Store>) {
        let mut needed = vec![false; self.book.size()];
        for &slot in assigned.slots.iter().flatten() {
            needed[slot] = true;
        }
        let useless: Vec<_> =
            (0..needed.len()).filter(|&slot| !needed[slot] && self.book.is_active(slot)).collect();
        if useless.is_empty() {
            return;
        }
        let named = self.named();
        let mut any = false;
        for slot in useless.into_iter().filter(|&slot| !named[slot]) {
            self.book.deactivate(slot);
            self.push(stores, Store::u8(self.shape.active(slot), 0));
            any = true;
        }
        if any {
            self.bump(header::NODES_GEN, stores);
            self.again = Some(now);
        }
    }

    /// Which slots the entries of the tables in use name.
    fn named(&self) -> Vec<bool> {
        let mut named = vec![false; self.shape.capacity.max_nodes()];
        for table in 0..self.tables.len() {
            for partition in 0..PARTITIONS {
                for replica in 0..self.shape.layout.replicas() {
                    let at = self.shape.holder(table, partition, replica);
                    let slot = (u32_at(&self.meant, at) as usize).checked_sub(1);
                    if let Some(named) = slot.and_then(|slot| named.get_mut(slot)) {
                        *named = true;
                    }
                }
            }
        }
        named
    }

    fn left_out(&self, wanted: &Wanted, assigned: &Assigned, notes: &mut Vec<Note>) {
        for (node, slot) in wanted.nodes.iter().zip(&assigned.slots) {
            if slot.is_none() {
                let (node, capacity) = (node.identity.id, self.shape.capacity.max_nodes());
                notes.push(Note::NodeLeftOut { node, capacity });
            }
        }
        for &(index, slot, out_of_use_ms) in &assigned.shortened {
            let node = wanted.nodes[index].identity.id;
            notes.push(Note::QuarantineShortened { node, slot, out_of_use_ms });
        }
    }
}

fn checked(shape: Shape, image: &[u8]) -> Result<Header, ShapeError> {
    let header = image.first_chunk::<HEADER_BYTES>().map(Header::read).unwrap_or_default();
    shape.check(&header, image.len())?;
    Ok(header)
}
