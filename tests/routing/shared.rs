//! Routers that threads share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use tendmap::map::{Node, NodeId};
use tendmap::route::{Partition, Policy, RouteError, SharedRouter};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{add_namespace, node};

use crate::rig::Rig;

/// Counts the states that exist, and how often one was made for each node.
#[derive(Clone, Default)]
struct Pools {
    there: Arc<AtomicUsize>,
    made: Arc<Mutex<HashMap<NodeId, usize>>>,
}

struct Pool {
    id: NodeId,
    pools: Pools,
}

impl Pools {
    fn make(&self) -> impl Fn(&Node) -> Pool + Send + Sync + 'static {
        let pools = self.clone();
        move |node| {
            pools.there.fetch_add(1, Ordering::Relaxed);
            *pools.made.lock().unwrap().entry(node.id).or_default() += 1;
            Pool { id: node.id, pools: pools.clone() }
        }
    }
    fn there(&self) -> usize {
        self.there.load(Ordering::Relaxed)
    }
    fn made(&self, number: u16) -> usize {
        *self.made.lock().unwrap().get(&node(number).id).unwrap_or(&0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.pools.there.fetch_sub(1, Ordering::Relaxed);
    }
}

fn partitions() -> impl Iterator<Item = Partition> {
    (0..4096).map(Partition)
}

/// Uses every node.
fn use_all(router: &SharedRouter<Pool>) {
    for partition in partitions() {
        let route = router.route("test", partition, Policy::Master).unwrap();
        assert_eq!(route.state().id, route.id());
    }
}

#[test]
fn it_answers_as_a_router_of_one_thread_does() {
    let rig = Rig::new(5, 3);
    let (mut one, all) = (rig.client.router(), rig.client.shared_router(|_| ()));
    rig.client.set_preferred_racks(&[1]);
    let compare = |one: &mut tendmap::Router, all: &SharedRouter| {
        for policy in [Policy::Master, Policy::Sequence, Policy::PreferRack] {
            for partition in partitions().step_by(13) {
                let (mut attempt, mut other) = (one.attempt(policy), all.attempt(policy));
                for _ in 0..3 {
                    let found = one.route_attempt("test", partition, &attempt).unwrap();
                    let shared = all.route_attempt("test", partition, &other).unwrap();
                    assert_eq!(
                        (found.node(), found.slot(), found.incarnation(), found.replica()),
                        (shared.node(), shared.slot(), shared.incarnation(), shared.replica())
                    );
                    assert_eq!(found.sequence(), shared.sequence());
                    assert_eq!(found.partition(), shared.partition());
                    attempt.fail(found.replica(), found.slot());
                    other.fail(shared.replica(), shared.slot());
                }
            }
        }
    };
    compare(&mut one, &all);
    rig.change(|map| {
        let last = map.nodes.iter().map(|(slot, _)| slot).last();
        map.remove_node(last.unwrap());
        add_namespace(map, "test", 2);
        let rack = map.nodes.iter().map(|(slot, _)| slot).last().unwrap();
        let name = tendmap::map::NamespaceName::new("test").unwrap();
        map.namespace_entry(name).unwrap().set_rack(rack, Some(1));
    });
    compare(&mut one, &all);
    rig.client.set_preferred_racks(&[]);
    compare(&mut one, &all);
    rig.cluster.grow(300);
    let before = rig.client.status().unwrap().generation;
    tendmap_testkit::wait_until("it grows", || {
        rig.client.status().is_ok_and(|status| status.generation > before && status.nodes == 300)
    });
    compare(&mut one, &all);
}

