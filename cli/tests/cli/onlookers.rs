//! Commands that only read segments: they survive any change of the file, and
//! leave nothing behind.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::process::geteuid;
use tendmap::internals::layout::{Geometry, Header, Identity};
use tendmap::map::Capacity;
use tendmap::sim::{Sim, SimConfig};

use crate::system_v::Key;
use crate::tool::{Answer, Place};
use crate::users::Host;

const STRANGER: u32 = 65_534;
/// The commands that only read.
const COMMANDS: [&[&str]; 5] =
    [&["ls"], &["ls", "--json"], &["status"], &["map"], &["route", "--namespace=test", "--int=1"]];

/// The file of a segment whose owner was killed.
fn orphan(place: &Place) -> PathBuf {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    place.tend(&sim, &[]).kill();
    place.segment()
}

/// Truncates a file at several places and repairs it, without a pause, until this
/// is dropped.
struct Cutter {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Cutter {
    fn of(path: &Path) -> Cutter {
        let (path, whole) = (path.to_owned(), fs::read(path).unwrap());
        let done = Arc::new(AtomicBool::new(false));
        let until = done.clone();
        let thread = std::thread::spawn(move || {
            let mut rounds = 0;
            while !until.load(Ordering::Relaxed) {
                // `rm` removes the file, and the test restores it.
                let Ok(file) = File::options().write(true).open(&path) else { continue };
                for length in [0, 100, 4096, whole.len() as u64 / 2, whole.len() as u64 - 1] {
                    file.set_len(length).unwrap();
                    file.set_len(whole.len() as u64).unwrap();
                    file.write_all_at(&whole[..4096], 0).unwrap();
                }
                file.write_all_at(&whole, 0).unwrap();
                rounds += 1;
            }
            rounds
        });
        Cutter { done, thread: Some(thread) }
    }

    /// Stops; returns how many times the file was truncated and repaired.
    fn stop(mut self) -> u32 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

#[test]
fn h127_no_command_that_looks_dies_of_a_file_that_is_cut_short() {
    let place = Place::new();
    let path = orphan(&place);
    if geteuid().is_root() {
        // Root reads the segments of all users.
        chown(&path, Some(STRANGER), None).unwrap();
    }
    let cutter = Cutter::of(&path);
    for args in COMMANDS {
        for _ in 0..40 {
            // `code` panics if a signal has ended the command.
            let code = place.run(args).code();
            assert!([0, 1, 3, 5, 6].contains(&code), "{args:?} ends with {code}");
        }
    }
    assert!(cutter.stop() > 0);
    assert_eq!(place.run(&["ls"]).code(), 0);
}

#[test]
fn h127_rm_does_not_die_of_a_strangers_file_that_is_cut_short() {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can give a file to another user");
        return;
    }
    let place = Place::new();
    let path = orphan(&place);
    let whole = fs::read(&path).unwrap();
    let cutter = Cutter::of(&path);
    for round in 0..100 {
        let other = place.path().join("other");
        fs::write(&other, &whole).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        chown(&other, Some(STRANGER), None).unwrap();
        fs::rename(&other, &path).unwrap();
        let force: &[&str] = if round % 2 == 0 { &["rm"] } else { &["rm", "--force"] };
        let answer = place.run(force);
        assert!([0, 5, 6].contains(&answer.code()), "{}", answer.stderr());
        assert!(answer.code() == 0 || force.len() == 1, "{}", answer.stderr());
    }
    drop(cutter);
}

#[test]
fn h127_rm_retires_what_it_trusts_and_unlinks_what_it_does_not() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    for (flags, trusted) in [(&[][..], false), (&["--shm-owner", "5001"][..], true)] {
        let mut owner = host.tend(5001, &sim, &[]);
        let path = host.place.segment();
        let kept = File::open(&path).unwrap();
        let answer = host.place.run(&[&["rm", "--force"], flags].concat());
        assert_eq!(answer.code(), 0, "{}", answer.stderr());
        let mut head = [0; 8];
        kept.read_exact_at(&mut head, 256).unwrap();
        let retired = u64::from_ne_bytes(head) & 1 << 47 != 0;
        // The segment's owner detects at some time that the name is gone.
        assert!(retired || !trusted);
        owner.until("owner");
        assert_eq!(owner.interrupt(), 0);
        assert_eq!(fs::read_dir(host.place.path()).unwrap().count(), 0, "{flags:?}");
    }
}

/// A valid header of the largest possible geometry.
fn greatest_header() -> (Vec<u8>, u64) {
    let capacity = Capacity {
        max_nodes: 4096,
        max_namespaces: 4096,
        max_replicas: Capacity::MOST_REPLICAS,
        partitions: 65_536,
    };
    let geometry = Geometry::new(capacity).unwrap();
    let identity = Identity {
        key: 0xA700_0000,
        generation: 7,
        segment_id: 1,
        created_ns: 1,
        creator_pid: 1,
        lock_directory: 0,
    };
    let header = Header::new(identity, &geometry);
    (header.bytes().to_vec(), geometry.total_bytes() as u64)
}

