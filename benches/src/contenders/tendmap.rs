//! The ways to look up with tendmap.

use std::sync::{Arc, Mutex};

use core::hint::black_box;
use tendmap::map::Capacity;
use tendmap::route::{self, NamespaceHandle, Partition, Policy};

use super::{Contender, Lookup, Reader};
use crate::rig::{self, Segment};

/// A segment, and the function that creates a reader of it.
struct Shared {
    segment: Segment,
}

impl Shared {
    fn new(replicas: u8) -> Shared {
        Shared { segment: Segment::new(rig::map(Capacity::DEFAULT, replicas)) }
    }

    fn router(&self) -> (route::Router<u64>, NamespaceHandle) {
        let mut router = self.segment.router();
        let namespace = router.namespace(rig::NAMESPACE).expect("it was published");
        (router, namespace)
    }
}

macro_rules! contender {
    ($(#[$doc:meta])* $name:ident, $title:expr, $reader:expr) => {
        $(#[$doc])*
        pub struct $name(Shared);

        impl $name {
            /// Creates a segment.
            pub fn new() -> $name {
                $name(Shared::new(2))
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }

        impl Contender for $name {
            fn name(&self) -> &'static str {
                $title
            }
            fn across_processes(&self) -> bool {
                true
            }
            fn reader(&self) -> Box<dyn Reader> {
                let (router, namespace) = self.0.router();
                Box::new($reader(router, namespace))
            }
            fn publish(&mut self) {
                self.0.segment.publish();
            }
        }
    };
}

struct RouterReader(route::Router<u64>, NamespaceHandle);

impl Lookup for RouterReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        *self.0.route(self.1, Partition(partition), Policy::Master).expect("owned").state()
    }

    #[inline(always)]
    fn states(&mut self, partitions: &[usize]) -> u64 {
        let RouterReader(router, namespace) = self;
        let namespace = *namespace;
        let mut sum = 0;
        for &partition in partitions {
            let target = Partition(black_box(partition));
            sum += *router.route(namespace, target, Policy::Master).expect("owned").state();
        }
        sum
    }
}

contender!(
    /// `Router::route`, one at a time.
    Router, "tendmap: route, master", RouterReader
);

struct SharedReader(route::SharedRouter<u64>, NamespaceHandle);

impl Lookup for SharedReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        *self.0.route(self.1, Partition(partition), Policy::Master).expect("owned").state()
    }
}

/// `SharedRouter::route`: all readers use one router.
pub struct AllThreads {
    shared: Shared,
    router: route::SharedRouter<u64>,
}

impl AllThreads {
    /// Creates a segment, and the router.
    pub fn new() -> AllThreads {
        let shared = Shared::new(2);
        let router = shared.segment.shared_router();
        AllThreads { shared, router }
    }
}

impl Default for AllThreads {
    fn default() -> AllThreads {
        AllThreads::new()
    }
}

impl Contender for AllThreads {
    fn name(&self) -> &'static str {
        "tendmap: shared router, master"
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        let namespace = self.router.namespace(rig::NAMESPACE).expect("it was published");
        Box::new(SharedReader(self.router.clone(), namespace))
    }
    fn publish(&mut self) {
        self.shared.segment.publish();
    }
}

struct PinnedReader(route::Router<u64>, NamespaceHandle);

impl Lookup for PinnedReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        *self.0.route(self.1, Partition(partition), Policy::Master).expect("owned").state()
    }

    #[inline(always)]
    fn states(&mut self, partitions: &[usize]) -> u64 {
        let PinnedReader(router, namespace) = self;
        let pinned = router.pin(|pinned| {
            let namespace = pinned.namespace(*namespace)?;
            let mut sum = 0;
            for &partition in partitions {
                let master = namespace.master(Partition(black_box(partition)))?;
                sum += master.expect("owned").state();
            }
            Ok(sum)
        });
        pinned.expect("a map was published")
    }
}

contender!(
    /// One `Router::pin` for all lookups of a round.
    Pinned, "tendmap: pinned, master", PinnedReader
);

struct NamedReader(route::Router<u64>, String);

