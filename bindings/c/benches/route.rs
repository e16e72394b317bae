//! Routing from C beside the same work in Rust, against one simulated cluster, in
//! turns. The time is the thread's own processor time, so that other processes of a
//! busy machine matter little.
//!
//! ```text
//! cargo bench -p tendmap-c
//! ```

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use tendmap::client::{Client, Config};
use tendmap::route::{Batch, InSet, Policy, Record};
use tendmap::sim::{Sim, SimConfig, SimNamespace};

const TURNS: usize = 9;
const ROUNDS: usize = 25;
const CALLS: i64 = 5_000;
const KEYS: i64 = 50_000;

fn main() {
    // `cargo test --benches` only checks that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut config = SimConfig::new(3);
    config.namespaces = vec![SimNamespace::new("test", 2)];
    let sim = Sim::start(config).expect("ports are free");
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let directory = tempfile::Builder::new().tempdir_in("/dev/shm").expect("there is room");
    let program = program(directory.path());

    let seeds = hosts.iter().map(|host| host.parse().expect("an address")).collect();
    let mut config = Config::shared(seeds, 0xA700_0000);
    config.shm_directory = directory.path().into();
    let client = Client::connect(config).expect("the cluster is there");
    let mut router = client.router();
    let namespace = router.namespace("test").expect("it has one");
    let keys: Vec<i64> = (0..KEYS).collect();
    let (mut batch, mut nodes) = (Batch::new(), vec![0_u16; keys.len()]);
    let (mut rust, mut c) = ([vec![], vec![]], [vec![], vec![], vec![], vec![]]);
    for _ in 0..TURNS {
        for _ in 0..ROUNDS {
            let begun = now();
            let mut sum = 0;
            for key in 0..CALLS {
                let record = Record::new(black_box("users"), black_box(key));
                let route = router.route(namespace, record, Policy::Master).expect("owned");
                sum += route.slot().index();
            }
            black_box(sum);
            rust[0].push((now() - begun) / CALLS as f64);
            let begun = now();
            let set = InSet::new("users", &keys);
            router.route_batch(namespace, &set, Policy::Master, &mut batch).expect("owned");
            tendmap_bindings::indexes(&batch, black_box(&mut nodes));
            rust[1].push((now() - begun) / KEYS as f64);
        }
        let mut run = Command::new(&program);
        run.arg(hosts.join(",")).arg(directory.path()).arg(ROUNDS.to_string());
        let output = run.output().expect("it was compiled");
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let numbers = line.split(' ').map(|number| number.parse().expect("a number"));
            c.iter_mut().zip(numbers).for_each(|(found, number)| found.push(number));
        }
    }
    for (index, what) in ["one key", "batch"].into_iter().enumerate() {
        let (rust, c) = (median(&mut rust[index]), median(&mut c[index]));
        println!("{what}: Rust {rust:.2} ns, C {c:.2} ns, C / Rust {:.3}", c / rust);
    }
    println!("by hand, libcrypto and an array: C {:.2} ns", median(&mut c[2]));
    println!("attach a reader and close it: C {:.1} µs", median(&mut c[3]) / 1e3);
    client.close();
}

/// Nanoseconds of processor time that this thread has used.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a clock that every Linux has, and memory for its time.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Builds the shared library and the C side, both optimised.
fn program(directory: &Path) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = package.join("../../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--package", "tendmap-c", "--target-dir"]);
    assert!(build.arg(&target).current_dir(package).status().expect("cargo runs").success());
    let libraries = target.join("release").canonicalize().expect("it was built");
    let program = directory.join("route");
    let named = directory.join("libtendmap.so.0");
    std::os::unix::fs::symlink(libraries.join("libtendmap.so"), named).expect("a new directory");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]);
    gcc.arg("-I").arg(package.join("include")).arg(package.join("benches/route.c"));
    gcc.arg("-o").arg(&program).arg("-L").arg(&libraries).arg("-ltendmap");
    gcc.arg(format!("-Wl,-rpath,{}", directory.display()));
    if Path::new("/usr/include/openssl/evp.h").exists() {
        gcc.args(["-DWITH_LIBCRYPTO", "-lcrypto"]);
    }
    assert!(gcc.status().expect("gcc is installed").success());
    program
}
