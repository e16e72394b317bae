//! Lookups from a resolved namespace and a partition to the master's local state,
//! compared with the floor, which reads two arrays without synchronisation.

use std::hint::black_box;
use std::time::Instant;

use tendmap::client::Reader;
use tendmap::internals::segment::Ownership;
use tendmap::map::{ClusterMap, Node};
use tendmap::route::{NamespaceHandle, Partition, Policy, RouteError, Router};
use tendmap::segment::Place;

use tendmap_cli::failure::Failure;
use tendmap_harness::beside::beside;
use tendmap_harness::sample::Samples;
use tendmap_harness::shape::{NAMESPACE, PARTITIONS, number, order, state, turn_one_percent};

/// The number of lookups in one timing: a few passes over all partitions.
const LOOKUPS: usize = 4 * PARTITIONS;

/// The cost of lookups, in nanoseconds each.
#[derive(Default)]
pub struct Lookups {
    pub floor: Samples,
    pub lookup: Samples,
    pub pinned: Samples,
    pub floor_latency: Samples,
    pub latency: Samples,
    pub two_readers: Samples,
    pub while_publishing: Samples,
    /// The number of lookups while the owner publishes, and how many of them met a
    /// new publication and had to read again.
    pub beside: u64,
    pub retries: u64,
}

/// The reading side: the arrays of the floor and a router over the segment.
pub struct Bench {
    place: Place,
    order: Vec<usize>,
    owners: Vec<usize>,
    states: Vec<u64>,
    router: Router<u64>,
    handle: NamespaceHandle,
}

fn router(place: &Place) -> Result<(Router<u64>, NamespaceHandle), Failure> {
    let mut router = Reader::attach(place)?.router_with(|node: &Node| state(number(node)));
    let handle = router.namespace(NAMESPACE)?;
    Ok((router, handle))
}

impl Bench {
    /// Attaches to the segment in which this map was published.
    ///
    /// # Errors
    /// [`Failure`] if the attach fails.
    pub fn new(place: &Place, map: &ClusterMap) -> Result<Bench, Failure> {
        let partitions = &map.namespaces()[0].partitions;
        let owner = |p| partitions.holder(p, 0).map_or(0, |slot| slot.index());
        let (router, handle) = router(place)?;
        Ok(Bench {
            place: place.clone(),
            order: order(),
            owners: (0..PARTITIONS).map(owner).collect(),
            states: (0..map.nodes.slots()).map(state).collect(),
            router,
            handle,
        })
    }

    /// A router over the segment.
    pub fn router(&mut self) -> (&mut Router<u64>, NamespaceHandle) {
        (&mut self.router, self.handle)
    }

    /// Runs one round of all measurements without a second thread.
    ///
    /// # Errors
    /// [`Failure`] if a lookup fails.
    pub fn alone(&mut self, into: &mut Lookups) -> Result<(), Failure> {
        into.floor.push(time(|| Ok(self.floor()))?);
        into.lookup.push(time(|| sum(&mut self.router, self.handle, &self.order))?);
        into.pinned.push(time(|| self.pinned())?);
        into.floor_latency.push(time(|| Ok(self.floor_chain()))?);
        into.latency.push(time(|| self.chain())?);
        Ok(())
    }

    fn floor(&self) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..LOOKUPS / PARTITIONS {
            for &partition in black_box(&self.order) {
                sum = sum.wrapping_add(self.states[self.owners[partition]]);
            }
        }
        sum
    }

    fn pinned(&mut self) -> Result<u64, RouteError> {
        let (order, handle) = (&self.order, self.handle);
        let mut sum = 0_u64;
        for _ in 0..LOOKUPS / PARTITIONS {
            sum = sum.wrapping_add(self.router.pin(|pinned| {
                let (namespace, mut sum) = (pinned.namespace(handle)?, 0_u64);
                for &partition in black_box(order) {
                    let master = namespace.master(Partition(partition))?;
                    sum = sum.wrapping_add(master.map_or(0, |master| *master.state()));
                }
                Ok(sum)
            })?);
        }
        Ok(sum)
    }

    fn floor_chain(&self) -> u64 {
        let mut at = 0_usize;
        for _ in 0..LOOKUPS {
            at = at.wrapping_add(self.states[self.owners[at % PARTITIONS]] as usize);
        }
        at as u64
    }

    fn chain(&mut self) -> Result<u64, RouteError> {
        let mut at = 0_usize;
        for _ in 0..LOOKUPS {
            let target = Partition(at % PARTITIONS);
            let route = self.router.route(self.handle, target, Policy::Master)?;
            at = at.wrapping_add(*route.state() as usize);
        }
        Ok(at as u64)
    }

    /// Measures lookups while another thread looks up with its own router.
    ///
    /// # Errors
    /// As [`alone`](Self::alone).
    pub fn beside_a_reader(&mut self, into: &mut Lookups, rounds: usize) -> Result<(), Failure> {
        let (mut router, handle) = router(&self.place)?;
        let order = self.order.clone();
        beside(
            || black_box(sum(&mut router, handle, &order)).is_ok(),
            || {
                for _ in 0..rounds {
                    let time = time(|| sum(&mut self.router, self.handle, &self.order))?;
                    into.two_readers.push(time);
                }
                Ok(())
            },
        )
    }

    /// Measures lookups while the owner publishes without a pause, with 1 % changed
    /// each time.
    ///
    /// # Errors
    /// As [`alone`](Self::alone).
    pub fn beside_the_owner(
        &mut self,
        (ownership, map): (&mut Ownership, &mut ClusterMap),
        into: &mut Lookups,
        rounds: usize,
    ) -> Result<(), Failure> {
        let mut random = fastrand::Rng::with_seed(2);
        beside(
            || {
                turn_one_percent(map, &mut random);
                ownership.publish(map).is_ok()
            },
            || {
                for _ in 0..rounds {
                    let time = time(|| sum(&mut self.router, self.handle, &self.order))?;
                    into.while_publishing.push(time);
                    self.count(into)?;
                }
                Ok(())
            },
        )
    }

    /// Counts lookups that were not timed, because checking the publication
    /// takes longer than a lookup.
    fn count(&mut self, into: &mut Lookups) -> Result<(), RouteError> {
        let mut last = None;
        for &partition in &self.order {
            let route = self.router.route(self.handle, Partition(partition), Policy::Master)?;
            let sequence = Some(route.sequence());
            into.retries += u64::from(last.is_some() && last != sequence);
            into.beside += 1;
            last = sequence;
        }
        Ok(())
    }
}

fn sum(
    router: &mut Router<u64>,
    handle: NamespaceHandle,
    order: &[usize],
) -> Result<u64, RouteError> {
    let mut sum = 0_u64;
    for _ in 0..LOOKUPS / PARTITIONS {
        for &partition in black_box(order) {
            let route = router.route(handle, Partition(partition), Policy::Master)?;
            sum = sum.wrapping_add(*route.state());
        }
    }
    Ok(sum)
}

/// Nanoseconds per lookup.
fn time(work: impl FnOnce() -> Result<u64, RouteError>) -> Result<f64, Failure> {
    let begun = Instant::now();
    black_box(work()?);
    Ok(begun.elapsed().as_nanos() as f64 / LOOKUPS as f64)
}
