//! Logins of the tender, against the simulated cluster.

use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, ConnectError, Event, Observer};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::sim::{Sim, SimConfig, SimStatus, SimUser};
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, TendError, TendEvent};
use tendmap::wire::login::{AuthMode, Credentials};
use tendmap_testkit::tables::{Log, ids};

const LONG: Duration = Duration::from_secs(30);
const SECRET: &str = "s3cret-pässwörd";

fn sim(nodes: usize, lifetime: Option<u64>) -> Sim {
    let mut config = SimConfig::fast(nodes);
    config.security = true;
    config.users = vec![SimUser::new("keeper", SECRET)];
    config.session_lifetime = lifetime.map(Duration::from_secs);
    Sim::start(config).unwrap()
}

fn source_as(sim: &Sim, mode: AuthMode, user: &str, password: &str) -> AerospikeSource {
    // A single seed: with several, the unused ones see a login that is cut short.
    let mut config = AerospikeConfig::new(vec![sim.seeds()[0].into()]);
    config.connect_timeout = Duration::from_secs(5);
    config.credentials = Some(Credentials::new(mode, user, password.into()).unwrap());
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(Capacity::DEFAULT));
    source
}

fn source(sim: &Sim, password: &str) -> AerospikeSource {
    source_as(sim, AuthMode::Internal, "keeper", password)
}

fn stranger(sim: &Sim) -> AerospikeSource {
    let mut source = AerospikeSource::new(AerospikeConfig::new(vec![sim.seeds()[0].into()]));
    source.start(ClusterMap::new(Capacity::DEFAULT));
    source
}

fn tend(source: &mut AerospikeSource) -> (Result<usize, TendError>, Vec<TendEvent>) {
    let mut log = Log::default();
    let result = source.tend(&mut log).map(|report| report.nodes_ok);
    (result, log.events)
}

fn status(sim: &Sim) -> SimStatus {
    sim.status().unwrap()
}

fn refused(result: Result<usize, TendError>) -> String {
    match result {
        Err(error @ TendError::Login { .. }) => error.to_string(),
        other => panic!("{other:?}, wanted a refused login"),
    }
}

/// Tends until this number of nodes answer.
fn until(source: &mut AerospikeSource, nodes: usize) -> Vec<TendEvent> {
    let (start, mut events) = (Instant::now(), Vec::new());
    loop {
        let (result, more) = tend(source);
        events.extend(more);
        if result.as_ref().is_ok_and(|&found| found == nodes) {
            return events;
        }
        assert!(start.elapsed() < LONG, "{result:?}, {events:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_node_is_logged_in_to_once_and_the_map_is_whole() {
    let sim = sim(3, Some(3600));
    let mut source = source(&sim, SECRET);
    until(&mut source, 3);
    assert_eq!(source.map().nodes.len(), 3);
    for _ in 0..5 {
        until(&mut source, 3);
    }
    let status = status(&sim);
    assert_eq!((status.logins, status.authentications, status.logins_refused), (3, 0, 0));
}

#[test]
fn a_later_connection_authenticates_with_the_token() {
    let sim = sim(2, None);
    let mut source = source(&sim, SECRET);
    until(&mut source, 2);
    sim.drop_connections(1).unwrap();
    let events = until(&mut source, 2);
    assert_eq!(events, [], "there is nothing to report");
    let status = status(&sim);
    assert_eq!((status.logins, status.authentications, status.logins_refused), (2, 1, 0));
}

#[test]
fn a_token_that_expired_or_is_unknown_leads_to_another_login_at_once() {
    let sim = sim(2, Some(3600));
    let mut source = source(&sim, SECRET);
    until(&mut source, 2);
    sim.expire_sessions().unwrap();
    sim.drop_connections(1).unwrap();
    assert_eq!(until(&mut source, 2), [], "no pass failed");
    assert_eq!((status(&sim).logins, status(&sim).logins_refused), (3, 1));
    // A node that was restarted does not know tokens from before.
    sim.kill(2).unwrap();
    sim.start_node(2).unwrap();
    assert!(sim.settle(LONG));
    until(&mut source, 2);
    assert!(status(&sim).logins >= 4, "{:?}", status(&sim));
}

#[test]
fn a_session_is_renewed_before_it_ends_on_the_open_connection() {
    let sim = sim(1, Some(2));
    let mut source = source(&sim, SECRET);
    until(&mut source, 1);
    let (start, connections) = (Instant::now(), status(&sim).nodes[0].connections_accepted);
    while status(&sim).logins < 3 {
        assert!(start.elapsed() < LONG, "{:?}", status(&sim));
        let (result, events) = tend(&mut source);
        assert_eq!((result, events), (Ok(1), vec![]));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        start.elapsed() >= Duration::from_millis(1900),
        "each session lasts for at least a second"
    );
    let status = status(&sim);
    assert_eq!(status.nodes[0].connections_accepted, connections);
    assert_eq!((status.authentications, status.logins_refused), (0, 0));
}

#[test]
fn a_wrong_password_is_told_and_not_tried_at_every_tick() {
    let sim = sim(3, None);
    let mut source = source(&sim, "wrong-s3cret");
    let first = refused(tend(&mut source).0);
    assert!(first.contains(&sim.seeds()[0].to_string()), "{first}");
    assert!(first.contains("check user, password and auth_mode"), "{first}");
    assert!(!first.contains("s3cret"), "{first}");
    let tried = status(&sim).logins_refused;
    assert!((1..=3).contains(&tried), "{tried}");
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(refused(tend(&mut source).0), first, "the same text as before");
    }
    // At least a second between two attempts, at each of three nodes.
    let allowed = 3 * start.elapsed().as_secs_f64().ceil() as u64;
    let more = status(&sim).logins_refused - tried;
    assert!(more <= allowed, "{more} more in 100 passes, {allowed} allowed");
    // Later it is tried again, and succeeds once the password is right.
    sim.set_user(SimUser::new("keeper", "wrong-s3cret")).unwrap();
    until(&mut source, 3);
}

#[test]
fn an_unknown_user_and_one_without_rights_are_told_apart() {
    let sim = sim(1, None);
    let error = refused(tend(&mut source_as(&sim, AuthMode::Internal, "nobody", SECRET)).0);
    assert!(error.contains("no such user") && error.contains("check user"), "{error}");
    let mut powerless = SimUser::new("guest", SECRET);
    powerless.rights = false;
    sim.set_user(powerless).unwrap();
    let (result, _) = tend(&mut source_as(&sim, AuthMode::Internal, "guest", SECRET));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("ERROR:81:role violation"), "{error}");
}

