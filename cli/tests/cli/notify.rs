//! A service manager for `tend`: sd_notify(3).

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::Signal;
use tendmap::sim::{Sim, SimConfig};
use tendmap_testkit::skipped;

use crate::tool::{PATIENCE, Place, Running};

/// The service manager's socket.
struct Manager {
    socket: UnixDatagram,
    name: String,
    heard: Vec<String>,
}

impl Manager {
    /// With a socket in the file system, or an abstract one.
    fn new(place: &Place, is_abstract: bool) -> Manager {
        let path = place.path().join("notify");
        let (address, name) = match is_abstract {
            true => {
                let name = format!("tendmap-test-{:016x}", fastrand::u64(..));
                (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"))
            }
            false => (SocketAddr::from_pathname(&path).unwrap(), path.display().to_string()),
        };
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Manager { socket, name, heard: Vec::new() }
    }

    fn start(&self, place: &Place, host: &str, watchdog: Option<&str>) -> Running {
        let mut command = place.command(&["tend", "--json", "--wait", "--host", host]);
        command.args(["--tend-interval", "50ms", "--shm-takeover-threshold", "5s"]);
        self.environment(&mut command, watchdog);
        Running::start_with(&mut command, Stdio::null())
    }

    fn environment(&self, command: &mut Command, watchdog: Option<&str>) {
        command.env("NOTIFY_SOCKET", &self.name);
        command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(micros) = watchdog {
            command.env("WATCHDOG_USEC", micros);
        }
    }

    /// The next message, if there is one soon.
    fn next(&mut self) -> Option<String> {
        let mut bytes = [0; 4096];
        match self.socket.recv(&mut bytes) {
            Ok(length) => {
                let text = std::str::from_utf8(&bytes[..length]).unwrap().to_owned();
                self.heard.push(text.clone());
                Some(text)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for a message that contains this line.
    fn until(&mut self, line: &str) -> String {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(text) = self.next().filter(|text| text.lines().any(|found| found == line)) {
                return text;
            }
        }
        panic!("no {line}: {:?}", self.heard);
    }

    fn has(&self, line: &str) -> bool {
        self.heard.iter().any(|text| text.lines().any(|found| found == line))
    }
}

/// A port without a server.
fn free_port() -> u16 {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    sim.seeds()[0].port()
}

#[test]
fn h152_it_is_ready_when_the_map_is_there_and_not_before() {
    for is_abstract in [false, true] {
        let place = Place::new();
        let (mut manager, port) = (Manager::new(&place, is_abstract), free_port());
        let mut tend = manager.start(&place, &format!("127.0.0.1:{port}"), None);
        tend.until("tend_failed");
        manager.until("STATUS=waiting: there is no map yet");
        // A start that makes progress may take longer.
        manager.until("EXTEND_TIMEOUT_USEC=60000000");
        assert!(!manager.has("READY=1"), "{:?}", manager.heard);
        let mut config = SimConfig::fast(1);
        config.base_port = port;
        // Another process may have taken the port.
        let Ok(sim) = Sim::start(config) else { continue };
        manager.until("STATUS=owner: term 1, sequence 1, 1 nodes");
        manager.until("READY=1");
        assert_eq!(place.run(&["route", "--namespace", "test", "--int", "1"]).code(), 0);
        assert!(!manager.has("WATCHDOG=1"), "without a watchdog: {:?}", manager.heard);
        sim.add().unwrap();
        let since = Instant::now();
        while !manager.heard.iter().any(|text| text.contains(", 2 nodes")) {
            assert!(since.elapsed() < PATIENCE, "{:?}", manager.heard);
            manager.next();
        }
        tend.signal(Signal::TERM);
        assert!(manager.until("STOPPING=1").contains("STATUS=closing"));
        assert_eq!(tend.end(), 0);
    }
}

#[test]
fn h152_a_reload_is_announced_and_ended() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let mut manager = Manager::new(&place, false);
    let config = place.path().join("tendmap.toml");
    fs::write(&config, "log = \"info\"\n").unwrap();
    let mut command = place.command(&["tend", "--json", "--config", config.to_str().unwrap()]);
    command.arg("--host").arg(sim.seeds()[0].to_string());
    manager.environment(&mut command, None);
    let mut tend = Running::start_with(&mut command, Stdio::null());
    manager.until("READY=1");
    for text in ["log = \"debug\"\n", "nonsense\n"] {
        fs::write(&config, text).unwrap();
        manager.heard.clear();
        tend.signal(Signal::HUP);
        let told = manager.until("RELOADING=1");
        let moment = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(moment.is_some_and(|moment| moment.parse::<u64>().unwrap() > 0), "{told}");
        assert!(!manager.has("READY=1"), "{:?}", manager.heard);
        manager.until("READY=1");
    }
    assert_eq!(tend.interrupt(), 0);
}

/// The client's thread of a process.
fn client_thread(pid: u32) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |path: &std::path::Path| fs::read_to_string(path.join("comm")).unwrap_or_default();
    let found = tasks.map(|task| task.unwrap().path()).find(|task| {
        task.file_name().unwrap().to_str().unwrap() != pid.to_string() && name(task) == "tendmap\n"
    });
    let found = found.expect("the client's thread");
    Pid::from_raw(found.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

#[test]
fn h153_the_watchdog_is_fed_only_while_the_clients_own_thread_makes_progress() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let host = sim.seeds()[0].to_string();
    let place = Place::new();
    let mut owner = Manager::new(&place, true);
    let mut follower = Manager::new(&place, true);
    let watchdog = Some("400000");
    let mut first = owner.start(&place, &host, watchdog);
    first.until("connected");
    let mut second = follower.start(&place, &host, watchdog);
    for _ in 0..3 {
        owner.until("WATCHDOG=1");
        follower.until("WATCHDOG=1");
    }
    // One thread stands still, as in an endless loop or a deadlock; all others run.
    for (manager, tend) in [(&mut follower, &second), (&mut owner, &first)] {
        let thread = client_thread(tend.pid());
        if let Err(error) = ptrace::seize(thread, ptrace::Options::empty()) {
            skipped(&format!("one thread can't be stopped: {error}"));
            break;
        }
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
        // What was sent before, and one more for progress since the last one.
        let mut quiet = Instant::now();
        let since = Instant::now();
        while quiet.elapsed() < Duration::from_secs(2) {
            if manager.next().is_some_and(|text| text.contains("WATCHDOG=1")) {
                quiet = Instant::now();
            }
            assert!(since.elapsed() < PATIENCE, "it is fed all the same");
        }
        // The process itself lives, and so it is fed again when the thread goes on.
        ptrace::detach(thread, None).unwrap();
        manager.until("WATCHDOG=1");
    }
    assert_eq!((second.interrupt(), first.interrupt()), (0, 0));
}

#[test]
fn h153_a_frozen_cluster_is_no_reason_to_restart() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let mut manager = Manager::new(&place, true);
    let mut tend = manager.start(&place, &sim.seeds()[0].to_string(), Some("400000"));
    manager.until("READY=1");
    sim.freeze(1).unwrap();
    tend.until("tend_failed");
    for _ in 0..5 {
        manager.until("WATCHDOG=1");
    }
    assert_eq!(tend.interrupt(), 0);
}

#[test]
fn h153_a_watchdog_of_another_process_is_not_fed() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let mut manager = Manager::new(&place, true);
    let host = sim.seeds()[0].to_string();
    let mut command = place.command(&["tend", "--json", "--host", &host]);
    manager.environment(&mut command, Some("100000"));
    let mut tend = Running::start_with(command.env("WATCHDOG_PID", "1"), Stdio::null());
    manager.until("READY=1");
    tend.signal(Signal::TERM);
    manager.until("STOPPING=1");
    assert!(!manager.has("WATCHDOG=1"), "{:?}", manager.heard);
    assert_eq!(tend.end(), 0);
}

