//! `left-right`: two copies and an epoch for each reader.

use left_right::{Absorb, ReadHandle, ReadHandleFactory, WriteHandle};

use super::{Contender, Lookup, Reader, Table, states};

struct Change;

impl Absorb<Change> for Table {
    fn absorb_first(&mut self, _: &mut Change, _: &Self) {
        self.change();
    }
    fn sync_with(&mut self, first: &Self) {
        self.clone_from(first);
    }
}

pub struct LeftRight {
    write: WriteHandle<Table, Change>,
    readers: ReadHandleFactory<Table>,
}

impl LeftRight {
    pub fn new() -> LeftRight {
        let (mut write, read) = left_right::new_from_empty::<Table, Change>(Table::new());
        write.publish();
        LeftRight { write, readers: read.factory() }
    }
}

struct LeftRightReader(ReadHandle<Table>, Vec<u64>);

impl Lookup for LeftRightReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        self.1[self.0.enter().expect("its writer lives").owners[partition]]
    }
}

impl Contender for LeftRight {
    fn name(&self) -> &'static str {
        "left-right"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(LeftRightReader(self.readers.handle(), states()))
    }
    fn publish(&mut self) {
        self.write.append(Change);
        self.write.publish();
    }
}
