//! Properties of System V segments only: a key that belongs to the whole host, visible
//! creators in progress, limits of the kernel.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use tendmap::client::{Client, ConnectError, Reader};
use tendmap::internals::layout::{
    Geometry, Shm, WriteMapping, shm_create, shm_find, shm_permit, shm_remove, shm_stat,
};
use tendmap::internals::segment::{
    Candidate, Carryover, CreateOutcome, Segment, SegmentBuilder, TakeoverOutcome, create, live,
};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::{Backend, Place, SegmentError, SegmentState, list, remove};

use crate::conformance::{Host, Mode, Test, unavailable};
use crate::worker::Worker;
use tendmap_testkit::{Cluster, directory, files, wait_until};

const MODE: Mode = Mode::Shared(Backend::SystemV);

pub fn trials() -> Vec<Trial> {
    let tests: [Test; 15] = [
        ("h11_a_half_made_segment_of_a_dead_creator_is_replaced", half_made),
        ("h11_a_stopped_creator_stops_nobody_and_makes_no_second_segment", stopped_creator),
        ("another_programs_segment_is_refused_and_left_alone", foreign),
        ("h30_the_kernels_limits_are_named", limits),
        ("h30_a_segment_that_the_limits_keep_from_growing_stays", limits_to_growth),
        ("processes_of_other_directories_are_refused", other_directory),
        ("the_key_zero_is_refused", no_key),
        ("a_mapping_of_whatever_origin_keeps_no_segment_alive", stray_mappings),
        ("h83_a_maker_killed_between_two_segments_takes_the_map_from_no_newcomer", killed_maker),
        ("h83_a_half_made_successor_takes_the_map_from_no_newcomer", half_made_successor),
        ("h83_a_late_maker_removes_no_newer_segment", late_maker),
        ("h83_an_older_segment_is_found_while_somebody_is_attached_to_it", older_in_use),
        ("h83_a_segment_without_a_key_is_listed_and_removed", keyless),
        ("h123_what_a_stranger_has_made_is_refused_whosever_it_is", made_by_a_stranger),
        ("h123_what_a_stranger_has_made_is_no_predecessor", keyless_of_a_stranger),
    ];
    let run = |test: fn(&Host)| -> Result<(), Failed> {
        match unavailable(MODE) {
            Some(why) => tendmap_testkit::skipped(&why),
            None => test(&Host::new(MODE)),
        }
        Ok(())
    };
    let trial = |(name, test)| Trial::test(format!("sysv_{name}"), move || run(test));
    tests.into_iter().map(trial).collect()
}

fn whole() -> usize {
    Geometry::new(Capacity::DEFAULT).unwrap().total_bytes()
}

fn connect_error(host: &Host) -> SegmentError {
    match Client::connect_with(host.config(), Cluster::new(2, 1).source()).unwrap_err() {
        ConnectError::Segment(error) => error,
        error => panic!("{error}"),
    }
}

/// Creates a half-created segment from the words of a whole one.
fn half(host: &Host, words: usize) -> i32 {
    host.orphan();
    let id = shm_find(host.setup.key).unwrap().unwrap();
    let geometry = Geometry::new(Capacity::DEFAULT).unwrap();
    let from = WriteMapping::of_shm(Shm::attach(id, true).unwrap(), geometry).unwrap();
    remove(&host.place(), true).unwrap();
    let id = shm_create(host.setup.key, whole(), 0o600).unwrap();
    let to = WriteMapping::of_shm(Shm::attach(id, true).unwrap(), geometry).unwrap();
    // Everything except the magic.
    for (to, from) in to.words().iter().zip(from.words()).take(words).skip(1) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    id
}

/// The creator died at any point: its lock file may exist or not.
fn half_made(host: &Host) {
    for words in [0, 2, 3, 17, 32, 33, whole() / 8] {
        let id = half(host, words);
        let lock = format!("tendmap-{:08x}-v3-sysv.lock", host.setup.key);
        std::fs::write(host.directory.path().join(&lock), []).unwrap();
        let error = Reader::attach(&host.place()).unwrap_err();
        assert!(matches!(error, SegmentError::HalfMade { .. }), "{error}");
        let listed = list(host.directory.path()).unwrap();
        assert_eq!((listed[0].state, listed[0].attached), (SegmentState::HalfMade, Some(0)));
        if words == 3 {
            // No process works on it, so it can be removed without force.
            remove(&host.place(), false).unwrap();
            host.assert_clean();
            continue;
        }
        let client = host.client(&Cluster::new(2, 1));
        assert_ne!(client.status().unwrap().shm_id, Some(id));
        client.close();
        host.assert_clean();
    }
}