impl Lookup for NamedReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        let NamedReader(router, name) = self;
        // The compiler must not know the name, as in a real program.
        *router.route(name.as_str(), Partition(partition), Policy::Master).expect("owned").state()
    }
}

/// The namespace by its name at every lookup, one of 32.
pub struct Named(Arc<Mutex<Segment>>);

impl Named {
    /// The number of other namespaces.
    const OTHERS: usize = 31;

    /// Creates a segment.
    pub fn new() -> Named {
        let capacity = Capacity { max_namespaces: Named::OTHERS + 1, ..Capacity::DEFAULT };
        let mut map = rig::map(capacity, 2);
        for number in 0..Named::OTHERS {
            let name = format!("other_{number}").parse().expect("valid");
            map.namespace_entry(name).expect("room").replication_factor = 1;
        }
        Named(Arc::new(Mutex::new(Segment::new(map))))
    }
}

impl Default for Named {
    fn default() -> Named {
        Named::new()
    }
}

impl Contender for Named {
    fn name(&self) -> &'static str {
        "tendmap: route by name, of 32"
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        let mut router = self.0.lock().expect("nobody panics").router();
        for number in 0..Named::OTHERS {
            router.namespace(&format!("other_{number}")).expect("it was published");
        }
        Box::new(NamedReader(router, rig::NAMESPACE.to_owned()))
    }
    fn publish(&mut self) {
        self.0.lock().expect("nobody panics").publish();
    }
}

/// One of three replicas, by a policy that is known at compile time, as for
/// [`Router`].
struct ReplicaReader<const POLICY: u8>(route::Router<u64>, NamespaceHandle);

/// The policies, by number.
const POLICIES: [Policy; 4] = [Policy::Master, Policy::Sequence, Policy::Any, Policy::PreferRack];

impl<const POLICY: u8> Lookup for ReplicaReader<POLICY> {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        let policy = POLICIES[usize::from(POLICY)];
        *self.0.route(self.1, Partition(partition), policy).expect("owned").state()
    }

    #[inline(always)]
    fn states(&mut self, partitions: &[usize]) -> u64 {
        let ReplicaReader(router, namespace) = self;
        let (namespace, policy) = (*namespace, POLICIES[usize::from(POLICY)]);
        let mut sum = 0;
        for &partition in partitions {
            let target = Partition(black_box(partition));
            sum += *router.route(namespace, target, policy).expect("owned").state();
        }
        sum
    }
}

/// A reader with a policy that is known only at run time.
struct AnyPolicyReader(route::Router<u64>, NamespaceHandle, Policy);

impl Lookup for AnyPolicyReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        *self.0.route(self.1, Partition(partition), self.2).expect("owned").state()
    }
}

/// One of three replicas.
pub struct Replica {
    shared: Shared,
    policy: Policy,
    title: &'static str,
}

impl Replica {
    fn new(policy: Policy, title: &'static str) -> Replica {
        Replica { shared: Shared::new(3), policy, title }
    }
    /// By [`Policy::Sequence`].
    pub fn sequence() -> Replica {
        Replica::new(Policy::Sequence, "tendmap: route, sequence")
    }
    /// By [`Policy::Any`].
    pub fn any() -> Replica {
        Replica::new(Policy::Any, "tendmap: route, any")
    }
    /// By [`Policy::PreferRack`], with two of three racks preferred.
    pub fn prefer_rack() -> Replica {
        Replica::new(Policy::PreferRack, "tendmap: route, prefer rack")
    }
    /// By [`Policy::Master`], which is known only at run time.
    pub fn at_run_time() -> Replica {
        Replica::new(Policy::Master, "tendmap: policy at run time")
    }
}

impl Contender for Replica {
    fn name(&self) -> &'static str {
        self.title
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        let (mut router, namespace) = self.shared.router();
        router.set_preferred_racks(&[2, 1]);
        match self.policy {
            Policy::Sequence => Box::new(ReplicaReader::<1>(router, namespace)),
            Policy::Any => Box::new(ReplicaReader::<2>(router, namespace)),
            Policy::PreferRack => Box::new(ReplicaReader::<3>(router, namespace)),
            policy => Box::new(AnyPolicyReader(router, namespace, policy)),
        }
    }
    fn publish(&mut self) {
        self.shared.segment.publish();
    }
}
