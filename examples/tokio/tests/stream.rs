//! The stream of changes, in a runtime.

use std::fs::DirEntry;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use tempfile::TempDir;
use tendmap::{ChangesError, Client, Reader};
use tendmap_testkit::{Cluster, add_namespace, config, directory};
use tendmap_tokio::ChangeStream;

const LONG: Duration = Duration::from_secs(60);

fn connect() -> (TempDir, Cluster, Client) {
    let (directory, cluster) = (directory(), Cluster::new(2, 1));
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    (directory, cluster, client)
}

/// Publishes another namespace, and does not wait for that.
fn change(cluster: &Cluster, number: usize) {
    cluster.change(|map| add_namespace(map, &format!("more{number}"), 1));
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(LONG, work).await.expect("no change in a minute") })
}

#[test]
fn a_task_is_told_of_each_change() {
    let (directory, cluster, client) = connect();
    let reader = Reader::attach(&config(&directory).place()).unwrap();
    run(async {
        let mut streams = [
            ChangeStream::new(client.changes().unwrap()).unwrap(),
            ChangeStream::new(reader.changes().unwrap()).unwrap(),
        ];
        for number in 0..3 {
            change(&cluster, number);
            for stream in &mut streams {
                let before = stream.sequence();
                assert_eq!(stream.changed().await.unwrap(), before + 1);
            }
        }
        let [mut stream, _] = streams;
        change(&cluster, 3);
        let next = poll_fn(|context| pin!(&mut stream).as_mut().poll_next(context)).await;
        assert_eq!(next, Some(client.map().unwrap().sequence));
    });
}

/// A wait that loses against another branch, again and again, loses no change.
#[test]
fn a_wait_that_is_cancelled_has_taken_nothing() {
    let (_directory, cluster, client) = connect();
    run(async {
        let mut stream = ChangeStream::new(client.changes().unwrap()).unwrap();
        for number in 0..5 {
            let before = stream.sequence();
            change(&cluster, number);
            let mut cancelled = 0;
            while client.map().unwrap().sequence == before {
                let mut wait = pin!(stream.changed());
                let polled = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
                if polled.is_ready() {
                    break;
                }
                cancelled += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if stream.sequence() == before {
                assert_eq!(stream.changed().await.unwrap(), before + 1);
            }
            assert!(cancelled > 0 || number > 0);
        }
    });
}

#[test]
fn a_close_ends_the_stream() {
    let (_directory, _cluster, client) = connect();
    run(async {
        let mut stream = ChangeStream::new(client.changes().unwrap()).unwrap();
        let closes = client.clone();
        let close = tokio::task::spawn_blocking(move || closes.close());
        // It stays ended, also for a loop that asks again.
        for _ in 0..2 {
            assert!(matches!(stream.changed().await, Err(ChangesError::Closed)));
            let next = poll_fn(|context| pin!(&mut stream).as_mut().poll_next(context)).await;
            assert_eq!(next, None);
        }
        close.await.unwrap();
    });
}

/// The runtime has gone, not the client: that is not a close.
#[test]
fn a_runtime_that_has_shut_down_is_not_a_close() {
    let (_directory, cluster, client) = connect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let entered = runtime.enter();
    let mut stream = ChangeStream::new(client.changes().unwrap()).unwrap();
    drop(entered);
    drop(runtime);
    change(&cluster, 0);
    let mut context = Context::from_waker(Waker::noop());
    match stream.poll_changed(&mut context) {
        Poll::Ready(Err(error @ ChangesError::Descriptor(_))) => {
            assert!(error.to_string().contains("shut"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop(stream);
    assert!(client.changes().unwrap().take().is_ok());
}

/// A task that waits is dropped with its runtime, and ends the thread behind it.
#[test]
fn a_runtime_that_is_dropped_leaves_nothing_behind() {
    let (_directory, cluster, client) = connect();
    let waits = |thread: io::Result<DirEntry>| {
        // A thread that ends meanwhile has no name any more.
        let name = std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()?;
        (name.trim() == "tendmap-changes").then_some(())
    };
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().filter_map(waits).count();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build().unwrap();
    let (began, begun) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let (changes, began) = (client.changes().unwrap(), began.clone());
        runtime.spawn(async move {
            let mut stream = ChangeStream::new(changes).unwrap();
            began.send(()).unwrap();
            while stream.changed().await.is_ok() {}
        });
    }
    (0..3).for_each(|_| begun.recv().unwrap());
    change(&cluster, 0);
    drop(runtime);
    // Other tests have such threads as well, and end them.
    let began = std::time::Instant::now();
    while threads() > 0 {
        assert!(began.elapsed() < LONG, "a thread still waits");
        std::thread::sleep(Duration::from_millis(10));
    }
}
