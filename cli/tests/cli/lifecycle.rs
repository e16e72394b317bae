//! Processes that start and end, and the output of `ls` and `rm` for them.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, keys, wait_until};

fn segments(place: &Place) -> Vec<Value> {
    place.json(&["ls", "--json"])["segments"].as_array().unwrap().clone()
}

#[test]
fn tend_tells_what_happens_and_hands_the_ownership_over() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut first = place.tend(&sim, &[]);
    let told: Vec<&str> = first.heard.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(told[0], "owner");
    assert_eq!(told.iter().filter(|&&event| event == "node_added").count(), 3);
    assert_eq!(told.iter().filter(|&&event| event == "namespace_added").count(), 2);
    let pid = first.pid();
    assert!(first.heard.iter().all(|line| line["pid"] == pid), "{:?}", first.heard);
    assert_eq!(first.heard.last().unwrap()["role"], "owner");

    let mut second = place.tend(&sim, &[]);
    assert_ne!(second.heard.last().unwrap()["role"], "owner");
    // Its thread may report this shortly after it has connected.
    if second.heard[0]["event"] != "follower" {
        second.until("follower");
    }
    assert_eq!(segments(&place)[0]["attached"], 2);

    sim.kill(3).unwrap();
    let removed = first.until("node_removed");
    assert_eq!(removed["node"], sim.status().unwrap().nodes[2].node);
    assert!(first.until("published")["sequence"].as_u64().unwrap() > 1);

    assert_eq!(first.interrupt(), 0);
    assert_eq!(first.heard.last().unwrap()["event"], "closed");
    let takeover = second.until("takeover");
    assert_eq!((&takeover["term"], &takeover["pid"]), (&json!(2), &json!(second.pid())));

    // The last one out removes the segment.
    assert_eq!(second.interrupt(), 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_killed_owner_is_replaced_and_the_takeover_counted() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut first = place.tend(&sim, &[]);
    let mut second = place.tend(&sim, &[]);
    let mut third = place.tend(&sim, &[]);
    first.kill();
    // The new owner first takes the term in the head, then records its pid.
    let mut status = Value::Null;
    wait_until("a takeover", || {
        status = place.run(&["status", "--json"]).json();
        status["owner_alive"] == true && status["owner_pid"].is_u64()
    });
    assert_eq!((&status["term"], &status["takeovers"]), (&json!(2), &json!(1)));
    let (owner, follower) = if status["owner_pid"] == second.pid() {
        (&mut second, &mut third)
    } else {
        (&mut third, &mut second)
    };
    owner.until("takeover");
    assert_eq!(follower.until("new_owner")["term"], 2);
    wait_until("a tend", || place.run(&["status"]).code() == 0);
}

#[test]
fn without_shared_memory_nothing_is_left_to_see() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let mut alone = place.tend(&sim, &["--use-shm", "false"]);
    assert_eq!(segments(&place), [] as [Value; 0]);
    assert_eq!(alone.interrupt(), 0);
}

#[test]
fn ls_tells_how_each_segment_stands() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let _owned = place.tend(&sim, &["--shm-key", "1"]);
    place.tend(&sim, &["--shm-key", "2"]).kill();
    place.tend(&sim, &["--shm-key", "3"]).kill();
    // The head is the word after the header; its bit 47 says retired.
    let path = place.path().join("tendmap-00000003-v3-g1");
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 256 + 5).unwrap();
    file.write_all_at(&[byte[0] | 0x80], 256 + 5).unwrap();
    fs::write(place.path().join("tendmap-00000004-v9-g1"), [0; 64]).unwrap();
    fs::write(place.path().join("tendmap-00000005-v3-g1"), [0; 64]).unwrap();
    fs::write(place.path().join("tendmap-strange"), [0; 64]).unwrap();

    let listed = segments(&place);
    let names = [
        "key",
        "backend",
        "path",
        "shmid",
        "layout_version",
        "generation",
        "cluster_name",
        "health",
        "tended_age_ms",
        "created_age_ms",
        "user",
        "mode",
        "bytes",
        "attached",
        "nattch",
        "status",
    ];
    assert_eq!(keys(&listed[0]), names);
    let told: Vec<(u64, &str, &Value)> = listed
        .iter()
        .map(|found| {
            let (key, status) = (found["key"].as_u64(), found["status"].as_str());
            (key.unwrap(), status.unwrap(), &found["attached"])
        })
        .collect();
    let wanted = [
        (1, "owned", &json!(1)),
        (2, "orphaned", &json!(0)),
        (3, "retired", &json!(0)),
        (4, "other version", &json!(0)),
        (5, "damaged", &Value::Null),
    ];
    assert_eq!(told, wanted);
    assert_eq!(listed[0]["mode"], "0600");

    let text = place.run(&["ls"]).stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[1].starts_with("0x00000001 "), "{text}");
    // Every health begins in the same column.
    let at = lines[0].find("health").unwrap();
    assert!(lines[1][at..].starts_with("healthy") && lines[2][at..].starts_with("stale"));
    let width = lines.iter().map(|line| line.chars().count()).max();
    assert!(
        width <= Some(80) && lines[0].contains("user") && !lines[0].contains("owner"),
        "{text}"
    );
    assert!(lines[4][at..].starts_with("version 9"), "{text}");
    assert!(lines[5][at..].starts_with("damaged"), "{text}");
    let healths = listed.iter().map(|found| found["health"].as_str().unwrap());
    let wanted = ["healthy", "stale", "stale", "other version", "damaged"];
    assert_eq!(healths.collect::<Vec<_>>(), wanted);
    assert_eq!(
        (&listed[0]["cluster_name"], &listed[3]["cluster_name"]),
        (&json!("tend-sim"), &Value::Null)
    );
    assert!(listed[1]["tended_age_ms"].is_u64() && listed[4]["tended_age_ms"].is_null());
    let one = place.json(&["ls", "--json", "--shm-key", "2"]);
    assert_eq!(one["segments"].as_array().unwrap().len(), 1);
    // A retired segment without a successor still has its last map.
    assert_eq!(place.run(&["map", "--shm-key", "3"]).code(), 0);
    assert_eq!(place.run(&["status", "--shm-key", "3"]).code(), 1);
}

