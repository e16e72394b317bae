//! The program as a static binary, in a root that holds nothing else, beside processes of
//! the usual build. TENDMAP_STATIC names it; only .ci/deep builds one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig, SimUser};
use tendmap_testkit::authority::{Authority, NAME};

use crate::tool::{Answer, Place, Running, keys};

/// A root directory with the program, /dev/shm and /proc.
struct Root {
    folder: TempDir,
    place: Place,
}

impl Root {
    fn new() -> Option<Root> {
        let Some(binary) = std::env::var_os("TENDMAP_STATIC").map(PathBuf::from) else {
            tendmap_testkit::skipped("TENDMAP_STATIC names no static binary");
            return None;
        };
        let able = Command::new("unshare").args(["--mount", "chroot", "/", "true"]).output();
        if !able.is_ok_and(|able| able.status.success()) {
            tendmap_testkit::skipped("this user may not unshare and mount");
            return None;
        }
        let root = Root { folder: tempfile::tempdir().unwrap(), place: Place::new() };
        for directory in ["dev/shm", "proc", "etc"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let copied = Command::new("cp").arg(binary).arg(root.path().join("tendmap")).status();
        assert!(copied.unwrap().success());
        fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost db\n").unwrap();
        Some(root)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The static program in that root, with the segments of `place`.
    fn command(&self, args: &[&str]) -> Command {
        let script = "mount --bind /dev/shm \"$0/dev/shm\" && mount -t proc proc \"$0/proc\" && \
                      exec chroot \"$0\" /tendmap \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command
            .arg(self.path())
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if args[0] != "check" {
            command.arg("--shm-directory").arg(self.place.path());
        }
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer(self.command(args).output().unwrap())
    }

    fn tend(&self, sim: &Sim, more: &[&str]) -> Running {
        let host = format!("db:{}", sim.seeds()[0].port());
        let mut args = vec!["tend", "--json", "--tend-interval", "100ms", "--hosts", &host];
        args.extend(more);
        let mut running = Running::start(&mut self.command(&args));
        running.until("connected");
        running
    }
}

#[test]
fn h155_a_static_binary_and_the_usual_one_share_segments_and_take_over_from_each_other() {
    let Some(root) = Root::new() else { return };
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let route = ["route", "--json", "--namespace", "test", "--str", "key"];
    for backend in ["file", "sysv"] {
        let key = format!("{:#x}", 0x5700_0000 | std::process::id());
        let more = ["--shm-backend", backend, "--shm-key", &key];
        let with = |args: &[&'static str]| -> Vec<String> {
            args.iter().chain(&more).map(ToString::to_string).collect()
        };
        let usual = |args: &[&'static str]| {
            root.place.json(&with(args).iter().map(String::as_str).collect::<Vec<_>>())
        };
        let fixed = |args: &[&'static str]| {
            let args = with(args);
            let answer = root.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(answer.code(), 0, "{args:?}: {}", answer.stderr());
            answer.json()
        };
        // Static, then usual, then static, each after the death of the one before.
        let mut first = root.tend(&sim, &more);
        let mut second = root.place.tend(&sim, &more);
        let seen = fixed(&["status", "--json"]);
        assert_eq!((&seen["attached"], &seen["owner_pid"]), (&json!(2), &json!(first.pid())));
        let other = usual(&["status", "--json"]);
        assert_eq!(keys(&other), keys(&seen));
        for field in ["attached", "owner_pid", "term", "bytes", "nodes", "generation", "user"] {
            assert_eq!(other[field], seen[field], "{backend}: {field}");
        }
        let holders = usual(&route);
        assert_eq!(fixed(&route), holders);
        assert_eq!(fixed(&["map", "--json"]), usual(&["map", "--json"]));
        first.kill();
        second.until("takeover");
        let mut third = root.tend(&sim, &more);
        assert_eq!(fixed(&["status", "--json"])["owner_pid"], second.pid());
        second.kill();
        third.until("takeover");
        assert_eq!(usual(&["status", "--json"])["owner_pid"], third.pid());
        assert_eq!((usual(&route), fixed(&route)), (holders.clone(), holders));
        assert_eq!(third.interrupt(), 0);
        let gone = with(&["status"]);
        assert_eq!(root.place.run(&gone.iter().map(String::as_str).collect::<Vec<_>>()).code(), 3);
    }
}

#[test]
fn h155_a_static_binary_needs_no_other_file() {
    let Some(root) = Root::new() else { return };
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    for args in [&["--version"][..], &["--help"], &["man"], &["completions", "zsh"], &["ls"]] {
        let answer = root.run(args);
        assert_eq!(answer.code(), 0, "{args:?}: {}", answer.stderr());
    }
    // Its threads have names, and limits count.
    let tender = root.tend(&sim, &[]);
    let tasks = fs::read_dir(format!("/proc/{}/task", tender.pid())).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let names: Vec<String> = names.collect();
    assert!(names.iter().any(|name| name.trim() == "tendmap-signals"), "{names:?}");
    drop(tender);
    // A login over TLS: the certificates are files of the root.
    let authority = Authority::new();
    let mut config = SimConfig::fast(2);
    config.tls = Some(authority.nodes());
    config.security = true;
    config.users = vec![SimUser::new("ann", "secret")];
    let sim = Sim::start(config).unwrap();
    fs::copy(authority.path("ca.pem"), root.path().join("ca.pem")).unwrap();
    let host = format!("localhost:{NAME}:{}", sim.tls_seeds()[0].port());
    let mut check =
        root.command(&["check", "--hosts", &host, "--tls-cafile", "/ca.pem", "--user", "ann"]);
    let answer = Answer(check.env("TENDMAP_PASSWORD", "secret").output().unwrap());
    assert_eq!(answer.code(), 0, "{}{}", answer.stdout(), answer.stderr());
    let answer = Answer(check.env("TENDMAP_PASSWORD", "wrong").output().unwrap());
    assert_eq!(answer.code(), 6, "{}", answer.stdout());
    // The system's authorities are not there, and the error says so.
    let answer = root.run(&["check", "--hosts", &host, "--tls"]);
    assert_eq!(answer.code(), 2);
    let text = answer.stdout() + &answer.stderr();
    assert!(text.contains("authorit"), "{text}");
    // A name that nobody knows.
    let answer = root.run(&["check", "--hosts", "nobody.invalid:3000"]);
    assert_eq!(answer.code(), 6, "{}", answer.stdout());
}
