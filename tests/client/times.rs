//! The histograms of passes and publications.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use tendmap::client::{Client, Histogram, Reader, Status};
use tendmap::internals::segment::{
    Candidate, CreateOutcome, Ownership, TakeoverOutcome, Timed, create,
};
use tendmap::map::Capacity;
use tendmap::segment::Place;
use tendmap_testkit::{Cluster, config, directory, wait_until};

/// The byte at which the histograms begin, and the length of one.
const TIMES: u64 = 640;
const BYTES: u64 = 128;

fn counts(status: &Status) -> [u64; 2] {
    [&status.pass_times, &status.publication_times].map(|times| times.as_ref().unwrap().count())
}

#[test]
fn every_pass_and_publication_is_counted() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let reader = Reader::attach(&config(&directory).place()).unwrap();
    wait_until("passes", || reader.status().unwrap().tends > 3);
    client.close();
    // Nothing changes them any more.
    let status = reader.status().unwrap();
    let passes = status.pass_times.clone().unwrap();
    assert_eq!(passes.count(), status.tends + status.tend_errors, "{status:?}");
    assert_eq!(passes.bounds.len() + 1, passes.buckets.len());
    assert!(counts(&status)[1] > 0);
    assert_eq!(counts(&status)[1], status.publications);
    let json = status.to_json_value();
    assert_eq!(json["pass_times"]["count"], passes.count());
    assert_eq!(json["pass_times"]["buckets"][0]["up_to_us"], 1000);
    assert_eq!(json["publication_times"]["buckets"][13]["up_to_us"], serde_json::Value::Null);
}

#[test]
fn a_new_owner_continues_the_histograms() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(0xA700_0001) };
    let CreateOutcome::Owner(owner) = create(&place, 1, Capacity::DEFAULT, None).unwrap() else {
        panic!("it was there");
    };
    let reader = Reader::attach(&place).unwrap();
    let count = |owner: &Ownership| {
        owner.count_time(Timed::Pass, Duration::from_millis(3));
        owner.count_time(Timed::Publication, Duration::from_micros(30));
    };
    count(&owner);
    let segment = owner.segment().clone();
    owner.release();
    let mut candidate = Candidate::default();
    let next = loop {
        if let TakeoverOutcome::Won(next) = candidate.enter(&segment, false).unwrap() {
            break next;
        }
    };
    count(&next);
    let status = reader.status().unwrap();
    assert_eq!((status.term > 1, status.takeovers, counts(&status)), (true, 1, [2, 2]));
    assert_eq!(status.pass_times.unwrap().sum, Duration::from_millis(6));
    assert_eq!(status.publication_times.unwrap().sum, Duration::from_micros(60));
}

#[test]
fn a_time_is_added_to_its_bucket_and_to_the_sum() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(0xA700_0001) };
    let CreateOutcome::Owner(owner) = create(&place, 1, Capacity::DEFAULT, None).unwrap() else {
        panic!("it was there");
    };
    for ms in [1, 2, 300, 60_000] {
        owner.count_time(Timed::Pass, Duration::from_millis(ms));
    }
    owner.count_time(Timed::Publication, Duration::from_nanos(9_990));
    let status = Status::look(&place).unwrap();
    let (passes, publications) = (status.pass_times.unwrap(), status.publication_times.unwrap());
    assert_eq!(passes.buckets, [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    assert_eq!(passes.sum, Duration::from_millis(60_303));
    assert_eq!((publications.buckets[0], publications.count()), (1, 1));
    assert_eq!(publications.sum, Duration::from_nanos(9_990));
}

/// Any words are possible there: the numbers may be wrong, but they can be shown.
#[test]
fn h140_a_histogram_of_any_words_can_be_read() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(0xA700_0001) };
    let CreateOutcome::Owner(owner) = create(&place, 1, Capacity::DEFAULT, None).unwrap() else {
        panic!("it was there");
    };
    let path = owner.segment().path().unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let fill = |word: u64| {
        for at in (TIMES..TIMES + 2 * BYTES).step_by(8) {
            file.write_all_at(&word.to_ne_bytes(), at).unwrap();
        }
        let status = Status::look(&place).unwrap();
        assert!(!status.to_json().is_empty());
        [status.pass_times, status.publication_times]
    };
    let most = (1 << 48) - 1;
    let [passes, publications] = fill(1 << 48 | most).map(Option::unwrap);
    assert_eq!(passes.count(), 14 * most);
    assert_eq!(passes.sum, Duration::from_micros(most));
    assert_eq!(publications.sum, Duration::from_nanos(10 * most));
    let cumulative = |times: &Histogram| {
        let mut sum = 0_u64;
        times.buckets.iter().all(|count| {
            sum = sum.checked_add(*count).unwrap();
            sum <= times.count()
        })
    };
    assert!(cumulative(&passes) && cumulative(&publications));
    // Of another term, and never written.
    assert_eq!(fill(2 << 48 | 5), [None, None]);
    assert_eq!(fill(0), [None, None]);
    let mut random = fastrand::Rng::with_seed(140);
    for _ in 0..20 {
        for times in fill(random.u64(..)).into_iter().flatten() {
            assert!(cumulative(&times));
        }
    }
    drop(owner);
}

/// An owner restores the tags of its histograms.
#[test]
fn h140_a_histogram_whose_tags_are_lost_is_counted_on() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let path = client.segment().path().unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    for at in (TIMES..TIMES + 2 * BYTES).step_by(8) {
        file.write_all_at(&[0; 8], at).unwrap();
    }
    wait_until("histograms again", || {
        let status = client.status().unwrap();
        status.pass_times.is_some_and(|times| times.count() > 0)
            && status.publication_times.is_some()
    });
    client.close();
}
