//! Segments as files: how they are made, listed, swept and removed.

mod succession;
mod trust;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use tendmap::client::{Client, ConnectError, Reader};
use tendmap::internals::layout::HeaderError;
use tendmap::internals::segment::{Carryover, CreateOutcome, Ownership, SegmentBuilder, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::route::{Partition, Policy};
use tendmap::segment::{Place, SegmentError, SegmentState, list, remove};
use tendmap_testkit::{Cluster, config, directory, files};

fn place(directory: &tempfile::TempDir) -> Place {
    Place { directory: directory.path().into(), ..Place::of_key(0xA700_0001) }
}

fn owner(place: &Place, generation: u64, inherited: Option<Carryover<'_>>) -> Box<Ownership> {
    match create(place, generation, Capacity::DEFAULT, inherited).unwrap() {
        CreateOutcome::Owner(ownership) => ownership,
        CreateOutcome::Exists => panic!("generation {generation} was there"),
    }
}

/// A segment without owner or attached processes, with its lock file, as a crash
/// leaves it.
fn orphan(place: &Place) {
    drop(owner(place, 1, None));
}

/// A map with this many nodes.
fn map(nodes: u16) -> ClusterMap {
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    for number in 0..nodes {
        map.nodes.insert(tendmap_testkit::node(number)).unwrap();
    }
    map
}

fn attach_error(place: &Place) -> SegmentError {
    Reader::attach(place).unwrap_err()
}

#[test]
fn h11_what_a_dead_creator_leaves_is_never_seen_and_swept() {
    let directory = directory();
    let place = place(&directory);
    // A creator that died before the link leaves a lock file that no process holds.
    let residue = directory.path().join("tendmap-a7000001-v3-00000000deadbeef.lock");
    File::create(&residue).unwrap();
    assert!(matches!(attach_error(&place), SegmentError::NotFound { .. }));
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    assert!(!residue.exists(), "the next creator removes it");
    assert_eq!(files(&directory), 2, "a segment and its lock file");
    client.close();
    assert_eq!(files(&directory), 0);
}

/// Where files can't be made without a name, a creator has a temporary one.
#[test]
fn h11_the_temporary_file_of_a_dead_creator_is_swept() {
    let directory = directory();
    let creator = |id: &str| {
        let lock = directory.path().join(format!("tendmap-a7000001-v3-{id}.lock"));
        let temporary = directory.path().join(format!(".tendmap-{id}.tmp"));
        fs::write(&temporary, "a segment without its name").unwrap();
        (File::create(lock).unwrap(), temporary)
    };
    let (_, dead) = creator("00000000deadbeef");
    let (lock, alive) = creator("000000000000beef");
    let mut byte = libc::flock { l_start: 1, l_len: 1, l_pid: 0, l_type: 0, l_whence: 0 };
    byte.l_type = libc::F_WRLCK as libc::c_short;
    fcntl(&lock, FcntlArg::F_OFD_SETLK(&byte)).unwrap();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    assert!(!dead.exists() && alive.exists());
    client.close();
    assert!(alive.exists());
    drop(lock);
    remove(&place(&directory), false).unwrap();
    assert_eq!(files(&directory), 0);
}

#[test]
fn h13_two_layout_versions_never_meet() {
    let directory = directory();
    let other = directory.path().join("tendmap-a7000001-v9-g1");
    fs::write(&other, b"of another layout").unwrap();
    let error = attach_error(&place(&directory));
    assert!(matches!(error, SegmentError::OtherVersion { found: 9, wanted: 3, .. }), "{error}");
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    client.close();
    assert_eq!(fs::read(&other).unwrap(), b"of another layout", "a file of another layout is kept");
    let listed = list(directory.path()).unwrap();
    assert_eq!(listed[0].state, SegmentState::OtherVersion);
}

/// A thread that looks for segments finds one at the moment at which another thread
/// links it: both hold the same attachment and the same locks.
#[test]
fn h47_who_attaches_while_a_segment_is_made_here_opens_no_second_lock_file() {
    use tendmap::internals::segment::{Candidate, OwnerState};

    let directory = directory();
    let place = place(&directory);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut kept = None;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                kept = tendmap::internals::segment::live(&place).ok().flatten().or(kept);
            }
        });
        for round in 0..500 {
            let owner = owner(&place, 1, None);
            let found = tendmap::internals::segment::live(&place).unwrap().unwrap();
            let same = std::sync::Arc::ptr_eq(&found, owner.segment());
            let look = Candidate::look(&found).unwrap();
            let good = same && look == OwnerState::Alive;
            if !good {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(good, "round {round}: same attachment: {same}; {look:?}");
            drop((owner, found));
            remove(&place, true).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A wake-up that comes before the sleep is not lost. Without a wake-up the sleep
/// lasts for the timeout.
#[test]
fn h46_a_wait_that_nobody_ends_ends_by_itself() {
    use std::time::{Duration, Instant};
    use tendmap::internals::protocol::{Head, raise_event};
    use tendmap::internals::segment::{WakeMask, private, wait, wake};

    let owner = private(Capacity::DEFAULT, 0).unwrap();
    let segment = owner.segment();
    let word = segment.mapping().event();
    let seen = word.load(std::sync::atomic::Ordering::Relaxed);
    let begun = Instant::now();
    wait(word, seen, WakeMask::random(), Duration::from_millis(30));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Raised and woken between the check and the sleep: the thread does not sleep.
    raise_event(word, Head::from_bits(segment.head().bits()));
    wake(word, None);
    let begun = Instant::now();
    wait(word, seen, WakeMask::random(), Duration::from_secs(60));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn two_that_remove_at_once_do_not_stumble_over_each_other() {
    let directory = directory();
    let place = place(&directory);
    for _ in 0..20 {
        (1..=20).for_each(|number| fs::write(place.segment(number), b"planted").unwrap());
        let remove = || match remove(&place, true) {
            Ok(_) | Err(SegmentError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        };
        std::thread::scope(|scope| {
            scope.spawn(remove);
            scope.spawn(remove);
        });
        assert_eq!(files(&directory), 0);
    }
}

#[test]
fn a_renamed_segment_is_refused() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    fs::rename(place.segment(1), place.segment(2)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::OtherGeneration { found: 1, wanted: 2, .. }), "{error}");
}

#[test]
fn h31_residue_is_listed_reused_and_removed() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let listed = list(directory.path()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Orphaned, Some(0)));
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    assert_eq!(client.status().unwrap().term, 2, "it was taken over, not created again");
    let listed = list(directory.path()).unwrap();
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Owned, Some(1)));
    assert!(matches!(remove(&place, false), Err(SegmentError::InUse { attached: 1, .. })));
    client.close();
    assert_eq!(files(&directory), 0);
}

