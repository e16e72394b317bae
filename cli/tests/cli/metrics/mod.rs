//! `tendmap metrics`, judged by Prometheus' own tool.

mod listen;
mod textfile;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tendmap::client::Reader;
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap, Condition, NamespaceName, Slot};
use tendmap::segment::Place as SegmentPlace;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, wait_until};
use crate::users::Host;

/// Whether Prometheus' tool is installed.
fn promtool() -> bool {
    let found = Command::new("promtool").arg("--version").output();
    found
        .inspect_err(|error| tendmap_testkit::skipped(&format!("no promtool here: {error}")))
        .is_ok()
}

/// Runs the tool; returns what it prints if it finds something wrong.
fn judged(args: &[&str], input: &str) -> Option<String> {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(deploy())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    (!out.status.success()).then_some(text)
}

fn assert_judged(text: &str) {
    if let Some(wrong) = judged(&["check", "metrics"], text) {
        panic!("{wrong}\n{text}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn deploy() -> PathBuf {
    root().join("deploy/prometheus")
}

/// The value of each series.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(at, v)| (at, v.parse().unwrap()))
        .collect()
}

/// The sum of the series whose names and labels contain all these parts.
fn sum(text: &str, parts: &[&str]) -> Option<f64> {
    let found: Vec<f64> = series(text)
        .into_iter()
        .filter(|(name, _)| parts.iter().all(|part| name.contains(part)))
        .map(|(_, value)| value)
        .collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

/// The families, with their types.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

fn metrics(place: &Place) -> String {
    let answer = place.run(&["metrics"]);
    assert_eq!((answer.code(), answer.stderr()), (0, String::new()));
    answer.stdout()
}

#[test]
fn promtool_accepts_what_is_shown_with_an_owner_without_and_in_between() {
    if !promtool() {
        return;
    }
    let place = Place::new();
    let nothing = metrics(&place);
    assert_judged(&nothing);
    assert_eq!(sum(&nothing, &["tendmap_segments"]), Some(0.0));
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let mut owner = place.tend(&sim, &[]);
    let mut next = place.tend(&sim, &[]);
    wait_until("passes", || {
        sum(&metrics(&place), &["tendmap_pass_duration_seconds_count"]) > Some(2.0)
    });
    let text = metrics(&place);
    assert_judged(&text);
    assert_eq!(sum(&text, &["tendmap_segment_up"]), Some(1.0));
    assert_eq!(sum(&text, &["tendmap_owner_alive"]), Some(1.0));
    assert_eq!(sum(&text, &["tendmap_node_info"]), Some(3.0));
    assert_eq!(sum(&text, &["tendmap_node_master_partitions", "\"test\""]), Some(4096.0));
    assert_eq!(sum(&text, &["tendmap_attached_processes"]), Some(2.0));
    // The buckets rise up to the count.
    let bucket = ["tendmap_pass_duration_seconds_bucket", "le=\"+Inf\""];
    assert_eq!(sum(&text, &bucket), sum(&text, &["tendmap_pass_duration_seconds_count"]));
    // Counters never go back while the owner changes: either they are as before or more, or
    // they are not shown.
    let mut before = sum(&text, &["tendmap_tends_total", "success"]).unwrap();
    owner.kill();
    let mut seen = Vec::new();
    wait_until("a takeover and a pass", || {
        let text = metrics(&place);
        if let Some(tends) = sum(&text, &["tendmap_tends_total", "success"]) {
            assert!(tends >= before, "{tends} after {before}");
            before = tends;
        }
        let over = sum(&text, &["tendmap_takeovers_total"]) == Some(1.0)
            && sum(&text, &["tendmap_heartbeat_age_seconds"]).is_some();
        seen.push(text);
        over
    });
    seen.iter().rev().take(3).for_each(|text| assert_judged(text));
    next.kill();
    let text = metrics(&place);
    assert_judged(&text);
    assert_eq!(sum(&text, &["tendmap_owner_alive"]), Some(0.0));
    assert_eq!(sum(&text, &["tendmap_stale"]), Some(1.0));
}

#[test]
fn another_user_with_read_permission_sees_the_same_and_without_it_the_reason() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let _open = host.tend(5001, &sim, &["--shm-mode", "0644"]);
    let _closed = host.tend(5002, &sim, &["--shm-key", "0xA7000001", "--shm-mode", "0600"]);
    let answer = host.run(5003, &["metrics"]);
    assert_eq!((answer.code(), answer.stderr()), (0, String::new()));
    let text = answer.stdout();
    if promtool() {
        assert_judged(&text);
    }
    assert_eq!(sum(&text, &["tendmap_segments"]), Some(2.0));
    let up = ["tendmap_segment_up", "key=\"0xa7000000\"", "user=\"5001\""];
    assert_eq!(sum(&text, &up), Some(1.0));
    let down = ["tendmap_segment_up", "key=\"0xa7000001\"", "reason=\"no_permission\""];
    assert_eq!(sum(&text, &down), Some(0.0));
    assert_eq!(sum(&text, &["tendmap_nodes", "user=\"5001\""]), Some(2.0));
    assert_eq!(sum(&text, &["tendmap_nodes", "user=\"5002\""]), None);
}

#[test]
fn a_key_without_a_segment_is_shown_as_such() {
    let place = Place::new();
    let answer = place.run(&["metrics", "--shm-key", "0xA7000009"]);
    assert_eq!(answer.code(), 0);
    let down = ["tendmap_segment_up", "key=\"0xa7000009\"", "reason=\"not_found\""];
    assert_eq!(sum(&answer.stdout(), &down), Some(0.0));
    let json = place.json(&["metrics", "--json"]);
    let names: Vec<&str> =
        json["metrics"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tendmap_build_info", "tendmap_segments", "tendmap_segments_omitted"]);
}

/// The families that there can be: from a cluster that works, one whose nodes fail, and a
/// key without a segment.
fn all_families() -> BTreeMap<String, String> {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let _owner = place.tend(&sim, &[]);
    let mut found = families(&metrics(&place));
    for number in 1..=2 {
        sim.kill(number).unwrap();
    }
    wait_until("a failed pass", || {
        sum(&metrics(&place), &["tendmap_tends_total", "failure"]) > Some(0.0)
    });
    found.extend(families(&metrics(&place)));
    found
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let found = all_families();
    let text = std::fs::read_to_string(root().join("docs/METRICS.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `tendmap_")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`');
        Some((format!("tendmap_{name}"), cells.next()?.to_owned()))
    };
    let documented: BTreeMap<String, String> = text.lines().filter_map(row).collect();
    assert_eq!(documented, found);
}

#[test]
fn the_alerts_pass_their_unit_tests_and_use_metrics_that_exist() {
    let rules = std::fs::read_to_string(deploy().join("tendmap.rules.yml")).unwrap();
    let tests = std::fs::read_to_string(deploy().join("tendmap.rules.test.yml")).unwrap();
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in &alerts {
        for case in ["fires", "does not fire"] {
            assert!(tests.contains(&format!("- name: '{alert} {case}'")), "{alert} {case}");
        }
        let section = format!("See docs/OPERATIONS.md, section \"{alert}\".");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&rules).contains(&section), "{alert} does not refer to its section");
    }
    // The guide for operators has a section on each, and no others.
    let guide = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let sections =
        guide.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(" Tendmap"));
    let sections: BTreeSet<String> = sections.map(|name| format!("Tendmap{name}")).collect();
    assert_eq!(sections, alerts.iter().map(ToString::to_string).collect());
    // Each condition has an alert.
    for condition in Condition::ALL {
        let found = rules.split(['"', '|']).any(|word| word == condition.as_str());
        // The nodes themselves have one.
        assert!(found || condition == Condition::FailingNodes, "{condition:?} has no alert");
    }
    assert_eq!(rules.matches("severity: ").count(), alerts.len());
    let expressions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), alerts.len());
    assert_names_exist(&expressions);
    if promtool() {
        for args in
            [["check", "rules", "tendmap.rules.yml"], ["test", "rules", "tendmap.rules.test.yml"]]
        {
            assert_eq!(judged(&args, ""), None);
        }
    }
}

/// Each name of one of our metrics in these expressions is one that is exported.
fn assert_names_exist(expressions: &[&str]) {
    let found = all_families();
    let exists = |name: &str| {
        let histogram = |end: &str| {
            let family = name.strip_suffix(end).and_then(|family| found.get(family));
            family.is_some_and(|kind| kind == "histogram")
        };
        found.contains_key(name) || ["_bucket", "_sum", "_count"].into_iter().any(histogram)
    };
    let mut names = BTreeSet::new();
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|word| word.starts_with("tendmap_")));
    }
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(exists(name), "{name} is not exported");
    }
}

/// Every value under this key, at any depth.
fn values<'a>(of: &'a Value, wanted: &str, into: &mut Vec<&'a str>) {
    match of {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == wanted => into.push(text),
                    _ => values(value, wanted, into),
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| values(value, wanted, into)),
        _ => {}
    }
}

#[test]
fn every_expression_of_the_dashboard_is_valid_and_uses_metrics_that_exist() {
    let text = std::fs::read_to_string(root().join("deploy/grafana/tendmap.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let (mut expressions, mut queries) = (Vec::new(), Vec::new());
    values(&dashboard, "expr", &mut expressions);
    values(&dashboard, "query", &mut queries);
    assert!(expressions.len() > 15, "{expressions:?}");
    assert!(queries.len() > 2, "{queries:?}");
    let all: Vec<&str> = expressions.iter().chain(&queries).copied().collect();
    assert_names_exist(&all);
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
    }
    if !promtool() {
        return;
    }
    // Grafana puts an interval in place of its variable; the other ones are in strings.
    let rule = |(number, expression): (usize, &&str)| {
        let expression = expression.replace("$__rate_interval", "5m");
        format!("  - record: expression:{number}\n    expr: {}\n", Value::from(expression))
    };
    let rules: String = expressions.iter().enumerate().map(rule).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("groups:\n- name: dashboard\n  rules:\n{rules}")).unwrap();
    assert_eq!(judged(&["check", "rules", file.path().to_str().unwrap()], ""), None);
}

#[test]
fn wrong_flags_are_a_matter_of_usage() {
    let place = Place::new();
    let code = |args: &[&str]| {
        let answer = place.run(&[&["metrics"], args].concat());
        (answer.code(), answer.stderr())
    };
    for address in ["9400", ":9400", "localhost:9400", "127.0.0.1", "127.0.0.1:99999", "::1:x", ""]
    {
        let (code, text) = code(&["--listen", address]);
        assert!(code == 2 && text.contains("[::1]:9400"), "{address}: {code} {text}");
    }
    for args in [
        &["--listen", "127.0.0.1:0", "--textfile", "f"][..],
        &["--interval", "5s"],
        &["--textfile", "f", "--interval", "1ms"],
        &["--textfile", "f", "--interval", "soon"],
    ] {
        assert_eq!(code(args).0, 2, "{args:?}");
    }
}

/// A process that may write a segment gives it the largest tables, full of nodes.
#[test]
fn h142_the_series_of_a_segment_are_limited_whatever_it_contains() {
    let place = Place::new();
    let at = SegmentPlace { directory: place.path().into(), ..SegmentPlace::of_key(0xA700_0000) };
    let capacity = Capacity { max_nodes: 4096, max_namespaces: 8, ..Capacity::DEFAULT };
    let mut map = ClusterMap::new(capacity);
    for number in 0..4096 {
        map.nodes.insert(tendmap_testkit::node(number)).unwrap();
    }
    for number in 0..8 {
        let name = NamespaceName::new(&format!("n\"\\\u{1b}{number}"))
            .or_else(|_| NamespaceName::new(&format!("n{number}")));
        let namespace = map.namespace_entry(name.unwrap()).unwrap();
        namespace.replication_factor = 1;
        for partition in 0..4096 {
            namespace.partitions.set_holder(partition, 0, Slot::new(partition));
        }
    }
    let CreateOutcome::Owner(mut owner) = create(&at, 1, capacity, None).unwrap() else {
        panic!("it was there");
    };
    owner.publish(&map).unwrap();
    assert_eq!(Reader::attach(&at).unwrap().map().unwrap().map.nodes.len(), 4096);
    let text = metrics(&place);
    assert!(series(&text).len() < 20_200, "{}", series(&text).len());
    assert!(sum(&text, &["tendmap_series_omitted"]) > Some(50_000.0));
    if promtool() {
        assert_judged(&text);
    }
    assert!(!text.contains('\u{1b}'));
    drop(owner);
}
