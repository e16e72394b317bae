//! A fork while another thread starts. In a Rust program a thread of the standard
//! library takes a lock as it starts and as it ends: a child that inherits it locked
//! can't start such a thread. The library's threads start there as anywhere.
//!
//! The only test in its file: it replaces the allocator, to stop a thread while it
//! holds that lock.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tendmap::{Client, Reader};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, config, directory, node, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// Whether the next thread that allocates a node of the table is to be stopped there.
static ARMED: AtomicBool = AtomicBool::new(false);
/// Whether a thread is stopped.
static STOPPED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread has started.
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// Stops a thread of the standard library that adds itself to the table of threads
/// for the report of a stack overflow, under that table's lock.
struct Stopping;

// SAFETY: all memory is the system allocator's.
unsafe impl GlobalAlloc for Stopping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A node of that table has 544 or 640 bytes.
        if (500..700).contains(&layout.size())
            && !RUNS.get()
            && rustix::thread::gettid() != rustix::process::getpid()
            && ARMED.swap(false, Ordering::SeqCst)
        {
            STOPPED.store(true, Ordering::SeqCst);
            while STOPPED.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Stopping = Stopping;

/// Lets the stopped thread go on at the end of the test, also if that fails: a thread
/// that ends takes the same lock.
struct Released;

impl Drop for Released {
    fn drop(&mut self) {
        STOPPED.store(false, Ordering::SeqCst);
    }
}

/// Starts threads until one is stopped as it starts.
fn stop_one() -> bool {
    ARMED.store(true, Ordering::SeqCst);
    for _ in 0..64 {
        let (started, starts) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            RUNS.set(true);
            started.send(()).unwrap();
            std::thread::park();
        });
        while starts.recv_timeout(Duration::from_millis(1)).is_err() {
            if STOPPED.load(Ordering::SeqCst) {
                return true;
            }
        }
    }
    ARMED.store(false, Ordering::SeqCst);
    false
}

#[test]
fn h167_a_child_of_a_fork_while_a_thread_started_can_start_its_own() {
    RUNS.set(true);
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let reader = Reader::attach(&config(&directory).place()).unwrap();
    let released = Released;
    if !stop_one() {
        tendmap_testkit::skipped("no thread of the standard library could be stopped in its start");
        return;
    }
    forked(
        |parent| {
            // A thread that waits for changes, and one that tends.
            let handle = reader.changes().unwrap();
            let before = handle.take().unwrap();
            let mut private = config(&directory);
            private.use_shm = false;
            // The parent's cluster has a lock, which its client may have held.
            let own = Client::connect_with(private, Cluster::new(2, 1).source()).unwrap();
            assert_eq!(own.map().unwrap().map.nodes.len(), 2);
            own.close();
            parent.write_all(b"x").unwrap();
            let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
            let told = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&minute));
            assert_eq!(told.unwrap(), 1);
            assert!(handle.take().unwrap() > before);
        },
        |child| {
            child.read_exact(&mut [0]).unwrap();
            let before = client.map().unwrap().sequence;
            cluster.change(|map| {
                map.nodes.insert(node(9)).unwrap();
            });
            wait_until("a publication", || client.wait_for_change(before, LONG) != before);
        },
    );
    drop(released);
    client.close();
}