#[test]
fn it_says_what_is_missing_as_a_router_does() {
    let rig = Rig::new(2, 1);
    let (mut one, all) = (rig.client.router(), rig.client.shared_router(|_| ()));
    let text = |error: RouteError| error.to_string();
    for name in ["nope", "", "a name that is longer than any namespace may be named"] {
        let wanted = text(one.route(name, Partition(0), Policy::Master).map(drop).unwrap_err());
        assert_eq!(
            text(all.route(name, Partition(0), Policy::Master).map(drop).unwrap_err()),
            wanted
        );
        assert_eq!(text(all.namespace(name).unwrap_err()), wanted);
    }
    let beyond = |error: RouteError| matches!(error, RouteError::OutOfRange { .. });
    assert!(beyond(all.route("test", Partition(4096), Policy::Master).map(drop).unwrap_err()));
    let foreign = one.namespace("test").unwrap();
    let found = all.route(foreign, Partition(0), Policy::Master).map(drop);
    assert!(matches!(found, Err(RouteError::ForeignHandle)));
    // A namespace that leaves and comes back keeps its handle.
    let handle = all.namespace("test").unwrap();
    assert_eq!(all.namespace("test").unwrap(), handle);
    rig.change(|map| {
        let mut other = tendmap::map::ClusterMap::new(tendmap::map::Capacity::DEFAULT);
        for number in 0..2 {
            other.nodes.insert(node(number)).unwrap();
        }
        add_namespace(&mut other, "other", 1);
        *map = other;
    });
    assert!(matches!(all.namespace("test"), Err(RouteError::NamespaceUnknown { .. })));
    let found = all.route(handle, Partition(0), Policy::Master).map(drop);
    assert!(matches!(found, Err(RouteError::NamespaceUnknown { .. })));
    all.route("other", Partition(0), Policy::Master).unwrap();
}

#[test]
fn each_node_has_one_state_until_it_leaves_and_nobody_uses_it() {
    let rig = Rig::new(3, 1);
    let pools = Pools::default();
    let router = rig.client.shared_router(pools.make());
    assert_eq!(pools.there(), 0, "made when it is used");
    use_all(&router);
    use_all(&router.clone());
    assert_eq!(pools.there(), 3);
    let kept = partitions().find_map(|partition| {
        let route = router.route("test", partition, Policy::Master).unwrap();
        (route.id() == node(2).id).then(|| route.to_state())
    });
    let kept = kept.unwrap();
    let leave = |map: &mut tendmap::map::ClusterMap| {
        let last = map.nodes.iter().map(|(slot, _)| slot).last();
        map.remove_node(last.unwrap());
        add_namespace(map, "test", 1);
    };
    rig.change(leave);
    router.refresh().unwrap();
    assert_eq!((pools.there(), router.states().len()), (3, 2), "somebody uses it");
    assert_eq!(kept.id, node(2).id);
    drop(kept);
    assert_eq!(pools.there(), 2);
    use_all(&router);
    assert_eq!([0, 1, 2].map(|number| pools.made(number)), [1, 1, 1]);
    // It comes back as another one.
    rig.change(|map| {
        map.nodes.insert(node(2)).unwrap();
        add_namespace(map, "test", 1);
    });
    use_all(&router);
    assert_eq!([0, 1, 2].map(|number| pools.made(number)), [1, 1, 2]);
    drop(router);
    assert_eq!(pools.there(), 0);
}