#[test]
fn h152_a_service_manager_that_can_not_be_reached_is_reported_once() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let host = sim.seeds()[0].to_string();
    let missing = place.path().join("missing").display().to_string();
    for (name, told) in [
        ("", 0),
        (&*missing, 1),
        ("@tendmap-test-nobody-listens", 1),
        ("relative", 1),
        ("vsock:2:1", 1),
        ("/", 1),
        (&*format!("/{}", "x".repeat(300)), 1),
    ] {
        let mut command = place.command(&["tend", "--json", "--host", &host]);
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "50000");
        let mut tend = Running::start_with(&mut command, Stdio::null());
        tend.until("connected");
        assert_eq!(tend.interrupt(), 0);
        let failed: Vec<_> =
            tend.heard.iter().filter(|line| line["event"] == "notify_failed").collect();
        assert_eq!(failed.len(), told, "{name}: {failed:?}");
        assert!(failed.iter().all(|line| line["socket"] == name && line["level"] == "warning"));
    }
}

#[test]
fn h152_a_service_manager_that_does_not_read_holds_up_nothing() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let manager = Manager::new(&place, true);
    let from = UnixDatagram::unbound().unwrap();
    from.set_nonblocking(true).unwrap();
    let to = SocketAddr::from_abstract_name(&manager.name[1..]).unwrap();
    while from.send_to_addr(b"X=1\n", &to).is_ok() {}
    let mut tend = manager.start(&place, &sim.seeds()[0].to_string(), Some("100000"));
    tend.until("connected");
    assert_eq!(tend.interrupt(), 0);
    assert_eq!(tend.heard.last().unwrap()["event"], "closed");
}
