//! Actions of the host program on descriptors and limits, and their effects on the
//! library.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::libc;
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tendmap::client::{Client, Config, Role};
use tendmap::sim::{Sim, SimConfig};

use super::{Host, Mode, Test};
use crate::worker::Worker;
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, wait_until};

/// All of them change their process.
pub fn tests() -> Vec<Test> {
    vec![
        ("h73_no_descriptor_is_one_of_the_standard_streams", closed_streams),
        ("h74_descriptors_that_the_host_closes_are_made_again", closed),
        ("h74_numbers_that_the_host_uses_again_are_left_to_it", used_again),
        ("h74_a_follower_whose_descriptors_were_closed_takes_over", follower),
        ("h75_a_lack_of_descriptors_is_named_and_leaves_nothing", no_descriptors),
        ("h75_an_owner_without_a_descriptor_to_spare_goes_on", exhausted),
    ]
}

/// A cluster in a separate process, which adds a node for each byte that it receives.
fn with_sim(f: impl FnOnce(Vec<tendmap::wire::Host>, &mut UnixStream)) {
    forked(
        |parent| {
            let sim = Sim::start(SimConfig::fast(2)).unwrap();
            let seeds: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
            let seeds = seeds.join(",");
            parent.write_all(&[seeds.len() as u8]).unwrap();
            parent.write_all(seeds.as_bytes()).unwrap();
            parent.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
            let mut told = [0];
            while parent.read_exact(&mut told).is_ok() && told != *b"q" {
                sim.add().unwrap();
            }
        },
        |child| {
            let mut length = [0];
            child.read_exact(&mut length).unwrap();
            let mut seeds = vec![0; length[0].into()];
            child.read_exact(&mut seeds).unwrap();
            let seeds = String::from_utf8(seeds).unwrap();
            f(seeds.split(',').map(|seed| seed.parse().unwrap()).collect(), child);
            child.write_all(b"q").unwrap();
        },
    );
}

fn config(host: &Host, seeds: Vec<tendmap::wire::Host>) -> Config {
    let mut config = host.config();
    config.hosts = seeds;
    config.connect_timeout = Duration::from_millis(1000);
    config
}

fn open_now() -> BTreeSet<RawFd> {
    let listed = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers: Vec<RawFd> =
        listed.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // Without the descriptor that was used to list them.
    let open = |number: &RawFd| std::fs::metadata(format!("/proc/self/fd/{number}")).is_ok();
    numbers.into_iter().filter(open).collect()
}

fn close(number: RawFd) {
    // SAFETY: the call takes a number, and this test does not use the descriptor.
    unsafe { libc::close(number) };
}

/// Opens a file of the host program under this number.
fn put(number: RawFd) -> File {
    let file = tempfile::tempfile().unwrap();
    // SAFETY: it takes numbers, as above.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
    file
}

fn nodes(client: &Client) -> usize {
    client.map().map_or(0, |map| map.map.nodes.len())
}

fn closed_streams(host: &Host) {
    with_sim(|seeds, sim| {
        // SAFETY: numbers, as above. Errors are reported at the end.
        let kept: Vec<RawFd> =
            (0..3).map(|n| unsafe { libc::fcntl(n, libc::F_DUPFD_CLOEXEC, 200) }).collect();
        (0..3).for_each(close);
        let before = open_now();
        let mut low = BTreeSet::new();
        let client = Client::connect(config(host, seeds));
        let ours: Vec<RawFd> = open_now().difference(&before).copied().collect();
        if let Ok(client) = &client {
            sim.write_all(b"a").unwrap();
            wait_until("the new node", || {
                low.extend(open_now().range(..3).copied());
                nodes(client) == 3
            });
        }
        for (number, &kept) in kept.iter().enumerate() {
            // SAFETY: as above.
            unsafe { libc::dup2(kept, number as RawFd) };
        }
        client.unwrap();
        assert!(low.is_empty(), "{low:?}");
        assert!(!ours.is_empty() && ours.iter().all(|&number| number > 2), "{ours:?}");
    });
}

