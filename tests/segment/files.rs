//! Segments as files: who may be trusted, what bad files get.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// A segment that nobody owns or is attached to, with its lock file: what a
/// crash leaves.
fn orphan(place: &Place) {
    drop(owner(place, 1, None));
}

/// A map of that many nodes.
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
    // A creator that died before the link leaves a lock file that nobody holds.
    let residue = directory.path().join("tendmap-a7000001-v3-00000000deadbeef.lock");
    File::create(&residue).unwrap();
    assert!(matches!(attach_error(&place), SegmentError::NotFound { .. }));
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    assert!(!residue.exists(), "the next creator sweeps");
    assert_eq!(files(&directory), 2, "a segment and its lock file");
    client.close();
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
    assert_eq!(fs::read(&other).unwrap(), b"of another layout", "left alone");
    let listed = list(directory.path()).unwrap();
    assert_eq!(listed[0].state, SegmentState::OtherVersion);
}

#[test]
fn h29_a_new_segment_is_its_owners_alone() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
    }
    drop(client);
    let mut shared = config(&directory);
    shared.shm_mode = 0o640;
    let client = Client::connect_with(shared, Cluster::new(2, 1).source()).unwrap();
    let path = client.status().unwrap().path.unwrap();
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640, "whatever the umask");
}

#[test]
fn h29_a_world_writable_file_is_refused() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    fs::set_permissions(place.segment(1), Permissions::from_mode(0o666)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Mode { found: 0o666, .. }), "{error}");
    let error = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::Segment(SegmentError::Mode { .. })), "{error}");
}

#[test]
fn h128_a_file_that_its_group_may_write_is_refused_unless_allowed() {
    for mode in [0o660, 0o620, 0o664, 0o670] {
        let directory = directory();
        let place = place(&directory);
        orphan(&place);
        fs::set_permissions(place.segment(1), Permissions::from_mode(mode)).unwrap();
        let error = attach_error(&place);
        assert!(
            matches!(&error, SegmentError::GroupWrite { found, .. } if *found == mode),
            "{error}"
        );
        for wanted in ["SIGBUS", "0640", "shm_backend sysv", "shm_allow_group_write"] {
            assert!(error.to_string().contains(wanted), "{error} does not say {wanted}");
        }
        let refused = Client::connect_with(config(&directory), Cluster::new(2, 1).source());
        let error = refused.unwrap_err();
        assert!(matches!(error, ConnectError::Segment(SegmentError::GroupWrite { .. })), "{error}");
        Reader::attach(&Place { allow_group_write: true, ..place }).unwrap();
        let mut allowed = config(&directory);
        allowed.shm_allow_group_write = true;
        Client::connect_with(allowed, Cluster::new(2, 1).source()).unwrap();
    }
}

/// An access control list that lets another user write shows in the group's bits, which
/// are its mask.
#[test]
fn h128_an_access_control_list_that_lets_others_write_counts_as_group_write() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let none = u32::MAX;
    // Owner rw, user 12345 rw, group and others nothing, mask rw.
    let entries =
        [(1_u16, 6_u16, none), (2, 6, 12_345), (4, 0, none), (16, 6, none), (32, 0, none)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()));
        list.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(place.segment(1), name, &list, flags) {
        tendmap_testkit::skipped(&format!("no access control lists here: {error}"));
        return;
    }
    assert!(matches!(attach_error(&place), SegmentError::GroupWrite { found: 0o660, .. }));
    Reader::attach(&Place { allow_group_write: true, ..place }).unwrap();
}

#[test]
fn h128_no_file_that_its_group_may_write_is_made_unless_allowed() {
    let directory = directory();
    let place = Place { mode: 0o660, ..place(&directory) };
    let refused = create(&place, 1, Capacity::DEFAULT, None);
    assert!(matches!(refused, Err(SegmentError::GroupWrite { found: 0o660, .. })), "{refused:?}");
    assert_eq!(files(&directory), 0);
    owner(&Place { allow_group_write: true, ..place }, 1, None);
}

#[test]
fn h128_an_owner_replaces_a_file_that_was_opened_to_its_group() {
    let directory = directory();
    for (allowed, generation) in [(true, 1), (false, 2)] {
        let mut config = config(&directory);
        config.shm_allow_group_write = allowed;
        let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
        let path = client.status().unwrap().path.unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        let tends = || client.status().unwrap().tends;
        let before = tends();
        tendmap_testkit::wait_until("three more turns", || tends() > before + 3);
        tendmap_testkit::wait_until("the segment to stay or to be replaced", || {
            client.segment().identity().generation == generation
        });
        client.close();
    }
}

/// A fault would end this process.
#[test]
fn h127_what_the_library_lists_and_looks_at_may_be_cut_short() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let whole = fs::read(place.segment(1)).unwrap();
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for length in [0, 200, 4096, whole.len() as u64 - 4096] {
                    file.set_len(length).unwrap();
                    file.set_len(whole.len() as u64).unwrap();
                    file.write_all_at(&whole[..4096], 0).unwrap();
                }
            }
        });
        let (mut seen, mut failed) = (0, 0);
        for _ in 0..2000 {
            list(directory.path()).unwrap();
            match Reader::look(&place).map(|reader| (reader.map(), reader.status())) {
                Ok(_) => seen += 1,
                Err(_) => failed += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(seen > 0 && failed > 0, "{seen} looks saw it whole, {failed} failed");
    });
}

