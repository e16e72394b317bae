//! TLS of the tender, against the simulated cluster. The certificates are made
//! here, for each test anew.

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

/// Why no node can be used.
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
    // The addresses are those of the TLS ports, and everybody learns the name.
    let mut ports: Vec<u16> = source.map().nodes.iter().map(|(_, n)| n.address.port()).collect();
    ports.sort_unstable();
    let mut wanted: Vec<u16> = sim.tls_seeds().iter().map(|seed| seed.port()).collect();
    wanted.sort_unstable();
    assert_eq!(ports, wanted);
    let names = source.map().nodes.iter().map(|(_, node)| node.tls_name.unwrap().to_string());
    assert_eq!(names.collect::<Vec<_>>(), [NAME; 3]);
    // One lasting connection to each.
    let accepted = |sim: &Sim| sim.status().unwrap().nodes[1].tls_accepted;
    let before = accepted(&sim);
    for _ in 0..5 {
        whole(&sim, &mut source);
    }
    assert_eq!(accepted(&sim), before);
    // A successor starts from the published names.
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
    // A host without a TLS name has to have a certificate for itself.
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
fn with_pki_the_certificate_names_the_user() {
    let authority = Authority::new();
    authority.issue("client", &["keeper"], false);
    let mut nodes = authority.nodes();
    nodes.cafile = Some(authority.path("ca.pem"));
    let mut sim_config = config(2, nodes);
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "no password is asked for")];
    let sim = Sim::start(sim_config).unwrap();
    let mut tls = authority.client();
    tls.certfile = Some(authority.path("client.pem"));
    tls.keyfile = Some(authority.path("client.key"));
    let mut pki = settings(&sim, tls);
    pki.credentials = Some(Credentials::new(AuthMode::Pki, "", "".into()).unwrap());
    let mut source = start(pki.clone());
    whole(&sim, &mut source);
    sim.drop_connections(1).unwrap();
    whole(&sim, &mut source);
    let status = sim.status().unwrap();
    assert_eq!((status.logins, status.authentications, status.logins_refused), (2, 1, 0));
    sim.remove_user("keeper").unwrap();
    let error = trouble(&mut start(pki));
    assert!(error.contains("no such user"), "{error}");
}

#[test]
fn logins_alone_may_go_over_tls() {
    let authority = Authority::new();
    let mut sim_config = config(3, authority.nodes());
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "sesame")];
    sim_config.session_lifetime = Some(Duration::from_secs(2));
    let sim = Sim::start(sim_config).unwrap();
    let mut tls = authority.client();
    tls.for_login_only = true;
    let mut settings = settings(&sim, tls);
    let credentials = Credentials::new(AuthMode::External, "keeper", "sesame".into());
    settings.credentials = Some(credentials.unwrap());
    let mut source = start(settings.clone());
    // An internal user of the simulated cluster proves itself by the hash, which
    // an external login bears too.
    whole(&sim, &mut source);
    let clear: Vec<_> = source.map().nodes.iter().map(|(_, node)| node.address.port()).collect();
    assert!(sim.seeds().iter().all(|seed| clear.contains(&seed.port())), "{clear:?}");
    let status = sim.status().unwrap();
    assert!(status.logins >= 3 && status.authentications >= 3, "{status:?}");
    assert_eq!(status.logins_refused, 0);
    // Renewed sessions come from the TLS ports too.
    let begun = Instant::now();
    while sim.status().unwrap().logins < status.logins + 3 {
        assert!(begun.elapsed() < LONG);
        whole(&sim, &mut source);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(sim.status().unwrap().logins_refused, 0);
}

/// Nodes that let people in by logins over TLS and do all else in clear, and how
/// to tend them.
fn login_only(authority: &Authority, nodes: usize) -> (Sim, AerospikeConfig) {
    let mut sim_config = config(nodes, authority.nodes());
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "sesame")];
    // A node that does not answer stays listed.
    sim_config.timings.notice = (10 * LONG, 10 * LONG);
    let sim = Sim::start(sim_config).unwrap();
    let mut tls = authority.client();
    tls.for_login_only = true;
    let mut settings = settings(&sim, tls);
    let credentials = Credentials::new(AuthMode::Internal, "keeper", "sesame".into());
    settings.credentials = Some(credentials.unwrap());
    (sim, settings)
}

