//! Standard streams that are closed, full, stuck or missing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, PATIENCE, Place, Running, reader, wait_until};

/// A child that is killed when it is dropped.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guarded {
    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the exit code; a child that hangs fails the test.
    fn end(&mut self) -> i32 {
        wait_until("its end", || !self.lives());
        self.0.wait().unwrap().code().expect("it was not killed")
    }
}

fn tend(place: &Place, sim: &Sim, more: &[&str]) -> Command {
    let host = sim.seeds()[0].to_string();
    let mut command = place.command(&["tend", "--host", &host, "--tend-interval", "50ms"]);
    command.args(more).stdin(Stdio::null());
    command
}

fn routes(place: &Place, sim: &Sim) {
    wait_until("a map", || place.run(&["status"]).code() == 0);
    let nodes = || reader(place).map().unwrap().map.nodes.len();
    let before = nodes();
    let added = sim.add().unwrap();
    wait_until("the new node", || nodes() == before + 1);
    sim.remove(added).unwrap();
    wait_until("its end", || nodes() == before);
}

#[test]
fn h100_tending_goes_on_when_the_reader_of_its_output_and_log_goes_away() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let (output, to) = pipe().unwrap();
    let mut command = tend(&place, &sim, &["--log", "trace"]);
    command.stdout(to.try_clone().unwrap()).stderr(to);
    let mut child = Guarded(command.spawn().unwrap());
    drop(command);
    let mut first = String::new();
    BufReader::new(output).read_line(&mut first).unwrap();
    assert_ne!(first, "");
    // The reader has closed.
    routes(&place, &sim);
    assert!(child.lives());
    child.signal(Signal::TERM);
    assert_eq!(child.end(), 0);
}

#[test]
fn h100_tending_goes_on_without_standard_streams_and_on_a_full_disk() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let stderr = place.path().join("stderr");
    let mut command = tend(&place, &sim, &["--log", "debug"]);
    command.stdout(full()).stderr(File::create(&stderr).unwrap());
    let mut child = Guarded(command.spawn().unwrap());
    routes(&place, &sim);
    assert!(child.lives());
    child.signal(Signal::TERM);
    assert_eq!(child.end(), 0);
    let told = fs::read_to_string(&stderr).unwrap();
    let complaints = told.lines().filter(|line| line.contains("can't write to standard output"));
    assert_eq!(complaints.count(), 1, "{told}");

    let closed = tend(&place, &sim, &["--log", "debug"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
    shell.arg(closed.get_program()).args(closed.get_args());
    let mut child = Guarded(shell.spawn().unwrap());
    routes(&place, &sim);
    assert!(child.lives());
    child.signal(Signal::TERM);
    assert_eq!(child.end(), 0);
}

#[test]
fn h245_a_limit_on_files_is_an_error_and_ends_no_tender() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let mut tender =
        Guarded(tend(&place, &sim, &[]).stdout(log.try_clone().unwrap()).spawn().unwrap());
    wait_until("a map", || place.run(&["status"]).code() == 0);
    // The log may not grow from here on.
    let limit = Rlimit { current: Some(1), maximum: None };
    prlimit(Some(Pid::from_child(&tender.0)), Resource::Fsize, limit).unwrap();
    routes(&place, &sim);
    assert!(tender.lives(), "it tends without its log");
    // Another command ends with an error, and not by a signal.
    let list = format!("ulimit -f 0; exec {} ls > out", crate::tool::BINARY);
    let output = Command::new("sh").args(["-c", &list]).current_dir(&folder).output().unwrap();
    let answer = Answer(output);
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains("File too large"), "{}", answer.stderr());
    tender.signal(Signal::TERM);
    assert_eq!(tender.end(), 0);
}

#[test]
fn h100_a_reader_that_does_not_read_holds_up_neither_tending_nor_its_end() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    for blocks in [true, false] {
        let (_output, mut to) = pipe().unwrap();
        fcntl_setfl(&to, OFlags::NONBLOCK).unwrap();
        while to.write(&[0; 4096]).is_ok() {}
        if blocks {
            fcntl_setfl(&to, OFlags::empty()).unwrap();
        }
        let mut command = tend(&place, &sim, &["--log", "trace"]);
        command.stdout(to.try_clone().unwrap()).stderr(to);
        let mut child = Guarded(command.spawn().unwrap());
        routes(&place, &sim);
        child.signal(Signal::TERM);
        assert_eq!(child.end(), 0);
    }
}

#[test]
fn h100_lines_that_were_lost_are_counted_for_the_next_reader() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let fifo = place.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let open = || {
        let mut options = File::options();
        let reader = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&fifo);
        let reader = reader.unwrap();
        let writer = File::options().write(true).open(&fifo).unwrap();
        // From here on a read blocks.
        fcntl_setfl(&reader, OFlags::empty()).unwrap();
        (BufReader::new(reader), writer)
    };
    let (mut output, to) = open();
    let mut command = tend(&place, &sim, &["--json"]);
    let mut child = Guarded(command.stdout(to).stderr(Stdio::null()).spawn().unwrap());
    drop(command);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    drop(output);
    routes(&place, &sim);
    let (mut output, _to) = open();
    sim.add().unwrap();
    line.clear();
    output.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(told["event"], "output_lost", "{line}");
    assert!(told["lines"].as_u64().unwrap() > 2, "{line}");
    child.signal(Signal::TERM);
    assert_eq!(child.end(), 0);
}

