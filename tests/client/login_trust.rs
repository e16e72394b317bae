//! Which servers receive a password, its hash or a token, and how often.

use std::time::Duration;

use tendmap::map::{Capacity, ClusterMap, ClusterName, Node, TlsName};
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, Condition, TendReport};
use tendmap::wire::login::{AuthMode, Credentials};
use tendmap_testkit::authority::Authority;
use tendmap_testkit::scripted::{Scripted, answer, good, refused, session};
use tendmap_testkit::scripted_tls::start_tls;
use tendmap_testkit::tables::{Log, ids, node};

/// A node at its TLS address and at its plaintext address.
struct Pair {
    tls: Scripted,
    clear: Scripted,
}

/// The `replicas` of a node that holds nothing.
fn nothing() -> String {
    use base64::Engine as _;
    format!("test:0,1,{}", base64::engine::general_purpose::STANDARD.encode([0; 512]))
}

fn pair(authority: &Authority, id: &str, name: &str) -> Pair {
    authority.issue(id, &[name], false);
    let tls = start_tls(id, &authority.path(id));
    let clear = Scripted::start(id);
    for server in [&tls, &clear] {
        server.set("service-clear-std", clear.address);
        server.set("service-tls-std", tls.address);
        if id != "A1" {
            server.set("replicas", nothing());
        }
    }
    Pair { tls, clear }
}

impl Pair {
    fn list(&self, tls: &str, clear: &str) {
        self.tls.list(tls, clear);
        self.clear.list(tls, clear);
    }

    /// The entry of the node in another node's list.
    fn listed(&self, id: &str, name: &str) -> String {
        format!("[{id},{name},[{}]]", self.tls.address)
    }
}

fn config(authority: &Authority, seed: &Scripted, name: &str, login_only: bool) -> AerospikeConfig {
    let host = format!("127.0.0.1:{name}:{}", seed.address.port());
    let mut config = AerospikeConfig::new(vec![host.parse().unwrap()]);
    config.connect_timeout = Duration::from_secs(10);
    let mut tls = authority.client();
    tls.for_login_only = login_only;
    config.tls = Some(tls);
    let credentials = Credentials::new(AuthMode::External, "keeper", "open sesame".into());
    config.credentials = Some(credentials.unwrap());
    config
}

fn source(config: AerospikeConfig, map: ClusterMap) -> AerospikeSource {
    let mut source = AerospikeSource::new(config);
    source.start(map);
    source
}

fn pass(source: &mut AerospikeSource) -> TendReport {
    source.tend(&mut Log::default()).unwrap_or_default()
}

fn empty() -> ClusterMap {
    ClusterMap::new(Capacity::DEFAULT)
}

#[test]
fn h118_a_list_that_comes_in_clear_names_nobody_to_whom_a_login_is_sent() {
    let authority = Authority::new();
    let good = pair(&authority, "A1", "good.lab");
    let evil = pair(&authority, "E1", "evil.test");
    let mut source = source(config(&authority, &good.tls, "good.lab", true), empty());
    assert_eq!(pass(&mut source).nodes_ok, 1);
    assert_eq!((good.tls.logins(), good.clear.logins()), (1, 0), "one login, over TLS");
    // An attacker changes plaintext replies.
    good.clear.list(&evil.listed("E1", "evil.test"), &evil.listed("E1", ""));
    for _ in 0..6 {
        pass(&mut source);
    }
    assert_eq!(evil.tls.connections() + evil.clear.connections(), 0);
    assert_eq!(ids(source.map()), "A1");
    // The same if the node moves or fails according to plaintext replies.
    good.clear.set("node", "E1");
    for _ in 0..8 {
        pass(&mut source);
    }
    assert_eq!(evil.tls.connections() + evil.clear.connections(), 0);
    assert_eq!(good.clear.logins(), 0);
}

#[test]
fn h118_a_list_that_comes_over_tls_is_followed() {
    let authority = Authority::new();
    let [one, two] = [("A1", "a.lab"), ("B1", "b.lab")].map(|(id, n)| pair(&authority, id, n));
    let mut source = source(config(&authority, &one.tls, "a.lab", true), empty());
    assert_eq!(pass(&mut source).nodes_ok, 1);
    one.list(&two.listed("B1", "b.lab"), "");
    two.list(&one.listed("A1", "a.lab"), "");
    assert_eq!(pass(&mut source).nodes_ok, 2);
    assert_eq!(ids(source.map()), "A1 B1");
    let addresses: Vec<_> = source.map().nodes.iter().map(|(_, node)| node.address).collect();
    assert!(addresses.contains(&two.clear.address), "{addresses:?}");
    // Lists that change all the time cause no further login.
    for _ in 0..20 {
        one.list(&two.listed("B1", "b.lab"), "");
        assert_eq!(pass(&mut source).nodes_ok, 2);
    }
    assert_eq!((one.tls.logins(), two.tls.logins()), (1, 1));
    assert_eq!((one.clear.logins(), two.clear.logins()), (0, 0));
}