#[test]
fn h29_a_link_is_refused() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(place.segment(1), &elsewhere).unwrap();
    symlink(&elsewhere, place.segment(1)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a symbolic link", .. }), "{error}");
}

/// Only root can give a file away; for others `check_file` has a test of its
/// own.
#[test]
fn h29_another_users_file_is_refused_unless_configured() {
    let directory = directory();
    let mut place = place(&directory);
    orphan(&place);
    if !rustix::process::geteuid().is_root() {
        tendmap_testkit::skipped(
            "not root: the file stays one's own, only the trusted case is tried",
        );
        Reader::attach(&place).unwrap();
        return;
    }
    std::os::unix::fs::chown(place.segment(1), Some(12_345), None).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Owner { found: 12_345, .. }), "{error}");
    place.owners = vec![11_111, 12_345];
    Reader::attach(&place).unwrap();
}

#[test]
fn h30_directories_and_pipes_at_the_name_are_refused() {
    let directory = directory();
    let place = place(&directory);
    fs::create_dir(place.segment(1)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a directory", .. }), "{error}");
    fs::remove_dir(place.segment(1)).unwrap();
    // A pipe without a writer must not make the opener wait.
    let status = std::process::Command::new("mkfifo").arg(place.segment(1)).status().unwrap();
    assert!(status.success());
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a pipe", .. }), "{error}");
}

#[test]
fn h30_garbage_and_cut_files_are_refused_with_the_reason() {
    let directory = directory();
    let place = place(&directory);
    fs::write(place.segment(1), b"planted").unwrap();
    fs::set_permissions(place.segment(1), Permissions::from_mode(0o600)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { error: HeaderError::Short { found: 7 }, .. }));
    fs::write(place.segment(1), vec![b'x'; 100_000]).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { error: HeaderError::Magic, .. }), "{error}");
    fs::remove_file(place.segment(1)).unwrap();

    orphan(&place);
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 4096).unwrap();
    let error = attach_error(&place);
    let wanted = HeaderError::Length { found: length - 4096, wanted: length };
    assert!(matches!(&error, SegmentError::Header { error, .. } if *error == wanted), "{error}");
}

#[test]
fn h30_a_damaged_header_is_refused_and_rm_takes_force() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    file.write_all_at(&[0xff], 33).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { .. }), "{error}");
    assert_eq!(list(directory.path()).unwrap()[0].state, SegmentState::Damaged);
    assert!(matches!(remove(&place, false), Err(SegmentError::Header { .. })));
    remove(&place, true).unwrap();
    assert_eq!(files(&directory), 0);
}

/// A thread that looks for segments finds one at the very moment at which another
/// gives it its name: both hold the same attachment and the same locks.
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
            assert!(good, "round {round}: the same attachment: {same}; {look:?}");
            drop((owner, found));
            remove(&place, true).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A wake-up that comes before the sleep is not lost, and one that never comes
/// costs the timeout.
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
    // Raised and woken between the look and the sleep: there is no sleep.
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
    assert!(matches!(error, SegmentError::Misnamed { found: 1, wanted: 2, .. }), "{error}");
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
    assert_eq!(client.status().unwrap().term, 2, "taken over, not made again");
    let listed = list(directory.path()).unwrap();
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Owned, Some(1)));
    assert!(matches!(remove(&place, false), Err(SegmentError::InUse { attached: 1, .. })));
    client.close();
    assert_eq!(files(&directory), 0);
}

#[test]
fn a_segment_removed_by_force_is_replaced_and_everybody_moves() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    let before = client.map().unwrap().sequence;
    remove(&place(&directory), true).unwrap();
    tendmap_testkit::wait_until("a successor", || client.segment().identity().generation == 2);
    let route = router.route(namespace, tendmap::route::Partition(0), Default::default()).unwrap();
    assert!(route.sequence() >= before, "the map was inherited");
    client.close();
    assert_eq!(files(&directory), 0);
}

/// A growing owner dies after it has retired its segment and before the
/// successor has its name. A process that comes then begins with the map that was
/// there, and with the next publication.
#[test]
fn h15_who_comes_while_a_segment_is_replaced_goes_on_from_its_map() {
    let directory = directory();
    let place = place(&directory);
    let mut owner = owner(&place, 1, None);
    for nodes in 1..=3 {
        owner.publish(&map(nodes)).unwrap();
    }
    owner.retire().unwrap();
    drop(owner);
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let found = client.map().unwrap();
    assert_eq!(client.segment().identity().generation, 2);
    assert!(found.sequence > 3, "publication {} follows 3", found.sequence);
    assert_eq!(found.map.nodes.len(), 2);
    assert_eq!(files(&directory), 2, "what was replaced is swept");
    client.close();
    assert_eq!(files(&directory), 0);
}

