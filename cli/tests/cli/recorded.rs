//! The recorded replies of a real cluster, served over real sockets: the output of
//! `tendmap check`, and the map of `tendmap tend`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tendmap::client::Reader;

use crate::replay::{Replay, Replies, files};
use crate::tool::{Answer, Place, Running, reader, wait_until};

const IDS: [(char, &str); 4] =
    [('a', "BB9000000003100"), ('b', "BB9000000003200"), ('c', "BB9000000003300"), ('d', "D4")];

fn id(letter: char) -> &'static str {
    IDS.iter().find(|known| known.0 == letter).unwrap().1
}

fn check(replay: &Replay, more: &[&str]) -> Answer {
    Place::new().run(&[&["check", "--host", &replay.host('a')], more].concat())
}

/// The words of each line, joined with those of its continuation lines. The widths
/// of columns depend on the ports.
fn words(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut() {
            Some(begun) if line.starts_with(CONTINUED) && !begun.is_empty() => {
                *begun += &format!(" {words}");
            }
            _ => lines.push(words),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The start of a continuation line, in columns or in a text.
const CONTINUED: &str = "         ";

/// The node that claims each replica and partition of a namespace, parsed
/// independently of the product.
type Claims = BTreeMap<String, Vec<Vec<Option<char>>>>;

fn claims<'a>(replicas: impl Iterator<Item = (char, &'a str)>) -> Claims {
    let mut claims = Claims::new();
    for (node, text) in replicas {
        for namespace in text.split(';') {
            let (name, rest) = namespace.split_once(':').unwrap();
            let columns: Vec<&str> = rest.split(',').skip(2).collect();
            let rows = claims.entry(name.into());
            let rows = rows.or_insert_with(|| vec![vec![None; columns.len()]; 4096]);
            for (replica, column) in columns.iter().enumerate() {
                let bytes = STANDARD.decode(column).unwrap();
                for (partition, row) in rows.iter_mut().enumerate() {
                    if bytes[partition / 8] << (partition % 8) & 0x80 != 0 {
                        row[replica] = Some(node);
                    }
                }
            }
        }
    }
    claims
}

/// The claims of recorded nodes.
fn recorded(folder: &str, nodes: &str) -> Claims {
    let texts: Vec<(char, String)> =
        nodes.chars().map(|node| (node, files(folder, node)["replicas"].clone())).collect();
    claims(texts.iter().map(|(node, text)| (*node, text.as_str())))
}

/// Claims in the format of `tendmap map --json`.
fn as_json(claims: &Claims, namespace: &str) -> Value {
    let row = |row: &Vec<Option<char>>| -> Value { row.iter().map(|node| node.map(id)).collect() };
    claims[namespace].iter().map(row).collect()
}

#[test]
fn a_recorded_cluster_is_told_word_for_word_with_code_0() {
    let replay = Replay::of("steady", "abc");
    let wanted = "\
        cluster tend-lab
        security off
        host address answers
        127.0.0.1:3100 127.0.0.1:3100 node BB9000000003100
        node address build edition tells
        BB9000000003100 127.0.0.1:3100 8.1.2.0 Aerospike Community 127.0.0.1:3100 Edition
        BB9000000003200 127.0.0.1:3200 8.1.2.0 Aerospike Community 127.0.0.1:3200 Edition
        BB9000000003300 127.0.0.1:3300 8.1.2.0 Aerospike Community 127.0.0.1:3300 Edition
        namespace replicas strong consistency racks:nodes holes
        test 2 no - 0
        bar 3 no - 0
        tending would work";
    let answer = check(&replay, &["--cluster-name", "tend-lab"]);
    assert_eq!(words(&answer.stdout()), words(&replay.text(wanted)));
    assert_eq!((answer.code(), answer.stderr()), (0, String::new()));

    // The seed, too, is used at the address that it advertises.
    let alternate = check(&replay, &["--use-services-alternate"]);
    let wanted = wanted
        .replace("Community 127.0.0.1:3100", "Community 127.0.0.11:3100")
        .replace("BB9000000003100 127.0.0.1:3100 8", "BB9000000003100 127.0.0.11:3100 8")
        .replace("127.0.0.1:3200", "127.0.0.12:3200")
        .replace("127.0.0.1:3300", "127.0.0.13:3300");
    // The column of the addresses is wider, that of the edition narrower.
    let mut narrow = String::new();
    for line in wanted.lines() {
        let line = match line.split_once(" Community ").zip(line.strip_suffix(" Edition")) {
            Some(((before, _), whole)) => {
                let (_, told) = whole.rsplit_once(' ').expect("an address");
                format!("{before} {told} Community Edition")
            }
            None => line.to_owned(),
        };
        narrow += &(line + "\n");
    }
    let wanted = narrow;
    assert_eq!(words(&alternate.stdout()), words(&replay.text(&wanted)));
    assert_eq!(alternate.code(), 0);
}