#[test]
fn h118_where_the_list_cannot_be_had_over_tls_the_node_is_used_and_it_is_reported() {
    let authority = Authority::new();
    let good = pair(&authority, "A1", "good.lab");
    let mut source = source(config(&authority, &good.tls, "good.lab", true), empty());
    assert_eq!(pass(&mut source).nodes_ok, 1);
    good.tls.set("peers-tls-std", "?");
    good.clear.set("peers-generation", 7);
    good.tls.set("node", "?");
    for _ in 0..3 {
        let report = pass(&mut source);
        assert_eq!((report.nodes_ok, report.bad_replies), (1, 0));
        assert_eq!(report.conditions.count(Condition::UnreadNodes), 1, "{report:?}");
        assert_eq!(ids(source.map()), "A1");
    }
    good.tls.set("node", "A1");
    good.tls.set("peers-tls-std", "7,3000,[]");
    assert_eq!(pass(&mut source).conditions.count(Condition::UnreadNodes), 0);
}

#[test]
fn h118_a_login_never_goes_in_clear_whatever_a_server_tells_of_itself() {
    let authority = Authority::new();
    let good = pair(&authority, "A1", "good.lab");
    let two = pair(&authority, "B1", "b.lab");
    // Its plaintext address is listed as a TLS address, its own or another's.
    for told in [good.tls.address, two.tls.address] {
        good.tls.set("service-clear-std", told);
        let mut source = source(config(&authority, &good.tls, "good.lab", true), empty());
        for _ in 0..4 {
            pass(&mut source);
        }
        for server in [&good.clear, &two.clear] {
            assert_eq!(server.logins(), 0);
        }
        // A TLS record does not begin with a version of the protocol, and any
        // plaintext at a TLS port breaks the handshake.
        assert_eq!(two.tls.logins(), 0, "not authenticated as b.lab");
    }
}

#[test]
fn h119_names_that_another_process_has_published_are_not_believed_for_logins() {
    let authority = Authority::new();
    let good = pair(&authority, "A1", "good.lab");
    let evil = pair(&authority, "E1", "evil.test");
    let evil_name = TlsName::new("evil.test").unwrap();
    for login_only in [false, true] {
        for (id, tls_name) in [("E1", Some(evil_name)), ("A1", Some(evil_name)), ("E1", None)] {
            let mut map = empty();
            map.cluster_name = Some(ClusterName::new("lab").unwrap());
            let address = evil.tls.address;
            let mut node = Node::new(node(id), address);
            node.tls_name = tls_name;
            map.nodes.insert(node).unwrap();
            let config = config(&authority, &good.tls, "good.lab", login_only);
            let mut source = source(config, map);
            for _ in 0..8 {
                pass(&mut source);
            }
            assert_eq!(evil.tls.connections() + evil.clear.connections(), 0, "{id} {tls_name:?}");
            assert!(ids(source.map()).contains("A1"));
        }
    }
    assert!(good.tls.logins() > 0);
}

#[test]
fn h119_a_successor_finds_nodes_with_names_of_their_own_through_its_hosts() {
    let authority = Authority::new();
    let [one, two] = [("A1", "a.lab"), ("B1", "b.lab")].map(|(id, n)| pair(&authority, id, n));
    one.list(&two.listed("B1", "b.lab"), "");
    two.list(&one.listed("A1", "a.lab"), "");
    let config = config(&authority, &one.tls, "a.lab", false);
    let mut first = source(config.clone(), empty());
    assert_eq!(pass(&mut first).nodes_ok, 2);
    let mut log = Log::default();
    let mut successor = source(config, first.map().clone());
    let report = successor.tend(&mut log).unwrap();
    assert_eq!((report.nodes_ok, report.changed), (2, false), "{:?}", log.events);
    assert_eq!(log.events, []);
    assert_eq!(successor.map(), first.map());
}

fn alone(server: &Scripted) -> AerospikeSource {
    alone_within(server, Duration::from_millis(200))
}

fn alone_within(server: &Scripted, timeout: Duration) -> AerospikeSource {
    let mut config = AerospikeConfig::new(vec![server.address.into()]);
    config.connect_timeout = timeout;
    let credentials = Credentials::new(AuthMode::Internal, "keeper", "open sesame".into());
    config.credentials = Some(credentials.unwrap());
    source(config, empty())
}

/// The most logins that a server may see in a test, which lasts a few seconds.
const FEW: usize = 8;

#[test]
fn h120_a_session_that_ends_at_once_is_no_login_with_every_pass() {
    for (lifetime, what) in [(0u32, "0"), (1, "1 s"), (u32::MAX, "136 years")] {
        let server = Scripted::start("A1");
        let answers: tendmap_testkit::scripted::Answer = match lifetime {
            0 => |_| answer(0, &[(5, b"t"), (6, &[0; 4])]),
            1 => |_| answer(0, &[(5, b"t"), (6, &[0, 0, 0, 1])]),
            _ => |_| answer(0, &[(5, b"t"), (6, &[255; 4])]),
        };
        server.answers(answers, good);
        // Every pass gets its answer, however busy the machine.
        let mut source = alone_within(&server, Duration::from_secs(60));
        for _ in 0..300 {
            assert_eq!(pass(&mut source).nodes_ok, 1, "{what}");
        }
        let most = if lifetime == 1 { FEW } else { 1 };
        assert!(server.logins() <= most, "{what}: {} logins", server.logins());
    }
}

