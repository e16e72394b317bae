//! A forked child: reading goes on, nothing of its parent's is touched.

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use common::forked::forked;
use common::{Cluster, config, directory, node};
use tendmap::client::{Client, Role};
use tendmap::map::Slot;
use tendmap::route::{Partition, Policy};

#[test]
fn h28_the_child_sees_later_publications() {
    let directory = directory();
    let cluster = Cluster::new(3, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let mut made = 0;
    let mut router = client.router_with(move |_| {
        made += 1;
        made
    });
    let namespace = router.namespace("test").unwrap();
    assert_eq!(*router.route(namespace, Partition(0), Policy::Master).unwrap().state(), 1);
    let before = client.map().unwrap().sequence;
    forked(
        |pipe| {
            let mut route = router.route(namespace, Partition(0), Policy::Master).unwrap();
            assert_eq!(route.id(), node(0).id);
            assert_eq!(*route.state(), 4, "local state is made anew in a child");
            pipe.write_all(b"r").unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until {
                let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
                if route.id() == node(1).id {
                    assert!(route.sequence() > before);
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            panic!("the map is frozen");
        },
        |pipe| {
            pipe.read_exact(&mut [0]).unwrap();
            cluster.change(|map| {
                let slot = Slot::new(1);
                map.namespaces_mut()[0].partitions.set_owner(0, 0, slot);
            });
        },
    );
    assert_eq!(client.role(), Role::Owner);
}

#[test]
fn h27_closing_in_the_child_returns_at_once_and_the_parent_stays_owner() {
    let directory = directory();
    let cluster = Cluster::new(3, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let router = client.router();
    let term = client.status().unwrap().term;
    let mut inherited = Some(client);
    forked(
        |_| {
            let begun = Instant::now();
            drop(router);
            inherited.take().unwrap().close();
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        },
        |_| {},
    );
    let client = inherited.unwrap();
    let before = client.status().unwrap().tends;
    common::wait_until("the parent tends on", || client.status().unwrap().tends > before + 2);
    let status = client.status().unwrap();
    assert_eq!((client.role(), status.term, status.owner_alive), (Role::Owner, term, true));
}

#[test]
fn h41_the_child_of_an_owner_has_no_writable_mapping() {
    let directory = directory();
    let cluster = Cluster::new(3, 1);
    let _client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let writable = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = directory.path().to_str().unwrap();
        maps.lines().filter(|line| line.contains(path) && line.contains(" rw-s ")).count()
    };
    assert_eq!(writable(), 1);
    forked(|_| assert_eq!(writable(), 0), |_| {});
}
