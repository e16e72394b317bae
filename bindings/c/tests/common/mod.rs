//! The library as C programs get it, and programs that use it.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
    let program = into.join(Path::new(source).file_stem().unwrap());
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g", "-pthread"]);
    gcc.arg("-I").arg(package().join("include"));
    gcc.arg(package().join("tests/c").join(source)).arg("-o").arg(&program);
    gcc.args(link);
    let output = gcc.output().expect("gcc is installed");
    assert!(output.status.success(), "{gcc:?}\n{}", text(&output));
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
