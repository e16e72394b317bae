//! Damage: what others stored into the segment, and what they left behind.

use core::ops::Range;

use super::header::{self, HEADER_BYTES};
use super::layout::Shape;
use super::plan::Planner;
use super::store::{Store, Value};
use super::words::u32_at;

/// The bits of a slot's lock that belong to a writer.
const WRITER: u32 = 0xC000_0000;

/// What was found to differ from what was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// The stores that put it right, in their order.
    pub stores: Vec<Store>,
    /// How many words differed.
    pub words: usize,
}

impl Planner {
    /// Compares a copy of the segment with what was meant, and puts right what differs. The
    /// copy has to be taken after the stores of the last pass.
    ///
    /// The fields of the owner and the locks are not compared, nor the rack generations
    /// of slots, which clients write.
    #[must_use]
    pub fn mend(&mut self, image: &[u8]) -> Mended {
        let mut mended = Mended::default();
        let mut nodes = false;
        for (span, of_nodes) in self.spans() {
            let meant = self.meant.get(span.clone()).unwrap_or_default();
            let found = image.get(span.clone()).unwrap_or(meant);
            if found == meant {
                continue;
            }
            let words = found.chunks(4).zip(meant.chunks(4)).zip(span.step_by(4));
            for ((_, meant), offset) in words.filter(|((found, meant), _)| found != meant) {
                nodes |= of_nodes;
                mended.stores.push(match meant {
                    &[byte] => Store::u8(offset, byte),
                    _ => Store::u32(offset, u32_at(&self.meant, offset)),
                });
            }
        }
        mended.words = mended.stores.len();
        let meant = u32_at(&self.meant, header::NODES_GEN);
        let found =
            image.get(header::NODES_GEN..).map_or(meant, |_| u32_at(image, header::NODES_GEN));
        mended.words += usize::from(found != meant);
        if nodes || found != meant {
            // Followers have read under one of both, so it is to be another.
            let next = found.wrapping_add(1);
            let next = if next == meant { next.wrapping_add(1) } else { next };
            self.push(&mut mended.stores, Store::u32(header::NODES_GEN, next));
            self.again.get_or_insert(0);
        }
        mended
    }

    /// What is compared, and whether it belongs to the nodes.
    fn spans(&self) -> impl Iterator<Item = (Range<usize>, bool)> + use<> {
        let (shape, (slots, tables)) = (self.shape(), self.sizes());
        let header = [
            (header::NODES_SIZE..header::NODES_GEN, true),
            (header::PARTITION_COUNT..header::TAKE_OVER_LOCK, false),
            (header::READY..header::READY + 1, false),
            (header::REBALANCE_GEN..HEADER_BYTES, false),
        ];
        let slots = (0..slots).flat_map(move |slot| {
            let (lock, own) = (shape.slot_lock(slot), shape.rebalance_generation(slot));
            [
                (shape.node(slot)..lock, true),
                (lock + 4..own, true),
                (own + 4..shape.node(slot + 1), true),
            ]
        });
        let tables =
            (0..tables).map(move |table| (shape.table(table)..shape.table(table + 1), false));
        header.into_iter().chain(slots).chain(tables)
    }
}

/// The stores that free slots whose writer died, as no process may write to slots but the
/// owner, and clients whose racks differ by namespace.
///
/// Followers wait for a writer without end. The counts of readers stay: each takes back
/// what it added.
#[must_use]
pub fn repair(shape: Shape, image: &[u8]) -> Vec<Store> {
    let locks = (0..shape.capacity.max_nodes()).map(|slot| shape.slot_lock(slot));
    let held = locks.filter(|&offset| u32_at(image, offset) & WRITER != 0);
    held.map(|offset| Store { offset, value: Value::Clear(WRITER) }).collect()
}

/// The store that frees the lock of a takeover, whose holder died.
#[must_use]
pub fn free_take_over_lock() -> Store {
    Store::u32(header::TAKE_OVER_LOCK, 0)
}
