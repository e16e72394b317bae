//! Closing: `close` returns only after the client has closed, even if other threads wait, clone or
//! close at the same time, and also if an observer calls it.

use crossbeam::channel::{bounded, unbounded};
use std::fs::Permissions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tendmap::client::{Client, Config, ConnectError, Event, Observer, Role};
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{ClusterMap, Slot};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, config, directory, files, wait_until};

const LONG: Duration = Duration::from_secs(600);

fn connect(directory: &TempDir) -> Client {
    Client::connect_with(config(directory), Cluster::new(2, 1).source()).unwrap()
}

/// Runs `work` in another thread, and fails if it does not end.
#[track_caller]
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = unbounded();
    std::thread::spawn(move || done.send(work()));
    ended.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what} hangs"))
}

#[test]
fn h99_close_has_closed_while_clones_wait_and_wakes_them() {
    for threads in [1, 8] {
        let directory = directory();
        let client = connect(&directory);
        let sequence = client.wait_for_change(0, LONG);
        let (begun, begins) = unbounded();
        let waiters: Vec<_> = (0..threads)
            .map(|_| {
                let (clone, begun) = (client.clone(), begun.clone());
                std::thread::spawn(move || {
                    begun.send(()).unwrap();
                    let found = clone.wait_for_change(sequence, LONG);
                    (found, clone.is_closed(), clone.role(), clone.wait_for_change(found, LONG))
                })
            })
            .collect();
        begins.iter().take(threads).for_each(drop);
        ends("closing", move || client.close());
        assert_eq!(files(&directory), 0, "it has closed: the last one out removes the segment");
        for waiter in waiters {
            let found = ends("a waiter", move || waiter.join().unwrap());
            assert_eq!(found, (sequence, true, Role::Closed, sequence));
        }
    }
}

/// Neither a wait nor a clone keeps a closed client open, but another connect does.
#[test]
fn h99_closing_one_connect_leaves_the_others_open() {
    let directory = directory();
    let (first, second) = (connect(&directory), connect(&directory));
    let third = second.join().unwrap();
    let clone = first.clone();
    first.close();
    assert_eq!((clone.is_closed(), clone.role()), (true, Role::Closed));
    assert!(clone.join().is_none());
    let before = second.status().unwrap().tends;
    wait_until("it is tended on", || second.status().unwrap().tends > before + 1);
    second.close();
    assert_eq!((third.is_closed(), third.role()), (false, Role::Owner));
    // A closed client still reads.
    assert_eq!(clone.map().unwrap().map.nodes.len(), 2);
    clone.close();
    assert_eq!(third.role(), Role::Owner);
    drop(third);
    assert_eq!(files(&directory), 0);
}

/// Another process has damaged a segment that was left, and the one that was in use at the end.
/// What does not look like a segment would stop every later process.
#[test]
fn h130_the_last_one_to_close_removes_damaged_segments() {
    for retired in [false, true] {
        let directory = directory();
        let mut config = config(&directory);
        config.tend_interval = Duration::from_secs(10);
        let place = config.place();
        let second = create(&place, 2, config.capacity(), None).unwrap();
        let CreateOutcome::Owner(mut ownership) = second else { panic!("it exists") };
        let mut map = ClusterMap::new(config.capacity());
        map.nodes.insert(tendmap_testkit::node(1)).unwrap();
        ownership.publish(&map).unwrap();
        ownership.release();
        let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
        std::fs::copy(place.segment(2), place.segment(1)).unwrap();
        let write = |generation, bytes: [u8; 8], at| {
            let segment = place.segment(generation);
            let file = std::fs::File::options().write(true).open(segment).unwrap();
            file.write_all_at(&bytes, at).unwrap();
        };
        write(1, [0xFF; 8], 0);
        if retired {
            let head = client.segment().head().to_retired();
            write(2, head.bits().to_ne_bytes(), 256);
        } else {
            write(2, [0xFF; 8], 0);
        }
        client.close();
        assert_eq!(files(&directory), 0, "{retired}");
    }
}