#[test]
fn h14_two_clusters_under_one_key_are_refused_with_both_names() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.change(|map| map.cluster_name = Some("blue".parse().unwrap()));
    let _client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let mut other = config(&directory);
    other.cluster_name = Some("green".into());
    let error = Client::connect_with(other, cluster.source()).unwrap_err().to_string();
    assert!(error.contains("\"blue\"") && error.contains("\"green\""), "{error}");
}

#[test]
fn capacities_out_of_range_are_refused_before_anything_is_made() {
    let directory = directory();
    for (nodes, namespaces) in [(0, 8), (4097, 8), (16, 0), (16, 4097)] {
        let mut config = config(&directory);
        (config.shm_max_nodes, config.shm_max_namespaces) = (nodes, namespaces);
        let error = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap_err();
        assert!(matches!(error, ConnectError::Config(_)), "{error}");
    }
    assert_eq!(files(&directory), 0);
}

/// Another thread, or another process, sweeps all the time.
#[test]
fn h96_a_sweep_leaves_the_lock_file_of_a_segment_in_the_making() {
    let directory = directory();
    let place = place(&directory);
    let locks = || {
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".lock")).count()
    };
    let build = |sweep: &mut dyn FnMut()| {
        for round in 0..300 {
            let prepared = SegmentBuilder::build(&place, 1, Capacity::DEFAULT, None).unwrap();
            sweep();
            assert_eq!(locks(), 1, "round {round}");
            drop(prepared);
            assert_eq!(locks(), 0, "round {round}");
        }
    };
    let done = AtomicBool::new(false);
    let sweep = || {
        // The sweep never finds a file to remove.
        while !done.load(Ordering::Relaxed) {
            assert!(matches!(remove(&place, false), Err(SegmentError::NotFound { .. })));
        }
    };
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(sweep);
        build(&mut || {});
        done.store(true, Ordering::Relaxed);
        sweeper.join().unwrap();
    });
}

/// A process that removes every name as soon as it sees it, beside a creator.
#[test]
fn h168_a_creator_whose_segment_is_removed_at_once_was_too_slow_and_tries_again() {
    let directory = directory();
    let (place, done) = (place(&directory), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                for generation in 1..=2 {
                    removed += usize::from(fs::remove_file(place.segment(generation)).is_ok());
                }
            }
            removed
        });
        let mut made = Ok(0);
        for _ in 0..3000 {
            // An ownership of a file without a name is one, too: its first turn
            // finds that the name is gone.
            match create(&place, 1, Capacity::DEFAULT, None) {
                Ok(CreateOutcome::Owner(_)) => made = made.map(|made| made + 1),
                Ok(CreateOutcome::Exists) => {}
                Err(error) => {
                    made = Err(error);
                    break;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        let removed = remover.join().unwrap();
        assert!(removed > 0, "nothing was removed in time");
        assert!(made.unwrap() > 0, "no segment was made");
    });
}