/// Failures in a row of each node that has any, with the last error.
fn troubles(source: &AerospikeSource) -> Vec<(String, u32, Option<String>)> {
    let mut found = Vec::new();
    source.node_healths(&mut |_, id, trouble| {
        if trouble.failures > 0 || trouble.last_error.is_some() {
            found.push((id.to_string(), trouble.failures, trouble.last_error));
        }
    });
    found
}

#[test]
fn a_successor_with_logins_alone_over_tls_counts_no_node_as_failing_before_it_is_found() {
    let authority = Authority::new();
    // One node has no peers that could vouch for it.
    for nodes in [1, 4] {
        let (sim, settings) = login_only(&authority, nodes);
        let mut source = start(settings.clone());
        whole(&sim, &mut source);
        // It knows the clear addresses only, and begins at the seeds.
        let mut successor = AerospikeSource::new(settings);
        successor.start(source.map().clone());
        let mut log = Log::default();
        let report = successor.tend(&mut log).unwrap();
        assert_eq!((report.nodes_ok, report.nodes_failed), (nodes, 0), "{nodes}: {report:?}");
        assert_eq!(log.events, []);
        assert_eq!(troubles(&successor), []);
        assert!(!report.changed);
        assert_eq!(successor.map(), source.map(), "not even a slot is another one");
    }
}