#[test]
fn h100_other_commands_end_quietly_but_not_with_success_when_nobody_reads() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let host = sim.seeds()[0].to_string();
    let _owner = place.tend(&sim, &[]);
    let route = ["route", "--namespace", "test", "--int", "1"];
    let check = ["check", "--host", &host];
    let cases: [&[&str]; 7] = [
        &["map"],
        &["status"],
        &["ls"],
        &route,
        &check,
        &["demo", "--seconds", "3", "--workers", "2"],
        &["tend", "--help"],
    ];
    for args in cases {
        for json in [&[][..], &["--json"]] {
            let args = [args, json].concat();
            let (output, to) = pipe().unwrap();
            drop(output);
            let answer = Answer(place.command(&args).stdout(to).output().unwrap());
            assert_eq!((answer.code(), &*answer.stderr()), (141, ""), "{args:?}");
            if args[0] == "demo" {
                break;
            }
            let full = File::options().write(true).open("/dev/full").unwrap();
            let answer = Answer(place.command(&args).stdout(full).output().unwrap());
            assert_eq!(answer.code(), 6, "{args:?}");
            assert!(answer.stderr().contains("No space left on device"), "{}", answer.stderr());
        }
    }
}

/// A simulated cluster with this standard input.
fn sim_with(input: Stdio) -> Running {
    let mut command = Command::new(crate::tool::BINARY);
    command.args(["sim", "--nodes", "2"]);
    let mut sim = Running::start_with(&mut command, input);
    assert_eq!(sim.next()["seeds"].as_array().unwrap().len(), 2);
    sim
}

fn answers(sim: &Running) {
    let seed = sim.heard[0]["seeds"][0].as_str().unwrap();
    TcpStream::connect(seed).expect("the node listens");
}

#[test]
fn h101_sim_without_standard_input_runs_until_a_signal() {
    let place = Place::new();
    let empty = place.path().join("empty");
    let no_input = || -> Vec<Stdio> {
        let (_, to) = pipe().unwrap();
        let (ended, _) = pipe().unwrap();
        vec![
            Stdio::null(),
            ended.into(),
            File::create(&empty).unwrap().into(),
            File::open(&empty).unwrap().into(),
            File::open(place.path()).unwrap().into(),
            to.into(),
        ]
    };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut sims: Vec<Running> = no_input().into_iter().map(sim_with).collect();
        // Longer than it takes to detect the end of the input.
        std::thread::sleep(std::time::Duration::from_millis(300));
        for sim in &mut sims {
            assert!(sim.child.try_wait().unwrap().is_none(), "it has ended");
            answers(sim);
            sim.signal(signal);
            assert_eq!(sim.end(), 0);
        }
    }
    // No reader for its greeting, either.
    let (output, to) = pipe().unwrap();
    drop(output);
    let mut command = Command::new(crate::tool::BINARY);
    command.args(["sim", "--nodes", "1"]).stdin(Stdio::null()).stdout(to);
    let mut sim = Guarded(command.spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(sim.lives());
    sim.signal(Signal::TERM);
    assert_eq!(sim.end(), 0);
}

#[test]
fn h101_sim_ends_with_a_console_that_was_open() {
    let mut sim = sim_with(Stdio::piped());
    assert_eq!(sim.ask("status")["ok"], true);
    drop(sim.input.take());
    assert_eq!(sim.end(), 0);
    // No command was given.
    let mut sim = sim_with(Stdio::piped());
    drop(sim.input.take());
    assert_eq!(sim.end(), 0);
    let place = Place::new();
    let commands = place.path().join("commands");
    fs::write(&commands, "add\nstatus\n").unwrap();
    let mut sim = sim_with(File::open(&commands).unwrap().into());
    assert_eq!(sim.end(), 0);
    assert_eq!(sim.heard[2]["nodes"].as_array().unwrap().len(), 3);
    // A signal ends it, too.
    for signal in [Signal::TERM, Signal::INT] {
        let mut sim = sim_with(Stdio::piped());
        sim.signal(signal);
        assert_eq!(sim.end(), 0);
    }
}

#[test]
fn h101_a_hangup_that_is_ignored_ends_neither_sim_nor_tend() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let host = sim.seeds()[0].to_string();
    let run = |args: &[&str]| {
        let command = place.command(args);
        let mut shell = Command::new("sh");
        // As with nohup.
        shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        Running::start_with(&mut shell, Stdio::null())
    };
    for args in [&["sim", "--nodes", "1"][..], &["tend", "--json", "--host", &host]] {
        let mut running = run(args);
        let _ = running.next();
        running.signal(Signal::HUP);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(running.child.try_wait().unwrap().is_none(), "{args:?} has ended");
        running.signal(Signal::TERM);
        assert_eq!(running.end(), 0);
    }
}

