//! A fork of a process that tends over TLS with a login: the session remains the
//! parent's, and the child creates its own.
//!
//! The only test in its file, because a child shares everything that its parent has
//! open.
#![cfg(all(feature = "sim", feature = "tls"))]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Event, Observer, Role};
use tendmap::route::{Partition, Policy};
use tendmap::sim::{Sim, SimConfig, SimStatus, SimUser};
use tendmap::tend::TendEvent;
use tendmap_testkit::authority::{Authority, NAME};
use tendmap_testkit::forked::forked;
use tendmap_testkit::wait_until;

const LONG: Duration = Duration::from_secs(30);

fn cluster(authority: &Authority) -> Sim {
    authority.issue("client", &["keeper"], false);
    let mut config = SimConfig::fast(3);
    let mut tls = authority.nodes();
    tls.cafile = Some(authority.path("ca.pem"));
    config.tls = Some(tls);
    config.security = true;
    config.users = vec![SimUser::new("keeper", "sesame")];
    Sim::start(config).unwrap()
}

fn config(sim: &Sim, authority: &Authority, directory: &tempfile::TempDir) -> Config {
    let mut config = tendmap_testkit::config(directory);
    // One seed, because a login at a seed that turns out not to be needed is cut
    // short.
    let seed = sim.tls_seeds()[0];
    config.hosts = vec![format!("{}:{NAME}:{}", seed.ip(), seed.port()).parse().unwrap()];
    config.connect_timeout = Duration::from_secs(5);
    (config.user, config.password) = (Some("keeper".into()), Some("sesame".into()));
    let mut tls = authority.client();
    tls.certfile = Some(authority.path("client.pem"));
    tls.keyfile = Some(authority.path("client.key"));
    config.tls = Some(tls);
    config
}

/// Logins, connections that have shown a token, connections, refusals.
fn counts(status: &SimStatus) -> [u64; 4] {
    let connections = status.nodes.iter().map(|node| node.connections_accepted).sum();
    [status.logins, status.authentications, connections, status.logins_refused]
}

#[test]
fn h27_a_child_leaves_the_tls_session_to_its_parent_and_logs_in_for_itself() {
    let authority = Authority::new();
    let sim = cluster(&authority);
    let directory = tendmap_testkit::directory();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let told = failures.clone();
    let mut watched = config(&sim, &authority, &directory);
    watched.observer = Some(Observer::new(move |event: &Event| match event {
        Event::TendFailed { .. }
        | Event::Fenced { .. }
        | Event::Tend(TendEvent::NodeFailed { .. }) => {
            told.lock().unwrap().push(format!("{event:?}"));
        }
        _ => {}
    }));
    let mut inherited = Some(Client::connect(watched).unwrap());
    let tends = |client: &Client| client.status().unwrap().tends;
    let whole = |client: &Client| client.map().unwrap().map.nodes.len() == 3;
    let parent = || inherited.as_ref().unwrap();
    wait_until("the whole map", || whole(parent()));
    let begun = tends(parent());
    wait_until("passes over the connections that there are", || tends(parent()) > begun + 2);
    let before = counts(&sim.status().unwrap());
    let [logins, authentications, connections, refused] = before;
    assert_eq!((logins, authentications, connections, refused), (3, 0, 3, 0));

    let mut own = config(&sim, &authority, &directory);
    let shared = own.clone();
    own.use_shm = false;
    let mut router = parent().router();
    let namespace = router.namespace("test").unwrap();
    let passes = tends(parent());
    forked(
        |pipe| {
            router.route(namespace, Partition(0), Policy::Master).unwrap();
            let begun = Instant::now();
            // The drop does not wait for the parent's thread, and sends nothing over
            // the parent's connections.
            drop((router, inherited.take()));
            assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
            let follower = Client::connect(shared).unwrap();
            assert!(matches!(follower.role(), Role::Standby | Role::Follower));
            assert!(whole(&follower));
            pipe.write_all(b"f").unwrap();
            pipe.read_exact(&mut [0]).unwrap();
            // It tends, with a session of its own.
            let own = Client::connect(own).unwrap();
            assert_eq!(own.role(), Role::Owner);
            wait_until("the whole map", || whole(&own));
            let begun = tends(&own);
            wait_until("passes of the child's own", || tends(&own) > begun + 2);
            own.close();
            follower.close();
            pipe.write_all(b"o").unwrap();
            pipe.read_exact(&mut [0]).unwrap();
        },
        |pipe| {
            pipe.read_exact(&mut [0]).unwrap();
            assert_eq!(counts(&sim.status().unwrap()), before, "a follower asks no server");
            pipe.write_all(b"g").unwrap();
            pipe.read_exact(&mut [0]).unwrap();
            pipe.write_all(b"g").unwrap();
        },
    );

    // The child has ended, so everything it had open is closed.
    let client = inherited.unwrap();
    let now = tends(&client);
    assert!(now > passes, "the parent tended meanwhile");
    wait_until("passes of the parent", || tends(&client) > now + 2);
    assert_eq!(client.role(), Role::Owner);
    let after = counts(&sim.status().unwrap());
    assert_eq!(after, [logins + 3, 0, connections + 3, 0], "the child's own, and no other");
    // Its session is still good, too.
    sim.drop_connections(2).unwrap();
    wait_until("another connection", || counts(&sim.status().unwrap())[2] > connections + 3);
    let now = tends(&client);
    wait_until("passes over it", || tends(&client) > now + 2);
    assert_eq!(counts(&sim.status().unwrap()), [logins + 3, 1, connections + 4, 0]);
    assert_eq!(*failures.lock().unwrap(), [] as [String; 0]);
    assert!(sim.settle(LONG));
    client.close();
    assert_eq!(tendmap_testkit::files(&directory), 0);
}