#[test]
fn who_has_no_credentials_is_told_to_give_some() {
    let sim = sim(1, None);
    let error = refused(tend(&mut stranger(&sim)).0);
    assert!(error.contains("set user and password"), "{error}");
}

#[test]
fn an_external_user_is_logged_in_by_the_password_as_it_is() {
    let sim = sim(1, None);
    let mut external = SimUser::new("ldap", "clear words");
    external.external = true;
    sim.set_user(external).unwrap();
    let log_in = |mode| tend(&mut source_as(&sim, mode, "ldap", "clear words")).0;
    assert_eq!(log_in(AuthMode::ExternalInsecure), Ok(1));
    refused(log_in(AuthMode::Internal));
}

#[test]
fn security_may_be_switched_on_and_off_under_a_running_tender() {
    let sim = sim(3, Some(3600));
    sim.set_security(false).unwrap();
    let (mut known, mut unknown) = (source(&sim, SECRET), stranger(&sim));
    until(&mut known, 3);
    until(&mut unknown, 3);
    assert_eq!(status(&sim).logins, 0, "security is not enabled: no session");

    sim.set_security(true).unwrap();
    assert_eq!(tend(&mut known), (Ok(3), vec![]), "it logs in during the same pass");
    let (result, events) = tend(&mut unknown);
    let failed = |event: &&TendEvent| matches!(event, TendEvent::NodeFailed { error, .. } if error.contains("set user"));
    assert_eq!(events.iter().filter(failed).count(), 3, "{result:?} {events:?}");
    let map = unknown.map().clone();
    for _ in 0..3 {
        let (result, events) = tend(&mut unknown);
        assert!(result.is_err() && events.is_empty(), "reported once: {result:?} {events:?}");
    }
    assert_eq!(*unknown.map(), map, "the known map is kept");

    sim.set_security(false).unwrap();
    sim.drop_connections(2).unwrap();
    assert_eq!(tend(&mut known), (Ok(3), vec![]));
    until(&mut unknown, 3);
    assert_eq!(ids(unknown.map()), ids(known.map()));
}