#[test]
fn a_successor_with_logins_alone_over_tls_tells_which_node_it_does_not_find_and_why() {
    let authority = Authority::new();
    let (sim, mut settings) = login_only(&authority, 3);
    let mut source = start(settings.clone());
    whole(&sim, &mut source);
    let map = source.map().clone();
    sim.freeze(3).unwrap();
    settings.connect_timeout = Duration::from_millis(500);
    let mut successor = AerospikeSource::new(settings.clone());
    successor.start(map.clone());
    let (result, events) = tend(&mut successor);
    assert_eq!(result, Ok(2));
    let [TendEvent::NodeFailed { id, error, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(error.contains("no answer within"), "{error}");
    assert_eq!(troubles(&successor), [(id.to_string(), 1, Some(error.clone()))]);
    assert_eq!(tend(&mut successor), (Ok(2), vec![]), "told once");
    assert_eq!(*successor.map(), map, "what was known stands");
    let id = *id;
    sim.thaw(3).unwrap();
    let begun = Instant::now();
    let mut events = Vec::new();
    while !troubles(&successor).is_empty() {
        assert!(begun.elapsed() < LONG, "{:?}", troubles(&successor));
        events.extend(tend(&mut successor).1);
    }
    assert_eq!(events, [TendEvent::NodeRecovered { id }]);

    // No seed answers: that is what is told, not what nobody has tried.
    (1..=3).for_each(|number| sim.kill(number).unwrap());
    let mut successor = AerospikeSource::new(settings.clone());
    successor.start(map.clone());
    let error = trouble(&mut successor);
    assert!(error.contains(&settings.hosts[0].port().to_string()), "{error}");
    assert!(error.contains("no seed could be used"), "{error}");
    let errors: Vec<_> = troubles(&successor).into_iter().map(|(_, n, error)| (n, error)).collect();
    let unknown = "no server has reported yet where it accepts logins".to_owned();
    assert_eq!(errors, vec![(1, Some(unknown)); 3]);
}

#[test]
fn certificates_that_changed_on_disk_are_read_again() {
    let (old, new) = (Authority::new(), Authority::new());
    let sim = Sim::start(config(2, old.nodes())).unwrap();
    let mut source = start(settings(&sim, old.client()));
    whole(&sim, &mut source);
    // The nodes' certificates are of another authority from now on.
    sim.set_tls(new.nodes()).unwrap();
    sim.drop_connections(1).unwrap();
    let (_, events) = tend(&mut source);
    let failed = |event: &TendEvent| matches!(event, TendEvent::NodeFailed { error, .. } if error.contains("check cafile"));
    assert!(events.iter().any(failed), "{events:?}");
    std::fs::copy(new.path("ca.pem"), old.path("ca.pem")).unwrap();
    whole(&sim, &mut source);
    // A file that is no good changes nothing.
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
    // A client does not even begin with them.
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

#[test]
fn a_source_that_is_dropped_sends_no_goodbye() {
    // What a forked child drops it must not end for its parent: a TLS goodbye
    // on the inherited socket would. The server here counts what comes.
    let authority = Authority::new();
    authority.issue("node", &[NAME], false);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let server = std::thread::spawn(move || {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        let mut tls = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let mut requests = 0;
        loop {
            match tls.read_tls(&mut socket) {
                Ok(0) => return (requests, tls.process_new_packets().unwrap().peer_has_closed()),
                Ok(_) => {
                    let state = tls.process_new_packets().unwrap();
                    requests += state.plaintext_bytes_to_read();
                    while tls.wants_write() {
                        tls.write_tls(&mut socket).unwrap();
                    }
                    assert!(!state.peer_has_closed(), "a goodbye");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let mut config =
        AerospikeConfig::new(vec![format!("127.0.0.1:{NAME}:{}", address.port()).parse().unwrap()]);
    config.connect_timeout = Duration::from_millis(500);
    config.tls = Some(authority.client());
    let mut source = start(config);
    let error = trouble(&mut source);
    assert!(error.contains("no answer within"), "{error}");
    drop(source);
    let (requests, goodbye) = server.join().unwrap();
    assert!(requests > 0, "the handshake came about");
    assert!(!goodbye, "the socket was closed and nothing was sent");
}

/// A way to a server on which all that comes from it is counted, before it goes
/// on to whoever asked.
fn counted(server: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let passed = count.clone();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = std::net::TcpStream::connect(server).unwrap();
        let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut requests, &mut to));
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = server.read(&mut chunk) {
            passed.fetch_add(length as u64, Ordering::Relaxed);
            client.write_all(&chunk[..length]).unwrap();
        }
    });
    (address, count)
}

#[test]
fn every_byte_that_comes_is_counted_with_headers_logins_and_what_tls_adds() {
    let authority = Authority::new();
    let mut sim_config = config(1, authority.nodes());
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "sesame")];
    let sim = Sim::start(sim_config).unwrap();
    let credentials = Credentials::new(AuthMode::Internal, "keeper", "sesame".into()).unwrap();
    for tls in [None, Some(authority.client())] {
        let secure = tls.is_some();
        let server = if secure { sim.tls_seeds()[0] } else { sim.seeds()[0] };
        let (address, passed) = counted(server);
        // Else the node would be asked where it says that it is, past the counter.
        let service = if secure { "service-tls-std" } else { "service-clear-std" };
        sim.set_reply(1, service, Some(&address.to_string())).unwrap();
        let mut settings = settings(&sim, TlsConfig::default());
        settings.tls = tls;
        settings.hosts = vec![format!("127.0.0.1:{NAME}:{}", address.port()).parse().unwrap()];
        settings.credentials = Some(credentials.clone());
        let mut source = start(settings);
        let mut told = 0;
        for _ in 0..3 {
            told += source.tend(&mut Log::default()).unwrap().bytes_in;
            // All of them have been asked for, so nothing more is on the way.
            assert_eq!(told, passed.load(Ordering::Relaxed), "TLS: {secure}");
        }
        assert!(told > 1000, "a map of partitions alone is more: {told}");
    }
}

/// What is said of the only host in a survey.
fn said(config: &AerospikeConfig) -> String {
    let survey = tendmap::internals::tend::survey(config, &mut Log::default()).unwrap();
    assert!(survey.error.is_some());
    survey.hosts[0].addresses[0].node.clone().expect_err("nobody is understood there")
}

#[test]
fn h59_a_clear_port_with_tls_on_and_a_tls_port_with_tls_off_are_told_as_such() {
    let authority = Authority::new();
    let sim = Sim::start(config(1, authority.nodes())).unwrap();
    let (clear, secure) = (sim.seeds()[0], sim.tls_seeds()[0]);
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![format!("{}:{NAME}:{}", clear.ip(), clear.port()).parse().unwrap()];
    let text = said(&settings_of);
    assert!(text.contains("plaintext") && text.contains("TLS is on"), "{text}");
    assert!(text.contains(&secure.to_string()), "the port to use: {text}");
    let mut settings_of = AerospikeConfig::new(vec![secure.into()]);
    settings_of.connect_timeout = Duration::from_secs(5);
    let text = said(&settings_of);
    assert!(text.contains("speaks TLS at this port"), "{text}");
    // With security it is no less clear text.
    sim.set_security(true).unwrap();
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![format!("{}:{NAME}:{}", clear.ip(), clear.port()).parse().unwrap()];
    let text = said(&settings_of);
    assert!(text.contains("plaintext"), "{text}");
}

#[test]
fn h59_an_alert_of_tls_is_understood_by_the_tender() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            let _ = stream.read(&mut byte);
            // What OpenSSL answers to clear text.
            let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 256]);
        }
    });
    let mut source = start(AerospikeConfig::new(vec![address.into()]));
    let error = trouble(&mut source);
    assert!(error.contains("speaks TLS at this port"), "{error}");
}
