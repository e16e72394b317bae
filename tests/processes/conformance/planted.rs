//! Files that an attacker creates under names that a segment or its lock file has, will
//! have or had, in a directory that every user may write.
//!
//! The planted files belong to an untrusted user. The processes that must continue run
//! as root, which may remove them, and as a user that may not.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use rustix::process::geteuid;
use tendmap::segment::{Backend, list};

use super::{Host, Mode, Test};
use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::wait_until;

pub fn tests() -> Vec<Test> {
    vec![
        ("h124_what_is_planted_at_a_lock_file_s_name_stops_no_owner", under_an_owner),
        ("h124_what_is_planted_at_a_lock_file_s_name_stops_no_takeover", before_a_takeover),
        ("h124_what_is_planted_at_a_lock_file_s_name_stops_no_newcomer", before_a_newcomer),
        ("h124_locks_on_what_a_stranger_has_planted_hold_nobody_up", held),
        ("h124_what_is_planted_at_a_creation_lock_s_name_stops_no_creator", creation_lock),
        ("h125_what_is_planted_at_segments_names_stops_no_start", before_a_start),
        ("h125_names_planted_under_an_owner_change_nothing", names_under_an_owner),
        ("h125_what_may_not_be_removed_keeps_rm_from_nothing", removal),
    ]
}

/// A user that may not remove files of others in a sticky directory, and an untrusted
/// user.
const USER: u32 = 12_345;
const STRANGER: u32 = 54_321;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Pipe,
    Folder,
    FullFolder,
    Link,
    Dangling,
    Socket,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::File,
        Kind::Pipe,
        Kind::Folder,
        Kind::FullFolder,
        Kind::Link,
        Kind::Dangling,
        Kind::Socket,
    ];

    /// Plants one at this path.
    fn plant(self, at: &Path) {
        match self {
            Kind::File => {
                fs::write(at, "planted").unwrap();
                fs::set_permissions(at, PermissionsExt::from_mode(0o666)).unwrap();
            }
            Kind::Pipe => assert!(Command::new("mkfifo").arg(at).status().unwrap().success()),
            Kind::Folder => fs::create_dir(at).unwrap(),
            Kind::FullFolder => fs::create_dir_all(at.join("x")).unwrap(),
            Kind::Link => symlink("/etc/passwd", at).unwrap(),
            Kind::Dangling => symlink("/nowhere/at/all", at).unwrap(),
            Kind::Socket => drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
        }
        lchown(at, Some(STRANGER), Some(STRANGER)).unwrap();
    }
}

/// Whether this process can create files of another user.
fn ready(host: &Host) -> bool {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can become another user");
        return false;
    }
    fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    true
}

/// The same host under another key, so that earlier planted files do not matter.
fn setup(host: &Host) -> Setup {
    Setup { key: super::unused_key(), ..host.setup.clone() }
}

fn worker(setup: &Setup, user: u32) -> Worker {
    let worker = match user {
        0 => Worker::start("switch", setup),
        _ => Worker::of_user("switch", setup, user, user),
    };
    worker.expect("connected");
    worker
}

/// The lock files of a key whose names have this ending.
fn named(setup: &Setup, end: &str) -> Vec<PathBuf> {
    let key = format!("tendmap-{:08x}-", setup.key);
    let found = fs::read_dir(&setup.directory).unwrap().map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&key) && name.ends_with(end)
    };
    found.filter(wanted).collect()
}

fn the(setup: &Setup, end: &str) -> PathBuf {
    let found = named(setup, end);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// The names to plant at: the lock file's, and the file of marks'.
fn ends(setup: &Setup) -> &'static [&'static str] {
    match setup.backend {
        Backend::File => &[".lock"],
        Backend::SystemV => &[".lock", ".marks"],
    }
}

fn plant(at: &Path, kind: Kind) {
    // A live owner may create it again in between.
    let beside = at.with_extension("planted");
    kind.plant(&beside);
    wait_until("the name", || {
        let _ = fs::remove_file(at);
        fs::rename(&beside, at).is_ok()
    });
}

/// Waits until new processes can use the segment again: root has replaced the planted
/// file, a user has another segment. (This process must not attach, because it would
/// replace the file.)
fn wait_healed(setup: &Setup, user: u32, at: &Path) {
    let stem = at.with_extension("lock");
    wait_until("a lock file that can be used", || match user {
        0 => fs::symlink_metadata(at).is_ok_and(|found| found.is_file() && found.uid() == 0),
        _ => named(setup, ".lock").iter().any(|lock| {
            *lock != stem && fs::symlink_metadata(lock).is_ok_and(|found| found.uid() == user)
        }),
    });
}

