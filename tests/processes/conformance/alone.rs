//! Tests of one process.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tendmap::client::{ConnectError, Role};
use tendmap::internals::layout::OwnerWord;
use tendmap::internals::segment::{CreateOutcome, OwnershipLost, PublishFailure, create, private};
use tendmap::map::{Capacity, ClusterMap, Slot};
use tendmap::route::{Partition, Policy};

use super::{Host, Mode, Test};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, add_namespace, node, wait_until};

pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = vec![
        ("what_is_published_is_read_and_a_wait_for_it_ends", publish_and_read),
        ("the_last_one_out_leaves_nothing", leaves_nothing),
        ("a_router_reads_on_while_its_segment_grows", grows),
        ("capacities_out_of_range_make_nothing", capacities),
        ("status_tells_where_the_segment_is", status),
    ];
    tests.extend(FORKING);
    tests
}

/// Tests that need a separate process.
const FORKING: [Test; 6] = [
    ("h27_siblings_of_one_parent_draw_numbers_of_their_own", siblings),
    ("h28_the_child_sees_later_publications", child_reads_on),
    ("h27_closing_in_the_child_returns_at_once_and_the_parent_stays_owner", child_closes),
    ("h27_a_client_of_the_child_s_own_survives_the_end_of_the_inherited_one", own_in_child),
    ("h41_the_child_of_an_owner_has_no_writable_mapping", child_cannot_write),
    ("h41_an_ownership_in_a_child_does_nothing_and_unmaps_nothing", ownership_in_child),
];

/// Whether a test forks.
pub fn forks(name: &str) -> bool {
    FORKING.iter().any(|&(forking, _)| forking == name)
}

/// Two segments with the same id would share a lock file, and two marks with the same
/// number would count as one process.
fn siblings(host: &Host) {
    let drawn = || {
        let ownership = private(Capacity::DEFAULT, 0).unwrap();
        ownership.segment().identity().segment_id
    };
    let _client = host.client(&Cluster::new(1, 1));
    let mut ids = vec![drawn()];
    for _ in 0..2 {
        let mut id = [0; 8];
        forked(
            |parent| parent.write_all(&drawn().to_ne_bytes()).unwrap(),
            |child| child.read_exact(&mut id).unwrap(),
        );
        ids.push(u64::from_ne_bytes(id));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "a parent and two children");
}

fn publish_and_read(host: &Host) {
    let cluster = Cluster::new(3, 2);
    let client = host.client(&cluster);
    assert_eq!(client.role(), Role::Owner);
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    for partition in 0..4096 {
        let route = router.route(namespace, Partition(partition), Policy::Master).unwrap();
        assert_eq!(route.id(), node((partition % 3) as u16).id);
    }
    let before = client.map().unwrap().sequence;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| client.wait_for_change(before, Duration::from_secs(30)));
        cluster.change(|map| {
            map.namespaces_mut()[0].partitions.set_holder(0, 0, Slot::new(1));
        });
        assert_eq!(waiter.join().unwrap(), before + 1);
    });
    let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
    assert_eq!((route.id(), route.sequence()), (node(1).id, before + 1));
    assert_eq!(client.map().unwrap().intact, Some(true));
}

fn leaves_nothing(host: &Host) {
    for round in 0..3 {
        let client = host.client(&Cluster::new(2, 1));
        // The segment can be read while a router of it exists.
        let mut router = client.router();
        let namespace = router.namespace("test").unwrap();
        assert_eq!(client.status().unwrap().attached, Some(1), "round {round}");
        client.close();
        if host.mode != Mode::Private {
            host.assert_clean();
        }
        router.route(namespace, Partition(0), Policy::Master).unwrap();
    }
}

fn grows(host: &Host) {
    let cluster = Cluster::new(2, 1);
    let mut config = host.config();
    (config.shm_max_nodes, config.shm_max_namespaces) = (2, 1);
    let client = tendmap::client::Client::connect_with(config, cluster.source()).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    let mut last = 0;
    for step in 0..4 {
        cluster.change(|map| {
            map.raise_capacity(64, 64);
            for number in map.nodes.len() as u16..(3 << step) {
                map.nodes.insert(node(number)).unwrap();
            }
            add_namespace(map, &format!("more{step}"), 2);
        });
        let wanted = (3 << step, step + 2);
        wait_until("a larger map", || {
            let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
            assert_eq!(route.id(), node(1).id);
            assert!(route.sequence() >= last, "{} after {last}", route.sequence());
            last = route.sequence();
            let found = client.map().unwrap().map;
            (found.nodes.len(), found.namespaces().len()) == wanted
        });
    }
    let status = client.status().unwrap();
    assert!(status.max_nodes >= 24 && status.max_namespaces >= 5, "{status:?}");
    assert_eq!((client.role(), status.attached), (Role::Owner, Some(1)));
    if host.mode != Mode::Private {
        assert!(status.generation > 3, "{status:?}");
        wait_until("the outgrown ones are gone", || {
            tendmap::segment::list(host.directory.path()).unwrap().len() == 1
        });
        drop(router);
        client.close();
        host.assert_clean();
    }
}

fn capacities(host: &Host) {
    let mut config = host.config();
    config.shm_max_nodes = 4097;
    let cluster = Cluster::new(2, 1);
    let error = tendmap::client::Client::connect_with(config, cluster.source()).unwrap_err();
    assert!(matches!(error, ConnectError::Config(_)), "{error}");
    host.assert_clean();
}

