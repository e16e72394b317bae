//! C programs against a simulated cluster: linked both ways, also under valgrind; the
//! exported names; the installation.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

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

/// The library under the name that programs load.
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

/// Runs a program that is linked with the static library.
fn holds(source: &str) {
    let (_sim, hosts, directory) = cluster();
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let link = [archive.to_str().unwrap(), "-lm", "-ldl"];
    let program = compile(source, out.path(), &link);
    let mut command = Command::new(program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
    assert_eq!(run(&mut command), "ok\n");
}

#[test]
fn a_program_reads_from_the_racks_it_prefers_and_changes_them_while_it_runs() {
    holds("racks.c");
}

#[test]
fn a_program_keeps_its_signals_to_itself_and_outlives_a_lack_of_memory() {
    holds("host.c");
}

#[test]
fn h77_a_child_of_another_user_without_any_descriptor_routes_on() {
    holds("users.c");
}

#[test]
fn a_program_has_closed_when_close_returns() {
    holds("closing.c");
}

/// Runs a program that prints `change` where it wants the map to be changed.
fn waits(mut command: Command) {
    let (sim, hosts, directory) = cluster();
    command.args([&hosts, directory.path().to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "change" {
            sim.set_rack(1, "test", 100 + lines.len() as i32).unwrap();
        }
        lines.push(line);
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, text(&output));
    assert_eq!((lines.last().unwrap().as_str(), text(&output).as_str()), ("ok", "\n"));
}

#[test]
fn a_program_reads_without_a_thread_and_waits_in_an_event_loop() {
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let link = [archive.to_str().unwrap(), "-lm", "-ldl"];
    waits(Command::new(compile("waiting.c", out.path(), &link)));
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
    let known = package().join("tests/valgrind.supp");
    command.arg(format!("--suppressions={}", known.display()));
    command.arg(program).args([&hosts, directory.path().to_str().unwrap()]);
    command.env("LD_LIBRARY_PATH", out.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, text(&output));
    // Output of the child shows here as well.
    assert_eq!(text(&output), "ok\n\n");
}

#[test]
fn a_program_with_the_static_library_needs_no_other_file() {
    holds("conformance.c");
}

#[test]
fn a_library_that_was_loaded_stays() {
    let out = TempDir::new().unwrap();
    let program = compile("loaded.c", out.path(), &["-ldl"]);
    let library = libraries().join("libtendmap.so");
    assert_eq!(run(Command::new(program).arg(library)), "ok\n");
}

#[test]
fn the_header_compiles_without_a_warning_as_c_and_as_cpp() {
    let out = TempDir::new().unwrap();
    let source = out.path().join("includes.c");
    std::fs::write(&source, "#include <tendmap.h>\nint main(void) { return TENDMAP_OK; }\n")
        .unwrap();
    let warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion"];
    for (compiler, language, standards) in [
        ("gcc", "c", ["c99", "c11", "c17", "c2x"]),
        ("g++", "c++", ["c++11", "c++14", "c++17", "c++20"]),
        ("clang", "c", ["c99", "c11", "c17", "c2x"]),
    ] {
        if !found(compiler) {
            continue;
        }
        for standard in standards {
            let mut command = Command::new(compiler);
            command.args(warnings).args(["-Werror", "-Wundef", "-Wshadow", "-fsyntax-only", "-x"]);
            command.args([language, &format!("-std={standard}"), "-I"]);
            command.arg(package().join("include")).arg(&source);
            run(&mut command);
        }
    }
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
    let libraries = libraries();
    let out = TempDir::new().unwrap();
    // Names that a shell, sed or pkg-config would misread without quoting.
    for name in ["plain", "with a space", "a&b|c"] {
        let prefix = out.path().join(name);
        // Also over an earlier installation, and with a path relative to the caller.
        for given in [prefix.as_path(), Path::new(name)] {
            let mut install = Command::new(package().join("install.sh"));
            install.current_dir(&out).arg("--prefix").arg(given).arg("--from").arg(&libraries);
            run(&mut install);
        }
        let ask = |what: &[&str]| {
            let mut command = Command::new("pkg-config");
            command.args(what).arg("tendmap");
            command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
            run(&mut command)
        };
        assert_eq!(ask(&["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
        for wholly_static in [false, true] {
            let mut what = vec!["--cflags", "--libs"];
            what.extend(wholly_static.then_some("--static"));
            // Split as the shell of a makefile does.
            let mut split = Command::new("sh");
            split.args(["-c", r#"eval "printf '%s\\n' $1""#, "sh", ask(&what).trim()]);
            let flags = run(&mut split);
            let mut flags: Vec<&str> = flags.lines().collect();
            flags.extend(wholly_static.then_some("-static"));
            let program = compile("conformance.c", out.path(), &flags);
            let (_sim, hosts, directory) = cluster();
            let mut command = Command::new(program);
            command.args([&hosts, directory.path().to_str().unwrap()]);
            if !wholly_static {
                command.env("LD_LIBRARY_PATH", prefix.join("lib"));
            }
            assert_eq!(run(&mut command), "ok\n");
        }
    }
}

#[test]
fn a_staged_installation_names_the_place_that_it_is_for() {
    let stage = TempDir::new().unwrap();
    let mut install = Command::new(package().join("install.sh"));
    install.args(["--prefix", "/usr", "--from"]).arg(libraries()).env("DESTDIR", stage.path());
    run(&mut install);
    let described = std::fs::read_to_string(stage.path().join("usr/lib/pkgconfig/tendmap.pc"));
    assert!(described.unwrap().starts_with("prefix=/usr\n"));
    for file in ["include/tendmap.h", "lib/libtendmap.a", "lib/libtendmap.so"] {
        assert!(stage.path().join("usr").join(file).exists(), "{file}");
    }
}

#[test]
fn it_is_installed_from_where_cargo_builds() {
    let out = TempDir::new().unwrap();
    // A `cargo` that builds nothing and records where it should build.
    let fake = out.path().join("cargo");
    let script = "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --target-dir ] && to=$2; shift; done\n\
         mkdir -p \"$to/release\" && touch \"$to/release/libtendmap.a\" \"$to/release/libtendmap.so\"\n";
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", out.path().display(), std::env::var("PATH").unwrap());
    let mut install = Command::new(package().join("install.sh"));
    install.arg("--prefix").arg(out.path().join("to")).env("PATH", path);
    run(install.env("CARGO_TARGET_DIR", out.path().join("built")));
    assert!(out.path().join("built/release/libtendmap.so").exists());
    assert!(out.path().join("to/lib/libtendmap.so.0").exists());
}