fn stopped_creator(host: &Host) {
    // Stopped as soon as the half-created segment is visible: with the byte, and
    // mapped.
    let creator = Worker::start("half", &host.setup);
    creator.expect("half");
    creator.signal(Signal::SIGSTOP);
    let id = shm_find(host.setup.key).unwrap().unwrap();
    let listed = list(host.directory.path()).unwrap();
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::HalfMade, Some(1)));
    // It is not there yet, for those who look meanwhile.
    let error = Reader::attach(&host.place()).unwrap_err();
    assert!(matches!(error, SegmentError::NotFound { .. }), "{error}");
    let error = remove(&host.place(), false).unwrap_err();
    assert!(matches!(error, SegmentError::InUse { attached: 1, .. }), "{error}");
    let begun = Instant::now();
    let client = host.client(&Cluster::new(2, 1));
    assert!(begun.elapsed() >= Duration::from_millis(500), "it was given time");
    assert_ne!(client.status().unwrap().shm_id, Some(id));
    creator.signal(Signal::SIGCONT);
    drop(creator);
    client.close();
    let _ = remove(&host.place(), true);
    host.assert_clean();
}

fn foreign(host: &Host) {
    let id = shm_create(host.setup.key, 10_000, 0o600).unwrap();
    for error in [
        connect_error(host),
        Reader::attach(&host.place()).unwrap_err(),
        remove(&host.place(), true).unwrap_err(),
    ] {
        assert!(matches!(error, SegmentError::Foreign { bytes: 10_000, .. }), "{error}");
        assert!(error.to_string().contains("choose another shm_key"), "{error}");
    }
    // Of a segment's size, but with a counter in front.
    shm_remove(id).unwrap();
    let id = shm_create(host.setup.key, whole(), 0o600).unwrap();
    let geometry = Geometry::new(Capacity::DEFAULT).unwrap();
    let theirs = WriteMapping::of_shm(Shm::attach(id, true).unwrap(), geometry).unwrap();
    theirs.words()[0].store(1, Ordering::Relaxed);
    let error = connect_error(host);
    assert!(matches!(error, SegmentError::Foreign { .. }), "{error}");
    // All zero, like a new segment, but mapped by another program.
    theirs.words()[0].store(0, Ordering::Relaxed);
    let error = connect_error(host);
    assert!(matches!(error, SegmentError::HalfMade { .. }), "{error}");
    assert_eq!(list(host.directory.path()).unwrap().len(), 0, "it is not listed as one of ours");
    assert_eq!(shm_find(host.setup.key).unwrap(), Some(id), "it is left alone");
}

fn limits(host: &Host) {
    for (limit, value) in [("shmmax", 100_000), ("shmmni", 0), ("shmall", 20)] {
        let Some(told) = Worker::with_limit(&host.setup, "client", limit, value) else {
            tendmap_testkit::skipped("no IPC namespaces here");
            return;
        };
        let text = told["text"].as_str().unwrap_or_else(|| panic!("{limit}: {told}"));
        assert!(text.contains(&format!("kernel.{limit} is {value}")), "{text}");
        assert!(text.contains(&format!("{} bytes", whole())), "{text}");
    }
    host.assert_clean();
}

/// A segment that can't be replaced by a larger one stays in use.
fn limits_to_growth(host: &Host) {
    let mut setup = host.setup.clone();
    setup.max_nodes = 2;
    let Some(told) = Worker::with_limit(&setup, "outgrow", "shmmni", 1) else {
        tendmap_testkit::skipped("no IPC namespaces here");
        return;
    };
    assert_eq!((&told["generation"], &told["retired"]), (&1.into(), &false.into()), "{told}");
    assert!(told["text"].as_str().unwrap().contains("kernel.shmmni"), "{told}");
    assert_eq!((&told["nodes"], &told["published"]), (&2.into(), &true.into()), "{told}");
}