/// A closed client reports it, also with private memory, which has no lock.
#[test]
fn h92_what_was_closed_is_not_owned_for_ever() {
    for use_shm in [true, false] {
        let directory = directory();
        let mut config = config(&directory);
        config.use_shm = use_shm;
        let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
        let clone = client.clone();
        assert!(clone.status().unwrap().owner_alive);
        client.close();
        assert!(!clone.status().unwrap().owner_alive, "use_shm {use_shm}");
    }
}

/// A private client ignores the segments of others in the directory.
#[test]
fn h93_a_private_client_that_grows_leaves_the_shared_directory_alone() {
    let directory = directory();
    let client = connect(&directory);
    let lock = client.segment().lock().unwrap().path().to_owned();
    client.close();
    std::fs::write(&lock, "").unwrap();
    let cluster = Cluster::new(2, 1);
    let mut config = config(&directory);
    (config.use_shm, config.shm_max_nodes) = (false, 2);
    let client = Client::connect_with(config, cluster.source()).unwrap();
    cluster.grow(9);
    wait_until("it has grown", || client.status().unwrap().nodes == 9);
    let passes = client.status().unwrap().tends;
    wait_until("further passes", || client.status().unwrap().tends > passes + 2);
    assert!(lock.exists());
}

/// A process wakes its own threads by one of few bits, so wake-ups of other processes
/// reach an owner, too. They are not requests to tend.
#[test]
fn h98_a_wake_up_meant_for_another_process_reaches_no_owner() {
    use rustix::thread::futex::{Flags, wake_bitset};
    use tendmap::internals::layout::futex_half;

    let directory = directory();
    let mut config = config(&directory);
    (config.tend_interval, config.shm_takeover_threshold) = (LONG, LONG * 4);
    let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
    let segment = client.segment();
    let word = segment.mapping().event();
    let woken = |mask: u32| {
        let mask = std::num::NonZeroU32::new(mask).unwrap();
        wake_bitset(futex_half(word), Flags::empty(), i32::MAX as u32, mask).unwrap()
    };
    const OWNER: u32 = 1 << 31;
    const PERSONAL: u32 = !OWNER & !1;
    for _ in 0..20 {
        // It sleeps: this wakes it.
        wait_until("it sleeps", || woken(OWNER) == 1);
        for _ in 0..20 {
            assert_eq!(woken(PERSONAL), 0);
        }
    }
}

#[test]
fn h99_dropping_the_last_clone_closes() {
    let directory = directory();
    let client = connect(&directory);
    let clone = client.clone();
    drop(client);
    assert_eq!(clone.role(), Role::Owner);
    drop(clone);
    assert_eq!(files(&directory), 0);
}

/// Every `close` returns only after the client has closed, not only the first one.
#[test]
fn h99_of_two_threads_that_close_at_once_both_find_it_closed() {
    for round in 0..30 {
        let directory = directory();
        let client = connect(&directory);
        let clone = client.clone();
        let left = std::thread::scope(|scope| {
            let close = |client: Client| {
                client.close();
                files(&directory)
            };
            let both = [client, clone].map(|client| scope.spawn(move || close(client)));
            both.map(|one| one.join().unwrap())
        });
        assert_eq!(left, [0, 0], "round {round}");
    }
}

/// A client that closes and one that connects have different segments, and never
/// share locks.
#[test]
fn h99_a_connect_while_the_last_one_closes_begins_after_it() {
    let directory = directory();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..30 {
                    let client = connect(&directory);
                    let status = client.status().unwrap();
                    assert!(status.owner_alive && status.attached == Some(1), "{status:?}");
                    client.close();
                }
            });
        }
    });
    assert_eq!(files(&directory), 0);
}

fn observed(directory: &TempDir, observer: impl Fn(&Event) + Send + Sync + 'static) -> Config {
    let mut config = config(directory);
    config.observer = Some(Observer::new(observer));
    config
}

/// Publishes something new.
fn publish(cluster: &Cluster) {
    cluster.change(|map| {
        let table = &mut map.namespaces_mut()[0].partitions;
        let next = match table.holder(0, 0) {
            Some(slot) if slot.index() == 0 => Slot::new(1),
            _ => Slot::new(0),
        };
        table.set_holder(0, 0, next);
    });
}

