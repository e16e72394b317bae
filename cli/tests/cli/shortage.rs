//! An owner that lacks local resources.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, BINARY, Place, Running, wait_until};

/// Private kernel namespaces with a small file system for segments.
struct Island {
    anchor: Child,
    directory: TempDir,
    backend: &'static str,
}

impl Island {
    /// `None` if this user may not create them.
    fn new(backend: &'static str, setup: &str) -> Option<Island> {
        let directory = tempfile::tempdir().unwrap();
        let setup = setup.replace("DIR", directory.path().to_str().unwrap());
        let script = format!("{setup} && echo ready && exec cat");
        let mut anchor = Command::new("unshare")
            .args(["-m", "-i", "--propagation", "private", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(anchor.stdout.take()?).read_line(&mut line).ok()?;
        if line != "ready\n" {
            tendmap_testkit::skipped("this user may not unshare and mount");
            let _ = anchor.wait();
            return None;
        }
        Some(Island { anchor, directory, backend })
    }

    fn files(kilobytes: usize) -> Option<Island> {
        Island::new("file", &format!("mount -t tmpfs -o size={kilobytes}k,mode=0700 tmpfs DIR"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.anchor.id().to_string(), "-m", "-i", BINARY]).args(args);
        command.args(["--shm-backend", self.backend]).arg("--shm-directory");
        command.arg(self.directory.path());
        command
    }

    fn tend(&self, sim: &Sim, more: &[&str]) -> Running {
        let seed = sim.seeds()[0].to_string();
        let args = ["tend", "--json", "--tend-interval", "50ms", "--host", &seed];
        let mut running = Running::start(&mut self.command(&[&args, more].concat()));
        running.until("connected");
        running
    }

    fn status(&self) -> (i32, Value) {
        let answer = Answer(self.command(&["status", "--json"]).output().unwrap());
        (answer.code(), answer.json())
    }

    fn shell(&self, script: &str) {
        let script = script.replace("DIR", self.directory.path().to_str().unwrap());
        let anchor = self.anchor.id().to_string();
        let args = ["-t", &anchor, "-m", "-i", "bash", "-c", &script];
        assert!(Command::new("nsenter").args(args).status().unwrap().success(), "{script}");
    }

    /// The directory as seen from outside.
    fn path(&self) -> PathBuf {
        let inside = self.directory.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.anchor.id().to_string()).join("root").join(inside)
    }

    /// Fills the file system.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.path().join("ballast")).unwrap();
        while ballast.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }

    fn wait(&self, what: &str, done: impl Fn(i32, &Value) -> bool) {
        let begun = std::time::Instant::now();
        loop {
            let (code, status) = self.status();
            if done(code, &status) {
                return;
            }
            assert!(begun.elapsed() < crate::tool::PATIENCE, "{what}: {code} {status}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
    }
}

fn sim(nodes: usize) -> Sim {
    Sim::start(SimConfig::fast(nodes)).unwrap()
}

fn says(status: &Value, part: &str) -> bool {
    status["problems"].to_string().contains(part)
}

/// Checks a map that has outgrown its segment while no larger one can be created.
fn outgrows(island: &Island, limit: &str, lift: impl FnOnce(), narrow: impl FnOnce()) {
    let sim = sim(3);
    let owner = island.tend(&sim, &["--shm-max-nodes", "3"]);
    island.wait("healthy", |code, _| code == 0);
    narrow();
    sim.add().unwrap();
    island.wait("the fourth is refused, and why", |code, status| {
        code == 1 && status["refused_nodes"] == 1 && says(status, limit)
    });
    // Everything else continues: if a node leaves, the new node takes its place.
    sim.kill(1).unwrap();
    island.wait("the others are all there", |code, status| {
        let members = status["members"].as_array().unwrap();
        let well = members.iter().all(|node| node["failures"] == 0);
        code == 0 && members.len() == 3 && well && status["refused_nodes"] == 0
    });
    sim.start_node(1).unwrap();
    island.wait("one is refused again", |code, status| code == 1 && says(status, limit));
    lift();
    island.wait("all four", |code, status| code == 0 && status["nodes"] == 4);
    drop(owner);
}

#[test]
fn h68_a_full_file_system_leaves_the_rest_of_the_map_current() {
    let Some(island) = Island::files(4096) else { return };
    outgrows(&island, "no room", || island.empty(), || island.fill());
}

#[test]
fn h192_a_file_system_without_inodes_is_named_and_the_rest_of_the_map_stays_current() {
    // The directory itself, the lock file and the segment.
    let Some(island) = Island::new("file", "mount -t tmpfs -o nr_inodes=3 tmpfs DIR") else {
        return;
    };
    let three = sim(3);
    let owner = island.tend(&three, &["--shm-max-nodes", "3"]);
    three.add().unwrap();
    island.wait("the fourth is refused, and why", |code, status| {
        code == 1 && status["refused_nodes"] == 1 && says(status, "no inode left")
    });
    island.shell("mount -o remount,nr_inodes=100 DIR");
    island.wait("all four", |code, status| code == 0 && status["nodes"] == 4);
    drop(owner);
    let Some(island) = Island::new("file", "mount -t tmpfs -o nr_inodes=1 tmpfs DIR") else {
        return;
    };
    let seed = sim(1);
    let seed = seed.seeds()[0].to_string();
    let answer = Answer(island.command(&["tend", "--host", &seed]).output().unwrap());
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains("no inode left"), "{}", answer.stderr());
}

#[test]
fn h68_a_directory_that_may_not_be_written_leaves_the_rest_of_the_map_current() {
    let Some(island) = Island::files(4096) else { return };
    // Permissions do not stop root, but a read-only file system does. A remount of
    // the file system itself would be refused while a segment is mapped for
    // writing.
    let narrow = || island.shell("mount --bind DIR DIR && mount -o remount,bind,ro DIR");
    let lift = || island.shell("umount DIR");
    outgrows(&island, "Read-only file system", lift, narrow);
}

#[test]
fn h68_a_limit_of_system_v_leaves_the_rest_of_the_map_current() {
    for limit in ["shmmni", "shmall", "shmmax"] {
        let directory = "mkdir -p DIR";
        let Some(island) = Island::new("sysv", directory) else { return };
        let bytes = "$(awk 'NR > 1 {print $4}' /proc/sysvipc/shm | head -1)";
        let value = match limit {
            "shmmni" => "1".to_owned(),
            "shmall" => format!("$(({bytes} / 4096))"),
            // Less than the smallest segment.
            _ => "100000".to_owned(),
        };
        let narrow = || island.shell(&format!("echo {value} > /proc/sys/kernel/{limit}"));
        let much = if limit == "shmmni" { 4096 } else { 1_000_000_000 };
        let lift = || island.shell(&format!("echo {much} > /proc/sys/kernel/{limit}"));
        outgrows(&island, limit, lift, narrow);
    }
}

#[test]
fn h69_the_ownership_does_not_rotate_while_nobody_can_do_better() {
    let Some(island) = Island::files(4096) else { return };
    let sim = sim(3);
    let mut owner = island.tend(&sim, &["--shm-max-nodes", "3"]);
    let _others: Vec<Running> = (0..2).map(|_| island.tend(&sim, &[])).collect();
    island.fill();
    sim.add().unwrap();
    owner.until("no_room");
    owner.until("offered");
    let (_, before) = island.status();
    let tends = before["tends"].as_u64().unwrap() + 60;
    island.wait("sixty passes more", |_, status| status["tends"].as_u64() >= Some(tends));
    let (code, after) = island.status();
    assert_eq!((code, &after["owner_pid"]), (1, &before["owner_pid"]), "{after}");
    assert_eq!(after["term"], before["term"], "{after}");
    // A new process uses the existing segment.
    let newcomer = island.tend(&sim, &[]);
    assert_ne!(newcomer.heard.last().unwrap()["role"], "owner");
}

#[test]
fn h72_a_first_map_that_is_too_large_is_published_in_part() {
    // Room for only one segment.
    let Some(island) = Island::files(1200) else { return };
    let sim = sim(3);
    let _owner = island.tend(&sim, &["--shm-max-nodes", "1", "--shm-max-namespaces", "8"]);
    let (_, status) = island.status();
    assert!(status["sequence"].as_u64() >= Some(1), "{status}");
    assert_eq!(status["nodes"], 1, "{status}");
    // The counters follow at the end of the pass.
    island.wait("how many, and why", |code, status| {
        code == 1 && status["refused_nodes"] == 2 && says(status, "no room")
    });
}

#[test]
fn h72_a_connect_for_which_there_is_no_room_is_an_error() {
    let Some(island) = Island::files(64) else { return };
    let seed = sim(1).seeds()[0].to_string();
    let answer = Answer(island.command(&["tend", "--host", &seed]).output().unwrap());
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains("no room for a segment"), "{}", answer.stderr());
}