fn other_directory(host: &Host) {
    let worker = host.worker();
    let elsewhere = directory();
    let place = Place { directory: elsewhere.path().into(), ..host.place() };
    let mut config = host.config();
    config.shm_directory = elsewhere.path().into();
    let error = match Client::connect_with(config, Cluster::new(2, 1).source()).unwrap_err() {
        ConnectError::Segment(error) => error,
        error => panic!("{error}"),
    };
    for error in [error, Reader::attach(&place).unwrap_err(), remove(&place, true).unwrap_err()] {
        assert!(matches!(error, SegmentError::OtherDirectory { .. }), "{error}");
        assert!(error.to_string().contains(elsewhere.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(list(elsewhere.path()).unwrap().len(), 0);
    assert_eq!(host.reader().status().unwrap().term, 1, "no worker took over");
    worker.close();
    host.assert_clean();
}

fn no_key(host: &Host) {
    let place = Place { key: 0, ..host.place() };
    let error = create(&place, 1, Capacity::DEFAULT, None).unwrap_err();
    assert!(matches!(error, SegmentError::NoKey), "{error}");
    let error = Reader::attach(&place).unwrap_err();
    assert!(matches!(error, SegmentError::NotFound { .. }), "{error}");
    host.assert_clean();
}

/// Mappings of another program, or of a child that was forked while this process read
/// the segment. The kernel counts them. The last client to close does not, and removes
/// the segment. A process that has it mapped keeps its memory.
fn stray_mappings(host: &Host) {
    let client = host.client(&Cluster::new(2, 1));
    let id = client.status().unwrap().shm_id.unwrap();
    let listed = || list(host.directory.path()).unwrap().remove(0);
    // Any process of the host that lists segments has it mapped for a moment.
    let mapped = |count| {
        wait_until("the mappings", || listed().mappings == Some(count));
        assert_eq!(listed().attached, Some(1));
    };
    // An owner has two.
    mapped(2);
    let theirs = Shm::attach(id, false).unwrap();
    mapped(3);
    assert!(matches!(remove(&host.place(), false), Err(SegmentError::InUse { attached: 1, .. })));
    client.close();
    host.assert_clean();
    // Its memory is freed with the last mapping.
    assert!(shm_stat(id).unwrap().mappings >= 1);
    drop(theirs);
    wait_until("its end", || shm_stat(id).is_err());
}

/// A stopped follower is attached, several publications exist, and the creator of the
/// successor dies right after it has taken the key from the old segment. Returns the
/// follower and the last sequence.
fn without_key(host: &Host) -> (Worker, u64) {
    let cluster = Cluster::new(2, 1);
    let owner = host.client(&cluster);
    let follower = host.worker();
    for partition in 0..5 {
        let before = owner.map().unwrap().sequence;
        cluster.change(|map| {
            map.namespaces_mut()[0].partitions.set_holder(partition, 0, None);
        });
        owner.wait_for_change(before, Duration::from_secs(30));
    }
    follower.signal(Signal::SIGSTOP);
    owner.close();
    let segment = Segment::attach(&host.place(), 1).unwrap();
    let sequence = segment.head().sequence();
    assert!(sequence > 5, "{sequence}");
    let mut candidate = Candidate::default();
    let mut enter = || match candidate.enter(&segment, true).unwrap() {
        TakeoverOutcome::Won(ownership) => Some(ownership),
        _ => None,
    };
    let mut ownership = enter();
    wait_until("the ownership", || {
        ownership = ownership.take().or_else(&mut enter);
        ownership.is_some()
    });
    let mut ownership = ownership.unwrap();
    ownership.retire().unwrap();
    // Releases the locks, as the kernel does for a process that dies.
    ownership.fenced();
    shm_remove(segment.location().unwrap().shm_id().unwrap()).unwrap();
    (follower, sequence)
}

/// Checks that a new process continues from the follower's map, and the follower, too.
fn goes_on(host: &Host, mut follower: Worker, sequence: u64) {
    let newcomer = host.client(&Cluster::new(3, 1));
    let status = newcomer.status().unwrap();
    assert!(status.sequence > sequence, "{} after {sequence}", status.sequence);
    assert_eq!(status.generation, 2);
    follower.signal(Signal::SIGCONT);
    assert_eq!(follower.expect("moved")["generation"], 2);
    assert!(follower.ask("route", "routed")["sequence"].as_u64().unwrap() > sequence);
    let listed = || list(host.directory.path()).unwrap().len();
    wait_until("the old one is swept", || listed() == 1 && files(&host.directory) == 2);
    follower.close();
    newcomer.close();
    host.assert_clean();
}

fn killed_maker(host: &Host) {
    let (follower, sequence) = without_key(host);
    let reader = host.reader();
    assert_eq!(reader.map().unwrap().sequence, sequence, "a process that only reads finds it, too");
    drop(reader);
    goes_on(host, follower, sequence);
}

/// The creator died a little later: the key leads to a segment without content.
fn half_made_successor(host: &Host) {
    let (follower, sequence) = without_key(host);
    shm_create(host.setup.key, whole(), 0o600).unwrap();
    goes_on(host, follower, sequence);
}

fn late_maker(host: &Host) {
    let map = ClusterMap::new(Capacity::DEFAULT);
    let build = |generation, sequence| {
        let inherited = Carryover { sequence, table_generation: sequence, map: &map };
        SegmentBuilder::build(&host.place(), generation, Capacity::DEFAULT, Some(inherited))
            .unwrap()
    };
    let nothing = SegmentBuilder::build(&host.place(), 1, Capacity::DEFAULT, None).unwrap();
    let (late, equal) = (build(2, 2), build(3, 3));
    let CreateOutcome::Owner(mut ownership) = build(3, 9).link().unwrap() else {
        panic!("the key is free")
    };
    let newest = ownership.segment().clone();
    ownership.retire().unwrap();
    ownership.fenced();
    // While the newest segment still has the key.
    assert!(matches!(late.link().unwrap(), CreateOutcome::Exists));
    let id = newest.location().unwrap().shm_id();
    assert_eq!(shm_find(host.setup.key).unwrap(), id, "it was left alone");
    // After the newest segment has lost the key.
    shm_remove(id.unwrap()).unwrap();
    for prepared in [build(2, 2), equal, nothing] {
        assert!(matches!(prepared.link().unwrap(), CreateOutcome::Exists));
        assert_eq!(shm_find(host.setup.key).unwrap(), None);
    }
    assert_eq!(Segment::attach(&host.place(), 3).unwrap().head().sequence(), 9);
    assert!(matches!(build(4, 10).link().unwrap(), CreateOutcome::Owner(_)));
    drop(newest);
    remove(&host.place(), true).unwrap();
    host.assert_clean();
}

fn keyless(host: &Host) {
    let (follower, _) = without_key(host);
    let listed = list(host.directory.path()).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Retired, Some(1)));
    assert_eq!((listed[0].key, listed[0].generation), (host.setup.key, 1));
    let error = remove(&host.place(), false).unwrap_err();
    assert!(matches!(error, SegmentError::InUse { attached: 1, .. }), "{error}");
    remove(&host.place(), true).unwrap();
    assert!(list(host.directory.path()).unwrap().is_empty());
    // After a removal a new process starts at the first publication.
    let newcomer = host.client(&Cluster::new(3, 1));
    assert_eq!(newcomer.status().unwrap().generation, 1);
    follower.signal(Signal::SIGCONT);
    assert_eq!(follower.expect("moved")["generation"], 1);
    follower.close();
    newcomer.close();
    host.assert_clean();
}

/// All processes of the newer segment have ended, and its memory is freed. The older
/// segment, to which a stopped process is attached, has the newest remaining map.
fn older_in_use(host: &Host) {
    let cluster = Cluster::new(2, 1);
    let owner = host.client(&cluster);
    let mut follower = host.worker();
    let before = follower.ask("route", "routed")["sequence"].as_u64().unwrap();
    follower.signal(Signal::SIGSTOP);
    cluster.grow(40);
    wait_until("a larger segment", || owner.segment().identity().generation == 2);
    owner.wait_for_change(owner.map().unwrap().sequence, Duration::from_millis(300));
    let files = || list(host.directory.path()).unwrap();
    assert_eq!(files().len(), 2, "the older one is in use: {:?}", files());
    // As if its creator had died while it replaced this one, too.
    let id = owner.segment().location().unwrap().shm_id().unwrap();
    owner.close();
    let _ = shm_remove(id);
    assert_eq!(files().len(), 1, "{:?}", files());
    let newcomer = host.client(&Cluster::new(3, 1));
    let status = newcomer.status().unwrap();
    assert!(status.sequence > before, "{} after {before}", status.sequence);
    follower.signal(Signal::SIGCONT);
    wait_until("the follower has moved", || {
        follower.ask("route", "routed")["sequence"].as_u64().unwrap() > before
    });
    follower.close();
    newcomer.close();
    host.assert_clean();
}

/// A segment of an untrusted user; `None` if this process can't become another user.
fn of_a_stranger(host: &Host) -> Option<(Worker, i32)> {
    if !rustix::process::geteuid().is_root() {
        tendmap_testkit::skipped("only root can become another user");
        return None;
    }
    open_to_all(host);
    let stranger = Worker::of_user("switch", &host.setup, STRANGER, STRANGER);
    stranger.expect("connected");
    let id = shm_find(host.setup.key).unwrap().unwrap();
    assert_eq!((shm_stat(id).unwrap().uid, shm_stat(id).unwrap().cuid), (STRANGER, STRANGER));
    Some((stranger, id))
}

const STRANGER: u32 = 12_345;

fn open_to_all(host: &Host) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
}

