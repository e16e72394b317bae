//! The log of `tend`: one stream, each event once, with time and level.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tendmap::sim::{Sim, SimConfig, SimUser};

use crate::tool::{Place, Running, wait_until};

/// A cluster whose tender logs in, which the library logs.
fn guarded() -> Sim {
    let mut config = SimConfig::fast(2);
    config.security = true;
    config.users = vec![SimUser::new("keeper", "sesame")];
    Sim::start(config).unwrap()
}

fn tend(place: &Place, sim: &Sim, more: &[&str]) -> Command {
    let host = sim.seeds()[0].to_string();
    let mut command = place.command(&["tend", "--host", &host, "--tend-interval", "50ms"]);
    command.args(["--user", "keeper"]).env("TENDMAP_PASSWORD", "sesame");
    command.env_remove("JOURNAL_STREAM").env_remove("NO_COLOR").args(more);
    command
}

/// What a `tend` writes to standard output until it has removed a node and ended.
/// Nothing goes to standard error.
fn life(place: &Place, sim: &Sim, mut command: Command, output: PathBuf) -> Vec<String> {
    let errors = place.path().join("errors");
    let file = File::options().append(true).create(true).open(&output).unwrap();
    command.stdin(Stdio::null()).stdout(file).stderr(File::create(&errors).unwrap());
    let mut child: Child = command.spawn().unwrap();
    wait_until("a map", || place.run(&["status"]).code() == 0);
    let sequence = || place.json(&["status", "--json"])["sequence"].as_u64();
    let before = sequence();
    let added = sim.add().unwrap();
    wait_until("a publication", || sequence() > before);
    sim.remove(added).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&errors).unwrap(), "", "all is in one stream");
    let mut text = String::new();
    File::open(&output).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn output(place: &Place) -> PathBuf {
    place.path().join("output")
}

/// A moment as text: RFC 3339 in UTC, with milliseconds.
fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

#[test]
fn h150_each_event_is_one_line_of_one_stream_with_time_and_level() {
    let (place, sim) = (Place::new(), guarded());
    let lines = life(&place, &sim, tend(&place, &sim, &["--log", "debug"]), output(&place));
    for line in &lines {
        let (time, rest) = line.split_once(' ').unwrap();
        let (level, rest) = rest.split_once(' ').unwrap();
        assert!(is_moment(time), "{line}");
        assert!(["INFO", "DEBUG", "WARNING"].contains(&level), "{line}");
        assert!(!rest.contains('\u{1b}'), "no colours in a file: {line}");
    }
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count(" owner: generation 1, term 1, takeover false"), 1, "{lines:#?}");
    assert_eq!(count("connected: role owner"), 1, "{lines:#?}");
    // The library logs each event, too; and other messages, which appear.
    assert_eq!(count("node added"), 0, "{lines:#?}");
    assert!(count("node_added: id ") >= 2, "{lines:#?}");
    assert!(count(" tendmap::tend::transport::links: logged in address=") >= 2, "{lines:#?}");
    assert!(lines.last().unwrap().ends_with(" INFO    closed"), "{lines:#?}");
    let times: Vec<&str> = lines.iter().map(|line| line.split_once(' ').unwrap().0).collect();
    assert!(times.is_sorted(), "{lines:#?}");
}

#[test]
fn h150_json_has_the_same_keys_for_every_event_and_message() {
    let (place, sim) = (Place::new(), guarded());
    for flag in ["--json", "--log-format=json"] {
        let place = if flag == "--json" { &place } else { &Place::new() };
        let command = tend(place, &sim, &[flag, "--log", "debug"]);
        let lines = life(place, &sim, command, output(place));
        let told: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for told in &told {
            let keys: Vec<&String> = told.as_object().unwrap().keys().collect();
            let (first, last) = (&keys[..3], &keys[keys.len() - 2..]);
            assert_eq!(
                (first, last),
                (
                    &["time", "level", "event"].map(String::from).iter().collect::<Vec<_>>()[..],
                    &["message", "pid"].map(String::from).iter().collect::<Vec<_>>()[..]
                ),
                "{told}"
            );
            assert!(is_moment(told["time"].as_str().unwrap()), "{told}");
            assert!(told["pid"].is_u64() && told["message"] != "", "{told}");
        }
        let of = |event: &str| -> Vec<&Value> {
            told.iter().filter(|told| told["event"] == event).collect()
        };
        let published = of("published");
        assert_eq!(published[0]["level"], "debug");
        assert_eq!((&published[0]["sequence"], &published[0]["nodes"]), (&1.into(), &2.into()));
        assert_eq!(published[0]["message"], "published: sequence 1, nodes 2, namespaces 2");
        let logged = of("log");
        let logged =
            logged.iter().find(|told| told["message"].as_str().unwrap().starts_with("logged in "));
        assert_eq!(logged.unwrap()["part"], "tendmap::tend::transport::links");
        assert!(logged.unwrap()["fields"]["address"].is_string());
        // The library's own lines of the events are left out.
        assert!(of("log").iter().all(|told| told["part"] != "tendmap"), "{told:#?}");
    }
}

