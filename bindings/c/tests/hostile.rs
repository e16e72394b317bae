//! A C program runs while another process stores arbitrary bytes into its segment.

mod common;
#[path = "../../../cli/tests/hostile_writer/values.rs"]
mod values;
#[path = "../../../cli/tests/hostile_writer/writer.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod writer;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{compile, libraries, text};
use tempfile::TempDir;
use tendmap::client::Reader;
use tendmap::internals::layout::Geometry;
use tendmap::map::Capacity;
use tendmap::segment::{Backend, Place};
use tendmap::sim::{Sim, SimConfig, SimNamespace};
use writer::{Aim, Writer};

/// Runs the program, directly or through another one, against a cluster of its own.
fn attacked(program: &Path, by: &mut Command, backend: Backend, turns: u32, times: u32) -> String {
    let mut config = SimConfig::new(3);
    config.namespaces = vec![SimNamespace::new("test", 2)];
    let sim = Sim::start(config).unwrap();
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let directory = tempfile::Builder::new().prefix("tendmap-c-").tempdir_in("/dev/shm").unwrap();
    let key = 0x5200_0000 | std::process::id();
    let place = Place { backend, directory: directory.path().into(), ..Place::of_key(key) };
    // Longer if the environment asks for it.
    let seconds = std::env::var("TENDMAP_HOSTILE_SECONDS").ok();
    let more = seconds.map_or(1, |seconds| 1 + seconds.parse::<u32>().unwrap() / 3);
    let seed = std::env::var("TENDMAP_HOSTILE_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("TENDMAP_HOSTILE_SEED is a number"),
    );
    println!("{backend:?}: TENDMAP_HOSTILE_SEED={seed}");
    let geometry = Geometry::new(Capacity::DEFAULT).unwrap();
    by.arg(program).arg(hosts.join(",")).arg(directory.path()).arg(backend.as_str());
    by.arg(key.to_string()).args(["20", &times.to_string()]);
    by.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = by.spawn().unwrap();
    // Wait until the program has a map before the attack begins.
    while child.try_wait().unwrap().is_none()
        && !Reader::attach(&place).is_ok_and(|reader| reader.map().is_ok())
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let writer = Writer::start(place.clone(), geometry, Aim::Everything, seed);
    while child.try_wait().unwrap().is_none()
        && writer.turns.load(Ordering::Relaxed) < u64::from(turns * more)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    // End of the run: the end of its input stops the program.
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    drop(writer);
    let _ = tendmap::segment::remove(&place, true);
    assert!(output.status.success(), "{by:?}: {}\n{}", output.status, text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn program(out: &TempDir) -> std::path::PathBuf {
    let archive = libraries().join("libtendmap.a");
    compile("hostile.c", out.path(), &[archive.to_str().unwrap(), "-lm", "-ldl"])
}

#[test]
fn h130_a_c_program_stands_a_hostile_writer() {
    let out = TempDir::new().unwrap();
    let program = program(&out);
    for backend in [Backend::File, Backend::SystemV] {
        // `env` runs it unchanged.
        assert_eq!(attacked(&program, &mut Command::new("env"), backend, 40, 3), "ok\n");
    }
}

/// With gcc's sanitizers, in a program with a static library that was built in the
/// same way; `.ci/deep` builds that library.
#[test]
fn h130_the_address_sanitizer_finds_no_error_in_a_program_that_stands_a_hostile_writer() {
    let Ok(archive) = std::env::var("TENDMAP_ASAN_LIBRARY") else {
        tendmap_testkit::skipped("TENDMAP_ASAN_LIBRARY names no library that was built for it");
        return;
    };
    let out = TempDir::new().unwrap();
    let link = ["-fsanitize=address", &archive, "-lm", "-ldl"];
    let program = compile("hostile.c", out.path(), &link);
    assert_eq!(attacked(&program, &mut Command::new("env"), Backend::File, 40, 3), "ok\n");
}
