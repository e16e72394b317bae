//! TLS of the tender, against the simulated cluster. Each test makes its own
//! certificates.

mod logins;
mod streams;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tendmap::client::{Config, ConfigError};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::sim::{Sim, SimConfig, SimTls, SimUser};
use tendmap::tend::tls::{TlsConfig, TlsError};
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, TendError, TendEvent};
use tendmap::wire::Host;
use tendmap::wire::login::{AuthMode, Credentials};
use tendmap_testkit::authority::{Authority, NAME};
use tendmap_testkit::tables::Log;

const LONG: Duration = Duration::from_secs(30);

fn config(nodes: usize, tls: SimTls) -> SimConfig {
    let mut config = SimConfig::fast(nodes);
    config.tls = Some(tls);
    config
}

fn seed(sim: &Sim, name: &str) -> Host {
    let address = sim.tls_seeds()[0];
    format!("{}:{name}:{}", address.ip(), address.port()).parse().unwrap()
}

fn settings(sim: &Sim, tls: TlsConfig) -> AerospikeConfig {
    let mut config = AerospikeConfig::new(vec![seed(sim, NAME)]);
    config.connect_timeout = Duration::from_secs(5);
    config.tls = Some(tls);
    config
}

fn start(config: AerospikeConfig) -> AerospikeSource {
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(Capacity::DEFAULT));
    source
}

fn tend(source: &mut AerospikeSource) -> (Result<usize, TendError>, Vec<TendEvent>) {
    let mut log = Log::default();
    let result = source.tend(&mut log).map(|report| report.nodes_ok);
    (result, log.events)
}

/// The error of a pass in which no node can be used.
fn trouble(source: &mut AerospikeSource) -> String {
    tend(source).0.expect_err("a pass that fails").to_string()
}

fn whole(sim: &Sim, source: &mut AerospikeSource) {
    let nodes = sim.status().unwrap().nodes.len();
    let begun = Instant::now();
    while tend(source).0 != Ok(nodes) {
        assert!(begun.elapsed() < LONG, "{:?}", tend(source));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(source.map().nodes.len(), nodes);
}

/// Connections in clear that the nodes have accepted.
fn in_clear(sim: &Sim) -> u64 {
    let status = sim.status().unwrap();
    status.nodes.iter().map(|node| node.connections_accepted - node.tls_accepted).sum()
}

#[test]
fn all_is_asked_over_tls_and_nothing_in_clear() {
    let authority = Authority::new();
    let sim = Sim::start(config(3, authority.nodes())).unwrap();
    let mut source = start(settings(&sim, authority.client()));
    whole(&sim, &mut source);
    assert_eq!(in_clear(&sim), 0);
    // The addresses are those of the TLS ports, and every node has the TLS name.
    let mut ports: Vec<u16> = source.map().nodes.iter().map(|(_, n)| n.address.port()).collect();
    ports.sort_unstable();
    let mut wanted: Vec<u16> = sim.tls_seeds().iter().map(|seed| seed.port()).collect();
    wanted.sort_unstable();
    assert_eq!(ports, wanted);
    let names = source.map().nodes.iter().map(|(_, node)| node.tls_name.unwrap().to_string());
    assert_eq!(names.collect::<Vec<_>>(), [NAME; 3]);
    // One lasting connection to each node.
    let accepted = |sim: &Sim| sim.status().unwrap().nodes[1].tls_accepted;
    let before = accepted(&sim);
    for _ in 0..5 {
        whole(&sim, &mut source);
    }
    assert_eq!(accepted(&sim), before);
    // A successor starts with the published names.
    let mut successor = AerospikeSource::new(settings(&sim, authority.client()));
    successor.start(source.map().clone());
    let (result, events) = tend(&mut successor);
    assert_eq!((result, events), (Ok(3), vec![]));
}

#[test]
fn nodes_that_die_and_come_back_are_found_again() {
    let authority = Authority::new();
    let sim = Sim::start(config(3, authority.nodes())).unwrap();
    let mut source = start(settings(&sim, authority.client()));
    whole(&sim, &mut source);
    sim.kill(2).unwrap();
    let begun = Instant::now();
    while source.map().nodes.len() != 2 {
        assert!(begun.elapsed() < LONG);
        let _ = tend(&mut source);
    }
    sim.start_node(2).unwrap();
    assert!(sim.settle(LONG));
    whole(&sim, &mut source);
    sim.move_node(3, 0).unwrap();
    assert!(sim.settle(LONG));
    whole(&sim, &mut source);
    assert_eq!(in_clear(&sim), 0);
}

#[test]
fn a_name_or_authority_other_than_the_wanted_ones_is_told_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sim = Sim::start(config(1, authority.nodes())).unwrap();
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![seed(&sim, "cluster-b")];
    let error = trouble(&mut start(settings_of));
    assert!(error.contains("not valid for name \"cluster-b\""), "{error}");
    assert!(error.contains("check the host's TLS name"), "{error}");
    let error = trouble(&mut start(settings(&sim, other.client())));
    assert!(error.contains("; check cafile"), "{error}");
    // A host without a TLS name needs a certificate for its own name or address.
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![sim.tls_seeds()[0].into()];
    let error = trouble(&mut start(settings_of));
    assert!(error.contains("127.0.0.1"), "{error}");
    authority.issue("local", &["localhost", "127.0.0.1"], false);
    let tls = SimTls::new(authority.path("local.pem"), authority.path("local.key"));
    let sim = Sim::start(config(2, tls)).unwrap();
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![sim.tls_seeds()[0].into()];
    whole(&sim, &mut start(settings_of));
}

