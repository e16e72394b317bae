//! A process that sees connections fail may ask the owner for an early tend.

use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Reader};
use tendmap::sim::{Sim, SimConfig};

const LONG: Duration = Duration::from_secs(60);

fn client(sim: &Sim, directory: &std::path::Path, interval: Duration) -> Client {
    let mut config = Config::shared(vec![sim.seeds()[0].into()], 0x7E4D_0001);
    config.shm_directory = directory.into();
    config.tend_interval = interval;
    config.connect_timeout = Duration::from_secs(5);
    config.shm_takeover_threshold = Duration::from_secs(3600);
    Client::connect(config).unwrap()
}

#[test]
fn the_owner_tends_long_before_its_time_when_a_reader_asks() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    // A quarter of it has to pass between two tends.
    let client = client(&sim, directory.path(), Duration::from_secs(20));
    let reader = Reader::attach(&segment_place(directory.path())).unwrap();
    let before = reader.status().unwrap().tends;
    sim.add().unwrap();
    assert!(sim.settle(LONG));
    let begun = Instant::now();
    while reader.map().unwrap().map.nodes.len() < 3 {
        assert!(begun.elapsed() < LONG, "{:?}", reader.status());
        // Repeatedly, because a request may be lost.
        reader.request_tend();
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = reader.status().unwrap();
    // At most one pass in five seconds, whatever the number of requests.
    let allowed = 2 + begun.elapsed().as_secs() / 5;
    assert!(status.tends - before <= allowed, "{} of {allowed}", status.tends - before);
    assert_eq!((status.failing_nodes, status.bad_replies), (0, 0));
    assert!(status.bytes_in > 0 && status.pass_time.is_some(), "{status:?}");
    client.close();
}

#[test]
fn without_a_request_the_interval_stands() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let client = client(&sim, directory.path(), Duration::from_secs(600));
    let tends = client.status().unwrap().tends;
    assert_eq!(tends, 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.status().unwrap().tends, tends);
    client.close();
}

fn segment_place(directory: &std::path::Path) -> tendmap::segment::Place {
    let mut config = Config::shared(vec!["localhost:3000".parse().unwrap()], 0x7E4D_0001);
    config.shm_directory = directory.into();
    config.place()
}