#[test]
fn a_recorded_node_with_two_addresses_and_a_default_port_is_told_with_both() {
    let replay = Replay::of("steady_abd", "abd");
    let answer = check(&replay, &["--json"]);
    assert_eq!(answer.code(), 0, "{}{}", answer.stdout(), answer.stderr());
    let found = answer.json();
    assert_eq!(found["problems"], json!([]));
    let at = |address: &str| {
        let address = replay.text(address);
        let reached = json!({ "address": address, "node": "D4", "error": null });
        json!({ "host": address, "addresses": [reached], "error": null })
    };
    let wanted = json!({
        "node": "D4",
        "address": replay.text("127.0.0.14:3000"),
        "build": "8.1.2.0",
        "edition": "Aerospike Community Edition",
        "racks": null,
        "addresses": [at("127.0.0.14:3000"), at("127.0.0.1:3000")],
        "other_addresses": [replay.text("127.0.0.14:3000")],
        "error": null,
    });
    assert_eq!(found["nodes"][2], wanted);
    assert_eq!((&found["security"], &found["cluster_name"]), (&json!(false), &json!("tend-lab")));
}

#[test]
fn a_recorded_cluster_with_a_dead_node_is_told_with_code_1_and_what_is_missing() {
    let replay = Replay::of("steady", "abc");
    replay.answer('c', None);
    let claims = recorded("steady", "ab");
    let holes = |name: &str| claims[name].iter().filter(|row| row[0].is_none()).count();
    assert!(holes("test") > 1000 && holes("bar") > 1000);
    let answer = check(&replay, &[]);
    let text = words(&answer.stdout());
    let problems = [
        replay.text(
            "PROBLEM: node BB9000000003300 at 127.0.0.1:3300 can't be reached: \
             the connection broke: the server closed the connection after 0 bytes of a reply",
        ),
        format!("PROBLEM: namespace test has {} partitions without a master", holes("test")),
        format!("PROBLEM: namespace bar has {} partitions without a master", holes("bar")),
        "tending would work, with problems".to_owned(),
    ];
    assert_eq!(text[text.len() - 4..], problems);
    assert!(text.contains(&format!("test 2 no - {}", holes("test"))), "{text:?}");
    assert_eq!(answer.code(), 1);
}

#[test]
fn a_recorded_reply_that_is_cut_short_is_told_with_code_1() {
    let replay = Replay::of("steady", "abc");
    replay.change('b', "replicas", |reply| reply[..reply.len() / 2].to_owned());
    let answer = check(&replay, &["--json"]);
    assert_eq!(answer.code(), 1, "{}", answer.stderr());
    let found = answer.json();
    assert_eq!(
        (&found["would_tend"], &found["nodes"].as_array().unwrap().len()),
        (&json!(true), &3)
    );
    let problem = found["problems"][0].as_str().unwrap();
    let wanted =
        "node BB9000000003200 reports an invalid entry of replicas, which is skipped: base64 ";
    assert!(problem.starts_with(wanted), "{problem}");
}

#[test]
fn a_recorded_cluster_that_is_not_the_one_or_is_starting_is_told_with_code_6() {
    let replay = Replay::of("steady", "abc");
    let other = check(&replay, &["--cluster-name", "other"]);
    assert_eq!(other.code(), 6);
    assert!(other.stderr().contains("\"tend-lab\", wanted \"other\""), "{}", other.stderr());

    let starts = |replies: &&BTreeMap<String, String>| replies["partition-generation"] == "-1";
    let moments = moments();
    let starting = moments.iter().filter_map(|moment| moment[&'c'].as_ref()).find(starts).unwrap();
    let alone = Replay::down("c");
    alone.answer('c', Some(starting.clone()));
    let answer = Place::new().run(&["check", "--host", &alone.host('c'), "--json"]);
    assert_eq!(answer.code(), 6, "{}", answer.stdout());
    assert_eq!(answer.json()["would_tend"], false);
    assert!(answer.stderr().contains("has not joined its cluster yet"), "{}", answer.stderr());
}

