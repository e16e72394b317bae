//! The state that a forked child inherits, and must not use as if it were its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::libc;
use nix::unistd::{ForkResult, alarm, fork};
use tendmap::client::{Client, ConnectError, Role};
use tendmap::internals::route::ReplicaRotation;
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::ClusterMap;
use tendmap::route::{Attempt, Batch, InSet, NamespaceHandle, Partition, Policy, Router};

use super::{Host, Mode, Test};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, wait_until};

/// All of these tests fork, so each needs a separate process.
pub fn tests() -> Vec<Test> {
    vec![
        ("h90_siblings_choose_differently_from_their_first_batch_on", first_batch),
        ("h90_siblings_choose_differently_from_their_first_attempt_on", first_attempt),
        ("h90_a_child_that_pins_first_chooses_for_itself", first_pin),
        ("h92_what_is_inherited_from_an_owner_tells_when_it_dies", owner_dies),
        ("h92_what_is_inherited_tells_that_the_child_itself_owns", child_owns),
        ("h97_a_child_finds_no_lock_taken_by_a_thread_it_does_not_have", no_lock),
        ("h97_a_child_follows_a_successor_that_another_thread_was_looking_for", no_search),
        ("h98_a_connect_whose_thread_cannot_start_leaves_nothing", no_thread),
        ("h99_a_child_closes_what_it_inherited_and_a_wait_there_ends", child_closes),
    ]
}

/// The answers of the calling process and two of its children.
fn siblings(mut answer: impl FnMut() -> String) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut told = String::new();
        forked(
            |parent| parent.write_all(answer().as_bytes()).unwrap(),
            |child| {
                child.read_to_string(&mut told).unwrap();
            },
        );
        answers.push(told);
    }
    answers.push(answer());
    answers
}

#[track_caller]
fn assert_all_differ(what: &str, mut answers: Vec<String>) {
    let all = answers.len();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), all, "{what}: a parent and its children chose alike: {answers:?}");
}

const KEYS: i64 = 256;

/// The replicas that a batch chooses, as digits.
fn batch(router: &mut Router, namespace: NamespaceHandle, policy: Policy) -> String {
    let (keys, mut batch): (Vec<i64>, _) = ((0..KEYS).collect(), Batch::new());
    router.route_batch(namespace, &InSet::new("set", &keys), policy, &mut batch).unwrap();
    (0..KEYS as usize).map(|index| batch.get(index).unwrap().unwrap().replica.to_string()).collect()
}

/// Earlier, a batch restored the old random state after its own look at the map had
/// detected the fork, so that all children followed the same sequence.
fn first_batch(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        // The parent's handle, because asking for a new one would detect the fork.
        let namespace = router.namespace("test").unwrap();
        batch(&mut router, namespace, policy);
        // Three replicas give few different turns, so the calls after the batch count,
        // too.
        let answers = siblings(|| {
            let replicas = batch(&mut router, namespace, policy);
            let replicas = if policy == Policy::Random { replicas.as_str() } else { "" };
            format!("{replicas} {:?}", router.attempt(policy))
        });
        assert_all_differ("after a batch", answers);
    }
}

/// The first choice is made before the lookup that detects the fork.
fn first_attempt(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        let namespace = router.namespace("test").unwrap();
        router.route(namespace, Partition(0), policy).unwrap();
        assert_all_differ("an attempt", siblings(|| format!("{:?}", router.attempt(policy))));
        // The same with a router that was not used before the fork.
        let mut router = client.router();
        assert_all_differ("a first attempt", siblings(|| format!("{:?}", router.attempt(policy))));
        // The same with a rotation that belongs to no router.
        let mut starts = ReplicaRotation::new();
        starts.attempt(policy);
        assert_all_differ("starts", siblings(|| format!("{:?}", starts.attempt(policy))));
        let starts = starts.clone();
        assert_all_differ("a clone", siblings(|| format!("{:?}", starts.clone().attempt(policy))));
    }
}

fn first_pin(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        let namespace = router.namespace("test").unwrap();
        let answers = siblings(|| {
            let attempt = Attempt::new(Policy::Sequence, 0);
            router.pin(|pinned| pinned.select(namespace, 0, &attempt)).unwrap();
            format!("{:?}", router.attempt(policy))
        });
        assert_all_differ("after a pin", answers);
    }
}

/// Ends the calling process in the same way as a child of `forked`.
fn end() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
    unreachable!()
}