/// The descriptors that the library has opened since.
fn ours(before: &BTreeSet<RawFd>) -> Vec<RawFd> {
    open_now().difference(before).copied().collect()
}

fn closed(host: &Host) {
    with_sim(|seeds, sim| {
        let before = open_now();
        let client = Client::connect(config(host, seeds)).unwrap();
        let ours = ours(&before);
        assert!(!ours.is_empty());
        for &number in &ours {
            // SAFETY: it is open.
            let open = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            assert!(fcntl_getfd(open).unwrap().contains(FdFlags::CLOEXEC), "{number}");
        }
        ours.into_iter().for_each(close);
        goes_on(host, &client, sim);
        client.close();
        if host.mode != Mode::Private {
            host.assert_clean();
        }
    });
}

fn goes_on(host: &Host, client: &Client, sim: &mut UnixStream) {
    let term = client.segment().head().term();
    sim.write_all(b"a").unwrap();
    wait_until("the change", || nodes(client) == 3);
    assert_eq!((client.role(), client.segment().head().term()), (Role::Owner, term));
    assert_eq!(client.segment().identity().generation, 1);
    let status = client.status().unwrap();
    assert!(status.owner_alive, "{status:?}");
    if host.mode != Mode::Private {
        assert_eq!(status.attached, Some(1));
        // Others see the owner, too.
        let worker = Worker::start("hold-check", &host.setup);
        assert_eq!(worker.expect("owner_byte")["held"], true);
    }
}

fn used_again(host: &Host) {
    with_sim(|seeds, sim| {
        let before = open_now();
        let client = Client::connect(config(host, seeds)).unwrap();
        let files: Vec<(RawFd, File)> =
            ours(&before).into_iter().map(|number| (number, put(number))).collect();
        goes_on(host, &client, sim);
        client.close();
        for (number, file) in files {
            let there = std::fs::metadata(format!("/proc/self/fd/{number}"));
            let there = there.unwrap_or_else(|_| panic!("{number} was closed"));
            assert_eq!((there.ino(), there.len()), (file.metadata().unwrap().ino(), 0));
            close(number);
        }
        if host.mode != Mode::Private {
            host.assert_clean();
        }
    });
}

fn follower(host: &Host) {
    if host.mode == Mode::Private {
        return;
    }
    let owner = host.worker();
    let before = open_now();
    let client = host.client(&Cluster::new(3, 1));
    wait_until("a standby", || client.role() == Role::Standby);
    let files: Vec<File> = ours(&before).into_iter().map(put).collect();
    owner.kill();
    wait_until("an owner", || client.role() == Role::Owner && nodes(&client) == 3);
    client.close();
    assert!(files.iter().all(|file| file.metadata().unwrap().len() == 0));
}

fn set_limit(limit: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
}

fn no_descriptors(host: &Host) {
    let all = getrlimit(Resource::Nofile).current.unwrap();
    let highest = *open_now().last().unwrap() as u64;
    // The parent of the tests may have left gaps.
    let mut gaps: Vec<File> = Vec::new();
    set_limit(highest + 1);
    while let Ok(file) = File::open("/dev/null") {
        gaps.push(file);
    }
    let mut connected = 0;
    for limit in highest + 1..highest + 12 {
        set_limit(limit);
        let client = Client::connect_with(host.config(), Cluster::new(1, 1).source());
        match client {
            Ok(client) => {
                connected += 1;
                client.close();
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("RLIMIT_NOFILE"), "{limit}: {text}");
            }
        }
        set_limit(all);
        if host.mode != Mode::Private {
            host.assert_clean();
        }
    }
    assert!(connected > 0);
}

fn exhausted(host: &Host) {
    let cluster = Cluster::new(2, 1);
    let client = host.client(&cluster);
    set_limit(*open_now().last().unwrap() as u64 + 8);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    cluster.grow(3);
    wait_until("the change", || nodes(&client) == 3);
    assert_eq!(client.role(), Role::Owner);
    assert!(client.status().unwrap().owner_alive);
}