#[test]
fn h127_files_of_any_kind_and_length_are_listed_and_read_with_little_memory() {
    let place = Place::new();
    let whole = fs::read(orphan(&place)).unwrap();
    let name = |number: u32| place.path().join(format!("tendmap-a7000000-v3-g{number}"));
    fs::remove_file(name(1)).unwrap();
    fs::write(name(2), b"").unwrap();
    fs::write(name(3), &whole[..256]).unwrap();
    fs::write(name(4), &whole[..4096]).unwrap();
    fs::write(name(5), &whole[..whole.len() - 1]).unwrap();
    let huge = File::create(name(6)).unwrap();
    huge.write_all_at(&whole[..4096], 0).unwrap();
    huge.set_len(1 << 40).unwrap();
    let (header, length) = greatest_header();
    let greatest = File::create(name(7)).unwrap();
    greatest.write_all_at(&header, 0).unwrap();
    greatest.set_len(length).unwrap();
    fs::create_dir(name(8)).unwrap();
    symlink("/dev/zero", name(9)).unwrap();
    let made = |program: &str, args: &[&str], number| {
        let path = name(number);
        let done = Command::new(program).arg(&path).args(args).status();
        done.is_ok_and(|done| done.success()) && path.symlink_metadata().is_ok()
    };
    assert!(made("mkfifo", &[], 10));
    let mut files = 9;
    // Only root can make a device.
    files += usize::from(geteuid().is_root() && made("mknod", &["c", "1", "5"], 11));
    for number in 2..=11 {
        if name(number).symlink_metadata().is_ok_and(|found| found.is_file()) {
            fs::set_permissions(name(number), Permissions::from_mode(0o600)).unwrap();
        }
    }
    let small = |args: &[&str]| {
        let command = place.command(args);
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -v 400000; exec \"$@\"", "limited"]);
        limited.arg(command.get_program()).args(command.get_args());
        Answer(limited.output().unwrap())
    };
    let listed = small(&["ls", "--json"]);
    assert_eq!(listed.code(), 0, "{}", listed.stderr());
    assert_eq!(listed.json()["segments"].as_array().unwrap().len(), files);
    for args in COMMANDS {
        // No command ends by a signal or for lack of memory.
        let answer = small(args);
        assert!([0, 1, 3, 5, 6].contains(&answer.code()), "{args:?}: {}", answer.stderr());
    }
    if geteuid().is_root() {
        chown(name(7), Some(STRANGER), None).unwrap();
        let status = small(&["status"]);
        assert!(status.code() != 0, "{}", status.stdout());
    }
    let removed = small(&["rm", "--force"]);
    // A directory is not removed, and the error names it.
    assert_eq!(removed.code(), 6, "{}", removed.stderr());
    fs::remove_dir(name(8)).unwrap();
    assert_eq!(small(&["rm", "--force"]).code(), 0);
    assert_eq!(place.json(&["ls", "--json"])["segments"].as_array().unwrap().len(), 0);
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn remove_where(directory: &Path, end: &str) {
    for name in names(directory).iter().filter(|name| name.ends_with(end)) {
        fs::remove_file(directory.join(name)).unwrap();
    }
}

#[test]
fn h129_looking_makes_and_changes_no_file() {
    let place = Place::new();
    let path = orphan(&place);
    let key = Key::new();
    if let Some(key) = &key {
        let sim = Sim::start(SimConfig::fast(2)).unwrap();
        place.tend(&sim, &key.flags()).kill();
    }
    let content = || fs::read(&path).unwrap();
    let looks = |why: &str| {
        let (before, whole) = (names(place.path()), content());
        let changed = || fs::metadata(place.path()).unwrap().modified().unwrap();
        let at = changed();
        for args in COMMANDS {
            let code = place.run(args).code();
            assert!(code <= 1, "{why}: {args:?} ends with {code}");
            if let Some(key) = &key {
                let code = place.run(&[args, &key.flags()].concat()).code();
                assert!(code <= 1, "{why}: {args:?} of System V ends with {code}");
            }
        }
        assert_eq!(names(place.path()), before, "{why}");
        assert_eq!(changed(), at, "{why}: files came and went");
        assert!(content() == whole, "{why}");
    };
    looks("after a crash");
    remove_where(place.path(), ".marks");
    looks("without marks");
    remove_where(place.path(), ".lock");
    looks("without lock files");
    // Also without any segment, when a client would create one.
    fs::rename(&path, place.path().join("elsewhere")).unwrap();
    let before = names(place.path());
    for args in &COMMANDS[2..] {
        assert_eq!(place.run(args).code(), 3, "{args:?}");
    }
    assert_eq!(names(place.path()), before);
}

#[test]
fn h129_others_look_at_what_they_may_read_and_shut_nobody_out() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    host.tend(5001, &sim, &["--shm-mode", "0644"]).kill();
    remove_where(host.place.path(), ".lock");
    let before = names(host.place.path());
    // Root, the segment's user, and another user; also in a read-only directory.
    for mode in [0o1777, 0o555] {
        fs::set_permissions(host.place.path(), Permissions::from_mode(mode)).unwrap();
        for user in [0, 5001, STRANGER] {
            for args in COMMANDS {
                let args = [args, &["--shm-owner", "5001"]].concat();
                let args = if args[0] == "ls" { &args[..args.len() - 2] } else { &args[..] };
                let mut command = host.command(user, args);
                let answer = Answer(command.gid(user).output().unwrap());
                assert!(answer.code() <= 1, "{user} {args:?}: {}", answer.stderr());
                assert_eq!(names(host.place.path()), before, "{user} {args:?}");
            }
        }
    }
    fs::set_permissions(host.place.path(), Permissions::from_mode(0o1777)).unwrap();
    let owner = host.tend(5001, &sim, &[]);
    assert_eq!(owner.heard.last().unwrap()["role"], "owner", "{:?}", owner.heard);
}
