//! Nodes that die, stop, freeze, move, join and leave.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tendmap::sim::{Sim, SimConfig, SimError, SimNodeState, Timings};

use crate::client::{Client, address, claimed, id, owners, settle, until};

fn three() -> Sim {
    Sim::start(SimConfig::fast(3)).unwrap()
}

/// A cluster in which nothing happens during a test unless the test asks for it.
fn slow(nodes: usize, change: impl FnOnce(&mut Timings)) -> Sim {
    let mut config = SimConfig::fast(nodes);
    let hour = Duration::from_secs(3600);
    config.timings.notice = (hour, hour);
    config.timings.join = (hour, hour);
    config.timings.thaw = hour;
    change(&mut config.timings);
    Sim::start(config).unwrap()
}

fn state(sim: &Sim, number: usize) -> SimNodeState {
    sim.status().unwrap().nodes[number - 1].state
}

/// Otherwise another cluster could get the port, and clients would find its node.
#[test]
fn h209_the_port_of_a_node_that_does_not_run_stays_its_own() {
    let sim = three();
    let used = |address: &SocketAddr| {
        let bound = TcpListener::bind(address).map(drop).map_err(|error| error.kind());
        let reached = TcpStream::connect(address).map(drop).map_err(|error| error.kind());
        assert_eq!(
            (bound, reached),
            (Err(ErrorKind::AddrInUse), Err(ErrorKind::ConnectionRefused))
        );
    };
    let old = address(&sim, 2);
    for stop in [Sim::kill, Sim::stop_clean] {
        stop(&sim, 2).unwrap();
        used(&old);
        sim.start_node(2).unwrap();
        assert!(TcpStream::connect(old).is_ok());
        until("node 2 is back", || state(&sim, 2) == SimNodeState::Running);
    }
    sim.move_node(2, 0).unwrap();
    used(&old);
    let moved = address(&sim, 2);
    sim.move_node(2, old.port()).unwrap();
    used(&moved);
    assert!(TcpStream::connect(old).is_ok());
    sim.remove(2).unwrap();
    used(&old);
    drop(sim);
    assert!(TcpListener::bind(old).is_ok());
}

#[test]
fn replies_of_all_nodes_together_are_the_ground_truth() {
    let sim = three();
    for namespace in ["test", "bar"] {
        let owners = owners(&sim, namespace);
        assert_eq!(claimed(&sim, &[1, 2, 3], namespace), owners);
        for row in owners {
            let mut distinct = row.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), row.len(), "a node twice, although nothing migrates");
        }
    }
}

#[test]
fn a_killed_node_is_refused_at_once_and_missed_later() {
    let sim = slow(3, |_| {});
    let mut open = Client::of(&sim, 3);
    open.ask("node");
    let mut client = Client::of(&sim, 1);
    let (before, address) = (client.body("peers-clear-std\nreplicas\n"), address(&sim, 3));
    sim.kill(3).unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(!matches!(open.stream.read(&mut [0]), Ok(1..)));
    assert_eq!(client.body("peers-clear-std\nreplicas\n"), before, "no node has noticed");
    assert_eq!(state(&sim, 3), SimNodeState::Stopped);
    assert!(!sim.status().unwrap().settled);
}

#[test]
fn survivors_change_peers_replicas_and_generations_together() {
    let sim = three();
    let mut client = Client::of(&sim, 1);
    let all = "peers-generation\nrebalance-generation\npeers-clear-std\nreplicas\n";
    let before = client.body(all);
    let lost = id(&sim, 3);
    sim.kill(3).unwrap();
    until("notice", || {
        let reply = client.body(all);
        let lines: Vec<&str> = reply.lines().collect();
        if reply == before {
            return false;
        }
        assert!(lines[0].ends_with("\t5"), "{}", lines[0]);
        assert!(lines[1].ends_with("\t2"), "{}", lines[1]);
        assert!(!lines[2].contains(&lost));
        let bar = lines[3].split(";bar:").nth(1).unwrap();
        assert!(bar.starts_with("0,2,"), "the effective replication factor: {}", &bar[..6]);
        true
    });
    settle(&sim);
    assert_eq!(claimed(&sim, &[1, 2], "test"), owners(&sim, "test"));
    assert!(owners(&sim, "test").iter().flatten().all(|owner| *owner != lost));
}

