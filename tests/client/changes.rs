//! Descriptors that become readable when the map changes.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::Timespec;
use tempfile::TempDir;
use tendmap::client::ChangesError;
use tendmap::{Changes, Client, Reader};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, config, directory, files, node, wait_until};

const LONG: Duration = Duration::from_secs(60);
const LONG_WAIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

fn connect(directory: &TempDir) -> (Cluster, Client) {
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config(directory), cluster.source()).unwrap();
    (cluster, client)
}

fn reader(directory: &TempDir) -> Reader {
    Reader::attach(&config(directory).place()).unwrap()
}

/// Makes the owner publish, and waits for that.
fn publish(cluster: &Cluster, client: &Client) -> u64 {
    let before = client.map().unwrap().sequence;
    cluster.change(|map| {
        if map.nodes.len() == 1 {
            map.nodes.insert(node(1)).unwrap();
        } else {
            let last = map.nodes.iter().map(|(slot, _)| slot).last();
            map.remove_node(last.unwrap());
        }
    });
    let now = client.wait_for_change(before, LONG);
    assert_ne!(now, before);
    now
}

fn is_readable(descriptor: impl AsFd, timeout: &Timespec) -> bool {
    let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut asked, Some(timeout)).unwrap() == 1
}

#[track_caller]
fn readable(descriptor: impl AsFd) {
    assert!(is_readable(descriptor, &LONG_WAIT));
}

/// The number of threads of this process that wait for changes.
fn watchers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    };
    tasks.map(name).filter(|name| name == "tendmap-changes\n").count()
}

#[test]
fn a_change_makes_each_handle_readable_until_it_is_taken() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let reader = reader(&directory);
    let handles =
        [client.changes(), client.clone().changes(), reader.changes(), reader.clone().changes()];
    let handles = handles.map(Result::unwrap);
    let before = client.map().unwrap().sequence;
    for handle in &handles {
        assert_eq!(handle.sequence(), before);
        assert!(!is_readable(handle, &NO_WAIT));
    }
    let now = publish(&cluster, &client);
    for handle in &handles {
        readable(handle);
        assert_eq!((handle.sequence(), handle.take().unwrap()), (now, now));
        assert!(!is_readable(handle, &NO_WAIT), "taken");
        assert_eq!(handle.take().unwrap(), now, "nothing new");
    }
    client.close();
}

/// Level- and edge-triggered, with publications at every moment of the loop: the last
/// sequence that is taken is the last one that was published.
#[test]
fn h161_no_change_is_lost_level_or_edge_triggered() {
    const CHANGES: u64 = 25;
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let reader = reader(&directory);
    let until = client.map().unwrap().sequence + CHANGES;
    let last = std::thread::scope(|scope| {
        let mut loops = Vec::new();
        for triggered in [EventFlags::empty(), EventFlags::ET] {
            for handle in [client.changes().unwrap(), reader.changes().unwrap()] {
                loops.push(scope.spawn(move || follow(&handle, triggered, until)));
            }
        }
        let mut last = 0;
        for _ in 0..CHANGES {
            last = publish(&cluster, &client);
        }
        for event_loop in loops {
            assert_eq!(event_loop.join().unwrap(), last);
        }
        last
    });
    assert_eq!(client.map().unwrap().sequence, last);
    client.close();
}

/// Takes what an event loop is told, until that sequence.
fn follow(handle: &Changes, triggered: EventFlags, until: u64) -> u64 {
    let poller = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&poller, handle, EventData::new_u64(7), EventFlags::IN | triggered).unwrap();
    let mut found = Vec::with_capacity(1);
    while handle.take().unwrap() < until {
        found.clear();
        let told =
            epoll::wait(&poller, rustix::buffer::spare_capacity(&mut found), Some(&LONG_WAIT));
        assert_eq!(told.unwrap(), 1, "nothing for a minute");
        let Event { data, .. } = found[0];
        assert_eq!(data.u64(), 7);
    }
    handle.sequence()
}

#[test]
fn a_change_between_the_look_and_the_wait_is_told() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let handle = client.changes().unwrap();
    let before = handle.take().unwrap();
    let now = publish(&cluster, &client);
    readable(&handle);
    assert!(handle.take().unwrap() == now && now > before);
    client.close();
}