/// Two owners die one after the other, each while it replaces its segment, and
/// a slow follower is still at the first one: it goes on from the second.
#[test]
fn h15_a_late_follower_builds_from_the_newest_map_not_from_its_own() {
    let directory = directory();
    let place = place(&directory);
    let mut first = owner(&place, 1, None);
    first.publish(&map(1)).unwrap();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let newer = map(3);
    let inherited = Carryover { sequence: 9, table_generation: 1, map: &newer };
    let mut second = owner(&place, 2, Some(inherited));
    second.retire().unwrap();
    drop(second);
    first.retire().unwrap();
    drop(first);
    tendmap_testkit::wait_until("a successor", || client.segment().identity().generation == 3);
    let found = client.map().unwrap().sequence;
    assert!(found >= 9, "publication {found} follows 9");
}

/// A segment that was linked too late has a lower number: nobody goes back to
/// it while the one in use is being replaced.
#[test]
fn h45_no_one_goes_back_to_a_lower_number_while_the_newest_is_replaced() {
    let directory = directory();
    let place = place(&directory);
    let mut newest = owner(&place, 3, None);
    newest.publish(&map(3)).unwrap();
    let reader = Reader::attach(&place).unwrap();
    let generation = || reader.segment().identity().generation;
    let mut late = owner(&place, 2, None);
    late.publish(&map(1)).unwrap();
    newest.retire().unwrap();
    for _ in 0..3 {
        // Successors are looked for every 100 ms.
        std::thread::sleep(std::time::Duration::from_millis(110));
        assert_eq!(generation(), 3);
    }
    // Its name is gone, and the next one is being replaced, too.
    let mut next = owner(&place, 4, None);
    next.retire().unwrap();
    fs::remove_file(place.segment(3)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(110));
    assert_eq!(generation(), 3);
    let mut last = owner(&place, 5, None);
    last.publish(&map(3)).unwrap();
    tendmap_testkit::wait_until("the newest", || generation() == 5);
}

/// An owner lives at every moment: each takes over while the one before still
/// holds its byte. However the look falls, it finds one.
#[test]
fn h40_no_look_falls_between_two_owners() {
    use tendmap::internals::segment::{Candidate, OwnerState, TakeoverOutcome};

    let directory = directory();
    let place = place(&directory);
    let mut owner = owner(&place, 1, None);
    owner.publish(&map(1)).unwrap();
    let segment = owner.segment().clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let found = Candidate::look(&segment).unwrap();
                assert_eq!(found, OwnerState::Alive, "look {looks}");
                looks += 1;
            }
            looks
        });
        for _ in 0..20_000 {
            let entered = Candidate::default().enter(&segment, true).unwrap();
            let TakeoverOutcome::Won(next) = entered else { panic!("{entered:?}") };
            std::mem::replace(&mut owner, next).fenced();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(looks.join().unwrap() > 100);
    });
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

/// Two threads of a process follow a growing key; the slower one brings what
/// the faster one has left behind already.
#[test]
fn the_current_segment_never_goes_back_to_one_that_was_retired() {
    use tendmap::internals::segment::Current;

    let directory = directory();
    let place = place(&directory);
    let generation = |current: &Current| current.get().identity().generation;
    let [mut first, mut second, mut third] = [1, 2, 3].map(|number| owner(&place, number, None));
    let current = Current::new(Some(place.clone()), first.segment()).unwrap();
    first.retire().unwrap();
    current.replace(third.segment()).unwrap();
    second.retire().unwrap();
    current.replace(second.segment()).unwrap();
    assert_eq!(generation(&current), 3, "the live one is kept");
    third.retire().unwrap();
    current.replace(second.segment()).unwrap();
    assert_eq!(generation(&current), 3, "a retired one succeeds nobody of a higher number");
    // Everything was removed, and a process began again: whatever its number.
    remove(&place, true).unwrap();
    let anew = owner(&place, 1, None);
    current.replace(anew.segment()).unwrap();
    assert_eq!(generation(&current), 1);
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
        // There is never one to remove.
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

/// A router that has seen a number under a term must not find it again there
/// with other tables.
#[test]
fn h98_an_owner_that_publishes_before_it_asks_for_the_last_map_uses_no_number_again() {
    let directory = directory();
    let place = place(&directory);
    let mut before = map(1);
    tendmap_testkit::add_namespace(&mut before, "test", 1);
    let inherited = Carryover { sequence: 7, table_generation: 0, map: &before };
    let mut ownership = owner(&place, 1, Some(inherited));
    let mut router = Reader::attach(&place).unwrap().router();
    let namespace = router.namespace("test").unwrap();
    let address = |router: &mut tendmap::route::Router| {
        router.route(namespace, Partition(0), Policy::Master).map(|route| route.address()).unwrap()
    };
    assert_eq!(address(&mut router), tendmap_testkit::node(0).address);
    let mut after = ClusterMap::new(Capacity::DEFAULT);
    after.nodes.insert(tendmap_testkit::node(9)).unwrap();
    tendmap_testkit::add_namespace(&mut after, "test", 1);
    ownership.publish(&after).unwrap();
    assert_eq!(address(&mut router), tendmap_testkit::node(9).address);
}
