//! Users, limits and directories that change under a process.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tendmap::client::{Client, Reader, Role, Status, Verdict};
use tendmap::route::{Partition, Policy};
use tendmap::segment::{Backend, SegmentError};

use super::{Host, Mode, Test};
use crate::worker::Worker;
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, files, wait_until};

/// All of them change their process.
pub fn tests() -> Vec<Test> {
    vec![
        ("h76_an_owner_that_changes_its_user_stays_owner", owner_drops),
        ("h76_a_follower_that_has_changed_its_user_takes_over", follower_drops),
        ("h77_a_child_of_another_user_follows_with_what_it_has_inherited", child_drops),
        ("h85_root_sees_the_status_of_every_users_segment", status_for_root),
        ("h78_a_limit_on_the_length_of_files_is_named_and_kills_nobody", file_limit),
        ("h78_an_owner_that_the_limit_keeps_from_growing_goes_on", file_limit_to_growth),
        ("h79_a_segment_is_made_without_proc", no_proc),
        ("h80_a_relative_directory_is_that_of_the_moment_of_connecting", relative),
        ("h81_an_owner_that_changes_its_root_goes_on", changed_root),
        ("h81_an_owner_goes_on_without_its_directory_and_moves_to_the_next", removed),
        ("h190_a_sandbox_that_refuses_calls_is_no_limit", sandbox),
        ("h232_a_signal_during_the_reservation_of_the_pages_stops_no_creator", interrupted),
        ("h234_a_creator_that_can_lock_nothing_leaves_no_file", lockless),
        ("h82_segments_are_kept_where_the_kernel_removes_unmapped_ones", rmid_forced),
    ]
}

/// Whether a test can run here; if not, prints the reason.
fn is_root(name: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        tendmap_testkit::skipped(&format!(
            "{name}: only root can become another user or change its root"
        ));
    }
    root
}

/// Becomes the user nobody, in all threads.
fn drop_privileges() {
    let nobody = 65534;
    // SAFETY: these take plain numbers.
    let answers = unsafe {
        [libc::setgroups(0, core::ptr::null()), libc::setgid(nobody), libc::setuid(nobody)]
    };
    assert_eq!(answers, [0; 3]);
}

fn nodes(client: &Client) -> usize {
    client.map().map_or(0, |map| map.map.nodes.len())
}

/// Checks that a change is published by the same owner in the same segment.
#[track_caller]
fn assert_tends(client: &Client, cluster: &Cluster) {
    let now = |client: &Client| {
        let segment = client.segment();
        (segment.identity().segment_id, segment.head().term())
    };
    let before = now(client);
    let more = nodes(client) + 1;
    cluster.grow(more as u16);
    wait_until("the change", || nodes(client) == more);
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    router.route(namespace, Partition(7), Policy::Master).unwrap();
    assert_eq!((now(client), client.role()), (before, Role::Owner));
}

fn owner_drops(host: &Host) {
    if !is_root("an owner that changes its user") {
        return;
    }
    // With a directory that others may search, and with one that they may not.
    for mode in [0o755, 0o700] {
        std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(mode)).unwrap();
        forked(
            |parent| {
                let cluster = Cluster::new(2, 1);
                let client = host.client(&cluster);
                drop_privileges();
                assert_tends(&client, &cluster);
                let status = client.status().unwrap();
                assert!(status.owner_alive, "{status:?}");
                parent.write_all(b"k").unwrap();
            },
            |child| child.read_exact(&mut [0]).unwrap(),
        );
        if host.mode != Mode::Private {
            let _ = tendmap::segment::remove(&host.place(), true);
        }
    }
}

fn follower_drops(host: &Host) {
    if host.mode == Mode::Private || !is_root("a follower that changes its user") {
        return;
    }
    for mode in [0o755, 0o700] {
        std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(mode)).unwrap();
        forked(
            |parent| {
                parent.read_exact(&mut [0]).unwrap();
                let cluster = Cluster::new(2, 1);
                let client = host.client(&cluster);
                wait_until("a standby", || client.role() == Role::Standby);
                drop_privileges();
                parent.write_all(b"f").unwrap();
                wait_until("an owner", || client.role() == Role::Owner);
                assert_tends(&client, &cluster);
                parent.write_all(b"k").unwrap();
            },
            |child| {
                let owner = host.worker();
                child.write_all(b"o").unwrap();
                child.read_exact(&mut [0]).unwrap();
                owner.kill();
                child.read_exact(&mut [0]).unwrap();
            },
        );
        let _ = tendmap::segment::remove(&host.place(), true);
    }
}

