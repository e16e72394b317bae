//! Segments in System V shared memory, and the system's tools for them.

use std::process::Command;

use serde_json::json;
use tendmap::internals::layout::{shm_create, shm_find, shm_remove};
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, wait_until};

/// A key of a test. Dropping it removes the key's segment.
pub struct Key {
    pub key: u32,
    flag: String,
}

impl Key {
    /// `None`, after printing the reason, without System V shared memory.
    pub fn new() -> Option<Key> {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let key = 0x7c00_0000 | (RandomState::new().build_hasher().finish() as u32 & 0x00ff_ffff);
        match shm_create(key, 4096, 0o600) {
            Ok(id) => shm_remove(id).unwrap(),
            Err(error) => {
                tendmap_testkit::skipped(&format!("no System V shared memory here: {error}"));
                return None;
            }
        }
        Some(Key { key, flag: format!("--shm-key={key:#010x}") })
    }

    pub fn hex(&self) -> String {
        format!("{:#010x}", self.key)
    }

    pub fn flags(&self) -> [&str; 2] {
        ["--shm-backend=sysv", &self.flag]
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Ok(Some(id)) = shm_find(self.key) {
            let _ = shm_remove(id);
        }
    }
}

/// The output of a tool of util-linux; `None` if it is not installed.
fn tool(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {output:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            tendmap_testkit::skipped(&format!("no {program} here: {error}"));
            None
        }
    }
}

#[test]
fn ipcs_shows_the_segment_and_ipcrm_makes_everybody_start_over() {
    let Some(key) = Key::new() else { return };
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut owner = place.tend(&sim, &key.flags());
    let mut follower = place.tend(&sim, &key.flags());
    let hex = format!("{:#010x}", key.key);

    let with = |command: &'static str| [&[command, "--json"], &key.flags()[..]].concat();
    let status = place.json(&with("status"));
    assert_eq!((&status["backend"], &status["path"]), (&json!("sysv"), &json!(null)));
    assert_eq!((&status["attached"], &status["healthy"]), (&json!(2), &json!(true)));
    if let Some(listed) = tool("ipcs", &["-m"]) {
        let line = listed.lines().find(|line| line.contains(&hex)).expect("the key");
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[1], status["shmid"].to_string(), "{line}");
        assert_eq!((fields[3], fields[4]), ("600", status["bytes"].to_string().as_str()));
        // The owner has a separate writable mapping.
        assert_eq!(fields[5], "3", "{line}");
    }
    let shown = place.json(&with("ls"));
    let found = &shown["segments"][0];
    assert_eq!((&found["attached"], &found["nattch"]), (&json!(2), &json!(3)));

    if tool("ipcrm", &["-M", &hex]).is_none() {
        shm_remove(shm_find(key.key).unwrap().unwrap()).unwrap();
    }
    for process in [&mut owner, &mut follower] {
        assert_eq!(process.until("moved")["generation"], 2);
    }
    let ready = || place.run(&with("status")).code() == 0;
    wait_until("a new segment", ready);
    assert_eq!((owner.interrupt(), follower.interrupt()), (0, 0));
    assert_eq!(shm_find(key.key).unwrap(), None, "the last one out removes it");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn every_command_finds_the_segment_by_its_flag_and_ls_shows_both_kinds() {
    let Some(key) = Key::new() else { return };
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _of_file = place.tend(&sim, &["--shm-key=1"]);
    let mut owner = place.tend(&sim, &key.flags());

    let listed = place.json(&["ls", "--json"]);
    let kind = |found: &serde_json::Value| {
        let (id, path) = (found["shmid"].is_number(), found["path"].is_string());
        (found["key"].clone(), found["backend"].clone(), id, path)
    };
    let kinds: Vec<_> = listed["segments"].as_array().unwrap().iter().map(kind).collect();
    let wanted =
        [(json!(1), json!("file"), false, true), (json!(key.key), json!("sysv"), true, false)];
    assert_eq!(kinds, wanted, "{listed}");
    assert!(place.run(&["ls"]).stdout().contains("sysv"));

    let [backend, name] = key.flags();
    for args in
        [&["map", "--json"][..], &["route", "--namespace", "test", "--int", "42"], &["status"]]
    {
        let answer = place.run(&[args, &[backend, name]].concat());
        assert_eq!(answer.code(), 0, "{args:?}: {}", answer.stderr());
        // Without the flag, the error names the segment's backend.
        let answer = place.run(&[args, &[name]].concat());
        assert_eq!(answer.code(), 3, "{args:?}: {}", answer.stderr());
        assert!(answer.stderr().contains("in sysv memory, wanted file"), "{}", answer.stderr());
    }
    let seed = sim.seeds()[0].to_string();
    let answer = place.run(&["tend", "--host", &seed, name]);
    assert_eq!(answer.code(), 2, "{}", answer.stderr());

    let refused = place.run(&["rm", backend, name]);
    assert_eq!(refused.code(), 6, "{}", refused.stderr());
    assert!(refused.stderr().contains("in use by 1 process"), "{}", refused.stderr());
    owner.kill();
    let removed = place.run(&["rm", backend, name]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr());
    assert!(removed.stdout().starts_with("removed System V segment"), "{}", removed.stdout());
    assert_eq!(shm_find(key.key).unwrap(), None);
    assert_eq!(place.run(&["status", backend, name]).code(), 3);
}

#[test]
fn another_programs_segment_and_a_wrong_kind_are_told() {
    let Some(key) = Key::new() else { return };
    let place = Place::new();
    let id = shm_create(key.key, 5000, 0o600).unwrap();
    for args in [&["rm", "--force"][..], &["status"], &["tend", "--host", "127.0.0.1:1"]] {
        let answer = place.run(&[args, &key.flags()[..]].concat());
        assert_eq!(answer.code(), 6, "{args:?}: {}", answer.stderr());
        assert!(answer.stderr().contains("belongs to another program"), "{}", answer.stderr());
    }
    assert_eq!(shm_find(key.key).unwrap(), Some(id), "it was left alone");
    let answer = place.run(&["status", "--shm-backend", "shm"]);
    assert_eq!(answer.code(), 2);
    assert!(answer.stderr().contains("wanted file or sysv"), "{}", answer.stderr());
}
