//! C programs against a simulated cluster, linked both ways, also under
//! valgrind; what is exported; how it is installed.

mod common;

use std::path::Path;
use std::process::Command;

use common::{compile, found, libraries, package, run, text};
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig, SimNamespace};

/// Three nodes of the cluster "lab", in racks 10, 20 and 30, and a directory for
/// segments.
fn cluster() -> (Sim, String, TempDir) {
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

fn shared(libraries: &Path) -> [String; 3] {
    let path = libraries.display();
    [format!("-L{path}"), "-ltendmap".into(), format!("-Wl,-rpath,{path}")]
}

/// The library with the name that programs ask for.
fn with_soname(libraries: &Path, into: &Path) {
    let _ = std::fs::remove_file(into.join("libtendmap.so.0"));
    std::os::unix::fs::symlink(libraries.join("libtendmap.so"), into.join("libtendmap.so.0"))
        .unwrap();
}

#[test]
fn a_program_with_the_shared_library_holds_every_promise() {
    let (_sim, hosts, directory) = cluster();
    let libraries = libraries();
    let out = TempDir::new().unwrap();
    with_soname(&libraries, out.path());
    let link = shared(&libraries);
    let program = compile("conformance.c", out.path(), &link.each_ref().map(String::as_str));
    let mut command = Command::new(program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
    command.env("LD_LIBRARY_PATH", out.path());
    assert_eq!(run(&mut command), "ok\n");
}

#[test]
fn a_program_reads_from_the_racks_it_prefers_and_changes_them_while_it_runs() {
    let (_sim, hosts, directory) = cluster();
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let link = [archive.to_str().unwrap(), "-lm", "-ldl", "-lgcc_s"];
    let program = compile("racks.c", out.path(), &link);
    let mut command = Command::new(program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
    assert_eq!(run(&mut command), "ok\n");
}

#[test]
fn valgrind_finds_no_error_in_it() {
    if !found("valgrind") {
        return;
    }
    let (_sim, hosts, directory) = cluster();
    let libraries = libraries();
    let out = TempDir::new().unwrap();
    with_soname(&libraries, out.path());
    let link = shared(&libraries);
    let program = compile("conformance.c", out.path(), &link.each_ref().map(String::as_str));
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
    command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    command.arg(program).args([&hosts, directory.path().to_str().unwrap()]);
    command.env("LD_LIBRARY_PATH", out.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, text(&output));
    // Of the child only what is printed tells.
    assert_eq!(text(&output), "ok\n\n");
}

#[test]
fn a_program_with_the_static_library_needs_no_other_file() {
    let (_sim, hosts, directory) = cluster();
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let link = [archive.to_str().unwrap(), "-lm", "-ldl", "-lgcc_s"];
    let program = compile("conformance.c", out.path(), &link);
    let mut command = Command::new(program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
    assert_eq!(run(&mut command), "ok\n");
}

#[test]
fn nothing_is_exported_but_what_the_header_declares() {
    let library = libraries().join("libtendmap.so");
    let listed = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let mut exported: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    exported.sort_unstable();
    let header = std::fs::read_to_string(package().join("include/tendmap.h")).unwrap();
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let mut declared: Vec<&str> = code
        .match_indices("tendmap_")
        .map(|(at, _)| &code[at..])
        .filter_map(|rest| rest.split_once(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|(_, rest)| code[..code.len() - rest.len()].ends_with('('))
        .map(|(name, _)| name)
        .filter(|name| *name != "tendmap_state_free")
        .collect();
    declared.sort_unstable();
    declared.dedup();
    assert_eq!(exported, declared);
}

#[test]
fn what_is_installed_is_found_by_pkg_config() {
    if !found("pkg-config") {
        return;
    }
    let (_sim, hosts, directory) = cluster();
    let libraries = libraries();
    let prefix = TempDir::new().unwrap();
    let mut install = Command::new(package().join("install.sh"));
    install.arg("--prefix").arg(prefix.path()).arg("--from").arg(libraries);
    run(&mut install);
    let ask = |what: &str| {
        let mut command = Command::new("pkg-config");
        command.args([what, "tendmap"]);
        command.env("PKG_CONFIG_PATH", prefix.path().join("lib/pkgconfig"));
        run(&mut command)
    };
    assert_eq!(ask("--modversion").trim(), env!("CARGO_PKG_VERSION"));
    let flags = ask("--cflags") + &ask("--libs");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let out = TempDir::new().unwrap();
    let program = compile("conformance.c", out.path(), &flags);
    let mut command = Command::new(program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
    command.env("LD_LIBRARY_PATH", prefix.path().join("lib"));
    assert_eq!(run(&mut command), "ok\n");
}
