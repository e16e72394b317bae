//! Locks of one process around the table.

use std::sync::{Arc, RwLock};

use super::{Contender, Lookup, Reader, Table, states};

macro_rules! lock {
    ($(#[$doc:meta])* $name:ident, $reader:ident, $title:expr, $lock:ty, |$table:ident| $read:expr, |$write:ident| $writing:expr) => {
        $(#[$doc])*
        pub struct $name(Arc<$lock>);

        impl $name {
            pub fn new() -> $name {
                $name(Arc::new(<$lock>::new(Table::new())))
            }
        }

        struct $reader(Arc<$lock>, Vec<u64>);

        impl Lookup for $reader {
            #[inline(always)]
            fn state(&mut self, partition: usize) -> u64 {
                let $table = &self.0;
                self.1[$read.owners[partition]]
            }
        }

        impl Contender for $name {
            fn name(&self) -> &'static str {
                $title
            }
            fn reader(&self) -> Box<dyn Reader> {
                Box::new($reader(self.0.clone(), states()))
            }
            fn publish(&mut self) {
                let $write = &self.0;
                $writing.change();
            }
        }
    };
}

lock!(
    /// The lock of the standard library.
    Std, StdReader, "std RwLock", RwLock<Table>,
    |table| table.read().expect("nobody panics"), |table| table.write().expect("nobody panics")
);

lock!(
    /// The lock of `parking_lot`.
    ParkingLot, ParkingLotReader, "parking_lot RwLock", parking_lot::RwLock<Table>,
    |table| table.read(), |table| table.write()
);
