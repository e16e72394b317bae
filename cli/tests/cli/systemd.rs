//! The files in `deploy/systemd`, examined by systemd's own tools.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig, SimUser};
use tendmap_testkit::authority::{Authority, NAME};
use tendmap_testkit::skipped;

use crate::tool::{Answer, BINARY, Place, Running, wait_until};

const TENDER: &str = "tendmap@.service";
const METRICS: &str = "tendmap-metrics.service";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(source(name)).unwrap()
}

/// Runs a tool; `None` if it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<Output> {
    match Command::new(tool).args(args).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(_) => {
            skipped(&format!("{tool} is not installed"));
            None
        }
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The units with the path of the binary under test, and the drop-in of the password.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dropins = folder.path().join("tendmap@.service.d");
    fs::create_dir(&dropins).unwrap();
    let put = |name: &str, to: PathBuf| {
        let text = text(name).replace("/usr/bin/tendmap", BINARY);
        // The pages are part of the package.
        let lines = text.lines().filter(|line| !line.starts_with("Documentation="));
        fs::write(to, lines.collect::<Vec<_>>().join("\n")).unwrap();
    };
    put(TENDER, folder.path().join("tendmap@main.service"));
    put(METRICS, folder.path().join(METRICS));
    put("password.conf", dropins.join("password.conf"));
    folder
}

#[test]
fn h154_systemd_accepts_the_units_and_finds_them_well_confined() {
    let folder = units();
    for unit in ["tendmap@main.service", METRICS] {
        let path = folder.path().join(unit);
        let path = path.to_str().unwrap();
        let Some(verified) = run("systemd-analyze", &["verify", "--man=no", path]) else { return };
        let complaints = told(&verified);
        // Of this unit only: the machine's own units are not under test.
        let complaints: Vec<&str> =
            complaints.lines().filter(|line| line.contains("tendmap")).collect();
        assert!(verified.status.success() && complaints.is_empty(), "{unit}: {}", told(&verified));
        let args = ["security", "--offline=true", "--no-pager", "--threshold=20", path];
        let rated = run("systemd-analyze", &args).unwrap();
        assert!(rated.status.success(), "{unit}: {}", told(&rated));
    }
}

#[test]
fn h154_the_units_leave_the_shared_memory_of_the_host_visible() {
    for (unit, line) in [
        (TENDER, "ReadWritePaths=/dev/shm"),
        (TENDER, "PrivateIPC=no"),
        (TENDER, "PrivateDevices=no"),
        (TENDER, "RemoveIPC=no"),
        (TENDER, "User=tendmap"),
        (METRICS, "PrivateIPC=no"),
        (METRICS, "PrivateDevices=no"),
        (METRICS, "SupplementaryGroups=tendmap"),
        (METRICS, "Environment=TENDMAP_SHM_OWNER=tendmap"),
    ] {
        assert!(text(unit).lines().any(|found| found == line), "{unit} has no {line}");
    }
    // The commands of the units exist, with these flags.
    for (unit, command) in [(TENDER, "tend"), (METRICS, "metrics")] {
        let text = text(unit);
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/tendmap "));
        let words: Vec<&str> = start.unwrap().split(' ').collect();
        assert_eq!(words[0], command);
        let help = Command::new(BINARY).args([command, "--help"]).output().unwrap();
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(told(&help).contains(flag), "{command} has no {flag}");
        }
    }
}

/// The calls of a set of systemd, with those of the sets in it.
fn calls(set: &str) -> Option<BTreeSet<String>> {
    let listed = told(&run("systemd-analyze", &["syscall-filter", set])?);
    let mut calls = BTreeSet::new();
    for name in listed.lines().skip(1).map(str::trim) {
        match name.chars().next() {
            None | Some('#') => {}
            Some('@') => calls.extend(self::calls(name)?),
            Some(_) => drop(calls.insert(name.to_owned())),
        }
    }
    Some(calls)
}

/// What a unit allows its program; `None` if a tool is missing.
struct Filter {
    unit: &'static str,
    allowed: BTreeSet<String>,
    refused: BTreeSet<String>,
    families: Vec<String>,
}