/// Limits the number of descriptors of a process.
fn limit(process: &Running, descriptors: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(descriptors), maximum };
    prlimit(Some(Pid::from_child(&process.child)), Resource::Nofile, limit).unwrap();
}

fn descriptors(process: &Running) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count() as u64
}

#[test]
fn h69_an_owner_without_descriptors_hands_the_ownership_to_one_that_has_some() {
    let (place, sim) = (Place::new(), sim(3));
    let owner = place.tend(&sim, &[]);
    // The standard streams and one more.
    limit(&owner, 4);
    for number in 1..=3 {
        sim.drop_connections(number).unwrap();
    }
    let status = || {
        let answer = place.run(&["status", "--json"]);
        (answer.code(), answer.json())
    };
    // Without another process it stays owner, and reports the shortage.
    wait_until("it says what it lacks", || {
        let (code, status) = status();
        code == 1 && says(&status, "descriptor") && says(&status, "ulimit -n")
    });
    let other = place.tend(&sim, &[]);
    wait_until("the other one owns", || {
        let (code, status) = status();
        code == 0 && status["owner_pid"] == other.pid()
    });
    let (_, before) = status();
    // The same a second time.
    let tends = before["tends"].as_u64().unwrap() + 30;
    wait_until("thirty passes more", || status().1["tends"].as_u64() >= Some(tends));
    assert_eq!(status().1["term"], before["term"]);
}

#[test]
fn h70_with_few_descriptors_it_tends_in_turns_and_leaves_some_to_the_program() {
    let (place, sim) = (Place::new(), sim(40));
    let args = ["--shm-max-nodes", "40", "--tend-interval", "200ms"];
    let mut command = vec!["tend", "--json"];
    command.extend(args);
    let seed = sim.seeds()[0].to_string();
    command.extend(["--host", &seed, "--shm-directory", place.path().to_str().unwrap()]);
    let script = format!("ulimit -S -n 64; exec {BINARY} {}", command.join(" "));
    let mut owner = Running::start(Command::new("bash").args(["-c", &script]));
    owner.until("connected");
    let mut most = 0;
    for _ in 0..5 {
        let (_, before) = (0, place.run(&["status", "--json"]).json()["tends"].as_u64());
        wait_until("another pass", || {
            most = most.max(descriptors(&owner));
            place.run(&["status", "--json"]).json()["tends"].as_u64() > before
        });
    }
    assert!(most <= 64 - 8, "{most} descriptors are in use");
    let status = place.json(&["status", "--json"]);
    assert_eq!((&status["nodes"], &status["failing_nodes"]), (&40.into(), &0.into()), "{status}");
    // Changes are still read.
    sim.set_replication_factor("test", 1).unwrap();
    wait_until("a change is seen", || {
        place.run(&["status", "--json"]).json()["namespaces"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["replication_factor"] == 1))
    });
}

#[test]
fn h69_an_owner_without_memory_hands_the_ownership_to_one_that_makes_a_larger_segment() {
    let (place, sim) = (Place::new(), sim(3));
    let mut owner = place.tend(&sim, &["--shm-max-nodes", "3"]);
    let other = place.tend(&sim, &[]);
    // A limit of memory at its current use.
    let text = fs::read_to_string(format!("/proc/{}/statm", owner.pid())).unwrap();
    let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
    let maximum = getrlimit(Resource::As).maximum;
    let limit = Rlimit { current: Some(pages * rustix::param::page_size() as u64), maximum };
    prlimit(Some(Pid::from_child(&owner.child)), Resource::As, limit).unwrap();
    sim.add().unwrap();
    let told = owner.until("no_room");
    assert!(told["error"].as_str().unwrap().contains("memory"), "{told}");
    wait_until("the other one owns a larger one", || {
        let status = place.run(&["status", "--json"]).json();
        status["owner_pid"] == other.pid() && status["nodes"] == 4 && status["healthy"] == true
    });
    owner.until("fenced");
}
