//! C programs against a simulated cluster: linked both ways, also under valgrind; the
//! exported names.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::declarations::functions;
use common::{cluster, compile, compile_with, found, libraries, package, run, text};
use tempfile::TempDir;

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

#[test]
fn invalid_arguments_get_an_error_with_a_name_in_every_function() {
    holds("invalid.c");
    let program = std::fs::read_to_string(package().join("tests/c/invalid.c")).unwrap();
    let header = std::fs::read_to_string(package().join("include/tendmap.h")).unwrap();
    for (name, declaration) in functions(&header) {
        let takes_none = declaration.ends_with("(void)");
        assert!(takes_none || program.contains(&format!("{name}(")), "invalid.c lacks {name}");
    }
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
fn the_classes_of_cpp_hold_what_they_promise() {
    let archive = libraries().join("libtendmap.a");
    let warnings = ["-Wconversion", "-Wsign-conversion", "-Wshadow"];
    for (compiler, standard) in [("g++", "-std=c++17"), ("clang++", "-std=c++20")] {
        if !found(compiler) {
            continue;
        }
        let out = TempDir::new().unwrap();
        let options = [&warnings[..], &[standard]].concat();
        let link = [archive.to_str().unwrap(), "-lm", "-ldl"];
        waits(Command::new(compile_with(compiler, &options, "wrapper.cpp", out.path(), &link)));
    }
}

/// A program under valgrind, which ends it with 99 after an error.
fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
    command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    let known = package().join("tests/valgrind.supp");
    command.arg(format!("--suppressions={}", known.display())).arg(program);
    command
}

#[test]
fn valgrind_finds_no_error_in_waiting() {
    if !found("valgrind") {
        return;
    }
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let link = [archive.to_str().unwrap(), "-lm", "-ldl"];
    waits(valgrind(&compile("waiting.c", out.path(), &link)));
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
    let mut command = valgrind(&program);
    command.args([&hosts, directory.path().to_str().unwrap()]);
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
    let mut declared: Vec<String> = functions(&header).into_iter().map(|(name, _)| name).collect();
    declared.sort_unstable();
    assert_eq!(exported, declared);
}
