//! Commands as process 1 of a container, which the kernel ends at no signal that the
//! process does not handle.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tendmap::sim::{Sim, SimConfig};

use crate::tmux::Tmux;
use crate::tool::{PATIENCE, Place, wait_until};

/// The one child of `unshare`, seen from here.
fn child_of(pid: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

#[test]
fn h156_as_process_1_every_lasting_command_ends_at_a_signal() {
    let able = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !able.is_ok_and(|able| able.status.success()) {
        tendmap_testkit::skipped("this user may not unshare and mount");
        return;
    }
    let place = Place::new();
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let host = sim.seeds()[0].to_string();
    let tender = place.tend(&sim, &[]);
    for (args, code) in [
        (&["tend", "--hosts", &host][..], 0),
        (&["tend", "--hosts", "127.0.0.1:1", "--wait", "--shm-key", "5"], 0),
        (&["sim", "--nodes", "1"], 0),
        (&["metrics", "--listen", "127.0.0.1:0"], 0),
        (&["status", "--watch"], 0),
    ] {
        for signal in [Signal::TERM, Signal::INT] {
            let inner = place.command(args);
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child"]).arg(inner.get_program());
            command.args(inner.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
            let mut outer = command.stderr(Stdio::null()).spawn().unwrap();
            let since = Instant::now();
            wait_until("a child", || child_of(outer.id()).is_some());
            // A signal before the command handles it is lost, so it is sent again.
            let status = loop {
                if let Some(status) = outer.try_wait().unwrap() {
                    break status;
                }
                if since.elapsed() > PATIENCE {
                    outer.kill().unwrap();
                    panic!("{args:?} does not end at {signal:?}");
                }
                if let Some(child) = child_of(outer.id()) {
                    let _ = kill_process(child, signal);
                }
                std::thread::sleep(Duration::from_millis(50));
            };
            assert_eq!(status.code(), Some(code), "{args:?} at {signal:?}");
        }
    }
    // On a terminal.
    let watch = place.command(&["watch"]);
    let words = [watch.get_program()].into_iter().chain(watch.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    // The number of `unshare`, seen from here, of which the command is the child.
    let outer = place.path().join("outer");
    let line = format!(
        "sh -c 'echo $$ > {}; exec unshare --pid --fork \"$@\"' sh {}",
        outer.display(),
        words.join(" ")
    );
    if let Some(tmux) = Tmux::start((80, 24), &line) {
        tmux.until(&["tendmap watch", "HEALTHY"]);
        let outer = fs::read_to_string(outer).unwrap().trim().parse().unwrap();
        kill_process(child_of(outer).unwrap(), Signal::TERM).unwrap();
        tmux.until(&["ended: 0"]);
    }
    drop(tender);
}

#[test]
fn h191_an_owner_in_another_time_namespace_has_the_ages_that_it_has() {
    let place = Place::new();
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let host = sim.seeds()[0].to_string();
    let inner = place.command(&["tend", "--hosts", &host, "--tend-interval", "50ms"]);
    for ahead in ["100000", "-100"] {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--time", "--fork", "--kill-child", "--boottime", ahead]);
            command.args(["--monotonic", ahead]);
            command
        };
        if !unshare().arg("true").output().is_ok_and(|able| able.status.success()) {
            tendmap_testkit::skipped("no time namespace of its own here");
            return;
        }
        let mut command = unshare();
        command.arg(inner.get_program()).args(inner.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut outer = command.spawn().unwrap();
        wait_until("a map", || place.run(&["map"]).code() == 0);
        // Nobody else tends, so an age that is wrong stays wrong.
        let owner = child_of(outer.id()).unwrap();
        let age = || {
            let status = place.run(&["status", "--json"]).json();
            status["heartbeat_age_ms"].as_u64().unwrap()
        };
        assert!(age() < 90_000, "{ahead}: {} ms", age());
        kill_process(owner, Signal::STOP).unwrap();
        let first = age();
        wait_until("the age grows", || age() > first + 100);
        kill_process(owner, Signal::KILL).unwrap();
        outer.wait().unwrap();
        place.run(&["rm"]);
    }
}
