//! Readers and followers: their cost, their permissions, and their own decisions.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use tendmap::client::{Client, Reader};
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap, Slot};
use tendmap::sim::{Sim, SimConfig};

use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{Cluster, add_namespace, directory, node, wait_until};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("h26_10000_node_changes_leave_nothing_behind_in_a_follower", flat),
        ("h34_racks_are_published_whoever_owns_and_each_process_chooses_for_itself", racks),
        ("h29_a_reader_of_the_group_reads_on_and_may_write_nothing", group_reader),
    ]
}

/// Sixteen nodes, none of which were in the round before.
fn replace_all(map: &mut ClusterMap, round: u16) {
    for index in 0..16 {
        let slot = Slot::new(index).unwrap();
        map.remove_node(slot);
        let fresh = node(16 * round + index as u16);
        assert_eq!(map.nodes.insert(fresh).unwrap(), slot);
    }
    add_namespace(map, "test", 1);
}

fn flat() {
    const ROUNDS: u16 = 625;
    const SETTLED: u16 = 100;
    let directory = directory();
    let setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
    let CreateOutcome::Owner(mut owner) =
        create(&setup.place(), 1, Capacity::DEFAULT, None).unwrap()
    else {
        panic!("the directory was empty");
    };
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    replace_all(&mut map, 0);
    owner.publish(&map).unwrap();
    let mut follower = Worker::start("keep", &setup);
    follower.expect("connected");
    let mut settled = None;
    for round in 1..=ROUNDS {
        replace_all(&mut map, round);
        owner.turn().unwrap();
        let sequence = owner.publish(&map).unwrap().expect("all nodes are others");
        let now = follower.ask(&sequence.to_string(), "kept");
        assert_eq!(now["living"], 16, "round {round}: {now}");
        if round == SETTLED {
            settled = Some(now);
        } else if round == ROUNDS {
            let then = settled.take().unwrap();
            for what in ["descriptors", "threads"] {
                assert_eq!(now[what], then[what], "{what}: {then}, then {now}");
            }
            // The state of 8,400 nodes would take 131 MiB.
            let kb = |at: &serde_json::Value| at["resident_kb"].as_u64().unwrap();
            assert!(kb(&now) < kb(&then) + 8 * 1024, "memory: {then}, then {now}");
        }
    }
}

fn racks() {
    let mut config = SimConfig::fast(4);
    config.enterprise = true;
    let sim = Sim::start(config).unwrap();
    let rack_of = |number: usize| 10 + (number as i32 % 2);
    for number in 1..=4 {
        sim.set_rack(number, "test", rack_of(number)).unwrap();
    }
    let directory = directory();
    let hosts = sim.seeds().iter().map(ToString::to_string).collect();
    let setup = Setup::new(directory.path(), hosts);
    // Neither of them has a setting for racks.
    let owner = Worker::client(&setup);
    let next = Worker::client(&setup);
    let reader = Reader::attach(&setup.place()).unwrap();
    let told = || {
        let found = reader.map().unwrap().map;
        let test = found.namespaces().iter().find(|it| it.name.as_str() == "test").unwrap();
        let mut racks: Vec<_> = found.nodes.iter().map(|(slot, _)| test.rack(slot)).collect();
        racks.sort();
        // From the map alone, a process that prefers rack 11 finds a replica there, or
        // finds that there is none.
        let near = |&partition: &usize| {
            let owners = (0..2).filter_map(|replica| test.partitions.holder(partition, replica));
            owners.into_iter().any(|slot| test.rack(slot) == Some(11))
        };
        (racks, (0..4096).filter(near).count())
    };
    let all = [Some(10), Some(10), Some(11), Some(11)];
    wait_until("the racks of all nodes", || told().0 == all);
    assert!(told().1 > 1000, "{} partitions have a replica in rack 11", told().1);
    owner.kill();
    next.expect("owner");
    let before = reader.status().unwrap().tends;
    wait_until("the next owner has tended", || reader.status().unwrap().tends > before + 2);
    assert_eq!(told().0, all, "the next owner publishes them, too");
}

const NOBODY: u32 = 65_534;
const GROUP: u32 = 54_321;

fn group_reader() {
    if !rustix::process::geteuid().is_root() {
        tendmap_testkit::skipped("only root can start a process of another user");
        return;
    }
    let directory = directory();
    // New files get the directory's group.
    chown(directory.path(), None, Some(GROUP)).unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o2750)).unwrap();
    let mut setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
    setup.mode = 0o640;
    let cluster = Cluster::new(3, 1);
    let owner = Client::connect_with(setup.config(), cluster.source()).unwrap();
    let mut reader = Worker::of_user("read", &setup, NOBODY, GROUP);
    reader.expect("connected");
    assert_eq!(reader.ask("map", "map")["nodes"], 3);
    let written = reader.ask("write", "write");
    let refused = "permission denied";
    assert_eq!(written["refused"], serde_json::json!([refused, refused]), "{written}");
    assert_eq!(written["mapped"], serde_json::json!(["r--s"]), "{written}");
    let status = reader.ask("status", "status");
    assert_eq!((&status["healthy"], &status["attached"]), (&true.into(), &2.into()), "{status}");
    assert_eq!(owner.status().unwrap().attached, Some(2), "it counts as attached");

    cluster.change(|map| {
        map.nodes.insert(node(3)).unwrap();
    });
    wait_until("a later publication", || reader.ask("map", "map")["nodes"] == 4);
    cluster.change(|map| {
        map.raise_capacity(64, 64);
        for number in 4..20 {
            map.nodes.insert(node(number)).unwrap();
        }
    });
    wait_until("the next generation", || reader.ask("map", "map")["nodes"] == 20);
    assert_eq!(reader.ask("map", "map")["generation"], 2);
    assert_eq!(reader.ask("route", "routed")["routed"], 4096);

    owner.close();
    let status = reader.ask("status", "status");
    assert_eq!((&status["healthy"], &status["owner_alive"]), (&false.into(), &false.into()));
    assert_eq!(reader.ask("route", "routed")["routed"], 4096, "reading goes on without an owner");

    let stranger = Worker::of_user("read", &setup, NOBODY, GROUP + 1);
    let error = stranger.hears("error", std::time::Duration::from_secs(30)).expect("refused");
    assert!(error["text"].as_str().unwrap().contains("Permission denied"), "{error}");
}
