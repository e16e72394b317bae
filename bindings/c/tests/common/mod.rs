//! The library as C programs get it, and programs that use it.
#![allow(dead_code, reason = "each test uses a part")]

pub mod declarations;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig, SimNamespace};

/// The folder of this package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory with libtendmap.so and libtendmap.a, which this builds. (Cargo does
/// not build a shared library for a test.)
pub fn libraries() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "tendmap-c", "--target-dir"]).arg(&target);
    assert!(build.current_dir(package()).status().unwrap().success(), "{build:?}");
    target.join("debug")
}

/// Compiles a test program; warnings are errors.
pub fn compile(source: &str, into: &Path, link: &[&str]) -> PathBuf {
    compile_with("gcc", &["-std=c11"], source, into, link)
}

/// Compiles a test program with that compiler and these options.
pub fn compile_with(
    compiler: &str,
    options: &[&str],
    source: &str,
    into: &Path,
    link: &[&str],
) -> PathBuf {
    let program = into.join(Path::new(source).file_stem().unwrap());
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g", "-pthread"]);
    command.args(options).arg("-I").arg(package().join("include"));
    command.arg(package().join("tests/c").join(source)).arg("-o").arg(&program);
    command.args(link);
    let output = command.output().expect("the compiler is installed");
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    program
}

/// The output of a program.
pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a program is installed; if not, prints that the test is skipped.
pub fn found(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        tendmap_testkit::skipped(&format!("no {program} on this machine"));
    }
    there
}

/// Three nodes of the cluster "lab", in racks 10, 20 and 30, and a directory for
/// segments.
pub fn cluster() -> (Sim, String, TempDir) {
    let mut config = SimConfig::new(3);
    config.cluster_name = Some("lab".into());
    config.namespaces = vec![SimNamespace::new("test", 2)];
    config.enterprise = true;
    let sim = Sim::start(config).unwrap();
    for number in 1..=3 {
        sim.set_rack(number, "test", number as i32 * 10).unwrap();
    }
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let directory = tempfile::Builder::new().prefix("tendmap-c-").tempdir_in("/dev/shm").unwrap();
    (sim, hosts.join(","), directory)
}