#[test]
fn survivors_may_notice_at_different_times() {
    let mut config = SimConfig::fast(8);
    config.timings.spread = Duration::from_millis(400);
    let sim = Sim::start(config).unwrap();
    let lost = id(&sim, 8);
    let mut clients: Vec<Client> = (1..8).map(|number| Client::of(&sim, number)).collect();
    sim.kill(8).unwrap();
    let mut mixed = false;
    until("the others notice", || {
        let unaware =
            clients.iter_mut().filter_map(|client| client.peers().contains(&lost).then_some(()));
        let unaware = unaware.count();
        mixed |= (1..7).contains(&unaware);
        unaware == 0
    });
    assert!(mixed, "all nodes noticed at the same time");
}

#[test]
fn a_started_node_answers_before_it_joins_and_claims_nothing() {
    let sim = slow(3, |timings| timings.notice = Timings::fast().notice);
    sim.kill(2).unwrap();
    settle(&sim);
    sim.start_node(2).unwrap();
    let mut client = Client::of(&sim, 2);
    assert_eq!(state(&sim, 2), SimNodeState::Starting);
    assert_eq!(client.ask("node"), id(&sim, 2));
    assert_eq!(client.number("partition-generation"), -1);
    assert_eq!(client.number("peers-generation"), 0);
    assert_eq!(client.number("rebalance-generation"), 0);
    assert_eq!(client.ask("peers-clear-std"), "0,3000,[]");
    for (name, (regime, columns)) in client.replicas() {
        assert_eq!((regime, columns.len()), (0, 1), "{name}");
        assert!(!columns[0].contains(&true), "{name}");
    }
    assert_eq!(Client::of(&sim, 1).peers(), [id(&sim, 3)]);
}

#[test]
fn generations_restart_with_the_process() {
    let sim = three();
    sim.set_generations(2, 5000, 77, 33).unwrap();
    assert_eq!(Client::of(&sim, 2).number("partition-generation"), 5000);
    sim.kill(2).unwrap();
    settle(&sim);
    sim.start_node(2).unwrap();
    settle(&sim);
    let mut client = Client::of(&sim, 2);
    // The generation counts each replica of `test` and `bar` that migrated to the
    // node.
    let migrated = 1 + owners(&sim, "test")
        .iter()
        .chain(&owners(&sim, "bar"))
        .flatten()
        .filter(|owner| **owner == id(&sim, 2))
        .count();
    assert_eq!(client.number("partition-generation"), migrated as i32);
    assert_eq!(client.number("peers-generation"), 4);
    assert_eq!(client.number("rebalance-generation"), 1);
}

#[test]
fn while_replicas_migrate_the_acting_master_stands_in_several_columns() {
    let mut config = SimConfig::fast(3);
    config.timings.migration = Duration::from_millis(600);
    let sim = Sim::start(config).unwrap();
    sim.kill(3).unwrap();
    settle(&sim);
    let whole = owners(&sim, "bar");
    sim.start_node(3).unwrap();
    let mut client = Client::of(&sim, 1);
    let mut generations = Vec::new();
    let mut repeats = Vec::new();
    until("migrations end", || {
        generations.push(client.number("partition-generation"));
        repeats.push(
            owners(&sim, "bar")
                .iter()
                .filter(|row| {
                    row.len() == 3 && { row[0] == row[1] || row[1] == row[2] || row[0] == row[2] }
                })
                .count(),
        );
        sim.status().unwrap().settled
    });
    generations.dedup();
    assert!(generations.len() > 5, "the generation changes all the time: {generations:?}");
    assert!(generations.is_sorted());
    assert!(repeats.contains(&4096), "all of its data was lost: {repeats:?}");
    assert!(repeats.iter().any(|&count| (1..4096).contains(&count)), "{repeats:?}");
    let after = owners(&sim, "bar");
    assert!(after.iter().all(|row| row.len() == 3));
    let back = id(&sim, 3);
    let without: Vec<Vec<String>> = after
        .iter()
        .map(|row| row.iter().filter(|owner| **owner != back).cloned().collect())
        .collect();
    assert_eq!(without, whole, "minimal movement");
    assert_eq!(claimed(&sim, &[1, 2, 3], "bar"), after);
}

