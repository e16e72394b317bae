//! The blackboard of `iceoryx2`, with one entry in shared memory per partition. This
//! is its fastest way, although the entries do not share a version: a single entry
//! with the whole table would be copied at every lookup.

use iceoryx2::port::reader::EntryHandle;
use iceoryx2::port::writer::EntryHandleMut;
use iceoryx2::prelude::*;

use super::{Contender, Lookup, Reader, Table, states};
use crate::rig::{PARTITIONS, changed};

type Service = ipc_threadsafe::Service;
type Factory = iceoryx2::service::port_factory::blackboard::PortFactory<Service, u64>;

pub struct Blackboard {
    table: Table,
    entries: Vec<EntryHandleMut<Service, u64, u64>>,
    service: Factory,
    _node: Node<Service>,
}

impl Blackboard {
    pub fn new() -> Blackboard {
        set_log_level(LogLevel::Error);
        let table = Table::new();
        let node = NodeBuilder::new().create::<Service>().expect("a node");
        let name = format!("tendmap-benches/{}", std::process::id());
        let name = name.as_str().try_into().expect("a valid name");
        let mut creator = node.service_builder(&name).blackboard_creator::<u64>();
        for (partition, &slot) in (0..).zip(&table.owners) {
            creator = creator.add::<u64>(partition, slot as u64);
        }
        let service = creator.create().expect("a service");
        let writer = service.writer_builder().create().expect("its only writer");
        let entry = |p: usize| writer.entry::<u64>(&(p as u64)).expect("it was added");
        let entries = (0..PARTITIONS).map(entry).collect();
        Blackboard { table, entries, service, _node: node }
    }
}

struct BlackboardReader(Vec<EntryHandle<Service, u64, u64>>, Vec<u64>);

impl Lookup for BlackboardReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        self.1[*self.0[partition].get() as usize]
    }
}

impl Contender for Blackboard {
    fn name(&self) -> &'static str {
        "iceoryx2 blackboard"
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        let reader = self.service.reader_builder().create().expect("a reader");
        let entry = |p: usize| reader.entry::<u64>(&(p as u64)).expect("it was added");
        Box::new(BlackboardReader((0..PARTITIONS).map(entry).collect(), states()))
    }
    fn publish(&mut self) {
        self.table.change();
        for partition in changed(self.table.turn) {
            self.entries[partition].update_with_copy(self.table.owners[partition] as u64);
        }
    }
}