#[test]
fn a_server_that_speaks_no_tls_is_told_as_such() {
    let authority = Authority::new();
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let mut settings = settings(&sim, authority.client());
    settings.hosts = vec![sim.seeds()[0].into()];
    let error = trouble(&mut start(settings));
    assert!(error.contains("check that it speaks TLS at this port"), "{error}");
}

#[test]
fn servers_may_ask_for_the_clients_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    clients.issue("client", &["keeper"], false);
    let mut nodes = authority.nodes();
    nodes.cafile = Some(clients.path("ca.pem"));
    let sim = Sim::start(config(2, nodes)).unwrap();
    let error = trouble(&mut start(settings(&sim, authority.client())));
    assert!(error.contains("set certfile and keyfile"), "{error}");
    let mut tls = authority.client();
    tls.certfile = Some(clients.path("client.pem"));
    tls.keyfile = Some(clients.path("client.key"));
    whole(&sim, &mut start(settings(&sim, tls)));
}

#[test]
fn certificates_that_changed_on_disk_are_read_again() {
    let (old, new) = (Authority::new(), Authority::new());
    let sim = Sim::start(config(2, old.nodes())).unwrap();
    let mut source = start(settings(&sim, old.client()));
    whole(&sim, &mut source);
    // From now on the nodes' certificates are from another authority.
    sim.set_tls(new.nodes()).unwrap();
    sim.drop_connections(1).unwrap();
    let (_, events) = tend(&mut source);
    let failed = |event: &TendEvent| matches!(event, TendEvent::NodeFailed { error, .. } if error.contains("check cafile"));
    assert!(events.iter().any(failed), "{events:?}");
    std::fs::copy(new.path("ca.pem"), old.path("ca.pem")).unwrap();
    whole(&sim, &mut source);
    // An invalid file changes nothing.
    std::fs::write(old.path("ca.pem"), "half a certificate").unwrap();
    sim.drop_connections(1).unwrap();
    sim.drop_connections(2).unwrap();
    whole(&sim, &mut source);
}

#[test]
fn an_expired_certificate_is_told_as_such() {
    let authority = Authority::new();
    authority.issue("old", &[NAME], true);
    let mut nodes = SimTls::new(authority.path("old.pem"), authority.path("old.key"));
    nodes.name = Some(NAME.into());
    let sim = Sim::start(config(1, nodes)).unwrap();
    let error = trouble(&mut start(settings(&sim, authority.client())));
    assert!(error.contains("xpired") && error.contains("renewed"), "{error}");
}

#[test]
fn bad_files_are_named_with_the_setting_and_what_was_wanted() {
    let authority = Authority::new();
    authority.issue("a", &["a"], false);
    authority.issue("b", &["b"], false);
    std::fs::write(authority.path("text"), "no certificate").unwrap();
    let key = std::fs::read_to_string(authority.path("a.key")).unwrap();
    std::fs::write(authority.path("broken"), key.replace("-----END", "-----")).unwrap();
    let of = |cafile: &str, certfile: Option<&str>, keyfile: Option<&str>| {
        let mut tls = TlsConfig::default();
        tls.cafile = Some(authority.path(cafile));
        tls.certfile = certfile.map(|file| authority.path(file));
        tls.keyfile = keyfile.map(|file| authority.path(file));
        tls.check().unwrap_err().to_string()
    };
    let cases = [
        (of("none.pem", None, None), "cafile", "none.pem", "check its path"),
        (of("text", None, None), "cafile", "text", "wanted one or more certificates"),
        (of("ca.pem", Some("a.pem"), None), "certfile", "keyfile", "set both"),
        (of("ca.pem", None, Some("a.key")), "keyfile", "certfile", "set both"),
        (of("ca.pem", Some("a.pem"), Some("a.pem")), "keyfile", "a.pem", "a private key"),
        (of("ca.pem", Some("a.pem"), Some("broken")), "keyfile", "broken", "END line"),
        (of("ca.pem", Some("a.pem"), Some("b.key")), "certfile", "b.key", "and its key"),
    ];
    for (error, what, file, todo) in cases {
        assert!(error.contains(what) && error.contains(file) && error.contains(todo), "{error}");
        assert!(!key.lines().any(|line| line.len() > 30 && error.contains(line)), "{error}");
    }
    // A client refuses such files before it starts.
    let mut config = Config::new(vec!["localhost:3000".parse().unwrap()]);
    config.tls = Some(TlsConfig::default());
    config.tls.as_mut().unwrap().cafile = Some(PathBuf::from("/nowhere/ca.pem"));
    match config.check() {
        Err(ConfigError::Tls(TlsError::File { path, .. })) => {
            assert_eq!(path, Path::new("/nowhere/ca.pem"));
        }
        other => panic!("{other:?}"),
    }
}