#[test]
fn neither_the_segment_nor_events_nor_errors_show_the_password() {
    let sim = sim(2, Some(3600));
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let config = |password: &str| {
        let mut config = Config::shared(vec![sim.seeds()[0].into()], 0x5EC0_0001);
        config.shm_directory = directory.path().into();
        config.connect_timeout = Duration::from_secs(5);
        config.user = Some("keeper".into());
        config.password = Some(password.into());
        config
    };
    // No event and no published word contains the password.
    let (send, told) = crossbeam::channel::unbounded();
    let send = std::sync::Mutex::new(send);
    let mut first = config("wrong-s3cret");
    first.observer = Some(Observer::new(move |event: &Event| {
        let _ = send.lock().unwrap().send(format!("{event:?}"));
    }));
    match Client::connect(first) {
        Err(ConnectError::Tend(TendError::Login { error, .. })) => {
            assert!(error.contains("check user, password"), "{error}");
        }
        other => panic!("{other:?}, wanted a refused login"),
    }
    for text in told.iter() {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let owner = Client::connect(config(SECRET)).unwrap();
    let bytes = std::fs::read(owner.segment().path().unwrap()).unwrap();
    let packed = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let node = status(&sim).nodes[0].node.clone();
    // A word holds six bytes of text, in the low six of its eight bytes, the last one
    // first.
    assert!(
        packed(&node.as_bytes()[..4]) || packed(&reversed(&node)[..4]),
        "the segment holds the name of a node"
    );
    assert!(!packed(&SECRET.as_bytes()[..4]) && !packed(&reversed(SECRET)[..4]));
    assert_eq!(status(&sim).logins, 2);
    owner.close();
}

fn reversed(text: &str) -> Vec<u8> {
    text.as_bytes()[..6].iter().rev().copied().collect()
}

#[test]
fn a_changed_password_lets_a_client_in_again_without_connecting_anew() {
    let sim = sim(2, Some(3600));
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut config = Config::shared(vec![sim.seeds()[0].into()], 0xA700_0077);
    config.shm_directory = directory.path().into();
    config.tend_interval = Duration::from_millis(50);
    config.connect_timeout = Duration::from_secs(2);
    (config.user, config.password) = (Some("keeper".into()), Some(SECRET.into()));
    let mut stranger = config.clone();
    (stranger.user, stranger.password, stranger.use_shm) = (None, None, false);
    let client = Client::connect(config).unwrap();
    let tends = || client.status().unwrap().tends;
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < LONG, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // While the session is valid, a new password changes nothing.
    client.set_password("not yet".into()).unwrap();
    let before = tends();
    wait("passes", &|| tends() > before + 2);
    assert_eq!((status(&sim).logins, status(&sim).logins_refused), (2, 0));

    sim.set_user(SimUser::new("keeper", "another one")).unwrap();
    sim.expire_sessions().unwrap();
    (1..=2).for_each(|number| sim.drop_connections(number).unwrap());
    wait("a refusal", &|| status(&sim).logins_refused > 0);
    let errors = client.status().unwrap().tend_errors;
    wait("failing passes", &|| client.status().unwrap().tend_errors > errors + 1);
    client.set_password("another one".into()).unwrap();
    let before = tends();
    wait("passes again", &|| tends() > before + 2);

    let long = "x".repeat(73);
    assert!(client.set_password(long.as_str().into()).is_err());
    let error = Client::start(stranger).unwrap().set_password("x".into()).unwrap_err();
    assert!(matches!(error, tendmap::client::ConfigError::NoUser { .. }), "{error}");
}

#[test]
fn h36_a_server_that_answers_a_login_with_garbage_is_told_and_not_asked_at_every_tick() {
    use std::io::{Read, Write};
    let garbage: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[2, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[2, 2, 0, 0, 0, 0, 0, 3, 1, 2, 3],
        // Accepted, but a field reaches past the end.
        &[2, 2, 0, 0, 0, 0, 0, 21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99, 5],
        // Accepted with a token, and more bytes after it.
        &[
            2, 2, 0, 0, 0, 0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5,
            7, 9,
        ],
    ];
    for bytes in garbage {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 8];
            socket.read_exact(&mut request).unwrap();
            socket.write_all(bytes).unwrap();
            // The server accepts only once: it does not serve a second connection.
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest);
        });
        let mut config = AerospikeConfig::new(vec![address.into()]);
        config.connect_timeout = Duration::from_secs(20);
        let credentials = Credentials::new(AuthMode::Internal, "keeper", SECRET.into());
        config.credentials = Some(credentials.unwrap());
        let mut source = AerospikeSource::new(config);
        source.start(ClusterMap::new(Capacity::DEFAULT));
        let first = refused(tend(&mut source).0);
        assert_eq!(refused(tend(&mut source).0), first, "held back, with the same text");
        assert!(!first.contains(SECRET), "{first}");
        server.join().unwrap();
    }
}
