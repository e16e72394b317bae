//! Logins and TLS: the store logs in once at each node, and sends nothing in
//! plaintext.

use super::*;

const SECRET: &str = "open sesame";

/// Nodes that require a login of `keeper`.
fn secured(nodes: usize) -> SimConfig {
    let mut config = SimConfig::fast(nodes);
    config.security = true;
    config.users = vec![SimUser::new("keeper", SECRET)];
    config
}

/// A file with the password, as an editor writes it.
fn password_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    file
}

#[test]
fn a_secured_cluster_is_logged_in_to_once_a_node_and_nothing_is_lost_when_sessions_end() {
    let sim = Sim::start(secured(3)).unwrap();
    let (seed, file) = (sim.seeds()[0].to_string(), password_file());
    let password = ["--password-file", file.path().to_str().unwrap()];
    let bench = Bench::over(sim, &[&[&seed, "--user", "keeper"], &password[..]].concat());
    bench.settle();
    let logins = || bench.sim.status().unwrap().logins;
    let tender = logins();
    let tally = bench.load(|progress| {
        // Any of three threads may be the first at a node.
        assert!(logins() - tender <= 9, "{}", logins());
        let before = bench.sim.status().unwrap();
        bench.sim.expire_sessions().unwrap();
        for number in 1..=3 {
            bench.sim.drop_connections(number).unwrap();
            go_on(progress);
        }
        assert!(logins() >= before.logins + 3, "{before:?} {:?}", bench.sim.status());
        // Security is disabled and enabled again.
        bench.sim.set_security(false).unwrap();
        (1..=3).for_each(|number| bench.sim.drop_connections(number).unwrap());
        go_on(progress);
        bench.sim.set_security(true).unwrap();
        go_on(progress);
        // A restarted node does not know earlier sessions.
        bench.sim.kill(2).unwrap();
        go_on(progress);
        bench.sim.start_node(2).unwrap();
        bench.settle();
        bench.sim.take_commands().unwrap();
        wait_until("the node is used again", || {
            bench.sim.take_commands().unwrap().iter().any(|command| command.number == 2)
        });
    });
    nothing_lost(&tally);
    // There are more connections than logins: the other connections used a token.
    assert!(bench.sim.status().unwrap().authentications > 0);
}

#[test]
fn with_tls_a_login_and_a_certificate_of_the_clients_own_nothing_goes_in_clear() {
    let authority = Authority::new();
    authority.issue("client", &["keeper"], false);
    let mut config = secured(3);
    let mut tls = authority.nodes();
    tls.cafile = Some(authority.path("ca.pem"));
    config.tls = Some(tls);
    let sim = Sim::start(config).unwrap();
    let (seed, file) = (sim.tls_seeds()[0], password_file());
    let host = format!("{}:{NAME}:{}", seed.ip(), seed.port());
    let paths = ["ca.pem", "client.pem", "client.key"].map(|name| authority.path(name));
    let [cafile, certfile, keyfile] = [0, 1, 2].map(|index| paths[index].to_str().unwrap());
    let mut args = vec![&*host, "--tls-cafile", cafile, "--tls-certfile", certfile];
    args.extend(["--tls-keyfile", keyfile, "--user", "keeper"]);
    args.extend(["--password-file", file.path().to_str().unwrap()]);
    let bench = Bench::over(sim, &args);
    bench.settle();
    let tally = bench.load(|progress| {
        bench.die(2, progress);
        bench.freeze(3, progress);
    });
    nothing_lost(&tally);
    let status = bench.sim.status().unwrap();
    let clear: u64 =
        status.nodes.iter().map(|node| node.connections_accepted - node.tls_accepted).sum();
    assert_eq!(clear, 0);
    assert!(status.logins >= 6, "the tender and the store log in to each node: {status:?}");

    // By the certificate alone.
    drop(bench.client);
    args.truncate(7);
    args.extend(["--auth-mode", "PKI"]);
    let bench = Bench::over(bench.sim, &args);
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    assert!(store.delete(1).unwrap().found);
}

#[test]
fn a_password_that_was_changed_is_not_tried_with_every_command() {
    let sim = Sim::start(secured(1)).unwrap();
    let (seed, file) = (sim.seeds()[0].to_string(), password_file());
    let password = ["--password-file", file.path().to_str().unwrap()];
    let mut bench = Bench::over(sim, &[&[&seed, "--user", "keeper"], &password[..]].concat());
    // Enough for a login on a busy machine; each command tries until then.
    bench.settings.total_timeout = Duration::from_millis(800);
    bench.sim.set_user(SimUser::new("keeper", "another one")).unwrap();
    let mut store = bench.store();
    let begun = Instant::now();
    let tried = || bench.sim.status().unwrap().logins_refused;
    let before = tried();
    for key in 0..6 {
        let error = store.put(key, &Bins::new()).unwrap_err();
        assert!(!error.in_doubt(), "{error}");
        let text = error.to_string();
        assert!(text.contains("check user, password") && !text.contains(SECRET), "{text}");
    }
    let allowed = 2 + begun.elapsed().as_secs();
    assert!(tried() - before <= allowed, "{} of {allowed}", tried() - before);
}
