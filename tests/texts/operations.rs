//! `docs/OPERATIONS.md` has every status field, problem, condition, event and alert of the
//! code, and no others; the exit codes are in `docs/CLI.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tendmap::client::{Status, Verdict};
use tendmap::internals::map::{ConditionRecords, Departure, Reason, Streak};
use tendmap::internals::segment::{Ownership, Timed, boottime_ms, private};
use tendmap::map::{Capacity, ClusterMap, Condition, Node, NodeId};

use super::markdown::{Table, headings, read, table, tables};

const DOCUMENT: &str = "docs/OPERATIONS.md";

fn the(header: &[&str]) -> Table {
    table(&read(DOCUMENT), header)
}

/// Whether a text matches a pattern in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in &parts[1..] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    last.is_empty() || (parts.len() == 1 && rest.is_empty()) || text.ends_with(last)
}

/// `CamelCase` as `snake_case`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// The owner of a private segment with something in every list of a status.
fn owner() -> Ownership {
    let capacity = Capacity { partitions: 16, ..Capacity::DEFAULT };
    let mut ownership = private(capacity, 0).unwrap();
    let mut map = ClusterMap::new(capacity);
    let node = Node::new(NodeId::new("A").unwrap(), "192.0.2.1:3000".parse().unwrap());
    let slot = map.nodes.insert(node).unwrap();
    let namespace = map.namespace_entry("test".parse().unwrap()).unwrap();
    namespace.replication_factor = 1;
    for at in 0..16 {
        namespace.partitions.set_holder(at, 0, Some(slot));
    }
    ownership.publish(&map).unwrap();
    let left =
        Departure { id: NodeId::new("B").unwrap(), at_ms: boottime_ms(), reason: "it left".into() };
    ownership.set_departures(&[left]).unwrap();
    ownership.count_time(Timed::Pass, Duration::from_millis(1));
    ownership.count_time(Timed::Publication, Duration::from_millis(1));
    ownership
}

fn lasting(ownership: &Ownership, condition: Condition, count: u64) -> Status {
    let mut found = ConditionRecords::default();
    found.set(condition, Streak::new(9, count));
    ownership.set_conditions(&found).unwrap();
    Status::of(ownership.segment()).unwrap()
}

/// The names of all values of an object: `a.b` in an object, `a[].b` in a list of objects.
fn fields(value: &Value, under: &str, into: &mut Vec<String>) {
    let Value::Object(object) = value else { return into.push(under.to_owned()) };
    for (name, value) in object {
        let name = if under.is_empty() { name.clone() } else { format!("{under}.{name}") };
        match value {
            Value::Array(list) => match list.first() {
                Some(first @ Value::Object(_)) => fields(first, &format!("{name}[]"), into),
                _ => into.push(name),
            },
            value => fields(value, &name, into),
        }
    }
}

#[test]
fn every_field_of_a_status_is_explained() {
    let ownership = owner();
    let status = lasting(&ownership, Condition::Refused, 2);
    let mut found = Vec::new();
    fields(&serde_json::from_str(&status.to_json()).unwrap(), "", &mut found);
    assert!(found.len() > 50, "{found:?}");
    assert_eq!(the(&["field", "meaning", "look closer if"]).column("field"), found);
}

fn problems(status: &Status) -> Vec<String> {
    match status.verdict() {
        Verdict::Healthy => Vec::new(),
        Verdict::Unhealthy(problems) => problems,
    }
}

#[test]
fn every_condition_is_explained_with_its_text() {
    let ownership = owner();
    ownership.set_reason(Reason::Pass, "no").unwrap();
    let conditions = the(&["condition", "text", "what it means, and what to do"]);
    assert_eq!(conditions.column("condition"), Condition::ALL.map(Condition::as_str));
    let quiet = problems(&Status::of(ownership.segment()).unwrap());
    for (condition, pattern) in Condition::ALL.into_iter().zip(conditions.column("text")) {
        for count in [1, 2] {
            let found = problems(&lasting(&ownership, condition, count));
            let new: Vec<_> = found.iter().filter(|text| !quiet.contains(text)).collect();
            // The age of the last pass differs.
            let told = new.iter().any(|text| {
                let text = text.strip_suffix(" (for 9 passes)").unwrap_or_default();
                matches(&pattern, text)
            });
            assert!(told, "{condition:?}: {pattern:?} in {new:?}");
        }
    }
}

