//! Flags, environment variables and the configuration file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::json;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, Place, Running, wait_until};

impl Place {
    /// Writes a configuration file with this text.
    fn config(&self, text: &str) -> String {
        let path: PathBuf = self.path().join("tendmap.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn hosts(sim: &Sim) -> String {
    let hosts: Vec<String> = sim.seeds().iter().map(|seed| format!("\"{seed}\"")).collect();
    format!("host = [{}]\n", hosts.join(", "))
}

#[test]
fn flags_come_before_the_environment_before_the_file_before_what_is_built_in() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let file = place.config(&format!(
        "# who\n{}shm-key = 0xA7000005\nshm_max_nodes = 20\nshm-max-namespaces = 5\n\
         tend-interval = \"300ms\"\nshm-mode = 0o640\nchecksums = true\n",
        hosts(&sim),
    ));
    let mut command = place.command(&["tend", "--json", "--shm-max-namespaces", "7"]);
    command.env("TENDMAP_CONFIG", &file);
    command.env("TENDMAP_SHM_MAX_NAMESPACES", "6").env("TENDMAP_TEND_INTERVAL", "200ms");
    let mut owner = Running::start(&mut command);
    owner.until("connected");
    let status = place.json(&["status", "--json", "--config", &file]);
    assert_eq!(status["key"], 0xA700_0005_u32, "status has it from the file too");
    assert_eq!(status["max_nodes"], 20, "file");
    assert_eq!(status["tend_interval_ms"], 200, "environment");
    assert_eq!(status["max_namespaces"], 7, "flag");
    assert_eq!(status["max_replicas"], 3, "built in");
    let listed = place.json(&["ls", "--json"]);
    assert_eq!(listed["segments"][0]["mode"], "0640");
    assert_eq!(place.run(&["status", "--config", &file, "--shm-key", "1"]).code(), 3);
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h128_group_write_is_refused_and_allowed_from_every_place() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let refused = |line: &str, args: &[&str], variable: Option<&str>| {
        let file = place.config(&format!("{}tend-interval = \"300ms\"\n{line}", hosts(&sim)));
        let mut command = place.command(&[&["tend", "--config", &file], args].concat());
        command.envs(variable.map(|mode| ("TENDMAP_SHM_MODE", mode)));
        let answer = Answer(command.output().unwrap());
        assert_eq!(answer.code(), 2, "{}", answer.stderr());
        let text = answer.stderr();
        for wanted in ["shm_mode is 0660", "SIGBUS", "0640", "sysv", "shm_allow_group_write"] {
            assert!(text.contains(wanted), "{text} does not say {wanted}");
        }
        text
    };
    assert!(refused("shm-mode = 0o660\n", &[], None).contains("tendmap.toml:3"));
    refused("", &["--shm-mode", "0660"], None);
    refused("", &[], Some("0660"));
    assert_eq!(place.json(&["ls", "--json"])["segments"], json!([]));
    let allowed = |line: &str, args: &[&str], variable: Option<&str>| {
        let line = format!("{}tend-interval = \"300ms\"\nshm-mode = 0o660\n{line}", hosts(&sim));
        let file = place.config(&line);
        let mut command = place.command(&[&["tend", "--json", "--config", &file], args].concat());
        command.envs(variable.map(|value| ("TENDMAP_SHM_ALLOW_GROUP_WRITE", value)));
        let mut owner = Running::start(&mut command);
        owner.until("connected");
        assert_eq!(place.json(&["ls", "--json"])["segments"][0]["mode"], "0660");
        assert_eq!(
            place.run(&["status"]).code(),
            0,
            "a command that only reads needs no permission"
        );
        assert_eq!(owner.interrupt(), 0);
    };
    allowed("shm-allow-group-write = true\n", &[], None);
    allowed("", &["--shm-allow-group-write"], None);
    allowed("", &[], Some("true"));
}

#[test]
fn a_bad_file_is_an_error_that_names_file_line_and_key() {
    let place = Place::new();
    for (text, line, what) in [
        ("host = [\"127.0.0.1:1\"]\ntend_intervall = \"1s\"\n", 2, "did you mean tend-interval?"),
        ("colour = \"red\"\n", 1, "unknown key colour; the keys are the long flags"),
        ("config = \"x\"\n", 1, "unknown key config"),
        (
            "[colours]\nred = 1\n",
            1,
            "unknown section [colours]; a section has the name of a command",
        ),
        ("[rm]\nforc = true\n", 2, "unknown key forc; did you mean force?"),
        ("[sim]\nnodes = \"many\"\n", 2, "nodes is \"many\""),
        (
            "[ls]\nhost = \"a:1\"\n",
            2,
            "unknown key host; the keys are the long flags of `tendmap ls",
        ),
        ("seconds = \"x\"\n", 1, "seconds is \"x\""),
        (
            "\ntend-interval = \"5x\"\n",
            2,
            "tend-interval is \"5x\": wanted seconds, or a number with ms, s, m or h",
        ),
        ("tend-interval = 0.01\n", 1, "tend_interval is 10ms; wanted at least 50ms"),
        ("host = \"a:b\"\n", 1, "host is \"a:b\": "),
        ("host = [\"a:1\",\n\"b:x\"]\n", 1, "the port is not a number"),
        ("use-shm = \"perhaps\"\n", 1, "use-shm is \"perhaps\""),
        ("checksums = \"perhaps\"\n", 1, "checksums is \"perhaps\""),
        ("shm-key = [1, 2]\n", 1, "shm-key takes one value, not a list"),
        ("shm-key = 1\nshm_key = 2\n", 2, "shm-key is already set in line 1"),
        ("[tend]\nhost = {a = 1}\n", 2, "host is a TOML table"),
        ("host = 127.0.0.1:1\n", 1, "invalid TOML"),
        ("log = \"loud\"\n", 1, "wanted error, warn"),
        ("# low\ntend-interval = \"10ms\"\n", 2, "tend_interval is 10ms; wanted at least 50ms"),
        ("\n\nshm-takeover-threshold = \"1s\"\n", 3, "wanted at least 4s"),
        ("cluster-name = \"\"\n", 1, "cluster_name: empty"),
    ] {
        let file = place.config(text);
        let mut args = vec!["tend", "--config", &file];
        if !text.contains("host") {
            args.extend(["--host", "127.0.0.1:1"]);
        }
        let answer = place.run(&args);
        let error = answer.stderr();
        assert_eq!(answer.code(), 2, "{text:?}: {error}");
        assert!(error.contains(&format!("{file}:{line}")), "{text:?}, line {line}: {error}");
        assert!(error.contains(what), "{text:?}: {error}, not {what}");
        assert_eq!(answer.stdout(), "");
    }
    let file = place.config("user = \"me\"\npassword = \"open\"\n");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&file, open).unwrap();
    let answer = place.run(&["tend", "--host", "127.0.0.1:1", "--config", &file]);
    assert_eq!(answer.code(), 2);
    assert!(answer.stderr().contains("mode 0644 lets other users read it"), "{}", answer.stderr());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let help = place.run(&["tend", "--config", &file, "--help"]).stdout();
    assert!(!help.contains("open"), "the password is in the help");
    let missing = place.run(&["status", "--config", "/nowhere/tendmap.toml"]);
    assert_eq!(missing.code(), 2);
    assert!(missing.stderr().contains("/nowhere/tendmap.toml"), "{}", missing.stderr());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "only the file");
}