#[test]
fn a_frozen_node_accepts_and_is_silent_and_is_dropped() {
    let sim = three();
    sim.freeze(2).unwrap();
    let mut client = Client::of(&sim, 2);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    std::io::Write::write_all(&mut client.stream, &crate::client::frame(2, 1, b"node\n")).unwrap();
    assert!(client.receive().is_err());
    until("the others drop it", || Client::of(&sim, 1).peers() == [id(&sim, 3)]);
    assert_eq!(state(&sim, 2), SimNodeState::Frozen);
}

#[test]
fn a_node_that_wakes_believes_for_a_while_that_it_is_master() {
    let sim = slow(3, |timings| timings.notice = Timings::fast().notice);
    let before = Client::of(&sim, 2).replicas();
    sim.freeze(2).unwrap();
    settle(&sim);
    let mut waiting = Client::of(&sim, 2);
    std::io::Write::write_all(&mut waiting.stream, &crate::client::frame(2, 1, b"node\n")).unwrap();
    sim.thaw(2).unwrap();
    assert!(waiting.receive().is_ok(), "a request from the frozen time is answered");
    let mut client = Client::of(&sim, 2);
    assert_eq!(client.replicas(), before);
    assert_eq!(client.peers(), [id(&sim, 1), id(&sim, 3)]);
    let others = [1, 3].map(|number| Client::of(&sim, number).replicas().remove("test").unwrap().1);
    let (_, mine) = &before["test"];
    let twice = (0..4096).filter(|&p| mine[0][p] && others.iter().any(|other| other[0][p])).count();
    assert!(twice > 0, "two masters of some partitions");
}

#[test]
fn a_node_that_was_frozen_joins_again_in_the_same_process() {
    let sim = three();
    sim.freeze(2).unwrap();
    until("the others drop it", || Client::of(&sim, 1).peers() == [id(&sim, 3)]);
    sim.thaw(2).unwrap();
    settle(&sim);
    let mut client = Client::of(&sim, 2);
    assert!(client.number("partition-generation") > 0);
    assert!(client.number("peers-generation") > 4, "its generations continue");
    assert_eq!(claimed(&sim, &[1, 2, 3], "bar"), owners(&sim, "bar"));
}

#[test]
fn a_short_freeze_goes_unnoticed() {
    let sim = slow(3, |_| {});
    let before = owners(&sim, "test");
    sim.freeze(2).unwrap();
    sim.thaw(2).unwrap();
    settle(&sim);
    assert_eq!(claimed(&sim, &[1, 2, 3], "test"), before);
}

#[test]
fn an_isolated_node_claims_everything_until_it_is_healed() {
    let sim = three();
    sim.isolate(2).unwrap();
    let mut client = Client::of(&sim, 2);
    assert_eq!(client.peers(), Vec::<String>::new());
    for (name, (_, columns)) in client.replicas() {
        assert_eq!(columns.len(), 1, "{name}");
        assert!(!columns[0].contains(&false), "{name}");
    }
    settle(&sim);
    assert_eq!(Client::of(&sim, 1).peers(), [id(&sim, 3)]);
    sim.heal(2).unwrap();
    settle(&sim);
    assert_eq!(claimed(&sim, &[1, 2, 3], "test"), owners(&sim, "test"));
}