/// Waits until one of two workers is the owner; returns the owner and the other.
fn owner_of(mut one: Worker, mut other: Worker) -> (Worker, Worker) {
    let mut first = false;
    wait_until("an owner", || {
        first = one.role() == "owner";
        first != (other.role() == "owner")
    });
    if first { (one, other) } else { (other, one) }
}

fn takes_over(worker: &mut Worker) {
    wait_until("a takeover", || worker.role() == "owner");
    worker.assert_routes();
}

/// Stops a process, and waits until all of its threads have stopped.
fn freeze(worker: &Worker) {
    worker.signal(Signal::SIGSTOP);
    let tasks = format!("/proc/{}/task", worker.pid());
    wait_until("all threads stopped", || {
        fs::read_dir(&tasks).unwrap().all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit(')').next().unwrap().trim().starts_with('T')
        })
    });
}

fn cases(setup: impl Fn() -> Setup, mut case: impl FnMut(&Setup, u32, &str, Kind)) {
    for user in [0, USER] {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            // Like a user, root can't remove a directory that is not empty.
            if (user, kind) == (0, Kind::FullFolder) {
                continue;
            }
            let setup = setup();
            let ends = ends(&setup);
            case(&setup, user, ends[number % ends.len()], kind);
            let place = tendmap::segment::Place { owners: vec![USER], ..setup.place() };
            let _ = tendmap::segment::remove(&place, true);
        }
    }
}

fn under_an_owner(host: &Host) {
    if !ready(host) {
        return;
    }
    cases(
        || setup(host),
        |setup, user, end, kind| {
            let (owner, follower) = (worker(setup, user), worker(setup, user));
            let at = the(setup, end);
            plant(&at, kind);
            wait_healed(setup, user, &at);
            let (owner, mut follower) = owner_of(owner, follower);
            follower.assert_routes();
            // A new process finds them in the same segment, and the follower takes
            // over.
            let mut newcomer = worker(setup, user);
            assert_ne!(newcomer.role(), "owner", "{user} {kind:?}");
            newcomer.assert_routes();
            newcomer.close();
            owner.kill();
            takes_over(&mut follower);
            follower.close();
        },
    );
}

fn before_a_takeover(host: &Host) {
    if !ready(host) {
        return;
    }
    cases(
        || Setup { threshold_ms: 600_000, ..setup(host) },
        |setup, user, end, kind| {
            let owner = worker(setup, user);
            let mut follower = worker(setup, user);
            let at = the(setup, end);
            freeze(&follower);
            freeze(&owner);
            plant(&at, kind);
            owner.kill();
            follower.signal(Signal::SIGCONT);
            takes_over(&mut follower);
            wait_healed(setup, user, &at);
            takes_over(&mut follower);
            let mut newcomer = worker(setup, user);
            assert_ne!(newcomer.role(), "owner", "{user} {kind:?}");
            newcomer.close();
            follower.assert_routes();
            follower.close();
        },
    );
}

fn before_a_newcomer(host: &Host) {
    if !ready(host) {
        return;
    }
    cases(
        || Setup { threshold_ms: 600_000, ..setup(host) },
        |setup, user, end, kind| {
            // A user's new processes wait for seconds, so two kinds are enough.
            if user != 0 && !matches!(kind, Kind::Link | Kind::FullFolder) {
                return;
            }
            let owner = worker(setup, user);
            let mut kept = worker(setup, user);
            let at = the(setup, end);
            // It only keeps the memory of a System V segment.
            freeze(&kept);
            freeze(&owner);
            plant(&at, kind);
            owner.kill();
            let mut newcomer = worker(setup, user);
            takes_over(&mut newcomer);
            wait_healed(setup, user, &at);
            kept.signal(Signal::SIGCONT);
            kept.assert_routes();
            wait_until("both in one segment", || {
                let (ours, theirs) = (newcomer.generation(), kept.generation());
                ours.is_some() && ours == theirs
            });
            kept.close();
            newcomer.close();
        },
    );
}

fn held(host: &Host) {
    if !ready(host) {
        return;
    }
    for user in [0, USER] {
        let setup = Setup { threshold_ms: 600_000, ..setup(host) };
        let owner = worker(&setup, user);
        let follower = worker(&setup, user);
        let at = the(&setup, ".lock");
        freeze(&owner);
        freeze(&follower);
        plant(&at, Kind::File);
        let planted = File::options().read(true).write(true).open(&at).unwrap();
        let all = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&planted, FcntlArg::F_OFD_SETLK(&all)).unwrap();
        owner.signal(Signal::SIGCONT);
        follower.signal(Signal::SIGCONT);
        wait_healed(&setup, user, &at);
        let (owner, mut follower) = owner_of(owner, follower);
        owner.kill();
        takes_over(&mut follower);
        let mut newcomer = worker(&setup, user);
        follower.kill();
        takes_over(&mut newcomer);
        newcomer.close();
    }
}

