//! Exit codes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, BINARY, Place, keys};

const ROUTE: &[&str] = &["route", "--namespace", "test", "--int", "1"];
const LOOKS: [&[&str]; 3] = [ROUTE, &["map"], &["status"]];

/// Checks that every command that reads a segment ends with this code, reports the
/// reason, and prints no answer.
fn all_end_with(place: &Place, code: i32, why: &str) {
    for args in LOOKS {
        for json in [&[][..], &["--json"]] {
            let answer = place.run(&[args, json].concat());
            assert_eq!(answer.code(), code, "{args:?}: {}", answer.stderr());
            if json.is_empty() {
                assert!(answer.stderr().starts_with("tendmap: "), "{}", answer.stderr());
                assert!(answer.stderr().contains(why), "{}", answer.stderr());
            } else {
                let error = answer.error();
                assert_eq!(error["code"], code, "{error}");
                assert!(error["message"].as_str().unwrap().contains(why), "{error}");
                assert!(error["hint"].is_string(), "{error}");
            }
            assert_eq!(answer.stdout(), "");
        }
    }
}

#[test]
fn bad_usage_is_2() {
    let place = Place::new();
    let host = ["tend", "--host", "127.0.0.1:3000"];
    let cases: [&[&str]; 26] = [
        &[],
        &["nonsense"],
        &["map", "--shm-key", "zz"],
        &["map", "--shm-key", "0x100000000"],
        &["route", "--int", "1"],
        &["route", "--namespace", "test"],
        &["route", "--namespace", "test", "--int", "x"],
        &["route", "--namespace", "test", "--int", "1", "--str", "1"],
        &["route", "--namespace", "test", "--hex", "0"],
        &["route", "--namespace", "test", "--hex", "0g"],
        &["route", "--namespace", "test", "--digest", "00"],
        &["route", "--namespace", "test", "--digest", &"0g".repeat(20)],
        &["tend"],
        &["tend", "--host", "a:b"],
        &[&host[..], &["--shm-max-nodes", "0"]].concat(),
        &[&host[..], &["--shm-max-nodes", "4097"]].concat(),
        &[&host[..], &["--shm-node-ceiling", "4097"]].concat(),
        &[&host[..], &["--shm-namespace-ceiling", "0"]].concat(),
        &[&host[..], &["--tend-interval", "10ms"]].concat(),
        &[&host[..], &["--shm-takeover-threshold", "1s"]].concat(),
        &[&host[..], &["--shm-mode", "0666"]].concat(),
        &["sim", "--namespace", "test:0"],
        &["sim", "--user", "ann"],
        &["sim", "--nodes", "0"],
        &["sim", "--namespace", "test:1", "--namespace", "test:2"],
        &["demo", "--workers", "1"],
    ];
    for args in cases {
        let answer = place.run(args);
        assert_eq!(answer.code(), 2, "{args:?}: {}", answer.stderr());
        assert_ne!(answer.stderr(), "");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn h104_errors_of_every_kind_are_json_where_json_is_asked_for() {
    let place = Place::new();
    let bad_file = place.path().join("bad.toml");
    fs::write(&bad_file, "colour = 1\n").unwrap();
    let bad_file = bad_file.to_str().unwrap();
    let cases: [(&[&str], i32, &str, &str); 9] = [
        (&["nonsense", "--json"], 2, "unrecognized subcommand 'nonsense'", ""),
        (&["--json"], 2, "a command is missing", "--help"),
        (&["--json", "rm", "--forc"], 2, "unexpected argument '--forc'", "'--force'"),
        (&["map", "--json", "--shm-key", "zz"], 2, "'zz'", ""),
        (&["tend", "--json"], 2, "--hosts <HOST>", "usage: "),
        (&["tend", "--json", "--host", "a:1", "--tend-interval", "1ms"], 2, "at least 50ms", ""),
        (&["status", "--json", "--config", bad_file], 2, "bad.toml:1: unknown key colour", ""),
        (&["tend", "--json", "--host", "127.0.0.1:1"], 6, "127.0.0.1:1", ""),
        (&["check", "--json", "--host", "127.0.0.1:1"], 6, "tending would not work", ""),
    ];
    for (args, code, message, hint) in cases {
        let answer = place.run(args);
        assert_eq!(answer.code(), code, "{args:?}: {}", answer.stderr());
        let error = answer.error();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{args:?}: {error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{args:?}: {error}");
    }
    // The same by the environment variable.
    let by_variable = place.command(&["map"]).env("TENDMAP_JSON", "1").output().unwrap();
    assert_eq!(Answer(by_variable).error()["code"], 3);
    let by_variable = place.command(&["nonsense"]).env("TENDMAP_JSON", "1").output().unwrap();
    assert_eq!(Answer(by_variable).error()["code"], 2);
}

#[test]
fn h104_flags_of_segments_are_taken_by_commands_that_have_none() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let host = sim.seeds()[0].to_string();
    let flags = ["--shm-key", "5", "--shm-backend", "sysv", "--shm-directory", "/dev/shm"];
    let check = [&["check", "--host", &host][..], &flags].concat();
    assert_eq!(place.run(&check).code(), 0);
    let sim = [&["sim", "--help"][..], &flags].concat();
    assert!(!place.run(&sim).stdout().contains("--shm"));
}

#[test]
fn h104_a_file_that_asks_for_json_gets_its_errors_in_json() {
    let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("settings.toml");
    let run = |text: &str, more: &[&str]| {
        std::fs::write(&path, text).unwrap();
        place.run(&[&["status", "--config", path.to_str().unwrap()], more].concat())
    };
    for (text, more) in [
        ("json = true\n", &["--nonsense"][..]),
        ("json = true\n", &["--shm-key", "zz"]),
        ("shm-key = \"zz\"\n[status]\njson = true\n", &[]),
        ("json = true\nnonsense = 1\n", &[]),
    ] {
        let answer = run(text, more);
        assert_eq!((answer.code(), &answer.error()["code"]), (2, &serde_json::json!(2)), "{text}");
    }
    // What takes precedence over it does so here, too.
    for text in ["json = true\n[status]\njson = false\n", "[ls]\njson = true\n"] {
        let answer = run(text, &["--nonsense"]);
        assert!(answer.code() == 2 && answer.stderr().starts_with("error: "), "{text}");
    }
}

#[test]
fn h104_no_color_holds_for_help_errors_and_the_log() {
    // `script` runs a command on a terminal.
    if Command::new("script").arg("--version").output().is_err() {
        tendmap_testkit::skipped("`script` is not installed");
        return;
    }
    let place = Place::new();
    let on_terminal = |no_color: Option<&str>, args: &str| {
        let mut command = Command::new("script");
        let line = format!("'{BINARY}' {args}");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(place.path());
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("CLICOLOR");
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let directory = place.path().to_str().unwrap();
    let log = format!("tend --host 127.0.0.1:1 --log debug --shm-directory {directory}");
    for args in [&log, "map --nonsense", "tend --help"] {
        assert!(on_terminal(None, args).contains("\x1b["), "{args} has no colours at all");
        let plain = on_terminal(Some("1"), args);
        assert!(!plain.is_empty() && !plain.contains("\x1b["), "{args}: {plain}");
    }
    assert!(on_terminal(Some(""), &log).contains("\x1b["), "an empty variable counts as unset");
}

#[test]
fn no_such_segment_is_3() {
    let place = Place::new();
    all_end_with(&place, 3, "no segment of key 0xa7000000");
    assert_eq!(place.run(&["rm"]).code(), 3);
    let other = place.run(&["map", "--shm-key", "16"]);
    assert!(other.stderr().contains("0x00000010"), "{}", other.stderr());
}

#[test]
fn another_layout_version_is_4() {
    let place = Place::new();
    fs::write(place.path().join("tendmap-a7000000-v9-g1"), [0; 4096]).unwrap();
    all_end_with(&place, 4, "layout version 9, wanted 3");
    let listed = place.json(&["ls", "--json"]);
    assert_eq!(listed["segments"][0]["status"], "other version");
    assert_eq!(listed["segments"][0]["layout_version"], 9);
    assert!(place.run(&["ls"]).stdout().contains("version 9"));
    // No process is attached.
    assert_eq!(place.run(&["rm"]).code(), 0);
}

#[test]
fn what_is_no_segment_is_5() {
    let place = Place::new();
    for content in [&b"garbage"[..], &[0; 4096], &[]] {
        fs::write(place.segment(), content).unwrap();
        all_end_with(&place, 5, "tendmap rm --force");
        // An empty file has no user, so it is removed without --force.
        if !content.is_empty() {
            assert_eq!(place.run(&["rm"]).code(), 5);
        }
        assert_eq!(place.json(&["ls", "--json"])["segments"][0]["status"], "damaged");
    }
    assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    assert!(!place.segment().exists());
}

#[test]
fn a_damaged_header_is_5_and_one_of_another_version_is_4() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    place.tend(&sim, &[]).kill();
    let file = fs::File::options().read(true).write(true).open(place.segment()).unwrap();
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    };
    for at in [0, 12, 16, 24, 32, 36, 48, 56, 64, 100, 200, 248] {
        flip(at);
        all_end_with(&place, 5, "tendmap rm --force");
        flip(at);
    }
    flip(8);
    all_end_with(&place, 4, "layout version 7, wanted 3");
    flip(8);
    assert_eq!(place.run(ROUTE).code(), 0);
    // A truncated file.
    file.set_len(8192).unwrap();
    all_end_with(&place, 5, "8192 bytes long");
}

#[test]
fn other_failures_are_6() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let refused = place.run(&["tend", "--host", "127.0.0.1:1", "--tend-interval", "50ms"]);
    assert_eq!(refused.code(), 6, "{}", refused.stderr());
    assert!(refused.stderr().contains("127.0.0.1:1"), "{}", refused.stderr());
    let wrong = place.run(&["tend", "--host", &hosts[0], "--cluster-name", "other"]);
    assert_eq!(wrong.code(), 6, "{}", wrong.stderr());
    assert!(wrong.stderr().contains("\"tend-sim\""), "{}", wrong.stderr());
    assert!(wrong.stderr().contains("\"other\""), "{}", wrong.stderr());
    assert_eq!(place.json(&["ls", "--json"])["segments"], serde_json::json!([]));
    assert_eq!(keys(&place.json(&["ls", "--json"])), ["segments"]);

    let _owner = place.tend(&sim, &[]);
    let unknown = place.run(&["route", "--namespace", "nope", "--int", "1"]);
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr().contains("there are \"test\", \"bar\""), "{}", unknown.stderr());
}