/// Threads route while nodes leave and come back. No thread sees the state of another node, and
/// no node has two.
#[test]
fn h164_threads_share_one_state_of_each_node_while_the_map_changes() {
    const THREADS: usize = 6;
    const CHANGES: usize = 40;
    let rig = Rig::new(6, 2);
    let pools = Pools::default();
    let router = rig.client.shared_router(pools.make());
    let stop = AtomicBool::new(false);
    let lookups = AtomicUsize::new(0);
    let mut lives = HashMap::from([0, 1, 2, 3, 4, 5].map(|number| (node(number).id, 1)));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (router, stop, lookups) = (router.clone(), &stop, &lookups);
            scope.spawn(move || {
                let test = router.namespace("test").unwrap();
                let (mut last, mut partition) = (0, thread * 701);
                while !stop.load(Ordering::Relaxed) {
                    partition = (partition + 1) % 4096;
                    let policy = [Policy::Master, Policy::Any][partition % 2];
                    let route = router.route(test, Partition(partition), policy).unwrap();
                    assert_eq!(route.state().id, route.id());
                    assert!(route.sequence() >= last, "it went back");
                    last = route.sequence();
                    lookups.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for change in 0..CHANGES {
            rig.change(|map| {
                let number = 2 + (change % 4) as u16;
                let slot = map.nodes.iter().find(|(_, known)| known.id == node(number).id);
                match slot.map(|(slot, _)| slot) {
                    Some(slot) => drop(map.remove_node(slot)),
                    None => {
                        map.nodes.insert(node(number)).unwrap();
                        *lives.get_mut(&node(number).id).unwrap() += 1;
                    }
                }
                add_namespace(map, "test", 2);
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(lookups.load(Ordering::Relaxed) > CHANGES);
    for (id, made) in pools.made.lock().unwrap().iter() {
        assert!(*made <= lives[id], "{id}: {made} states in {} lives", lives[id]);
    }
    router.refresh().unwrap();
    assert_eq!(pools.there(), router.states().len());
    drop(router);
    assert_eq!(pools.there(), 0);
}

#[test]
fn names_that_threads_ask_for_at_once_are_not_confused() {
    let rig = Rig::new(4, 1);
    let names: Vec<String> = (0..24).map(|number| format!("namespace_{number}")).collect();
    rig.cluster.change(|map| {
        map.raise_capacity(16, 32);
        names.iter().for_each(|name| add_namespace(map, name, 1));
    });
    tendmap_testkit::wait_until("there is room for them", || {
        rig.client.status().is_ok_and(|status| status.namespaces.len() == 25)
    });
    for _ in 0..5 {
        let router = rig.client.shared_router(|_| ());
        let begin = Barrier::new(names.len());
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| {
                    begin.wait();
                    let handle = router.namespace(name).unwrap();
                    router.route(handle, Partition(1), Policy::Master).unwrap();
                    assert_eq!(router.namespace(name).unwrap(), handle);
                });
            }
        });
        let handles: Vec<_> = names.iter().map(|name| router.namespace(name).unwrap()).collect();
        for (index, handle) in handles.iter().enumerate() {
            assert!(!handles[..index].contains(handle), "{handle:?}");
        }
    }
}

#[test]
fn a_state_that_takes_long_keeps_no_other_thread_waiting_for_another_node() {
    let rig = Rig::new(2, 1);
    let (begun, done) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (begins, ends) = (begun.clone(), done.clone());
    let router = rig.client.shared_router(move |found| {
        if found.id == node(0).id {
            begins.wait();
            ends.wait();
        }
        found.id
    });
    let on = |number: u16| {
        let is = |partition: &Partition| {
            router.route("test", *partition, Policy::Master).unwrap().id() == node(number).id
        };
        partitions().find(is).unwrap()
    };
    let (slow, quick) = (on(0), on(1));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| *router.route("test", slow, Policy::Master).unwrap().state());
        begun.wait();
        // The map may change meanwhile, too.
        rig.change(|map| add_namespace(map, "more", 1));
        assert_eq!(*router.route("test", quick, Policy::Master).unwrap().state(), node(1).id);
        assert_eq!(router.route("more", slow, Policy::Master).unwrap().id(), node(0).id);
        done.wait();
        assert_eq!(waits.join().unwrap(), node(0).id);
    });
}

#[test]
fn a_state_whose_creation_panics_is_made_at_the_next_use() {
    let rig = Rig::new(1, 1);
    let tries = AtomicUsize::new(0);
    let router = rig.client.shared_router(move |_| {
        assert!(tries.fetch_add(1, Ordering::Relaxed) > 0, "the first one");
        7
    });
    let state = || *router.route("test", Partition(0), Policy::Master).unwrap().state();
    assert!(catch_unwind(AssertUnwindSafe(state)).is_err());
    assert_eq!((state(), state()), (7, 7));
}

#[test]
fn h165_a_child_makes_states_of_its_own() {
    let rig = Rig::new(3, 1);
    let pid = || std::process::id();
    let router = rig.client.shared_router(move |_| pid());
    let all = || {
        partitions().all(|partition| {
            *router.route("test", partition, Policy::Any).unwrap().state() == pid()
        })
    };
    assert!(all());
    forked(|_| assert!(all()), |_| {});
    assert!(all());
}