#[test]
fn h150_the_level_applies_to_events_and_messages_alike() {
    let sim = guarded();
    // Of the level, whether there are publications, other events, and messages.
    for (level, wanted) in [
        (None, [true, true, false]),
        (Some("info"), [false, true, false]),
        (Some("warn"), [false, false, false]),
        (Some("warn,tendmap::event=info"), [false, true, false]),
        (Some("off,tendmap::tend=debug"), [false, false, true]),
    ] {
        let place = Place::new();
        let flags: Vec<&str> = level.iter().flat_map(|level| ["--log", level]).collect();
        let lines = life(&place, &sim, tend(&place, &sim, &flags), output(&place));
        let has = |what: &str| lines.iter().any(|line| line.contains(what));
        let found = [has(" published: "), has(" node_added: "), has(": logged in ")];
        assert_eq!(found, wanted, "{level:?}: {lines:#?}");
    }
}

/// The value of `JOURNAL_STREAM` for this file.
fn stream(path: &Path) -> String {
    File::options().append(true).create(true).open(path).unwrap();
    let found = fs::metadata(path).unwrap();
    format!("{}:{}", found.dev(), found.ino())
}

#[test]
fn h150_only_the_journal_gets_priorities_instead_of_times() {
    let (place, sim) = (Place::new(), guarded());
    let journal = |place: &Place, value: &str, more: &[&str]| {
        let mut command = tend(place, &sim, &[&["--log", "debug"], more].concat());
        command.env("JOURNAL_STREAM", value);
        life(place, &sim, command, output(place))
    };
    let lines = journal(&place, &stream(&output(&place)), &[]);
    let starts = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert!(starts("<6>node_added: id ") >= 2, "{lines:#?}");
    assert!(starts("<7>published: sequence ") >= 1, "{lines:#?}");
    assert!(starts("<7>tendmap::tend::transport::links: logged in ") >= 1, "{lines:#?}");
    assert_eq!(starts("<"), lines.len(), "{lines:#?}");
    // The variable is inherited by programs whose output goes elsewhere.
    let elsewhere = stream(&place.path().join("elsewhere"));
    for value in ["", "1:", &elsewhere] {
        let place = Place::new();
        let lines = journal(&place, value, &[]);
        assert!(lines.iter().all(|line| is_moment(line.split(' ').next().unwrap())), "{value}");
    }
    let place = Place::new();
    let lines = journal(&place, &stream(&output(&place)), &["--json"]);
    assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:#?}");
}

#[test]
fn h150_an_error_on_the_way_to_the_journal_has_its_priority() {
    let place = Place::new();
    let errors = place.path().join("errors");
    let mut command = place.command(&["tend", "--host", "127.0.0.1:1", "--connect-timeout", "1s"]);
    command.env("JOURNAL_STREAM", stream(&errors)).stdout(Stdio::null());
    let file = File::options().append(true).open(&errors).unwrap();
    let code = command.stderr(file).status().unwrap().code();
    let told = fs::read_to_string(&errors).unwrap();
    assert_eq!(code, Some(6), "{told}");
    assert!(told.starts_with("<3>tendmap: "), "{told}");
}

#[test]
fn h150_other_commands_log_to_standard_error_in_the_same_formats() {
    let (place, sim) = (Place::new(), guarded());
    let host = sim.seeds()[0].to_string();
    let check = |more: &[&str]| {
        let mut command = place.command(&["check", "--host", &host, "--user", "keeper"]);
        command.args(more).env("TENDMAP_PASSWORD", "sesame");
        crate::tool::Answer(command.output().unwrap())
    };
    assert_eq!(check(&[]).stderr(), "");
    let text = check(&["--log", "debug"]).stderr();
    assert!(text.lines().all(|line| is_moment(line.split(' ').next().unwrap())), "{text}");
    assert!(text.contains(" DEBUG   tendmap::tend::transport::links: logged in "), "{text}");
    for flags in [&["--log", "debug", "--json"][..], &["--log=debug", "--log-format=json"]] {
        let told = check(flags).stderr();
        let mut lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert!(lines.any(|told| told["event"] == "log" && told["level"] == "debug"), "{told}");
    }
    let wrong = check(&["--log-format", "xml"]);
    assert_eq!(wrong.code(), 2);
    assert!(wrong.stderr().contains("xml"), "{}", wrong.stderr());
}

#[test]
fn h150_a_warning_about_the_settings_is_part_of_the_log() {
    let (place, sim) = (Place::new(), guarded());
    let host = sim.seeds()[0].to_string();
    let args = ["tend", "--json", "--host", &host, "--user", "keeper", "--password", "sesame"];
    let mut tend = Running::start(&mut place.command(&args));
    tend.until("connected");
    let told = &tend.heard[0];
    assert_eq!((&told["event"], &told["level"]), (&"unwise_setting".into(), &"warning".into()));
    assert!(told["message"].as_str().unwrap().starts_with("`ps` shows --password"), "{told}");
    assert_eq!(tend.interrupt(), 0);
}
