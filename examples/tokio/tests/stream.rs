//! The stream of changes, in a runtime of one thread.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
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
        assert!(matches!(stream.changed().await, Err(ChangesError::Closed)));
        close.await.unwrap();
    });
}