#[test]
fn rm_refuses_while_a_process_is_attached_unless_forced() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let mut owner = place.tend(&sim, &[]);
    let refused = place.run(&["rm"]);
    assert_eq!(refused.code(), 6);
    assert!(refused.stderr().contains("in use by 1 process"), "{}", refused.stderr());
    assert!(place.segment().exists());

    let forced = place.json(&["rm", "--force", "--json"]);
    assert_eq!(forced["removed"][0], place.segment().to_str().unwrap());
    // The owner starts over in a new segment.
    owner.until("moved");
    wait_until("a new segment", || place.run(&["status"]).code() == 0);
    assert_eq!(segments(&place)[0]["generation"], 2);

    owner.kill();
    let removed = place.run(&["rm"]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "the lock file is gone too");
}

#[test]
fn h66_a_stopped_owner_is_unhealthy_until_it_goes_on() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let owner = place.tend(&sim, &[]);
    wait_until("healthy", || place.run(&["status"]).code() == 0);
    owner.signal(rustix::process::Signal::STOP);
    wait_until("unhealthy", || place.run(&["status"]).code() == 1);
    wait_until("it says why", || {
        let problems = place.run(&["status", "--json"]).json()["problems"].to_string();
        problems.contains("no heartbeat") && problems.contains(&owner.pid().to_string())
    });
    owner.signal(rustix::process::Signal::CONT);
    wait_until("healthy again", || place.run(&["status"]).code() == 0);
}

#[test]
fn h158_a_probe_fails_for_a_hung_tender_and_not_for_the_cluster() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let live = || place.run(&["status", "--live"]);
    assert_eq!(live().code(), 3, "there is no segment");
    let mut owner = place.tend(&sim, &[]);
    wait_until("live", || live().code() == 0);
    assert!(live().stdout().starts_with(&format!("live: owner pid {}, term 1", owner.pid())));
    assert_eq!(
        place.json(&["status", "--live", "--json"]),
        json!({ "live": true, "problems": [] })
    );
    // The tender can do nothing about a cluster that does not answer.
    (1..=3).for_each(|node| sim.kill(node).unwrap());
    wait_until("unhealthy", || place.run(&["status"]).code() == 1);
    assert_eq!(live().code(), 0, "{}", live().stdout());
    (1..=3).for_each(|node| sim.start_node(node).unwrap());

    owner.signal(rustix::process::Signal::STOP);
    wait_until("hung", || live().code() == 1);
    let text = live().stdout();
    assert!(text.starts_with("NOT LIVE: the owner") && text.contains("no heartbeat"), "{text}");
    let json = place.run(&["status", "--live", "--json"]).json();
    assert_eq!((&json["live"], json["problems"].as_array().unwrap().len()), (&json!(false), 1));
    owner.signal(rustix::process::Signal::CONT);
    wait_until("live again", || live().code() == 0);
    owner.kill();
    wait_until("gone", || live().code() == 1);
    assert!(live().stdout().contains("there is no live owner"), "{}", live().stdout());
    assert_eq!(place.run(&["status", "--live", "--all"]).code(), 2);
}

#[test]
fn h67_a_node_that_left_is_mentioned_also_after_a_takeover() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut owner = place.tend(&sim, &[]);
    let _next = place.tend(&sim, &[]);
    let nodes = place.json(&["status", "--json"])["nodes"].as_u64().unwrap();
    sim.kill(1).unwrap();
    let status = || place.run(&["status", "--json"]).json();
    wait_until("it left", || status()["nodes"].as_u64() == Some(nodes - 1));
    let left = status()["departed"][0]["id"].as_str().expect("it is mentioned").to_owned();
    let term = status()["term"].as_u64().unwrap();
    owner.kill();
    wait_until("another owner", || status()["term"].as_u64().unwrap() > term);
    wait_until("it is mentioned still", || status()["departed"][0]["id"] == left.as_str());
    let text = place.run(&["status"]).stdout();
    assert!(text.contains(&format!("note: node {left} left")), "{text}");
}

#[test]
fn a_segment_whose_processes_can_not_be_counted_is_not_said_to_have_none() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let _tend = place.tend(&sim, &[]);
    std::fs::copy(place.segment(), place.path().join("tendmap-00000036-v3-g1")).unwrap();
    let refused = place.run(&["rm", "--shm-key", "0x36"]);
    assert_eq!(refused.code(), 6);
    let text = refused.stderr();
    assert!(text.contains("can't be counted") && text.contains("rm --force"), "{text}");
    assert_eq!(place.run(&["rm", "--force", "--shm-key", "0x36"]).code(), 0);
}