#[test]
fn one_thread_waits_for_all_handles_of_a_reader_and_ends_with_the_last() {
    let run = |work: &dyn Fn()| {
        // In a process of its own, where no other test has such threads.
        forked(|_| work(), |_| {});
    };
    run(&|| {
        let directory = directory();
        let (cluster, client) = connect(&directory);
        let reader = reader(&directory);
        assert_eq!(watchers(), 0);
        let handles: Vec<_> = (0..1000).map(|_| reader.clone().changes().unwrap()).collect();
        wait_until("it starts", || watchers() == 1);
        publish(&cluster, &client);
        for handle in &handles {
            readable(handle);
            handle.take().unwrap();
            assert!(!is_readable(handle, &NO_WAIT));
        }
        assert_eq!(watchers(), 1);
        let own = client.changes().unwrap();
        wait_until("the client has its own", || watchers() == 2);
        drop(handles);
        wait_until("the reader's ends", || watchers() == 1);
        let again = reader.changes().unwrap();
        wait_until("it starts again", || watchers() == 2);
        client.close();
        assert!(matches!(own.take(), Err(ChangesError::Closed)));
        wait_until("the client's ends", || watchers() == 1);
        drop(again);
        wait_until("all have ended", || watchers() == 0);
    });
}

#[test]
fn h162_handles_of_a_reader_that_are_gone_keep_nobody_attached() {
    let directory = directory();
    for round in 0..5 {
        let (cluster, client) = connect(&directory);
        let reader = reader(&directory);
        let handle = reader.changes().unwrap();
        publish(&cluster, &client);
        readable(&handle);
        drop(reader);
        handle.take().unwrap();
        drop(handle);
        client.close();
        assert_eq!(files(&directory), 0, "round {round}: the last one out removes the segment");
    }
}

#[test]
fn a_close_makes_every_handle_readable_and_is_reported() {
    let directory = directory();
    let (_cluster, client) = connect(&directory);
    let other = client.join().unwrap();
    let handles = [client.changes(), client.clone().changes()].map(Result::unwrap);
    let of_other = other.changes().unwrap();
    let of_reader = client.reader().changes().unwrap();
    client.clone().close();
    for handle in &handles {
        assert!(is_readable(handle, &NO_WAIT), "it has been told when close returns");
        for _ in 0..2 {
            assert!(matches!(handle.take(), Err(ChangesError::Closed)));
            assert!(!is_readable(handle, &NO_WAIT), "told once");
        }
    }
    assert!(matches!(client.changes(), Err(ChangesError::Closed)));
    // Another connect, and what only reads, go on.
    of_other.take().unwrap();
    of_reader.take().unwrap();
    drop((client, handles));
    other.close();
    assert!(matches!(of_other.take(), Err(ChangesError::Closed)));
    of_reader.take().unwrap();
}

#[test]
fn dropping_the_last_clone_is_a_close() {
    let directory = directory();
    let (_cluster, client) = connect(&directory);
    let handle = client.changes().unwrap();
    drop(client);
    assert!(is_readable(&handle, &NO_WAIT));
    assert!(matches!(handle.take(), Err(ChangesError::Closed)));
    assert_eq!(files(&directory), 0);
}

#[test]
fn a_private_map_is_told_of_as_well() {
    let cluster = Cluster::new(2, 1);
    let directory = directory();
    let mut config = config(&directory);
    config.use_shm = false;
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let handle = client.changes().unwrap();
    let now = publish(&cluster, &client);
    readable(&handle);
    assert_eq!(handle.take().unwrap(), now);
}

/// The segment grows, is removed by force, and is owned again.
#[test]
fn handles_follow_the_segment_to_its_successors() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let reader = reader(&directory);
    let handles = [client.changes().unwrap(), reader.changes().unwrap()];
    let generation = client.status().unwrap().generation;
    let before = client.map().unwrap().sequence;
    cluster.grow(300);
    // The client and the reader each follow at a time of their own.
    let of_client = || client.status().unwrap().generation;
    let of_reader = || reader.status().unwrap().generation;
    let generations: [&dyn Fn() -> u64; 2] = [&of_client, &of_reader];
    for (handle, now) in handles.iter().zip(generations) {
        // The move alone may be told before the first publication in the new segment.
        while handle.take().unwrap() == before {
            readable(handle);
        }
        assert!(now() > generation);
    }
    client.close();
    // The segment is gone. Another owner creates a new one.
    let cluster = Cluster::new(3, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let told = &handles[1];
    while reader.map().map_or(300, |found| found.map.nodes.len()) != 3 {
        readable(told);
        told.take().unwrap();
    }
    client.close();
}

