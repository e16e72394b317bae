//! `tendmap c-client`, on segments that were written byte by byte.

mod attached;

use std::process::Command;

use serde_json::{Value, json};
use tendmap::internals::c_client::diagnosis::monotonic_ms;
use tendmap::internals::layout::{shm_find, shm_remove, shm_stat};
use tendmap::sim::{Sim, SimConfig};
use tendmap_testkit::c_client::{
    D, E, F, LOCK, NODES_SIZE, OWNER_PID, PARTITION_COUNT, READY, Raw, RawSegment, TAKE_OVER_LOCK,
    put,
};

use crate::system_v::Key;
use crate::tool::{Answer, Place, keys};

/// Nodes as they are called in the cluster of no test.
fn two() -> Vec<(String, u16)> {
    vec![("BB9AAAAAAAAAAAA".into(), 3100), ("BB9BBBBBBBBBBBB".into(), 3101)]
}

/// A healthy segment of that layout, tended by this process just now.
fn healthy(layout: Raw) -> Vec<u8> {
    layout.healthy(std::process::id(), monotonic_ms(), &two(), "test")
}

/// The segment of the key with that content.
fn segment(key: &Key, bytes: &[u8]) -> RawSegment {
    RawSegment::create(key.key, bytes, 0o600).unwrap()
}

/// A pid that no process has.
fn dead() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn run(action: &[&str], key: &Key, more: &[&str]) -> Answer {
    Place::new().run(&[&["c-client"], action, &[key.hex().as_str()], more].concat())
}

fn only(answer: &Answer) -> Value {
    let json = answer.json();
    assert_eq!(keys(&json), ["healthy", "tendmap", "segments"]);
    assert_eq!(json["segments"].as_array().unwrap().len(), 1, "{json}");
    json["segments"][0].clone()
}