impl Filter {
    fn of(unit: &'static str) -> Option<Filter> {
        let text = text(unit);
        let value = |name| text.lines().filter_map(move |line| line.strip_prefix(name));
        let filters: Vec<&str> = value("SystemCallFilter=").collect();
        assert_eq!(filters, ["@system-service", "~@privileged @resources"]);
        let (service, _) = (calls("@system-service")?, run("strace", &["-V"])?);
        let families = value("RestrictAddressFamilies=").flat_map(str::split_whitespace);
        Some(Filter {
            unit,
            allowed: &service | &calls("@default").unwrap(),
            refused: &calls("@privileged").unwrap() | &calls("@resources").unwrap(),
            families: families.map(str::to_owned).collect(),
        })
    }

    /// Compares the calls of a trace with the unit.
    fn check(&self, trace: &str) {
        let trace = fs::read_to_string(trace).unwrap();
        let made = |line: &str| {
            let call = line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned();
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            call.chars().all(is_name).then_some(call)
        };
        let made: BTreeSet<String> = trace.lines().filter_map(made).collect();
        assert!(made.len() > 30 && made.contains("futex") && made.contains("socket"), "{made:?}");
        let is_refused =
            |call: &&String| !self.allowed.contains(*call) || self.refused.contains(*call);
        let outside: Vec<&String> = made.iter().filter(is_refused).collect();
        assert!(outside.is_empty(), "{} refuses {outside:?}", self.unit);
        for line in trace.lines() {
            let family = line.split_once(" socket(").and_then(|(_, rest)| rest.split(',').next());
            let known = |family: &str| self.families.iter().any(|known| known == family);
            assert!(family.is_none_or(known), "{line}");
            let executable = line.contains("PROT_EXEC") && line.contains("PROT_WRITE");
            assert!(!executable, "MemoryDenyWriteExecute refuses {line}");
        }
    }
}

/// The command under strace, which writes to this file.
fn traced(trace: &str, args: &[&str], place: &Place) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", trace, BINARY]).args(args);
    command.arg("--shm-directory").arg(place.path());
    command
}

#[test]
fn h154_the_tender_uses_only_what_its_unit_allows() {
    let Some(filter) = Filter::of(TENDER) else { return };
    let authority = Authority::new();
    let mut config = SimConfig::fast(2);
    config.security = true;
    config.users = vec![SimUser::new("keeper", "sesame")];
    config.tls = Some(authority.nodes());
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("password"), "sesame").unwrap();
    fs::set_permissions(path("password"), Permissions::from_mode(0o600)).unwrap();
    let tls = ["--tls-cafile".to_owned(), authority.path("ca.pem").display().to_string()];
    let plain = format!("localhost:{}", sim.seeds()[0].port());
    let secure = format!("localhost:{NAME}:{}", sim.tls_seeds()[0].port());
    for (backend, host, tls) in [("file", &secure, &tls[..]), ("sysv", &plain, &[])] {
        let trace = path(&format!("trace-{backend}"));
        let mut command = traced(&trace, &["tend", "--json", "--shm-backend", backend], &place);
        command.args(["--user", "keeper", "--password-file", &path("password")]);
        command.args(["--hosts", host, "--tend-interval", "50ms", "--shm-key", "0xA7005D54"]);
        command.args(["--shm-max-nodes", "2"]).args(tls);
        command.env("NOTIFY_SOCKET", "@tendmap-test-nobody-listens");
        let mut tender = Running::start(&mut command);
        let pid = tender.until("connected")["pid"].as_i64().unwrap();
        let added = sim.add().unwrap();
        tender.until("grown");
        sim.remove(added).unwrap();
        tender.until("node_removed");
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        tender.until("reloaded");
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(tender.end(), 0);
        filter.check(&trace);
    }
}