#[test]
fn a_moved_node_keeps_its_id_and_is_first_listed_under_its_old_address() {
    let mut config = SimConfig::fast(3);
    config.timings.stale_address = Duration::from_millis(1000);
    let sim = Sim::start(config).unwrap();
    let (name, old) = (id(&sim, 2), address(&sim, 2));
    let port = sim.move_node(2, 0).unwrap();
    let new = address(&sim, 2);
    assert_eq!(new.port(), port);
    assert_ne!(old, new);
    assert!(TcpStream::connect(old).is_err());
    assert_eq!(Client::connect(new).ask("node"), name);
    let mut client = Client::of(&sim, 1);
    let mut listed = Vec::new();
    until("the new address", || {
        let joined = Client::connect(new).number("partition-generation") > -1;
        listed.extend(client.hosts().remove(&name).filter(|_| joined));
        listed.last().is_some_and(|host| *host == new.to_string())
    });
    assert_eq!(listed[0], old.to_string(), "{listed:?}");
    settle(&sim);
    assert_eq!(Client::of(&sim, 3).hosts()[&name], new.to_string());
}

#[test]
fn a_node_that_restarts_before_its_death_is_noticed_joins_without_data() {
    let sim = slow(3, |timings| timings.join = Timings::fast().join);
    sim.kill(3).unwrap();
    sim.start_node(3).unwrap();
    let (name, mut client) = (id(&sim, 3), Client::of(&sim, 1));
    let whole = claimed(&sim, &[1, 2], "bar").iter().filter(|row| row.len() == 3).count();
    assert!(whole < 4096, "no node claims its replicas");
    until("it joins", || Client::of(&sim, 3).number("partition-generation") > -1);
    assert!(client.peers().contains(&name));
    until("migrations", || sim.status().unwrap().migrations == 0);
    assert_eq!(claimed(&sim, &[1, 2, 3], "bar"), owners(&sim, "bar"));
}

#[test]
fn nodes_come_and_go_for_good() {
    let sim = three();
    let number = sim.add().unwrap();
    assert_eq!(number, 4);
    settle(&sim);
    assert_eq!(Client::of(&sim, 1).peers().len(), 3);
    assert!(owners(&sim, "test").iter().flatten().any(|owner| *owner == id(&sim, 4)));
    sim.remove(1).unwrap();
    assert!(matches!(sim.kill(1), Err(SimError::NoSuchNode { number: 1, .. })));
    settle(&sim);
    let status = sim.status().unwrap();
    let numbers: Vec<usize> = status.nodes.iter().map(|node| node.number).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(Client::of(&sim, 4).peers().len(), 2);
    assert_eq!(sim.add().unwrap(), 5, "numbers are not used again");
}

#[test]
fn a_cluster_that_was_dead_as_a_whole_comes_back() {
    let sim = three();
    (1..=3).for_each(|number| sim.stop_clean(number).unwrap());
    settle(&sim);
    (1..=3).for_each(|number| sim.start_node(number).unwrap());
    settle(&sim);
    assert_eq!(claimed(&sim, &[1, 2, 3], "bar"), owners(&sim, "bar"));
    assert!(owners(&sim, "bar").iter().all(|row| row.len() == 3));
}

#[test]
fn what_does_not_fit_a_nodes_state_is_refused_with_the_reason() {
    let sim = three();
    assert_eq!(sim.kill(9).unwrap_err().to_string(), "there is no node 9; the nodes are 1, 2, 3");
    let error = sim.start_node(1).unwrap_err().to_string();
    assert_eq!(error, "node 1 is running; wanted one that is stopped");
    let taken = address(&sim, 2).port();
    assert!(matches!(sim.move_node(1, taken), Err(SimError::Listen { .. })));
    assert_eq!(Client::of(&sim, 1).ask("node"), id(&sim, 1), "nothing has changed");
}

#[test]
fn hundreds_of_nodes_answer() {
    let sim = Sim::start(SimConfig::fast(256)).unwrap();
    let mut clients: Vec<Client> = sim
        .seeds()
        .into_iter()
        .flat_map(|seed| [Client::connect(seed), Client::connect(seed)])
        .collect();
    for client in &mut clients {
        assert_eq!(client.ask("peers-clear-std").matches("BB9").count(), 255);
    }
    let status = sim.status().unwrap();
    assert!(status.nodes.iter().all(|node| node.connections == 2));
    assert!(status.nodes.iter().all(|node| node.connections_accepted == 2));
    assert!(status.nodes.iter().all(|node| node.info_requests == 2));
}