fn creation_lock(host: &Host) {
    if host.mode != Mode::Shared(Backend::SystemV) || !ready(host) {
        return;
    }
    let name =
        |setup: &Setup| setup.directory.join(format!("tendmap-{:08x}-v3-sysv.lock", setup.key));
    cases(
        || setup(host),
        |setup, user, _, kind| {
            kind.plant(&name(setup));
            // Root's file of mode 0600 is as bad for a user.
            let mut owner = worker(setup, user);
            assert_eq!(owner.role(), "owner");
            owner.say("grow 40");
            wait_until("a larger segment", || owner.generation() == Some(2));
            owner.close();
            assert!(list(&setup.directory).unwrap().iter().all(|found| found.key != setup.key));
        },
    );
    let setup = setup(host);
    File::create(name(&setup)).unwrap();
    fs::set_permissions(name(&setup), PermissionsExt::from_mode(0o600)).unwrap();
    worker(&setup, USER).close();
}

fn segment_name(setup: &Setup, generation: u64) -> PathBuf {
    setup.directory.join(format!("tendmap-{:08x}-v3-g{generation}", setup.key))
}

/// Whether there are names of segments: System V has keys.
fn has_names(host: &Host) -> bool {
    host.mode == Mode::Shared(Backend::File) && ready(host)
}

fn before_a_start(host: &Host) {
    if !has_names(host) {
        return;
    }
    for user in [0, USER] {
        for kind in Kind::ALL {
            let setup = setup(host);
            for generation in [1, 2, u64::MAX] {
                kind.plant(&segment_name(&setup, generation));
            }
            let owner = worker(&setup, user);
            let mut follower = worker(&setup, user);
            assert_ne!(follower.role(), "owner", "{user} {kind:?}");
            follower.assert_routes();
            // The same if the next number is planted, too.
            let next = follower.generation().unwrap() + 1;
            kind.plant(&segment_name(&setup, next));
            let (mut owner, mut follower) = owner_of(owner, follower);
            owner.say("grow 40");
            wait_until("a larger segment", || {
                let (ours, theirs) = (owner.generation(), follower.generation());
                ours.is_some_and(|ours| ours > next) && ours == theirs
            });
            follower.assert_routes();
            owner.kill();
            takes_over(&mut follower);
            follower.close();
        }
    }
    // Every possible next number.
    let setup = setup(host);
    for generation in 1..=40 {
        Kind::File.plant(&segment_name(&setup, generation));
    }
    let owner = worker(&setup, USER);
    let mut follower = worker(&setup, USER);
    assert_ne!(follower.role(), "owner");
    follower.close();
    owner.close();
}

fn names_under_an_owner(host: &Host) {
    if !has_names(host) {
        return;
    }
    for user in [0, USER] {
        let setup = setup(host);
        let mut owner = worker(&setup, user);
        let mut follower = worker(&setup, user);
        for (number, kind) in (2..).zip(Kind::ALL.into_iter().cycle().take(200)) {
            kind.plant(&segment_name(&setup, number));
        }
        Kind::File.plant(&segment_name(&setup, u64::MAX));
        let place = tendmap::segment::Place { owners: vec![USER], ..setup.place() };
        let before = tendmap::client::Reader::attach(&place).unwrap();
        let tends = || before.status().unwrap().tends;
        let begun = tends();
        wait_until("more passes", || tends() > begun + 5);
        assert_eq!((owner.role(), owner.generation()), ("owner".to_owned(), Some(1)));
        assert_eq!(follower.generation(), Some(1));
        // Few of them are listed, and the segment is.
        let listed = list(&setup.directory).unwrap();
        let of_key = listed.iter().filter(|found| found.key == setup.key);
        let (real, planted): (Vec<_>, Vec<_>) = of_key.partition(|found| found.user == user);
        assert_eq!((real.len(), planted.len()), (1, 16));
        owner.kill();
        takes_over(&mut follower);
        follower.close();
    }
}

fn removal(host: &Host) {
    if !has_names(host) {
        return;
    }
    let setup = setup(host);
    let mut owner = worker(&setup, USER);
    for (number, kind) in (2..).zip(Kind::ALL) {
        kind.plant(&segment_name(&setup, number));
    }
    let mut remover = Worker::of_user("remove", &setup, USER, USER);
    remover.expect("removed");
    remover.say("");
    wait_until("a new segment", || owner.generation().is_some_and(|generation| generation > 1));
    owner.assert_routes();
    owner.close();
    assert!(!segment_name(&setup, 1).exists());
}