/// A port that was free just now.
fn free_port() -> u16 {
    let mut config = SimConfig::fast(1);
    config.base_port = 0;
    let sim = Sim::start(config).unwrap();
    sim.seeds()[0].port()
}

/// A cluster at this port; `None` if another process uses the port.
fn sim_at(port: u16) -> Option<Sim> {
    let mut config = SimConfig::fast(1);
    config.base_port = port;
    Sim::start(config).ok()
}

#[test]
fn h102_tend_waits_for_a_cluster_that_is_not_up_yet() {
    for way in ["flag", "variable", "file"] {
        let place = Place::new();
        let port = free_port();
        let host = format!("127.0.0.1:{port}");
        let file = place.path().join("tendmap.toml");
        let mut command =
            place.command(&["tend", "--json", "--host", &host, "--tend-interval", "50ms"]);
        match way {
            "flag" => command.arg("--wait"),
            "variable" => command.env("TENDMAP_WAIT", "true"),
            _ => {
                fs::write(&file, "wait = true\n").unwrap();
                command.arg("--config").arg(&file)
            }
        };
        let mut tend = Running::start_with(&mut command, Stdio::null());
        tend.until("waiting");
        assert!(tend.heard.iter().all(|told| told["event"] != "connected"), "{:?}", tend.heard);
        let Some(_sim) = sim_at(port) else { continue };
        assert_eq!(tend.until("connected")["role"], "owner");
        assert_eq!(place.run(&["route", "--namespace", "test", "--int", "1"]).code(), 0);
        assert_eq!(tend.interrupt(), 0);
        assert_eq!(tend.heard.last().unwrap()["event"], "closed");
    }
}

#[test]
fn h102_a_signal_ends_a_tend_that_waits() {
    // It accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let nobody = format!("127.0.0.1:{}", free_port());
    for host in [&*silent, &nobody, "no.such.host.invalid:3000"] {
        for wait in [&[][..], &["--wait"]] {
            if wait.is_empty() && host != silent {
                continue;
            }
            let place = Place::new();
            let args = ["tend", "--json", "--host", host, "--connect-timeout", "60s"];
            let mut command = place.command(&[&args[..], wait].concat());
            command.args(["--shm-takeover-threshold", "300s"]);
            let mut tend = Running::start_with(&mut command, Stdio::null());
            tend.until("owner");
            let begun = std::time::Instant::now();
            tend.signal(Signal::TERM);
            assert_eq!(tend.end(), 0, "{host}");
            assert!(begun.elapsed() < PATIENCE);
        }
    }
}

/// The files of a place.
fn files(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Connecting takes a minute here, as owner and as follower: it is not waited for.
#[test]
fn h197_a_signal_calls_a_connect_off() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let args = ["tend", "--json", "--host", &host, "--connect-timeout", "60s"];
    let args = [&args[..], &["--shm-takeover-threshold", "300s"]].concat();
    for (wait, signal) in [(false, Signal::TERM), (false, Signal::INT), (true, Signal::TERM)] {
        let place = Place::new();
        let mut command = place.command(&args);
        command.args(wait.then_some("--wait"));
        let mut owner = Running::start_with(&mut command, Stdio::null());
        owner.until("owner");
        let connection = silent.accept().unwrap();
        owner.signal(signal);
        assert_eq!(owner.end(), 0);
        assert_eq!(owner.heard.last().unwrap()["event"], "closed", "{:?}", owner.heard);
        assert_eq!(files(&place), [] as [&str; 0]);
        drop(connection);

        // A follower asks its host whether the map is of its cluster.
        let sim = sim_at(0).unwrap();
        let mut other = place.tend(&sim, &[]);
        let before = files(&place);
        let mut command = place.command(&args);
        command.args(wait.then_some("--wait"));
        let mut follower = Running::start_with(&mut command, Stdio::null());
        let connection = silent.accept().unwrap();
        follower.signal(signal);
        assert_eq!(follower.end(), 0);
        assert_eq!(follower.heard.last().unwrap()["event"], "closed", "{:?}", follower.heard);
        assert_eq!(files(&place), before);
        assert_eq!(other.interrupt(), 0);
        assert_eq!(files(&place), [] as [&str; 0]);
        drop(connection);
    }
}

#[test]
fn h102_what_waiting_does_not_help_is_an_error_at_once() {
    let place = Place::new();
    fs::write(place.segment(), "garbage").unwrap();
    let host = ["tend", "--wait", "--host", "127.0.0.1:1"];
    assert_eq!(place.run(&host).code(), 5);
    assert_eq!(place.run(&[&host[..], &["--tend-interval", "1ms"]].concat()).code(), 2);
    let mut nothing = String::new();
    File::open(place.segment()).unwrap().read_to_string(&mut nothing).unwrap();
    assert_eq!(nothing, "garbage");
}