fn status(host: &Host) {
    let client = host.client(&Cluster::new(2, 1));
    let status = client.status().unwrap();
    let (path, id) = (status.path.is_some(), status.shm_id.is_some());
    match host.mode {
        Mode::Private => assert_eq!((status.backend, path, id), (None, false, false)),
        Mode::Shared(backend) => {
            assert_eq!(status.backend, Some(backend));
            let of_file = backend == tendmap::segment::Backend::File;
            assert_eq!((path, id), (of_file, !of_file));
            assert_eq!(status.key, host.setup.key);
        }
    }
    assert!(status.owner_alive || host.mode == Mode::Private);
}

fn child_reads_on(host: &Host) {
    let cluster = Cluster::new(3, 1);
    let client = host.client(&cluster);
    let mut made = 0;
    let mut router = client.router_with(move |_| {
        made += 1;
        made
    });
    let namespace = router.namespace("test").unwrap();
    let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
    assert_eq!(*route.state(), 1);
    let before = route.sequence();
    let shared = host.mode != Mode::Private;
    forked(
        |pipe| {
            let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
            assert_eq!(route.id(), node(0).id);
            assert_eq!(*route.state(), 4, "local state is made again in a child");
            pipe.write_all(b"r").unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            // Private memory is not shared: the child has a copy.
            while shared && Instant::now() < until {
                let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
                if route.id() == node(1).id {
                    assert!(route.sequence() > before);
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!shared, "the map is frozen");
        },
        |pipe| {
            pipe.read_exact(&mut [0]).unwrap();
            cluster.change(|map| {
                map.namespaces_mut()[0].partitions.set_holder(0, 0, Slot::new(1));
            });
        },
    );
    assert_eq!(client.role(), Role::Owner);
}

fn child_closes(host: &Host) {
    let client = host.client(&Cluster::new(3, 1));
    let router = client.router();
    let term = client.status().unwrap().term;
    let mut inherited = Some(client);
    forked(
        |_| {
            let begun = Instant::now();
            drop(router);
            inherited.take().unwrap().close();
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        },
        |_| {},
    );
    let client = inherited.unwrap();
    let before = client.status().unwrap().tends;
    wait_until("the parent tends on", || client.status().unwrap().tends > before + 2);
    let status = client.status().unwrap();
    assert_eq!((client.role(), status.term), (Role::Owner, term));
    client.close();
    host.assert_clean();
}

fn own_in_child(host: &Host) {
    let mut inherited = Some(host.client(&Cluster::new(3, 1)));
    forked(
        |_| {
            let own = host.client(&Cluster::new(3, 1));
            // The C library gives the child's new thread the address of its parent's
            // thread, so an operation on the old handle would affect the new thread.
            drop(inherited.take());
            let role = if host.mode == Mode::Private { Role::Owner } else { Role::Standby };
            wait_until("it has its part", || own.role() == role);
            own.close();
        },
        |_| {},
    );
    let client = inherited.unwrap();
    assert_eq!(client.role(), Role::Owner);
    client.close();
    host.assert_clean();
}

fn child_cannot_write(host: &Host) {
    let Mode::Shared(_) = host.mode else {
        // A private copy does no harm. `h27_…` checks that the child is not the
        // owner.
        return;
    };
    let client = host.client(&Cluster::new(3, 1));
    let pid = std::process::id() as i32;
    assert_eq!(writable(host, pid), 1);
    forked(|_| assert_eq!(writable(host, std::process::id() as i32), 0), |_| {});
    drop(client);
    assert_eq!(writable(host, pid), 0, "a closed owner has none either");
}

/// At the address of the parent's writable mapping the child has nothing, or whatever
/// it maps there.
fn ownership_in_child(host: &Host) {
    let Mode::Shared(_) = host.mode else { return };
    let created = create(&host.place(), 1, host.config().capacity(), None).unwrap();
    let CreateOutcome::Owner(mut ownership) = created else { panic!("there was one") };
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    map.nodes.insert(node(1)).unwrap();
    ownership.publish(&map).unwrap();
    let head = ownership.segment().head();
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let parents = maps();
    let own = |line: &&str| line.contains(" rw-s ");
    let range = parents.lines().find(own).unwrap().split(' ').next().unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16).unwrap());
    let mut ownership = Some(ownership);
    forked(
        |_| {
            let mut ownership = ownership.take().unwrap();
            assert_eq!(ownership.turn(), Err(OwnershipLost::Fenced));
            assert_eq!(ownership.beat(), Err(OwnershipLost::Fenced));
            assert_eq!(ownership.publish(&map), Err(PublishFailure::Ended(OwnershipLost::Fenced)));
            assert_eq!(ownership.retire(), Err(OwnershipLost::Fenced));
            assert!(!ownership.abdicate());
            ownership.set(OwnerWord::Flags, 1);
            map_at(start, end - start);
            drop(ownership);
            assert!(maps().contains(&format!("{start:x}-{end:x} rw-p")), "{}", maps());
        },
        |_| {},
    );
    let mut ownership = ownership.unwrap();
    assert_eq!((ownership.segment().head(), ownership.turn()), (head, Ok(())));
    drop(ownership);
}

/// Maps memory at this address.
fn map_at(start: usize, length: usize) {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let at = std::ptr::without_provenance_mut(start);
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: the mapping replaces nothing, and no code uses it.
    let mapped =
        unsafe { mmap_anonymous(at, length, protection, flags | MapFlags::FIXED_NOREPLACE) };
    assert_eq!(mapped.unwrap(), at, "it was free");
}

/// The number of writable mappings of the segment in a process.
pub fn writable(host: &Host, pid: i32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let path = host.directory.path().to_str().unwrap();
    let key = format!("/SYSV{:08x}", host.setup.key);
    let ours = |line: &&str| line.contains(path) || line.contains(&key);
    let mapped: Vec<&str> = maps.lines().filter(ours).collect();
    assert!(mapped.iter().all(|line| line.contains(" rw-s ") || line.contains(" r--s ")));
    mapped.iter().filter(|line| line.contains(" rw-s ")).count()
}
