//! Checks that other users of the host see no password.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use rustix::process::Signal;
use tendmap::sim::{Sim, SimConfig, SimUser};

use crate::tool::{Answer, BINARY, Place, Running, wait_until};
use tendmap_testkit::authority::{Authority, NAME};

const SECRET: &str = "sesame-opens-it";

fn guarded() -> Sim {
    let mut config = SimConfig::fast(1);
    config.users = vec![SimUser::new("keeper", SECRET)];
    Sim::start(config).unwrap()
}

/// A configuration file with this mode and a password.
fn file(place: &Place, sim: &Sim, mode: u32) -> PathBuf {
    let path = place.path().join("tendmap.toml");
    let host = sim.seeds()[0];
    fs::write(&path, format!("host = [\"{host}\"]\nuser = \"keeper\"\npassword = \"{SECRET}\"\n"))
        .unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// The files in /proc of a process and its threads that every user may read.
fn seen(pid: u32) -> Vec<u8> {
    let root = PathBuf::from(format!("/proc/{pid}"));
    let mut seen = Vec::new();
    let tasks = fs::read_dir(root.join("task")).unwrap().map(|task| task.unwrap().path());
    for folder in tasks.chain([root]) {
        for name in ["cmdline", "comm", "status", "stat"] {
            // A thread may have ended.
            seen.extend(fs::read(folder.join(name)).unwrap_or_default());
        }
    }
    seen
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn h117_a_password_of_a_file_or_the_environment_does_not_show() {
    let (place, sim) = (Place::new(), guarded());
    let path = file(&place, &sim, 0o600);
    let host = sim.seeds()[0].to_string();
    for of_file in [true, false] {
        let mut command = place.command(&["tend", "--json", "--log", "trace"]);
        match of_file {
            true => command.arg("--config").arg(&path),
            false => {
                command.args(["--host", &host, "--user", "keeper"]).env("TENDMAP_PASSWORD", SECRET)
            }
        };
        let log = place.path().join("log");
        command.stderr(fs::File::create(&log).unwrap());
        let mut tend = Running::start(&mut command);
        tend.until("connected");
        let seen = seen(tend.pid());
        assert!(holds(&seen, "tendmap") && !holds(&seen, SECRET));
        assert_eq!(tend.interrupt(), 0);
        assert!(!tend.heard.iter().any(|event| event.to_string().contains(SECRET)));
        let log = fs::read_to_string(&log).unwrap();
        assert!(!log.contains(SECRET) && !log.contains("warning"), "{log}");
    }
}

/// The arguments and the environment in /proc of the workers of a process.
fn workers(parent: u32) -> Vec<Vec<u8>> {
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap_or_default();
    let is_child = |folder: &PathBuf| {
        let status = String::from_utf8(read(folder, "status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    let folders = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    // Until a child runs its program it has its parent's arguments.
    let begun = |folder: &PathBuf| holds(&read(folder, "cmdline"), "worker\0");
    let children = folders.filter(is_child).filter(begun);
    let shown = |folder: PathBuf| [read(&folder, "cmdline"), read(&folder, "environ")].concat();
    children.map(shown).filter(|shown| holds(shown, "TENDMAP_LOG")).collect()
}

#[test]
fn h117_no_child_inherits_a_password() {
    let mut demo = Command::new(BINARY);
    demo.args(["demo", "--json", "--workers", "3"]).env("TENDMAP_PASSWORD", SECRET);
    demo.env("TENDMAP_LOG", "off").stdout(Stdio::null()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let mut found = Vec::new();
    wait_until("a worker", || {
        found = workers(demo.id());
        !found.is_empty()
    });
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    demo.wait().unwrap();
    assert!(found.iter().all(|shown| !holds(shown, SECRET)), "a worker has it");
}

fn check(place: &Place, config: &Path, more: &[&str]) -> Answer {
    let args = ["check", "--connect-timeout", "10s", "--config", config.to_str().unwrap()];
    place.run(&[&args[..], more].concat())
}

#[test]
fn h117_a_file_that_others_may_read_is_a_warning_or_an_error() {
    let (place, sim) = (Place::new(), guarded());
    let path = file(&place, &sim, 0o600);
    assert_eq!(
        (check(&place, &path, &[]).code(), check(&place, &path, &[]).stderr()),
        (0, "".into())
    );
    file(&place, &sim, 0o640);
    let warned = check(&place, &path, &[]);
    assert_eq!((warned.code(), warned.stderr().matches("warning: ").count()), (0, 1));
    assert!(warned.stderr().contains("tendmap.toml:3: there is a password, and the mode 0640"));
    let json: serde_json::Value =
        serde_json::from_str(&check(&place, &path, &["--json"]).stderr()).unwrap();
    assert!(json["warning"]["message"].as_str().unwrap().contains("the mode 0640"), "{json}");
    // The mode of a link is that of its target.
    let link = place.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(check(&place, &link, &[]).stderr().contains("the mode 0640"));
    for mode in [0o644, 0o604, 0o666] {
        file(&place, &sim, mode);
        for path in [&path, &link] {
            let refused = check(&place, path, &[]);
            let wanted = format!("its mode {mode:04o} lets other users read it; `chmod 600");
            assert!(refused.code() == 2 && refused.stderr().contains(&wanted), "{mode:o}");
            assert!(!refused.stderr().contains(SECRET));
        }
    }
    // Without a password the file has nothing to hide, but others must not change
    // it.
    fs::write(&path, format!("host = [\"{}\"]\n", sim.seeds()[0])).unwrap();
    for (mode, warns) in [(0o644, false), (0o664, false), (0o666, true), (0o602, true)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let answer = check(&place, &path, &["--user", "keeper"]);
        let wanted = "lets every user change the settings";
        assert_eq!(answer.stderr().contains(wanted), warns, "{mode:o}: {}", answer.stderr());
    }
}

#[test]
fn h117_a_password_among_the_flags_is_a_warning() {
    let (place, sim) = (Place::new(), guarded());
    let host = sim.seeds()[0].to_string();
    let args = ["check", "--connect-timeout", "10s", "--host", &host, "--user", "keeper"];
    for flag in [&["--password", SECRET][..], &[&format!("--password={SECRET}")]] {
        let answer = place.run(&[&args[..], flag].concat());
        assert_eq!(answer.code(), 0, "{}", answer.stdout());
        assert!(answer.stderr().starts_with("tendmap: warning: `ps` shows --password"));
        assert_eq!(answer.stderr().matches("warning").count(), 1);
        assert!(!answer.stderr().contains(SECRET));
    }
    let quiet = place.command(&args).env("TENDMAP_PASSWORD", SECRET).output().unwrap();
    assert_eq!(Answer(quiet).stderr(), "");
}

#[test]
fn h117_settings_may_come_through_a_pipe_but_only_once() {
    let (place, sim) = (Place::new(), guarded());
    let text = fs::read_to_string(file(&place, &sim, 0o600)).unwrap();
    let pipe = place.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    let mut command = place.command(&["tend", "--json", "--config", pipe.to_str().unwrap()]);
    let mut tend = Running::start(&mut command);
    fs::OpenOptions::new().write(true).open(&pipe).unwrap().write_all(text.as_bytes()).unwrap();
    tend.until("connected");
    // Opening it would wait for another writer, and block signals meanwhile.
    tend.signal(Signal::HUP);
    let failed = tend.until("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("not a regular file"), "{failed}");
    assert_eq!(tend.interrupt(), 0);
    let endless = check(&place, Path::new("/dev/zero"), &[]);
    assert!(endless.code() == 2 && endless.stderr().contains("1 MiB"), "{}", endless.stderr());
}

#[test]
fn h117_a_key_that_others_may_read_is_an_event() {
    let authority = Authority::new();
    let mut config = SimConfig::fast(1);
    config.tls = Some(authority.nodes());
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    authority.issue("client", &["client"], false);
    let key = authority.path("client.key");
    let host = format!("127.0.0.1:{NAME}:{}", sim.tls_seeds()[0].port());
    let path = |name: &str| authority.path(name).to_str().unwrap().to_owned();
    let (cafile, certfile, keyfile) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let tls = ["--tls-cafile", &cafile, "--tls-certfile", &certfile, "--tls-keyfile", &keyfile];
    for (mode, exposed) in
        [(0o644, true), (0o640, true), (0o604, true), (0o600, false), (0o400, false)]
    {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let check = place.run(&[&["check", "--host", &host][..], &tls].concat());
        let wanted = format!("the mode {mode:04o} of keyfile");
        assert_eq!(check.stdout().contains(&wanted), exposed, "{}", check.stdout());
        assert_eq!(check.code(), i32::from(exposed));
        let args = [&["tend", "--json", "--host", &host][..], &tls].concat();
        let mut tend = Running::start(&mut place.command(&args));
        tend.until("connected");
        let told = tend.heard.iter().filter(|event| event["event"] == "secret_exposed");
        let modes: Vec<String> = told.map(|event| event["mode"].as_str().unwrap().into()).collect();
        let wanted: Vec<String> = exposed.then(|| format!("{mode:04o}")).into_iter().collect();
        assert_eq!(modes, wanted, "reported once");
        assert_eq!(tend.interrupt(), 0);
    }
}