/// A `tend` of these servers that has connected.
fn tend(place: &Place, replay: &Replay) -> Running {
    let host = replay.host('a');
    let args = ["tend", "--json", "--tend-interval", "50ms", "--host", &host];
    let mut running = Running::start(&mut place.command(&args));
    running.until("connected");
    running
}

#[test]
fn the_map_of_a_recorded_cluster_is_what_its_nodes_claim() {
    for (folder, nodes) in [("steady", "abc"), ("steady_abd", "abd")] {
        let (place, replay) = (Place::new(), Replay::of(folder, nodes));
        let mut tending = tend(&place, &replay);
        let (map, claims) = (place.json(&["map", "--json"]), recorded(folder, nodes));
        assert_eq!(claims.len(), 2);
        for name in claims.keys() {
            assert_eq!(map["namespaces"][name]["partitions"], as_json(&claims, name), "{name}");
        }
        let ids: Vec<Value> = nodes.chars().map(|node| id(node).into()).collect();
        let told = map["nodes"].as_array().unwrap().iter().map(|node| node["node"].clone());
        assert_eq!(told.collect::<Vec<_>>(), ids);
        assert_eq!(tending.interrupt(), 0);
    }
}

/// The replies of every node at one moment of a failover: c is killed, and started
/// again.
type Moment = BTreeMap<char, Replies>;

/// The moments that differ from the one before.
fn moments() -> Vec<Moment> {
    let file = std::fs::File::open(tendmap_testkit::data("failover.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut moments: BTreeMap<u32, Moment> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(node) = line["node"].as_str() else { continue };
        let node = node.chars().next().unwrap();
        let replies = line["r"].as_object().map(|replies| {
            let there =
                |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap().to_owned());
            let mut all = files("steady", node);
            all.extend(replies.iter().map(there));
            all
        });
        let time = (line["rel"].as_f64().unwrap() / 0.2) as u32;
        moments.entry(time).or_default().insert(node, replies);
    }
    let mut moments: Vec<Moment> = moments.into_values().collect();
    moments.dedup();
    assert!(moments.iter().all(|moment| moment.len() == 3) && moments.len() > 10);
    moments
}

/// Waits for the end of a pass that begins after this call.
fn next_pass(reader: &Reader) {
    let passes = || {
        let status = reader.status().unwrap();
        status.tends + status.tend_errors
    };
    let before = passes();
    wait_until("two passes", || passes() >= before + 2);
}

#[test]
fn a_recorded_failover_is_followed_over_real_sockets() {
    let (place, replay) = (Place::new(), Replay::down("abc"));
    let moments = moments();
    let play = |moment: &Moment| {
        moment.iter().for_each(|(node, replies)| replay.answer(*node, replies.clone()));
    };
    play(&moments[0]);
    let mut tending = tend(&place, &replay);
    let reader = reader(&place);
    let mut factors = Vec::new();
    for moment in &moments {
        play(moment);
        next_pass(&reader);
        let map = reader.map().unwrap().map;
        let bar = map.namespaces().iter().find(|found| found.name.as_str() == "bar").unwrap();
        factors.push(bar.replication_factor);
    }
    factors.dedup();
    assert_eq!(factors, [3, 2, 3], "it drops while the node is missing");
    let last = moments.last().unwrap();
    let replicas = last.iter().map(|(node, replies)| (*node, replies.as_ref().unwrap()));
    let claims = claims(replicas.map(|(node, replies)| (node, replies["replicas"].as_str())));
    let map = place.json(&["map", "--json"]);
    for name in ["test", "bar"] {
        assert_eq!(map["namespaces"][name]["partitions"], as_json(&claims, name), "{name}");
    }
    assert_eq!(tending.interrupt(), 0);
    let events = |name: &str| -> Vec<&str> {
        let told = tending.heard.iter().filter(|told| told["event"] == name);
        told.map(|told| told["node"].as_str().unwrap_or_default()).collect()
    };
    assert_eq!(events("node_failed"), [id('c')], "reported once");
    assert_eq!(events("node_removed"), [id('c')]);
    let added = events("node_added");
    assert_eq!(added.iter().filter(|added| **added == id('c')).count(), 2, "{added:?}");
    assert_eq!(added.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(events("bad_reply").len() + events("tend_failed").len(), 0);
}