#[test]
fn every_problem_is_explained() {
    let ownership = owner();
    let good = Status::of(ownership.segment()).unwrap();
    let minute = Some(Duration::from_secs(60));
    let second = Some(Duration::from_secs(1));
    let mut bad: Vec<Status> = Vec::new();
    let mut with = |change: &dyn Fn(&mut Status)| {
        let mut status = good.clone();
        (status.tended_age, status.tend_interval) = (second, second);
        change(&mut status);
        bad.push(status);
    };
    with(&|status| status.retired = true);
    with(&|status| status.owner_alive = false);
    with(&|status| (status.abdicated, status.heartbeat_age) = (true, second));
    with(&|status| (status.owner_pid, status.heartbeat_age) = (Some(7), minute));
    with(&|status| (status.owner_pid, status.heartbeat_age) = (None, minute));
    with(&|status| status.sequence = 0);
    with(&|status| status.tended_age = minute);
    with(&|status| status.tended_age = None);
    with(&|status| status.namespaces[0].holes = 3);
    let patterns = the(&["problem", "what it means, and what to do"]).column("problem");
    let texts: BTreeSet<String> = bad.iter().flat_map(problems).collect();
    for text in &texts {
        let known = patterns.iter().filter(|pattern| matches(pattern, text)).count();
        assert_eq!(known, 1, "{text}");
    }
    for pattern in &patterns {
        assert!(texts.iter().any(|text| matches(pattern, text)), "{pattern}");
    }
    // These are all that the code has.
    let code = read("src/client/health.rs");
    let verdict = code.split("pub fn verdict").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let pushed = verdict.matches("wrong.push(").count();
    let extended = verdict.matches("wrong.extend(").count();
    // `absence` and `silence` have one text each; the third extension has the conditions.
    assert_eq!((pushed + 2, extended), (patterns.len(), 3), "{verdict}");
}

/// The names in `"event": "NAME"` of a source file.
fn names(path: &str) -> Vec<String> {
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap();
    let quoted = code.split("\"event\": \"").skip(1);
    quoted.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// The names of a mirror's events, as the code of their JSON has them.
fn mirror_names() -> Vec<String> {
    let text = read("src/client/json/event.rs");
    let arms = text.split("MirrorEvent::").skip(1);
    let name = |arm: &str| {
        let inner = arm.split("(\"").nth(1)?.split('"').next()?;
        Some(format!("c_client_{inner}"))
    };
    arms.filter(|arm| arm.contains("=>")).filter_map(name).collect()
}

/// The events that the code reports as warnings.
fn warnings() -> BTreeSet<String> {
    let text = read("src/client/event.rs");
    let level =
        text.split("pub fn level").nth(1).unwrap().split("=> Level::Warning").next().unwrap();
    let own = level.split("=> Level::Debug").nth(1).unwrap();
    let named = own.split("Event::").skip(1);
    let named = named.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect());
    let own = named.filter(|name: &String| name != "Tend").map(|name| snake(&name));
    let text = read("src/c_client/event.rs");
    let mirror = text.split("pub fn is_warning").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let mirror = mirror.split("MirrorEvent::").skip(1);
    let mirror = mirror.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect());
    own.chain(mirror.map(|name: String| format!("c_client_{}", snake(&name)))).collect()
}

#[test]
fn every_event_is_explained_with_its_level() {
    let header = ["event", "level", "meaning", "what to do"];
    let tables = tables(&read(DOCUMENT)).into_iter().filter(|table| table.header == header);
    let rows: Vec<(String, String)> = tables
        .flat_map(|table| table.column("event").into_iter().zip(table.column("level")))
        .collect();
    let documented: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(documented.len(), rows.len(), "an event is explained twice");
    let library = names("src/client/json/event.rs").into_iter().chain(mirror_names());
    // One expression chooses between these two.
    let two = ["owner", "takeover"].map(str::to_owned);
    let library: BTreeSet<String> = library.chain(two).collect();
    let command: BTreeSet<String> = names("cli/src/event.rs").into_iter().collect();
    assert!(library.len() > 45 && command.len() > 5, "{library:?} {command:?}");
    let known: BTreeSet<String> = library.union(&command).cloned().collect();
    assert_eq!(documented, known);
    let warnings = warnings();
    for (name, level) in rows.iter().filter(|(name, _)| library.contains(name)) {
        let wanted = match &**name {
            "published" => "debug",
            name if warnings.contains(name) => "warning",
            _ => "info",
        };
        assert_eq!(level, wanted, "the level of {name}");
    }
}

#[test]
fn every_alert_has_a_section() {
    let rules = read("deploy/prometheus/tendmap.rules.yml");
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<&str> = alerts.map(str::trim).collect();
    let text = read(DOCUMENT);
    let sections = headings(&text).into_iter().filter(|heading| heading.starts_with("Tendmap"));
    assert!(alerts.len() > 5);
    assert_eq!(sections.collect::<Vec<_>>(), alerts);
}

#[test]
fn every_exit_code_is_explained() {
    let codes = table(&read("docs/CLI.md"), &["exit code", "meaning"]).column("exit code");
    let text = read("cli/src/failure.rs");
    let arms =
        text.split("fn code(&self) -> u8").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let numbers = arms.split("=> ").skip(1).filter_map(|arm| arm.split(',').next()?.parse().ok());
    let mut known: Vec<u8> = numbers.chain([0]).collect();
    assert_eq!(known.len(), arms.matches("Failure::").count() + 1);
    known.sort_unstable();
    let documented: Vec<u8> = codes.iter().map(|code| code.parse().unwrap()).collect();
    assert_eq!(documented, known);
}

#[test]
fn patterns_match_what_they_say() {
    assert!(matches("a… is … b…", "aXX is here b!"));
    assert!(matches("a… b", "a… b") && matches("a", "a"));
    assert!(!matches("a", "ab") && !matches("a… b", "a b c") && !matches("…x", "y"));
    assert_eq!(snake("NodeLeftOut"), "node_left_out");
}
