//! The contenders that are compared.

mod arc_swap;
#[cfg(feature = "heavy-peers")]
mod blackboard;
mod client_shape;
mod floor;
mod left_right;
mod locks;
#[cfg(feature = "heavy-peers")]
mod mmap_sync;
mod process_lock;
mod seqlock;
mod tendmap;

pub use self::tendmap::{AllThreads, Named, Pinned, Replica, Router};
pub use floor::Floor;

/// One reader, which looks up the state of a partition's master.
pub trait Lookup {
    /// Looks one partition up.
    fn state(&mut self, partition: usize) -> u64;

    /// Looks up several partitions and returns the sum of their states. A reader that
    /// can look up many at once overrides this.
    #[inline(always)]
    fn states(&mut self, partitions: &[usize]) -> u64 {
        partitions.iter().map(|&p| self.state(core::hint::black_box(p))).sum()
    }
}

/// The interface of a reader to the runner, with loops that are compiled for its type.
pub trait Reader: Send {
    /// The sum of the states of these partitions' masters.
    fn sum(&mut self, partitions: &[usize]) -> u64;
    /// Makes `steps` lookups, each of the partition that the one before leads to.
    fn chain(&mut self, from: usize, steps: usize) -> usize;
}

impl<L: Lookup + Send> Reader for L {
    #[inline(never)]
    fn sum(&mut self, partitions: &[usize]) -> u64 {
        self.states(partitions)
    }

    #[inline(never)]
    fn chain(&mut self, from: usize, steps: usize) -> usize {
        let mut partition = from;
        for _ in 0..steps {
            let state = self.state(partition) as usize;
            partition = (partition + state) & (crate::rig::PARTITIONS - 1);
        }
        partition
    }
}

/// A way to share the map between one writer and many readers.
pub trait Contender: Send {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Whether several processes can share it, even if one of them dies.
    fn across_processes(&self) -> bool {
        false
    }
    /// Another reader, for one thread.
    fn reader(&self) -> Box<dyn Reader>;
    /// Changes 1 % of the masters.
    fn publish(&mut self);
}

/// All contenders, the floor first, then tendmap.
pub fn all() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Floor::new()),
        Box::new(Router::new()),
        Box::new(Pinned::new()),
        Box::new(Named::new()),
        Box::new(Replica::sequence()),
        Box::new(Replica::any()),
        Box::new(Replica::prefer_rack()),
        Box::new(Replica::at_run_time()),
        Box::new(AllThreads::new()),
        Box::new(arc_swap::Cached::new()),
        Box::new(arc_swap::Loaded::new()),
        Box::new(left_right::LeftRight::new()),
        Box::new(locks::Std::new()),
        Box::new(locks::ParkingLot::new()),
        Box::new(client_shape::ClientShape::new()),
        Box::new(seqlock::Seqlock::new()),
        Box::new(process_lock::ProcessLock::new()),
        #[cfg(feature = "heavy-peers")]
        Box::new(mmap_sync::MmapSync::new()),
        #[cfg(feature = "heavy-peers")]
        Box::new(blackboard::Blackboard::new()),
    ]
}

/// The masters' slots by partition, and the number of publications before.
#[derive(Clone, Debug)]
struct Table {
    owners: Vec<usize>,
    turn: usize,
}

impl Table {
    fn new() -> Table {
        Table {
            owners: (0..crate::rig::PARTITIONS).map(|p| crate::rig::owner(p, 0)).collect(),
            turn: 0,
        }
    }

    fn change(&mut self) {
        self.turn += 1;
        for partition in crate::rig::changed(self.turn) {
            self.owners[partition] = crate::rig::owner(partition, self.turn);
        }
    }
}

/// The states by slot. Each reader keeps its own.
fn states() -> Vec<u64> {
    (0..crate::rig::NODES).map(crate::rig::state).collect()
}