#[test]
fn h163_a_child_neither_drains_nor_loses_what_its_parent_is_told() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let reader = reader(&directory);
    let handles = [client.changes().unwrap(), reader.changes().unwrap()];
    let publish = |_: &mut _| {
        publish(&cluster, &client);
        handles.iter().for_each(|handle| readable(handle));
    };
    forked(
        |parent| {
            for (handle, own) in handles.iter().zip([client.changes(), reader.changes()]) {
                let own = own.unwrap();
                let before = own.take().unwrap();
                assert!(matches!(handle.take(), Err(ChangesError::Inherited)));
                parent.write_all(b"x").unwrap();
                parent.read_exact(&mut [0]).unwrap();
                readable(&own);
                assert!(own.take().unwrap() > before);
                readable(handle);
                assert!(matches!(handle.take(), Err(ChangesError::Inherited)));
                readable(handle);
            }
        },
        |child| {
            for _ in 0..2 {
                child.read_exact(&mut [0]).unwrap();
                publish(child);
                child.write_all(b"x").unwrap();
            }
        },
    );
    for handle in &handles {
        assert!(is_readable(handle, &NO_WAIT));
        handle.take().unwrap();
        assert!(!is_readable(handle, &NO_WAIT));
    }
    client.close();
}

#[test]
fn a_process_that_was_stopped_is_told_when_it_goes_on() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    forked(
        |parent| {
            let reader = reader(&directory);
            let handle = reader.changes().unwrap();
            let before = handle.take().unwrap();
            parent.write_all(&std::process::id().to_ne_bytes()).unwrap();
            readable(&handle);
            assert!(handle.take().unwrap() > before);
        },
        |child| {
            let mut pid = [0; 4];
            child.read_exact(&mut pid).unwrap();
            let pid = Pid::from_raw(u32::from_ne_bytes(pid) as i32);
            kill(pid, Signal::SIGSTOP).unwrap();
            wait_until("it has stopped", || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
                stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
            });
            publish(&cluster, &client);
            kill(pid, Signal::SIGCONT).unwrap();
        },
    );
    client.close();
}

/// At the limit of descriptors, and of the user's threads.
#[test]
fn h166_a_limit_that_is_reached_is_an_error_and_leaves_nothing_behind() {
    let directory = directory();
    let (cluster, client) = connect(&directory);
    let is_open = |number: &i32| std::fs::metadata(format!("/dev/fd/{number}")).is_ok();
    let open = || (0..1000).filter(is_open).count();
    let limited = |limit: Resource, most: u64, work: &dyn Fn()| {
        let before = getrlimit(limit);
        setrlimit(limit, Rlimit { current: Some(most), ..before }).unwrap();
        work();
        setrlimit(limit, before).unwrap();
    };
    forked(
        |parent| {
            let reader = reader(&directory);
            drop(reader.changes().unwrap());
            wait_until("the thread has ended", || watchers() == 0);
            let before = open();
            let fails = || {
                limited(Resource::Nofile, 3, &|| {
                    let error = reader.changes().unwrap_err();
                    assert!(matches!(error, ChangesError::Descriptor(_)), "{error}");
                    assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
                });
                limited(Resource::Nproc, 0, &|| {
                    let error = reader.changes().unwrap_err();
                    assert!(matches!(error, ChangesError::Thread(_)), "{error}");
                    assert!(error.to_string().contains("RLIMIT_NPROC"), "{error}");
                });
            };
            // Root has no limit of threads. Another user may not list root's
            // descriptors unless the process allows it.
            if rustix::process::getuid().is_root() {
                nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
                let dumpable = rustix::process::DumpableBehavior::Dumpable;
                rustix::process::set_dumpable_behavior(dumpable).unwrap();
            }
            for _ in 0..3 {
                fails();
                assert_eq!((open(), watchers()), (before, 0));
            }
            let handle = reader.changes().unwrap();
            let before = handle.take().unwrap();
            parent.write_all(b"x").unwrap();
            readable(&handle);
            assert!(handle.take().unwrap() > before);
        },
        |child| {
            child.read_exact(&mut [0]).unwrap();
            publish(&cluster, &client);
        },
    );
    client.close();
}