fn made_by_a_stranger(host: &Host) {
    let Some((_stranger, id)) = of_a_stranger(host) else { return };
    let refused = |owner, owners: &[u32]| {
        let place = Place { owners: owners.into(), ..host.place() };
        let found = |error: SegmentError| match error {
            SegmentError::Owner { found, .. } => (found, found),
            SegmentError::Maker { owner, creator, .. } => {
                let text = error.to_string();
                assert!(text.contains(&format!("user {owner} and")), "{text}");
                assert!(text.contains(&format!("user {creator},")), "{text}");
                (owner, creator)
            }
            error => panic!("{error}"),
        };
        let wanted = (owner, STRANGER);
        assert_eq!(found(Reader::attach(&place).unwrap_err()), wanted);
        assert_eq!(found(Segment::attach(&place, 1).unwrap_err()), wanted);
        assert_eq!(found(live(&place).unwrap_err()), wanted);
        assert_eq!(found(connect_error(host)), wanted);
    };
    refused(STRANGER, &[]);
    for owner in [0, 4711] {
        shm_permit(id, owner, 0o600).unwrap();
        refused(owner, &[4711]);
    }
    // The user of a segment counts as well as its creator.
    shm_permit(id, 4711, 0o600).unwrap();
    let trusting = |owners: &[u32]| {
        let place = Place { owners: owners.into(), ..host.place() };
        Reader::attach(&place).map(drop)
    };
    assert!(matches!(trusting(&[STRANGER]), Err(SegmentError::Maker { owner: 4711, .. })));
    trusting(&[STRANGER, 4711]).unwrap();
    let listed = list(host.directory.path()).unwrap();
    assert_eq!((listed.len(), listed[0].state), (1, SegmentState::Owned), "it is listed");
    remove(&host.place(), true).unwrap();
}

/// A map of an untrusted user that has lost its key is never used as the last map.
fn keyless_of_a_stranger(host: &Host) {
    let Some((stranger, id)) = of_a_stranger(host) else { return };
    // Stopped, so that it is not replaced.
    stranger.signal(Signal::SIGSTOP);
    shm_permit(id, 0, 0o600).unwrap();
    shm_remove(id).unwrap();
    assert!(matches!(Segment::attach(&host.place(), 1), Err(SegmentError::NotFound { .. })));
    let client = host.client(&Cluster::new(2, 1));
    let segment = client.segment();
    let own = shm_stat(segment.location().unwrap().shm_id().unwrap()).unwrap();
    assert_eq!((segment.identity().generation, own.cuid), (1, 0));
    client.close();
    stranger.kill();
}