/// A child does not inherit its parent's locks, so the inherited client must not count
/// them as held after the parent has ended.
fn owner_dies(host: &Host) {
    forked(
        |told| {
            let client = host.client(&Cluster::new(2, 1));
            assert!(client.status().unwrap().owner_alive);
            let (mut here, mut there) = UnixStream::pair().unwrap();
            // SAFETY: as in `forked`.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { .. } => {
                    // The child has seen the owner alive.
                    drop(there);
                    here.read_exact(&mut [0]).unwrap();
                }
                ForkResult::Child => {
                    alarm::set(60);
                    let alive = client.status().unwrap().owner_alive;
                    // Private memory is a copy here, which has no owner.
                    assert_eq!(alive, host.mode != Mode::Private);
                    there.write_all(b"a").unwrap();
                    drop((here, there));
                    wait_until("it is told that the owner died", || {
                        !client.status().unwrap().owner_alive
                    });
                    told.write_all(b"d").unwrap();
                    end();
                }
            }
        },
        |child| child.read_exact(&mut [0]).unwrap(),
    );
}

/// The kernel does not report a process's own locks, which must not confuse a child.
fn child_owns(host: &Host) {
    let inherited = host.client(&Cluster::new(2, 1));
    let Mode::Shared(_) = host.mode else { return };
    let (mut closed, mut close) = UnixStream::pair().unwrap();
    forked(
        |parent| {
            let own = host.client(&Cluster::new(2, 1));
            parent.write_all(b"c").unwrap();
            closed.read_exact(&mut [0]).unwrap();
            wait_until("it owns", || own.role() == Role::Owner);
            assert_eq!(inherited.role(), Role::Closed, "no thread of this process is behind it");
            for client in [&own, &inherited] {
                let status = client.status().unwrap();
                assert!(status.owner_alive, "{status:?}");
            }
            let attached = |client: &Client| client.status().unwrap().attached;
            assert_eq!(attached(&own), attached(&inherited));
            own.close();
        },
        |child| {
            child.read_exact(&mut [0]).unwrap();
            inherited.clone().close();
            close.write_all(b"c").unwrap();
        },
    );
}

fn no_lock(host: &Host) {
    let client = host.client(&Cluster::new(2, 1));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    client.segment();
                    client.status().unwrap();
                    assert!(client.has_map());
                }
            });
        }
        for _ in 0..40 {
            // A child that waits for a lock is ended by the alarm, which fails.
            forked(
                |_| {
                    alarm::set(20);
                    client.segment();
                    client.map().unwrap();
                    client.status().unwrap();
                    assert!(client.has_map() && client.refusal().is_none());
                    client.clone().close();
                },
                |_| {},
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// The threads of the parent look for the successor of a retired segment at the time of the
/// fork.
fn no_search(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    let make = |generation| {
        let capacity = host.config().capacity();
        let made = create(&host.place(), generation, capacity, None).unwrap();
        let CreateOutcome::Owner(mut ownership) = made else { panic!("there was one") };
        let mut map = ClusterMap::new(capacity);
        map.nodes.insert(tendmap_testkit::node(1)).unwrap();
        ownership.publish(&map).unwrap();
        ownership
    };
    let mut ownership = make(1);
    let reader = host.reader();
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    reader.segment();
                }
            });
        }
        let rounds = catch_unwind(AssertUnwindSafe(|| {
            for generation in 2..10 {
                ownership.retire().unwrap();
                forked(
                    |_| {
                        alarm::set(60);
                        wait_until("the successor", || {
                            reader.segment().identity().generation == generation
                        });
                    },
                    |_| ownership = make(generation),
                );
            }
        }));
        done.store(true, Ordering::Relaxed);
        rounds
    });
    ended.unwrap();
}

fn no_thread(host: &Host) {
    if !tendmap_testkit::sandbox::refuse(&[libc::SYS_clone, libc::SYS_clone3]) {
        return tendmap_testkit::skipped("this machine can't refuse a process its threads");
    }
    let error = Client::connect_with(host.config(), Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::Thread(_)), "{error}");
    host.assert_clean();
}

fn child_closes(host: &Host) {
    let client = host.client(&Cluster::new(2, 1));
    let sequence = client.map().unwrap().sequence;
    forked(
        |_| {
            alarm::set(60);
            let clone = client.clone();
            let waiter = std::thread::spawn(move || {
                let long = Duration::from_secs(600);
                (clone.wait_for_change(sequence, long), clone.is_closed())
            });
            client.clone().close();
            assert_eq!(waiter.join().unwrap(), (sequence, true));
        },
        |_| {},
    );
    assert!(!client.is_closed());
    let before = client.status().unwrap().tends;
    wait_until("the parent tends on", || client.status().unwrap().tends > before + 1);
    client.close();
    host.assert_clean();
}
