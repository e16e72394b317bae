//! Readers: processes that do not tend.

use std::time::Duration;

use tendmap::{Client, Reader};
use tendmap_testkit::{Cluster, config, directory};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_reader_wakes_when_something_is_published() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let config = config(&directory);
    let place = config.place();
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let reader = Reader::attach(&place).unwrap();
    let before = reader.map().unwrap().sequence;
    // Nothing new: it returns what it was given.
    assert_eq!(reader.wait_for_change(before, Duration::ZERO), before);
    let (sleeper, begun) = (reader.clone(), std::sync::Arc::new(std::sync::Barrier::new(2)));
    let other = begun.clone();
    let waits = std::thread::spawn(move || {
        other.wait();
        sleeper.wait_for_change(before, LONG)
    });
    begun.wait();
    cluster.change(|map| {
        let last = map.nodes.iter().map(|(slot, _)| slot).last();
        map.remove_node(last.unwrap());
    });
    assert_ne!(waits.join().unwrap(), before);
    client.close();
}

#[test]
fn a_status_says_in_words_what_is_well_and_what_is_not() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let config = config(&directory);
    let place = config.place();
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let status = client.status().unwrap();
    let text = status.to_string();
    assert!(text.contains(&format!("owner {}", std::process::id())), "{text}");
    assert!(text.contains("2 nodes") && text.ends_with("healthy"), "{text}");
    let reader = Reader::attach(&place).unwrap();
    client.close();
    let text = reader.status().unwrap().to_string();
    assert!(text.contains("problem: ") && !text.contains("\nhealthy"), "{text}");
}