#[test]
fn h154_metrics_use_only_what_their_unit_allows() {
    let Some(filter) = Filter::of(METRICS) else { return };
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let _tender = place.tend(&sim, &[]);
    let trace = place.path().join("trace").to_str().unwrap().to_owned();
    let args = ["metrics", "--json", "--listen", "127.0.0.1:0"];
    let mut metrics = Running::start(&mut traced(&trace, &args, &place));
    let heard = metrics.until("listening");
    let mut stream = TcpStream::connect(heard["address"].as_str().unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("tendmap_segment_up"), "{reply}");
    // The process that strace started.
    let strace = metrics.pid();
    let children = format!("/proc/{strace}/task/{strace}/children");
    let child = fs::read_to_string(children).unwrap();
    let pid = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(metrics.end(), 0);
    filter.check(&trace);
}

#[test]
fn h154_users_and_directories_can_be_created() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("etc")).unwrap();
    fs::create_dir_all(path("dev/shm")).unwrap();
    let of_root = format!("--root={}", root.path().display());
    let file = |name: &str| source(name).to_str().unwrap().to_owned();
    let Some(users) = run("systemd-sysusers", &[&of_root, &file("tendmap.sysusers")]) else {
        return;
    };
    assert!(users.status.success(), "{}", told(&users));
    let passwd = fs::read_to_string(path("etc/passwd")).unwrap();
    let user: Vec<&str> =
        passwd.lines().find(|line| line.starts_with("tendmap:")).unwrap().split(':').collect();
    // RemoveIPC of logind spares system users.
    assert!(user[2].parse::<u32>().unwrap() < 1000, "{passwd}");
    assert!(fs::read_to_string(path("etc/group")).unwrap().contains("tendmap:"));
    fs::write(path("dev/shm/tendmap-a7000000-v3-g1"), "").unwrap();
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can create directories of other users");
    }
    let tmpfiles = file("tendmap.tmpfiles.conf");
    for action in ["--create", "--clean"] {
        let done = run("systemd-tmpfiles", &[action, &of_root, &tmpfiles]).unwrap();
        assert!(done.status.success() && told(&done).is_empty(), "{action}: {}", told(&done));
    }
    let mode = fs::metadata(path("etc/tendmap")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o750);
    // With a cleaner that removes everything, segments stay.
    let clean = path("cleaner.conf");
    fs::write(&clean, "d /dev/shm 1777 root root 0\n").unwrap();
    fs::write(path("dev/shm/other"), "").unwrap();
    let args = ["--clean", &of_root, &tmpfiles, clean.to_str().unwrap()];
    let done = run("systemd-tmpfiles", &args).unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert!(path("dev/shm/tendmap-a7000000-v3-g1").exists());
    assert!(!path("dev/shm/other").exists(), "the cleaner works: {}", told(&done));
}

#[test]
fn h154_the_sample_of_settings_is_valid_with_everything_in_it() {
    let place = Place::new();
    let sample = text("tendmap.toml");
    // With what is commented out, too.
    let whole: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.contains(" = ") && !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(sample, whole);
    let file = place.path().join("main.toml");
    for text in [&sample, &whole] {
        fs::write(&file, text).unwrap();
        let config = file.to_str().unwrap();
        let status = place.run(&["status", "--config", config]);
        assert_eq!(status.code(), 3, "{}", status.stderr());
    }
    fs::write(&file, &sample).unwrap();
    let mut config = SimConfig::fast(1);
    config.cluster_name = Some("main".into());
    let sim = Sim::start(config).unwrap();
    let host = sim.seeds()[0].to_string();
    let args = ["tend", "--wait", "--json", "--hosts", &host, "--config", file.to_str().unwrap()];
    let mut tend = Running::start(&mut place.command(&args));
    tend.until("connected");
    wait_until("a healthy map", || place.run(&["status"]).code() == 0);
    let listed = place.json(&["ls", "--json"]);
    assert_eq!(listed["segments"][0]["mode"], "0640");
    assert_eq!(tend.interrupt(), 0);
    let Answer(output) = place.run(&["tend", "--config", "/nowhere", "--wait"]);
    assert_eq!(output.status.code(), Some(2), "the unit does not restart for invalid settings");
}
