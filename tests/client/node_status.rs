//! The status of any process shows how nodes fail their owner.

use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, NodeStatus, Reader, Status};
use tendmap::map::NodeHealth;
use tendmap::sim::{Sim, SimConfig, SimUser};

const LONG: Duration = Duration::from_secs(60);
const SECRET: &str = "the-s3cret-one";

/// Waits for a health of the only node that is as wanted.
fn wait(reader: &Reader, wanted: impl Fn(&NodeHealth) -> bool) -> NodeHealth {
    let begun = Instant::now();
    loop {
        let members: Vec<NodeStatus> = reader.status().unwrap().members;
        if let Some(health) = members[0].health.as_ref().filter(|health| wanted(health)) {
            return health.clone();
        }
        assert!(begun.elapsed() < LONG, "{members:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn owner(config: SimConfig, secret: Option<&str>) -> (Sim, tempfile::TempDir, Client, Reader) {
    let sim = Sim::start(config).unwrap();
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut config = Config::shared(vec![sim.seeds()[0].into()], 0x7E4D_0002);
    config.shm_directory = directory.path().into();
    config.tend_interval = Duration::from_millis(50);
    if let Some(secret) = secret {
        (config.user, config.password) = (Some("keeper".into()), Some(secret.into()));
    }
    let place = config.place();
    let client = Client::connect(config).unwrap();
    let reader = Reader::attach(&place).unwrap();
    (sim, directory, client, reader)
}

#[test]
fn a_reader_sees_how_often_and_why_a_node_fails_and_no_map_is_published_for_it() {
    let (sim, _directory, client, reader) = owner(SimConfig::fast(1), None);
    let well = wait(&reader, |health| health.failures == 0);
    assert_eq!(well.last_error, None);
    assert_eq!(reader.status().unwrap().members[0].last_error_age, None);
    sim.kill(1).unwrap();
    let before = reader.status().unwrap();
    let health = wait(&reader, |health| health.failures >= 2);
    assert!(health.last_error.is_some(), "{health:?}");
    let status = reader.status().unwrap();
    assert_eq!(status.publications, before.publications, "nothing in the map has changed");
    let json = status.to_json_value();
    assert!(json["members"][0]["failures"].as_u64().unwrap() >= 2, "{json}");
    assert_eq!(json["members"][0]["last_error"], health.last_error.unwrap());
    let age = json["members"][0]["last_error_age_ms"].as_u64().expect("an age");
    assert!(age < LONG.as_millis() as u64, "{json}");
    // After it has recovered, the last error is still shown.
    sim.start_node(1).unwrap();
    let well = wait(&reader, |health| health.failures == 0);
    assert!(well.last_error.is_some(), "{well:?}");
    // The time of the error does not change, and its age grows.
    let age = || reader.status().unwrap().members[0].last_error_age;
    let (before, begun) = (age().expect("an age"), Instant::now());
    while age().is_some_and(|age| age <= before) {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
    client.close();
}

#[test]
fn a_login_that_fails_is_told_without_the_password() {
    let mut config = SimConfig::fast(1);
    config.security = true;
    config.users = vec![SimUser::new("keeper", SECRET)];
    let (sim, _directory, client, reader) = owner(config, Some(SECRET));
    let wrong = "an0ther-s3cret";
    client.set_password(wrong.into()).unwrap();
    sim.expire_sessions().unwrap();
    sim.drop_connections(1).unwrap();
    let health = wait(&reader, |health| health.last_error.is_some());
    let text = health.last_error.unwrap();
    assert!(text.contains("password"), "it names the setting: {text}");
    let segment = std::fs::read(reader.segment().path().unwrap()).unwrap();
    let words = segment.chunks_exact(8).flat_map(|word| &word[..6]).copied().collect::<Vec<_>>();
    for secret in [wrong, SECRET] {
        assert!(!text.contains(secret));
        let found =
            |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found(&segment) && !found(&words));
    }
    client.close();
}

/// Waits until `more` further passes have failed.
fn failed_passes(reader: &Reader, more: u64) -> Status {
    let (begun, before) = (Instant::now(), reader.status().unwrap().tend_errors);
    loop {
        let status = reader.status().unwrap();
        if status.tend_errors >= before + more {
            return status;
        }
        assert!(begun.elapsed() < LONG, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pass_that_fails_counts_whoever_failed_in_it_and_what_was_received() {
    let (sim, _directory, client, reader) = owner(SimConfig::fast(2), None);
    wait(&reader, |health| health.failures == 0);
    let well = reader.status().unwrap();
    assert_eq!((well.failing_nodes, well.ask_errors, well.bad_replies), (0, 0, 0));
    // The nodes send bytes that can't be used.
    for number in [1, 2] {
        sim.set_reply(number, "node", Some("not/a/node")).unwrap();
    }
    let before = failed_passes(&reader, 1);
    let bad = failed_passes(&reader, 3);
    assert_eq!((bad.failing_nodes, bad.tends), (2, before.tends), "{bad:?}");
    let enough = |found: u64, before: &Status, now: &Status| {
        // The counters are read one after the other, and may be a pass apart.
        assert!(found >= 2 * (now.tend_errors - before.tend_errors - 1), "{before:?} {now:?}");
    };
    enough(bad.bad_replies - before.bad_replies, &before, &bad);
    assert_eq!(bad.ask_errors, before.ask_errors);
    assert!(bad.bytes_in > before.bytes_in, "{before:?} {bad:?}");
    // The nodes send nothing.
    for number in [1, 2] {
        sim.kill(number).unwrap();
    }
    let before = failed_passes(&reader, 2);
    let dead = failed_passes(&reader, 3);
    assert_eq!((dead.failing_nodes, dead.tends), (2, before.tends), "{dead:?}");
    enough(dead.ask_errors - before.ask_errors, &before, &dead);
    assert_eq!(dead.bad_replies, before.bad_replies);
    assert_eq!(dead.bytes_in, before.bytes_in);
    client.close();
}