#[test]
fn h120_whatever_answers_a_login_is_not_sent_another_with_every_pass() {
    const HUGE: &[u8] = &[7; 16 << 10];
    let odd: [(&str, tendmap_testkit::scripted::Answer, tendmap_testkit::scripted::Answer); 10] = [
        ("a refusal", |_| answer(62, &[]), good),
        ("a code of nobody", |_| answer(255, &[]), good),
        ("a session of another", |_| answer(66, &[]), good),
        ("a huge token", |_| answer(0, &[(5, HUGE)]), good),
        ("no token", |_| answer(0, &[(6, &[0, 0, 1, 0])]), good),
        ("an odd lifetime", |_| answer(0, &[(5, b"t"), (6, b"12345678")]), good),
        ("a length of 48 bits", |_| Some(vec![2, 2, 255, 255, 255, 255, 255, 255]), good),
        ("garbage", |_| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), good),
        (
            "a part of an answer",
            |_| {
                answer(0, &[(5, b"t")]).map(|mut whole| {
                    whole.truncate(20);
                    whole
                })
            },
            good,
        ),
        ("nothing", |_| None, good),
    ];
    for (what, login, authenticate) in odd {
        let server = Scripted::start("A1");
        server.answers(login, authenticate);
        let mut source = alone(&server);
        for _ in 0..300 {
            assert_eq!(pass(&mut source).nodes_ok, 0, "{what}");
        }
        assert!((1..=FEW).contains(&server.logins()), "{what}: {} logins", server.logins());
        // A valid reply is accepted once there is one.
        assert!(server.connections() <= FEW, "{what}: {} connections", server.connections());
    }
}

#[test]
fn h120_an_answer_that_comes_byte_by_byte_is_no_login_with_every_pass() {
    let server = Scripted::start("A1");
    server.script.lock().unwrap().drip = Duration::from_millis(50);
    let mut source = alone(&server);
    for _ in 0..100 {
        assert_eq!(pass(&mut source).nodes_ok, 0);
    }
    assert!((1..=FEW).contains(&server.logins()), "{} logins", server.logins());
}

#[test]
fn h118_a_password_goes_over_no_connection_in_clear_unless_that_is_asked_for() {
    for (mode, sent) in [(AuthMode::External, 0), (AuthMode::ExternalInsecure, 1)] {
        let server = Scripted::start("A1");
        let mut config = AerospikeConfig::new(vec![server.address.into()]);
        config.credentials = Some(Credentials::new(mode, "keeper", "s3same".into()).unwrap());
        let mut source = source(config, empty());
        let error = source.tend(&mut Log::default()).err().map(|error| error.to_string());
        assert_eq!(server.logins(), sent, "{error:?}");
        assert_eq!(error.is_some_and(|error| error.contains("needs TLS; set it")), sent == 0);
    }
}

#[test]
fn h118_a_survey_sends_no_login_to_addresses_told_in_clear() {
    let authority = Authority::new();
    let good = pair(&authority, "A1", "good.lab");
    let evil = pair(&authority, "E1", "evil.test");
    good.clear.set("service-clear-std", evil.tls.address);
    let config = config(&authority, &good.tls, "good.lab", true);
    let survey = tendmap::internals::tend::survey(&config, &mut Log::default()).unwrap();
    assert_eq!(evil.tls.connections() + evil.clear.connections(), 0);
    assert_eq!(good.clear.logins(), 0);
    let told: Vec<_> = survey.nodes[0].told.iter().flat_map(|told| &told.addresses).collect();
    assert_eq!(told.len(), 1, "{survey:?}");
    assert_eq!(told[0].address, good.clear.address);
    assert_eq!(told[0].node, Ok(node("A1")));
}

#[test]
fn h120_a_token_that_no_connection_can_use_is_no_login_with_every_pass() {
    let server = Scripted::start("A1");
    server.answers(session, refused);
    let mut source = alone(&server);
    assert_eq!(pass(&mut source).nodes_ok, 1);
    for _ in 0..300 {
        // The connection was closed.
        let _ = source.tend(&mut Log::default());
        server.set("node", "ERROR:80:not authenticated");
    }
    assert!(server.logins() <= FEW, "{} logins", server.logins());
}

#[test]
fn h120_a_seed_that_is_of_no_use_yet_is_not_sent_a_login_with_every_pass() {
    let server = Scripted::start("A1");
    server.set("partition-generation", -1);
    let mut source = alone(&server);
    for _ in 0..300 {
        assert_eq!(pass(&mut source).nodes_ok, 0);
    }
    assert_eq!(server.logins(), 1);
    server.set("partition-generation", 1);
    assert_eq!(pass(&mut source).nodes_ok, 1);
    assert_eq!(server.logins(), 1);
}