/// A panic payload that panics again when it is dropped.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn h95_an_observer_that_panics_stops_nothing() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let config = observed(&directory, move |_| match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => panic!("an observer's panic, as the test wants it"),
        _ => std::panic::panic_any(Spiteful),
    });
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let before = told.load(Ordering::Relaxed);
    let sequence = client.map().unwrap().sequence;
    publish(&cluster);
    wait_until("a publication", || client.map().unwrap().sequence > sequence);
    wait_until("it is told of it", || told.load(Ordering::Relaxed) > before);
    assert_eq!(client.role(), Role::Owner);
    ends("closing", move || client.close());
    assert_eq!(files(&directory), 0);
}

/// A client that an observer takes and drops at its next event.
type Held = Arc<Mutex<Option<Client>>>;

fn observed_client(
    directory: &TempDir,
    cluster: &Cluster,
    end: fn(Client),
) -> (Held, Arc<AtomicUsize>) {
    let held = Held::default();
    let ended = Arc::new(AtomicUsize::new(0));
    let (take, count) = (held.clone(), ended.clone());
    let config = observed(directory, move |event| {
        if let (Event::Published { .. }, Some(client)) = (event, take.lock().unwrap().take()) {
            end(client);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = Client::connect_with(config, cluster.source()).unwrap();
    *held.lock().unwrap() = Some(client);
    (held, ended)
}

#[test]
fn h95_an_observer_may_close_or_drop_the_last_client() {
    for end in [drop, Client::close] as [fn(Client); 2] {
        let directory = directory();
        let cluster = Cluster::new(2, 1);
        let (_held, ended) = observed_client(&directory, &cluster, end);
        publish(&cluster);
        wait_until("the observer has ended it", || ended.load(Ordering::Relaxed) == 1);
        wait_until("it has closed", || files(&directory) == 0);
        // Nothing is stuck: the next client connects.
        connect(&directory).close();
        assert_eq!(files(&directory), 0);
    }
}

/// Two threads would wait for each other.
#[test]
fn h95_two_observers_may_close_each_others_clients() {
    let directories = [directory(), directory()];
    let cluster = Cluster::new(2, 1);
    let helds = [Held::default(), Held::default()];
    let both = Arc::new(std::sync::Barrier::new(2));
    let mut clients = Vec::new();
    for (own, directory) in directories.iter().enumerate() {
        let (take, both) = (helds[1 - own].clone(), both.clone());
        let config = observed(directory, move |event| {
            let Event::Published { .. } = event else { return };
            let Some(client) = take.lock().unwrap().take() else { return };
            // Both are on their threads now.
            both.wait();
            client.close();
        });
        let client = Client::connect_with(config, cluster.source()).unwrap();
        clients.push(client);
    }
    for (held, client) in helds.iter().zip(clients) {
        *held.lock().unwrap() = Some(client);
    }
    publish(&cluster);
    for directory in &directories {
        wait_until("it has closed", || files(directory) == 0);
    }
}

/// An observer that connects gets an existing client, or an error. It never waits for
/// its own thread.
#[test]
fn h95_an_observer_that_connects_does_not_wait_for_its_own_thread() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.fail(TendError::NoSeed { tried: vec![] });
    let (answer, answers) = bounded(100);
    let (again, source) = (config(&directory), cluster.clone());
    let config = observed(&directory, move |event| {
        let found = Client::connect_with(again.clone(), source.source());
        let _ = answer.try_send((event.clone(), found.map(|_| ())));
    });
    let client = Client::start_with(config, cluster.source()).unwrap();
    let next = || answers.recv_timeout(Duration::from_secs(60)).expect("the observer hangs");
    assert!(next().1.is_err(), "there is no map yet");
    cluster.heal();
    while !matches!(next(), (Event::Published { .. }, _)) {}
    publish(&cluster);
    while !matches!(next(), (Event::Published { .. }, Ok(()))) {}
    ends("closing", move || client.close());
    wait_until("it has closed", || files(&directory) == 0);
}

/// A source that panics, as an observer can't.
struct Panicking(Box<dyn ClusterSource>, usize);

impl ClusterSource for Panicking {
    fn start(&mut self, map: ClusterMap) {
        self.0.start(map);
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        self.1 = self.1.checked_sub(1).expect("a source's panic, as the test wants it");
        self.0.tend(turn)
    }
    fn map(&self) -> &ClusterMap {
        self.0.map()
    }
    fn stop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn h95_a_thread_that_panics_ends_its_role_and_the_next_connect_begins_anew() {
    let directory = directory();
    let source = Box::new(Panicking(Cluster::new(2, 1).source(), 2));
    let client = Client::connect_with(config(&directory), source).unwrap();
    wait_until("it has panicked", || client.is_closed());
    assert_eq!(client.role(), Role::Closed);
    assert!(!client.status().unwrap().owner_alive);
    let sequence = client.map().unwrap().sequence;
    assert_eq!(client.wait_for_change(sequence, LONG), sequence, "nobody waits for it");
    let next = connect(&directory);
    assert!(!next.is_same(&client));
    wait_until("it owns", || next.role() == Role::Owner);
    ends("closing", move || client.close());
    assert_eq!(next.role(), Role::Owner);
    next.close();
    assert_eq!(files(&directory), 0);
}

#[test]
fn h95_a_connect_whose_thread_panics_is_an_error() {
    let directory = directory();
    for use_shm in [true, false] {
        let source = Box::new(Panicking(Cluster::new(2, 1).source(), 0));
        let mut config = config(&directory);
        config.use_shm = use_shm;
        // It ends with the thread, whatever its timeout for a map.
        config.connect_timeout = Duration::from_secs(10);
        let error = ends("connecting", move || Client::connect_with(config, source).unwrap_err());
        assert!(matches!(error, tendmap::client::ConnectError::Ended), "{error}");
    }
}

/// No thread can be started: neither that of a mirror nor the client's own.
#[test]
fn h95_an_observer_may_connect_while_another_connect_finds_no_thread() {
    let directory = directory();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    forked(
        |_| {
            nix::unistd::alarm::set(60);
            // Root has no limit of threads.
            if rustix::process::getuid().is_root() {
                nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
            }
            let before = getrlimit(Resource::Nproc);
            setrlimit(Resource::Nproc, Rlimit { current: Some(0), ..before }).unwrap();
            let with_key = |key| {
                let mut config = config(&directory);
                config.shm_key = key;
                config
            };
            let other = with_key(2);
            let observer = Observer::new(move |_| {
                Client::connect_with(other.clone(), Cluster::new(2, 1).source()).unwrap_err();
            });
            let mut config = with_key(1);
            config.observer = Some(observer);
            config.c_client.targets = vec!["0xAC000000:7.6.1".parse().unwrap()];
            let error = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap_err();
            assert!(matches!(error, ConnectError::Thread(_)), "{error}");
        },
        |_| {},
    );
}

/// The thread of the client that closes is in an observer, for as long as that likes.
#[test]
fn h197_a_connect_that_waits_for_a_close_is_called_off() {
    let directory = directory();
    let (hold, held) = bounded::<()>(0);
    let observer = Observer::new(move |event| {
        if let Event::Published { .. } = event {
            let _ = held.recv();
        }
    });
    let mut watched = config(&directory);
    watched.observer = Some(observer);
    let client = Client::start_with(watched, Cluster::new(2, 1).source()).unwrap();
    wait_until("a publication", || client.status().unwrap().sequence > 0);
    let other = client.clone();
    let closing = std::thread::spawn(move || other.close());
    wait_until("the close", || client.is_closed());
    let called_off = Arc::new(AtomicBool::new(false));
    let (config, is_off) = (config(&directory), called_off.clone());
    let connecting = std::thread::spawn(move || {
        Client::connect_unless(config, true, &is_off, |_| ()).map(drop).unwrap_err()
    });
    called_off.store(true, Ordering::Relaxed);
    let error = ends("connecting", move || connecting.join().unwrap());
    assert!(matches!(error, ConnectError::Ended), "{error}");
    drop(hold);
    closing.join().unwrap();
}
