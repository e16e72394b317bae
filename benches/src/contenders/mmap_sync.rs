//! `mmap-sync`: two mapped copies of an archived value, readers counted in
//! shared memory.

use std::path::PathBuf;
use std::time::Duration;

use bytecheck::CheckBytes;
use mmap_sync::synchronizer::Synchronizer;
use rkyv::{Archive, Deserialize, Serialize};

use super::{Contender, Lookup, Reader, Table, states};

#[derive(Archive, Deserialize, Serialize)]
#[archive_attr(derive(CheckBytes))]
struct Owners {
    slots: Vec<u16>,
}

pub struct MmapSync {
    table: Table,
    path: PathBuf,
    writer: Synchronizer,
}

impl MmapSync {
    pub fn new() -> MmapSync {
        let path = PathBuf::from(format!("/dev/shm/tendmap-benches-{}", std::process::id()));
        let writer = Synchronizer::new(path.as_os_str());
        let mut made = MmapSync { table: Table::new(), path, writer };
        made.write();
        made
    }

    fn write(&mut self) {
        let slots = self.table.owners.iter().map(|&slot| slot as u16).collect();
        // The longest time that the writer waits for readers.
        let grace = Duration::from_millis(100);
        self.writer.write(&Owners { slots }, grace).expect("its only writer");
    }
}

impl Drop for MmapSync {
    fn drop(&mut self) {
        for end in ["_state", "_data_0", "_data_1"] {
            let mut path = self.path.clone().into_os_string();
            path.push(end);
            let _ = std::fs::remove_file(path);
        }
    }
}

struct MmapSyncReader(Synchronizer, Vec<u64>);

impl Lookup for MmapSyncReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        // SAFETY: the data was written by `MmapSync` as the same type, and the guard
        // is dropped long before the grace period ends.
        let owners = unsafe { self.0.read::<Owners>(false) }.expect("it was written");
        self.1[usize::from(owners.slots[partition])]
    }
}

impl Contender for MmapSync {
    fn name(&self) -> &'static str {
        "mmap-sync"
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(MmapSyncReader(Synchronizer::new(self.path.as_os_str()), states()))
    }
    fn publish(&mut self) {
        self.table.change();
        self.write();
    }
}