fn status_for_root(host: &Host) {
    if host.mode == Mode::Private || !is_root("the segment of another user") {
        return;
    }
    std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    forked(
        |parent| {
            drop_privileges();
            let cluster = Cluster::new(2, 1);
            let _client = host.client(&cluster);
            parent.write_all(b"o").unwrap();
            parent.read_exact(&mut [0]).unwrap();
        },
        |child| {
            child.read_exact(&mut [0]).unwrap();
            let status = Status::look(&host.place()).unwrap();
            assert!(status.owner_alive && status.verdict() == Verdict::Healthy, "{status:?}");
            // It looks, but does not route.
            let error = Reader::attach(&host.place()).unwrap_err();
            assert!(matches!(error, SegmentError::Owner { found: 65534, .. }), "{error}");
            child.write_all(b"q").unwrap();
        },
    );
    let mut place = host.place();
    place.owners.push(65534);
    let _ = tendmap::segment::remove(&place, true);
}

fn child_drops(host: &Host) {
    if host.mode == Mode::Private || !is_root("a child of another user") {
        return;
    }
    for mode in [0o755, 0o700] {
        std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(mode)).unwrap();
        let cluster = Cluster::new(2, 1);
        let client = host.client(&cluster);
        let parents = std::cell::RefCell::new(Some(client));
        forked(
            |parent| {
                drop_privileges();
                assert_eq!(parents.borrow().as_ref().map(nodes), Some(2));
                let own = host.client(&cluster);
                wait_until("a standby", || own.role() == Role::Standby);
                assert_eq!(own.status().unwrap().attached, Some(2));
                parent.write_all(b"f").unwrap();
                wait_until("an owner", || own.role() == Role::Owner);
                assert_tends(&own, &cluster);
                parent.write_all(b"k").unwrap();
            },
            |child| {
                child.read_exact(&mut [0]).unwrap();
                parents.borrow_mut().take().unwrap().close();
                child.read_exact(&mut [0]).unwrap();
            },
        );
        let _ = tendmap::segment::remove(&host.place(), true);
    }
}

fn limit_files(bytes: u64) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum }).unwrap();
}

fn file_limit(host: &Host) {
    limit_files(100 << 10);
    let client = Client::connect_with(host.config(), Cluster::new(2, 1).source());
    match (host.mode, client) {
        (Mode::Shared(Backend::File), client) => {
            let text = client.unwrap_err().to_string();
            assert!(text.contains("RLIMIT_FSIZE") && text.contains("102400 bytes"), "{text}");
            host.assert_clean();
        }
        (_, client) => assert_eq!(nodes(&client.unwrap()), 2),
    }
}

fn file_limit_to_growth(host: &Host) {
    let cluster = Cluster::new(2, 1);
    let client = host.client(&cluster);
    limit_files(100 << 10);
    cluster.grow(20);
    if host.mode == Mode::Shared(Backend::File) {
        // It has seen the change, and continues to route.
        let passes = client.status().unwrap().tends;
        wait_until("more passes", || client.status().unwrap().tends > passes + 3);
        assert_eq!(client.segment().identity().generation, 1);
        assert_eq!(client.role(), Role::Owner);
    } else {
        wait_until("the change", || nodes(&client) == 20);
    }
}

fn no_proc(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    match Worker::without_proc(&host.setup) {
        Ok(said) => assert_eq!(said["event"], "owner", "{said}"),
        Err(why) => tendmap_testkit::skipped(&why),
    }
}

fn relative(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    std::env::set_current_dir(host.directory.path()).unwrap();
    let cluster = Cluster::new(2, 1);
    let mut config = host.config();
    config.shm_directory = ".".into();
    let client = Client::connect_with(config, cluster.source()).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_tends(&client, &cluster);
    // Processes that use the full path find it there.
    let other = host.worker();
    assert_eq!(client.status().unwrap().attached, Some(2));
    drop(other);
    client.close();
}