#[test]
fn a_bad_variable_is_named_but_a_flag_outdoes_it() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let run = |args: &[&str], variable: &str, value: &str| {
        crate::tool::Answer(place.command(args).env(variable, value).output().unwrap())
    };
    let bad = run(&["tend", "--host", "127.0.0.1:1"], "TENDMAP_TEND_INTERVAL", "1x");
    assert_eq!(bad.code(), 2);
    assert!(bad.stderr().contains("TENDMAP_TEND_INTERVAL is \"1x\""), "{}", bad.stderr());
    let low = run(&["tend", "--host", "127.0.0.1:1"], "TENDMAP_TEND_INTERVAL", "1ms");
    assert!(low.stderr().contains("(set by TENDMAP_TEND_INTERVAL)"), "{}", low.stderr());
    let low = place.run(&["tend", "--host", "127.0.0.1:1", "--tend-interval", "1ms"]);
    assert!(low.stderr().contains("(set by --tend-interval)"), "{}", low.stderr());

    let _owner = place.tend(&sim, &[]);
    assert_eq!(run(&["status"], "TENDMAP_SHM_KEY", "zz").code(), 2);
    assert_eq!(run(&["status"], "TENDMAP_SHM_KEY", "1").code(), 3);
    assert_eq!(run(&["status", "--shm-key", "0xa7000000"], "TENDMAP_SHM_KEY", "zz").code(), 0);
    let answer = run(&["status"], "TENDMAP_JSON", "yes");
    assert_eq!(answer.json()["healthy"], true);
}

#[test]
fn sighup_has_the_file_read_anew_without_connecting_anew() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let accepted = || -> u64 {
        sim.status().unwrap().nodes.iter().map(|node| node.connections_accepted).sum()
    };
    let base = hosts(&sim);
    let file = place.config(&format!("{base}tend-interval = \"10s\"\nlog = \"info\"\n"));
    let mut owner = Running::start(&mut place.command(&["tend", "--json", "--config", &file]));
    owner.until("connected");
    assert!(owner.heard.iter().all(|told| told["level"] != "debug"), "{:?}", owner.heard);
    let before = accepted();
    let status = || place.run(&["status", "--json"]).json();

    place.config(&format!("{base}tend-interval = \"50ms\"\nlog = \"debug\"\n"));
    owner.signal(Signal::HUP);
    assert_eq!(owner.until("reloaded")["changed"], json!(["tend-interval", "log"]));
    wait_until("the new interval", || status()["tend_interval_ms"] == 50);
    let tends = status()["tends"].as_u64().unwrap();
    wait_until("many passes", || status()["tends"].as_u64().unwrap() > tends + 5);
    sim.kill(2).unwrap();
    owner.until("node_removed");
    // Of the level that was not logged before.
    assert_eq!(owner.until("published")["level"], "debug");

    // An invalid setting changes nothing.
    place.config(&format!("{base}tend-interval = \"40s\"\nlog = \"off\"\n"));
    owner.signal(Signal::HUP);
    let failed = owner.until("reload_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("shm_takeover_threshold"), "{error}");
    place.config("host = {}");
    owner.signal(Signal::HUP);
    assert!(owner.until("reload_failed")["error"].as_str().unwrap().contains("tendmap.toml:1"));
    assert_eq!(status()["tend_interval_ms"], 50);

    // A setting that requires a restart is reported.
    place.config(&format!("{base}tend-interval = \"60ms\"\nlog = \"debug\"\nshm-max-nodes = 30\n"));
    owner.signal(Signal::HUP);
    assert_eq!(owner.until("reloaded")["changed"], json!(["tend-interval"]));
    assert_eq!(owner.until("restart_needed")["settings"], json!(["shm-max-nodes"]));
    assert_eq!(status()["max_nodes"], 16);
    assert_eq!(accepted(), before, "no connection was opened for it");
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn sighup_ends_who_has_no_file() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let mut owner = place.tend(&sim, &[]);
    owner.signal(Signal::HUP);
    assert_eq!(owner.end(), 0);
    assert_eq!(owner.heard.last().unwrap()["event"], "closed");
}