fn kinds(segment: &Value) -> Vec<&str> {
    let problems = segment["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_healthy_segment_of_each_layout_is_shown_and_left_as_it_was() {
    for layout in [D, E, F, F.sized(32, 3)] {
        let Some(key) = Key::new() else { return };
        let bytes = healthy(layout);
        let segment = segment(&key, &bytes);
        let owner = segment.attach();
        let before = shm_stat(segment.id).unwrap();

        let answer = run(&["status"], &key, &["--json"]);
        assert_eq!(answer.code(), 0, "{}", answer.stdout());
        let found = only(&answer);
        let wanted = if layout.name == "F" { json!(["F"]) } else { json!(["D", "E"]) };
        assert_eq!((&found["layouts"], &found["layout"]), (&wanted, &json!(layout.name)));
        assert_eq!(
            (&found["key"], &found["nattch"], &found["mode"]),
            (&json!(key.key), &json!(1), &json!("0600"))
        );
        assert_eq!(
            (&found["owner"]["pid"], &found["owner"]["state"]),
            (&json!(std::process::id()), &json!("alive"))
        );
        assert_eq!((&found["slots"]["used"], &found["slots"]["active"]), (&json!(2), &json!(2)));
        assert_eq!(found["attached"][0]["pid"], json!(std::process::id()));
        assert_eq!((&found["held_locks"], &found["problems"]), (&json!([]), &json!([])));
        assert!(found["tended_age_ms"].as_u64().unwrap() < 600_000);

        let text = run(&["status"], &key, &[]);
        assert_eq!(text.code(), 0, "{}", text.stdout());
        let text = text.stdout();
        for part in [
            &format!("segment {}", key.hex()),
            "2 of ",
            "BB9AAAAAAAAAAAA",
            "127.0.0.1:3101",
            "alive",
            "\nhealthy\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }

        let map = run(&["map"], &key, &["--json"]);
        assert_eq!(map.code(), 0, "{}", map.stderr());
        let map = map.json();
        let build = layout.build(0).map(|_| "8.1.2.0");
        let node = json!({
            "slot": 1, "node": "BB9BBBBBBBBBBBB", "address": "127.0.0.1:3101", "tls_name": null,
            "active": true, "rack": 0, "build": build,
        });
        assert_eq!(map["nodes"][1], node);
        let namespace = &map["namespaces"]["test"];
        let counts = json!({ "node": "BB9AAAAAAAAAAAA", "masters": 2048, "replicas": 2048 });
        assert_eq!(namespace["nodes"][0], counts);
        assert_eq!(namespace["partitions"][1], json!(["BB9BBBBBBBBBBBB", "BB9AAAAAAAAAAAA"]));
        assert_eq!(namespace["partitions"].as_array().unwrap().len(), 4096);
        let text = run(&["map"], &key, &[]).stdout();
        assert!(text.contains("test     1  BB9BBBBBBBBBBBB  BB9AAAAAAAAAAAA\n"), "{text}");

        assert_eq!(shm_stat(segment.id).unwrap(), before, "nothing stays attached");
        assert!(segment.content() == bytes, "nothing was stored");
        drop(owner);
    }
}

#[test]
fn each_fault_is_one_line_and_exit_code_1() {
    type Change = fn(&mut Vec<u8>);
    let faults: [(&str, &str, Change); 15] = [
        ("stale", "which still lives", |bytes| {
            bytes[..8].copy_from_slice(&(monotonic_ms() - 40_000).to_ne_bytes());
        }),
        ("ahead", "ahead of this host's clock", |bytes| {
            bytes[..8].copy_from_slice(&(monotonic_ms() + 400_000).to_ne_bytes());
        }),
        ("owner_gone", "c-client release", |bytes| put(bytes, OWNER_PID, dead())),
        ("owner_replaced", "another process now", |bytes| put(bytes, OWNER_PID, 1)),
        ("no_owner", "tended by nobody", |bytes| bytes[LOCK] = 0),
        ("not_ready", "by its creator", |bytes| bytes[READY] = 0),
        ("shape", "n_partitions", |bytes| put(bytes, PARTITION_COUNT, 4095)),
        ("take_over_lock", "stays held", |bytes| put(bytes, TAKE_OVER_LOCK, 1)),
        ("slot_writer", "slot 1 (BB9BBBBBBBBBBBB)", |bytes| put(bytes, F.slot_lock(1), 1 << 31)),
        (
            "slot_readers",
            "readers of slot 0 (BB9AAAAAAAAAAAA) that never leave, since they died there (2)",
            |bytes| put(bytes, F.slot_lock(0), 2),
        ),
        ("holes", "3 of 4096 partitions of namespace test", |bytes| {
            [7, 8, 4095].into_iter().for_each(|partition| put(bytes, F.holder(0, partition, 0), 0));
        }),
        ("inactive_holder", "4096 of 4096", |bytes| bytes[F.active(1)] = 0),
        ("nonexistent_holder", "1 of 4096", |bytes| put(bytes, F.holder(0, 7, 1), 3)),
        ("no_address", "active slot 1", |bytes| bytes[F.address(1)] = 77),
        ("twice", "active in slots 0 and 1", |bytes| {
            let (first, second) = (F.node_name(0), F.node_name(1));
            bytes.copy_within(first..first + 15, second);
        }),
    ];
    let Some(_) = Key::new() else { return };
    std::thread::scope(|scope| {
        for (kind, part, change) in faults {
            scope.spawn(move || {
                let key = Key::new().unwrap();
                let mut bytes = healthy(F);
                change(&mut bytes);
                let segment = segment(&key, &bytes);
                let owner = segment.attach();
                let answer = run(&["status"], &key, &["--json"]);
                assert_eq!(answer.code(), 1, "{kind}: {}", answer.stdout());
                let found = only(&answer);
                assert_eq!(kinds(&found), [kind], "{found}");
                let text = run(&["status"], &key, &[]);
                assert_eq!(text.code(), 1, "{kind}");
                let text = text.stdout();
                let lines: Vec<_> =
                    text.lines().filter(|line| line.starts_with("UNHEALTHY: ")).collect();
                assert_eq!(lines.len(), 1, "{text}");
                assert!(
                    lines[0].starts_with(&format!("UNHEALTHY: segment {} ", key.hex())),
                    "{text}"
                );
                assert!(lines[0].contains(part), "{text}");
                assert_eq!(shm_stat(segment.id).unwrap().mappings, 1);
                assert!(segment.content() == bytes, "nothing was stored");
                drop(owner);
            });
        }
    });
}

#[test]
fn more_nodes_than_clients_have_room_for_are_told() {
    let Some(key) = Key::new() else { return };
    let nodes: Vec<_> = (0..17).map(|at| (format!("BB9{at:012}"), 3000 + at)).collect();
    let layout = E.sized(32, 8);
    let bytes = layout.healthy(std::process::id(), monotonic_ms(), &nodes, "test");
    let segment = segment(&key, &bytes);
    let _owner = segment.attach();
    let answer = run(&["status"], &key, &["--json"]);
    assert_eq!((answer.code(), kinds(&only(&answer))), (1, vec!["too_many_nodes"]));
    let answer = run(&["status"], &key, &["--client-max-nodes", "32"]);
    assert_eq!(answer.code(), 0, "{}", answer.stdout());
}

#[test]
fn hostile_bytes_are_told_and_do_nothing_to_a_terminal() {
    let Some(key) = Key::new() else { return };
    let mut bytes = vec![0; F.bytes()];
    let mut state = 1u64;
    for byte in &mut bytes {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 33) as u8;
    }
    let segment = segment(&key, &bytes);
    let answer = run(&["status"], &key, &["--json"]);
    assert_eq!((answer.code(), kinds(&only(&answer))), (1, vec!["shape"]));
    for (action, code) in [("map", 5), ("release", 5), ("rm", 6)] {
        let answer = run(&[action], &key, &[]);
        assert_eq!(answer.code(), code, "{action}: {}", answer.stderr());
    }
    // A valid header, and everything behind it as it comes.
    bytes[..56].copy_from_slice(&F.empty(7, 0)[..56]);
    put(&mut bytes, NODES_SIZE, 16);
    put(&mut bytes, 28, 8);
    segment.store(&bytes);
    for action in ["status", "map"] {
        for more in [&[][..], &["--json"]] {
            let answer = run(&[action], &key, more);
            assert!([0, 1].contains(&answer.code()), "{}", answer.stderr());
            let foreign = |c: &char| c.is_control() && *c != '\n';
            assert_eq!(answer.stdout().chars().find(foreign), None);
        }
    }
    let removed = run(&["rm"], &key, &["--json"]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr());
    assert_eq!(removed.json()["removed"], json!(key.key));
    assert_eq!(shm_find(key.key).unwrap(), None);
}

#[test]
fn a_key_without_a_segment_is_exit_code_3_and_none_at_all_is_0() {
    let Some(key) = Key::new() else { return };
    for action in ["status", "map", "release", "rm"] {
        let answer = run(&[action], &key, &["--json"]);
        assert_eq!(answer.code(), 3, "{action}: {}", answer.stdout());
        assert!(answer.error()["message"].as_str().unwrap().contains(&key.hex()));
    }
    let place = Place::new();
    for action in ["map", "release", "rm"] {
        let answer = place.run(&["c-client", action]);
        assert_eq!(answer.code(), 2, "{action}");
        assert!(answer.stderr().contains("the key of the segment is missing"));
    }
    assert_eq!(place.run(&["c-client", "status", "nonsense"]).code(), 2);
    let answer = Command::new("unshare")
        .args(["--ipc", crate::tool::BINARY, "c-client", "status"])
        .output()
        .unwrap();
    if !answer.status.success() && answer.stdout.is_empty() {
        tendmap_testkit::skipped("this user can't make an IPC namespace");
        return;
    }
    let answer = Answer(answer);
    assert_eq!(answer.stdout(), "no segment of official clients on this host\n");
    assert_eq!(answer.code(), 0);
}

#[test]
fn a_segment_that_is_removed_while_it_is_mapped_is_told() {
    let Some(key) = Key::new() else { return };
    let segment = segment(&key, &healthy(E));
    let owner = segment.attach();
    shm_remove(segment.id).unwrap();
    let answer = Place::new().run(&["c-client", "status", "--json"]);
    assert_eq!(answer.code(), 1);
    let json = answer.json();
    let found = json["segments"].as_array().unwrap().iter();
    let found = found.clone().find(|found| found["shmid"] == segment.id).expect("the segment");
    assert_eq!((kinds(found), &found["key"]), (vec!["removed"], &json!(0)));
    drop(owner);
}

#[test]
fn only_a_gone_owner_is_released_and_a_used_segment_is_not_removed() {
    let Some(key) = Key::new() else { return };
    let segment = segment(&key, &healthy(E));
    let owner = segment.attach();
    let refused = run(&["release"], &key, &[]);
    assert_eq!(refused.code(), 6, "{}", refused.stderr());
    assert!(refused.stderr().contains("lives"), "{}", refused.stderr());
    assert_eq!(segment.content()[LOCK], 1);
    let refused = run(&["rm"], &key, &[]);
    assert_eq!(refused.code(), 6, "{}", refused.stderr());
    let listed = format!("in use by process {} (", std::process::id());
    assert!(refused.stderr().contains(&listed), "{}", refused.stderr());
    assert_eq!(shm_find(key.key).unwrap(), Some(segment.id));
    assert_eq!(run(&["release"], &key, &["--force"]).code(), 0);
    assert_eq!(segment.content()[LOCK], 0);

    owner.store_u8(LOCK, 1);
    let pid = dead();
    owner.store_u32(OWNER_PID, pid);
    let before = segment.content();
    let released = run(&["release"], &key, &["--json"]);
    assert_eq!(released.code(), 0, "{}", released.stderr());
    let answer = released.json();
    assert_eq!((&answer["key"], &answer["released_from"]), (&json!(key.key), &json!(pid)));
    assert!(answer["next"].as_str().unwrap().contains("takes over"), "{answer}");
    let mut wanted = before;
    wanted[LOCK] = 0;
    assert!(segment.content() == wanted, "one byte was stored");
    let again = run(&["release"], &key, &[]);
    assert!(again.stdout().contains("owned by nobody already"), "{}", again.stdout());

    let removed = run(&["rm"], &key, &["--force", "--json"]).json();
    assert_eq!(removed["attached"][0]["pid"], json!(std::process::id()));
    assert_eq!(shm_find(key.key).unwrap(), None);
    drop(owner);
}

#[test]
fn a_segment_is_compared_with_tendmaps_own_map_of_the_same_cluster() {
    let Some(key) = Key::new() else { return };
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _tender = place.tend(&sim, &[]);
    let hex = key.hex();
    let status = || place.run(&["c-client", "status", &hex, "--json"]);
    let healthy = segment(&key, &healthy(E));
    let _owner = healthy.attach();
    let other = status();
    assert_eq!(other.code(), 0, "{}", other.stdout());
    assert!(only(&other)["notes"][0].as_str().unwrap().contains("another cluster"));

    let map = place.json(&["map", "--json"]);
    let nodes = map["nodes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let port = |value: &Value| text(value).rsplit_once(':').unwrap().1.parse().unwrap();
    let names: Vec<(String, u16)> =
        nodes.iter().map(|node| (text(&node["node"]), port(&node["address"]))).collect();
    let namespaces = map["namespaces"].as_object().unwrap();
    let mut bytes = E.healthy(std::process::id(), monotonic_ms(), &names, "x");
    put(&mut bytes, 28, namespaces.len() as u32);
    for (table, (name, namespace)) in namespaces.iter().enumerate() {
        bytes[E.table(table)..][..name.len()].copy_from_slice(name.as_bytes());
        let factor = namespace["replication_factor"].as_u64().unwrap() as u8;
        bytes[E.replica_size(table).unwrap()] = factor.min(3);
        bytes[E.sc_mode(table)] = u8::from(namespace["strong_consistency"] == true);
        for (partition, holders) in namespace["partitions"].as_array().unwrap().iter().enumerate() {
            for replica in 0..3 {
                let holder = holders.get(replica).and_then(Value::as_str);
                let slot = holder.and_then(|id| names.iter().position(|(name, _)| name == id));
                let entry = slot.map_or(0, |slot| slot as u32 + 1);
                put(&mut bytes, E.holder(table, partition, replica), entry);
            }
        }
    }
    healthy.store(&bytes);
    let same = status();
    assert_eq!(same.code(), 0, "{}", same.stdout());
    assert_eq!(same.json()["tendmap"]["nodes"], 3);
    assert_eq!(only(&same)["notes"], json!([]));

    let address = E.address(1) + 2;
    bytes[address] ^= 1;
    let entry = E.holder(0, 9, 0);
    let holder = u32::from_ne_bytes(bytes[entry..entry + 4].try_into().unwrap());
    put(&mut bytes, entry, holder % 3 + 1);
    healthy.store(&bytes);
    let differs = status();
    assert_eq!(differs.code(), 1);
    let found = only(&differs);
    assert_eq!(kinds(&found), ["differs", "differs"], "{found}");
    let message = text(&found["problems"][0]["message"]);
    assert!(message.contains(&names[1].0) && message.contains("wanted 127.0.0.1:"), "{message}");
    let message = text(&found["problems"][1]["message"]);
    assert!(message.contains("1 of 4096 partitions"), "{message}");
    // Without a map under the given key there is nothing to compare.
    let alone = place.run(&["c-client", "status", &hex, "--json", "--shm-key", "9"]);
    assert_eq!((alone.code(), &alone.json()["tendmap"]), (0, &Value::Null));
}