fn changed_root(host: &Host) {
    if host.mode == Mode::Private || !is_root("an owner that changes its root") {
        return;
    }
    // With a directory of the same name inside, and without one.
    for inside in [false, true] {
        let root = tempfile::tempdir().unwrap();
        if inside {
            let path = host.directory.path().strip_prefix("/").unwrap();
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        forked(
            |parent| {
                let cluster = Cluster::new(2, 1);
                let client = host.client(&cluster);
                nix::unistd::chroot(root.path()).unwrap();
                std::env::set_current_dir("/").unwrap();
                assert_tends(&client, &cluster);
                let status = client.status().unwrap();
                assert!(status.owner_alive, "{status:?}");
                parent.write_all(b"k").unwrap();
                parent.read_exact(&mut [0]).unwrap();
            },
            |child| {
                child.read_exact(&mut [0]).unwrap();
                // The others see the owner.
                let worker = Worker::start("hold-check", &host.setup);
                assert_eq!(worker.expect("owner_byte")["held"], true);
                child.write_all(b"q").unwrap();
            },
        );
        let _ = tendmap::segment::remove(&host.place(), true);
    }
}

fn sandbox(host: &Host) {
    // Calls that tendmap makes, but does not need.
    without(
        host,
        libc::EPERM,
        &[
            libc::SYS_prlimit64,
            libc::SYS_unshare,
            libc::SYS_fallocate,
            libc::SYS_pidfd_open,
            libc::SYS_membarrier,
            libc::SYS_mlock,
            libc::SYS_getrandom,
            libc::SYS_fchown,
            libc::SYS_statfs,
            libc::SYS_fstatfs,
        ],
    );
}

/// On tmpfs before Linux 5.19, any signal with a handler interrupts the call.
fn interrupted(host: &Host) {
    without(host, libc::EINTR, &[libc::SYS_fallocate]);
}

/// The file system has no locks.
fn lockless(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    // Low numbers would be moved by the call that fails.
    let low: Vec<_> = (0..64).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    failing(libc::ENOLCK, &[libc::SYS_fcntl], || {
        let connected = Client::connect_with(host.config(), Cluster::new(2, 1).source());
        let error = connected.unwrap_err().to_string();
        assert!(error.contains("No locks available"), "{error}");
    });
    drop(low);
    host.assert_clean();
}

/// Tends while these calls fail.
fn without(host: &Host, error: libc::c_int, calls: &[libc::c_long]) {
    failing(error, calls, || {
        let cluster = Cluster::new(2, 1);
        assert_tends(&host.client(&cluster), &cluster);
    });
    if host.mode != Mode::Private {
        let _ = tendmap::segment::remove(&host.place(), true);
    }
}

/// Runs a test in a child where these calls fail.
fn failing(error: libc::c_int, calls: &[libc::c_long], test: impl FnOnce()) {
    forked(
        |parent| {
            let possible = tendmap_testkit::sandbox::fail(calls, error);
            if possible {
                test();
            }
            parent.write_all(if possible { b"k" } else { b"s" }).unwrap();
        },
        |child| {
            let mut said = [0];
            child.read_exact(&mut said).unwrap();
            if said == *b"s" {
                tendmap_testkit::skipped("this system has no filters of system calls");
            }
        },
    );
}

fn removed(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    let cluster = Cluster::new(2, 1);
    let client = host.client(&cluster);
    let directory: &Path = host.directory.path();
    std::fs::remove_dir_all(directory).unwrap();
    assert_tends(&client, &cluster);
    let mut other = host.config();
    other.shm_key ^= 1;
    let newcomer = Client::connect_with(other, cluster.source());
    let text = newcomer.unwrap_err().to_string();
    assert!(text.contains("shm_directory"), "{text}");
    // A process that creates the directory again is followed there.
    let old = client.segment().identity().segment_id;
    std::fs::create_dir(directory).unwrap();
    wait_until("a segment there", || files(&host.directory) > 0);
    wait_until("the next one", || {
        client.segment().identity().segment_id != old && client.role() == Role::Owner
    });
    assert_tends(&client, &cluster);
    client.close();
    host.assert_clean();
}

fn rmid_forced(host: &Host) {
    if host.mode != Mode::Shared(Backend::SystemV) {
        return;
    }
    match Worker::with_limit(&host.setup, "switch", "shm_rmid_forced", 1) {
        Some(said) => assert_eq!(said["event"], "owner", "{said}"),
        None => tendmap_testkit::skipped("no IPC namespace of its own, or its limits can't be set"),
    }
}
