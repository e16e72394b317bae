//! Processes that create, attach and list beside one that removes what they are about to
//! open. Each call succeeds or says that there is no segment.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Reader};
use tendmap::internals::layout::{shm_find, shm_remove};
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::{Backend, Place, SegmentError, list, remove};
use tendmap_testkit::{Cluster, directory};

/// How often each call is made.
const CALLS: usize = 60;
/// How long calls are repeated until they have met the process that removes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place for segments of this test alone; `None` if this system has none of that kind.
fn place(directory: &tempfile::TempDir, backend: Backend, number: u32) -> Option<Place> {
    let key = 0xBE5F_0000 + (number << 12) + std::process::id() % 0x1000;
    if backend == Backend::SystemV {
        if let Err(error) = shm_find(key) {
            tendmap_testkit::skipped(&format!("no System V shared memory here: {error}"));
            return None;
        }
    }
    Some(Place { directory: directory.path().into(), backend, ..Place::of_key(key) })
}

/// Removes files of these kinds; returns how many.
fn remove_files(directory: &Path, ends: &[&str]) -> usize {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let chosen = |path: &std::path::PathBuf| {
        let name = path.to_str().unwrap();
        ends.iter().any(|end| name.ends_with(end))
    };
    names.filter(chosen).filter(|path| fs::remove_file(path).is_ok()).count()
}

/// Runs `calls` until all have returned, beside a thread that calls `spoil`, which returns how
/// much it has removed. Again, until there was something to remove.
fn beside(spoil: impl Fn() -> usize + Sync, calls: &[&(dyn Fn() + Sync)]) {
    let (done, removed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let spoiler = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Without a pause, nothing that takes two system calls is ever complete.
                for _ in 0..fastrand::u32(1..100) {
                    removed.fetch_add(spoil(), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_micros(fastrand::u64(1..300)));
            }
        });
        let begun = Instant::now();
        let ended = loop {
            let calls: Vec<_> = calls.iter().map(|call| scope.spawn(call)).collect();
            let ended: Vec<_> = calls.into_iter().map(|call| call.join()).collect();
            let removed = removed.load(Ordering::Relaxed) > 0;
            if removed || ended.iter().any(|call| call.is_err()) || begun.elapsed() > PATIENCE {
                break ended;
            }
        };
        done.store(true, Ordering::Relaxed);
        spoiler.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    assert!(removed.into_inner() > 0, "nothing was removed in time");
}

/// Creates segments, until at least one was made.
fn makes(place: &Place) {
    let begun = Instant::now();
    let (mut calls, mut made) = (0, 0);
    while calls < CALLS || (made == 0 && begun.elapsed() < PATIENCE) {
        calls += 1;
        match create(place, 1, Capacity::DEFAULT, None).unwrap() {
            CreateOutcome::Owner(mut ownership) => {
                made += 1;
                let mut map = ClusterMap::new(Capacity::DEFAULT);
                map.nodes.insert(tendmap_testkit::node(1)).unwrap();
                ownership.publish(&map).unwrap();
            }
            CreateOutcome::Exists => {}
        }
    }
    assert!(made > 0, "no segment was made");
}

fn attaches(place: &Place) {
    attaches_unless(place, |_| false);
}

fn attaches_unless(place: &Place, fails: impl Fn(&SegmentError) -> bool) {
    for _ in 0..CALLS {
        match Reader::attach(place) {
            Ok(reader) => drop(reader.status()),
            Err(SegmentError::NotFound { .. }) => {}
            Err(error) if fails(&error) => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
}

fn lists(place: &Place) {
    for _ in 0..CALLS {
        for found in list(&place.directory).unwrap() {
            assert_ne!(found.state.as_str(), "damaged", "{found:?}");
        }
    }
}

/// Connects repeatedly; `begins` is called before.
fn connects(place: &Place, begins: impl Fn()) {
    for _ in 0..CALLS / 4 {
        let mut config = Config::shared(vec!["127.0.0.1:3000".parse().unwrap()], place.key);
        config.shm_backend = place.backend;
        config.shm_directory = place.directory.clone();
        config.tend_interval = Duration::from_millis(50);
        begins();
        Client::connect_with(config, Cluster::new(2, 1).source()).unwrap().close();
    }
}

#[test]
fn h204_attach_and_list_beside_a_process_that_removes_the_files() {
    let directory = directory();
    let Some(place) = &place(&directory, Backend::File, 0) else { return };
    beside(
        || remove_files(&place.directory, &["-g1", ".lock"]),
        &[&|| makes(place), &|| attaches(place), &|| lists(place)],
    );
}

#[test]
fn h205_create_attach_and_list_beside_a_process_that_removes_the_key() {
    let directory = directory();
    let Some(place) = &place(&directory, Backend::SystemV, 1) else { return };
    beside(
        || {
            let found = shm_find(place.key).unwrap();
            found.map_or(0, |id| usize::from(shm_remove(id).is_ok()))
        },
        &[&|| makes(place), &|| attaches(place), &|| lists(place)],
    );
    let _ = remove(place, true);
}

#[test]
fn h206_connect_beside_a_process_that_removes_lock_files() {
    for (number, backend) in (2..).zip(Backend::ALL) {
        let directory = directory();
        let Some(place) = &place(&directory, backend, number) else { continue };
        // Without the lock of its creator, a segment that is being made looks like one
        // whose creator has died.
        let half_made = |error: &SegmentError| matches!(error, SegmentError::HalfMade { .. });
        beside(
            || remove_files(&place.directory, &[".lock", ".marks"]),
            &[&|| connects(place, || {}), &|| attaches_unless(place, half_made), &|| lists(place)],
        );
        let _ = remove(place, true);
    }
}

#[test]
fn h204_connect_beside_a_process_that_removes_the_segment() {
    for (number, backend) in (4..).zip(Backend::ALL) {
        let directory = directory();
        let Some(place) = &place(&directory, backend, number) else { continue };
        // Segments that are removed for ever are also never published in.
        let left = AtomicUsize::new(0);
        beside(
            || {
                if left.load(Ordering::Relaxed) == 0 {
                    return 0;
                }
                let removed = match shm_find(place.key) {
                    Ok(Some(id)) => usize::from(shm_remove(id).is_ok()),
                    _ => remove_files(&place.directory, &["-g1", "-g2", "-g3"]),
                };
                left.fetch_sub(removed.min(left.load(Ordering::Relaxed)), Ordering::Relaxed);
                removed
            },
            &[&|| connects(place, || left.store(5, Ordering::Relaxed)), &|| attaches(place)],
        );
        let _ = remove(place, true);
    }
}

#[test]
fn h206_the_last_process_of_a_removed_segment_leaves_no_lock_file() {
    let directory = directory();
    let config = tendmap_testkit::config(&directory);
    let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
    assert_eq!(remove_files(directory.path(), &["-g1"]), 1);
    client.close();
    assert_eq!(tendmap_testkit::files(&directory), 0);
}
