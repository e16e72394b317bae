//! Logins over TLS: by certificate, and with TLS for the login only.

use super::*;

#[test]
fn with_pki_the_certificate_names_the_user() {
    let authority = Authority::new();
    authority.issue("client", &["keeper"], false);
    let mut nodes = authority.nodes();
    nodes.cafile = Some(authority.path("ca.pem"));
    let mut sim_config = config(2, nodes);
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "the password is not used")];
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
    // An internal user of the simulated cluster is identified by the hash, which an
    // external login carries too.
    whole(&sim, &mut source);
    let clear: Vec<_> = source.map().nodes.iter().map(|(_, node)| node.address.port()).collect();
    assert!(sim.seeds().iter().all(|seed| clear.contains(&seed.port())), "{clear:?}");
    let status = sim.status().unwrap();
    assert!(status.logins >= 3 && status.authentications >= 3, "{status:?}");
    assert_eq!(status.logins_refused, 0);
    // Sessions are renewed over the TLS ports as well.
    let begun = Instant::now();
    while sim.status().unwrap().logins < status.logins + 3 {
        assert!(begun.elapsed() < LONG);
        whole(&sim, &mut source);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(sim.status().unwrap().logins_refused, 0);
}

/// Nodes that accept logins over TLS and everything else in clear, and the settings
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
    // A cluster of one node has no peers that could list it.
    for nodes in [1, 4] {
        let (sim, settings) = login_only(&authority, nodes);
        let mut source = start(settings.clone());
        whole(&sim, &mut source);
        // It knows only the clear addresses, and starts at the seeds.
        let mut successor = AerospikeSource::new(settings);
        successor.start(source.map().clone());
        let mut log = Log::default();
        let report = successor.tend(&mut log).unwrap();
        assert_eq!((report.nodes_ok, report.nodes_failed), (nodes, 0), "{nodes}: {report:?}");
        assert_eq!(log.events, []);
        assert_eq!(troubles(&successor), []);
        assert!(!report.changed);
        assert_eq!(successor.map(), source.map(), "not even a slot has changed");
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
    assert_eq!(tend(&mut successor), (Ok(2), vec![]), "reported once");
    assert_eq!(*successor.map(), map, "the known map is kept");
    let id = *id;
    sim.thaw(3).unwrap();
    let begun = Instant::now();
    let mut events = Vec::new();
    while !troubles(&successor).is_empty() {
        assert!(begun.elapsed() < LONG, "{:?}", troubles(&successor));
        events.extend(tend(&mut successor).1);
    }
    assert_eq!(events, [TendEvent::NodeRecovered { id }]);

    // No seed answers: the error says so, not that the nodes were never tried.
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
