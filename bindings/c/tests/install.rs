//! The installation: what pkg-config and CMake find, what is removed again, and the
//! examples, built as users build them.

mod common;
#[path = "install/resolved.rs"]
mod resolved;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{cluster, compile, found, libraries, package, run, text};
use tempfile::TempDir;

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
            install.arg("--no-strip");
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
    install
        .args(["--no-strip", "--prefix", "/usr", "--from"])
        .arg(libraries())
        .env("DESTDIR", stage.path());
    run(&mut install);
    let described = std::fs::read_to_string(stage.path().join("usr/lib/pkgconfig/tendmap.pc"));
    assert!(described.unwrap().starts_with("prefix=/usr\n"));
    for file in ["include/tendmap.h", "lib/libtendmap.a", "lib/libtendmap.so"] {
        assert!(stage.path().join("usr").join(file).exists(), "{file}");
    }
    for text in ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        let read = |at: std::path::PathBuf| std::fs::read(at).unwrap();
        let installed = read(stage.path().join("usr/share/doc/libtendmap").join(text));
        assert!(installed == read(package().join("../..").join(text)), "{text}");
    }
}

#[test]
fn it_is_installed_from_where_cargo_builds() {
    let out = TempDir::new().unwrap();
    // A `cargo` that builds nothing and records where it should build.
    let fake = out.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --target-dir ] && to=$2; shift; done\n\
         mkdir -p \"$to/small\" && cp {}/libtendmap.* \"$to/small\"\n",
        libraries().display()
    );
    std::fs::write(out.path().join("script"), script).unwrap();
    tendmap_testkit::copy_program(&out.path().join("script"), &fake, 0o755);
    let path = format!("{}:{}", out.path().display(), std::env::var("PATH").unwrap());
    let mut install = Command::new(package().join("install.sh"));
    install.arg("--no-strip").arg("--prefix").arg(out.path().join("to")).env("PATH", path);
    run(install.env("CARGO_TARGET_DIR", out.path().join("built")));
    assert!(out.path().join("built/small/libtendmap.so").exists());
    assert!(out.path().join("to/lib/libtendmap.so.0").exists());
}

/// An installation of its own, as it was built.
fn installed(prefix: &Path) {
    let mut install = Command::new(package().join("install.sh"));
    run(install.arg("--no-strip").arg("--prefix").arg(prefix).arg("--from").arg(libraries()));
}

/// Every file below a directory, and every directory.
fn tree(at: &Path) -> BTreeSet<String> {
    let listed = run(Command::new("find").arg(at).args(["-printf", "%P\n"]));
    listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_is_installed_is_removed_again_and_nothing_else() {
    let out = TempDir::new().unwrap();
    let script = package().join("install.sh");
    for libdir in ["lib", "lib64", "lib/x86_64-linux-gnu", "/opt/lib"] {
        let stage = out.path().join(libdir.replace('/', "_"));
        let install = |last: &[&str]| {
            let mut install = Command::new(&script);
            install.args(["--prefix", "/usr", "--libdir", libdir]).args(last);
            install.env("DESTDIR", &stage).output().unwrap()
        };
        let lib = stage.join(
            Path::new("usr")
                .join(libdir)
                .strip_prefix("/")
                .map_or_else(|_| Path::new("usr").join(libdir), Path::to_owned),
        );
        std::fs::create_dir_all(lib.join("cmake/tendmap")).unwrap();
        std::fs::create_dir_all(stage.join("usr/share/man/man3")).unwrap();
        for other in ["libother.so", "cmake/tendmap/mine"] {
            std::fs::write(lib.join(other), "").unwrap();
        }
        // What is not there can't be removed.
        let output = install(&["--uninstall"]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("no libtendmap"), "{}", text(&output));
        let before = tree(&stage);
        let from = libraries();
        let output = install(&["--no-strip", "--from", from.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output));
        let installed = tree(&stage);
        assert!(installed.len() > before.len() + 40, "{installed:?}");
        let described = std::fs::read_to_string(lib.join("pkgconfig/tendmap.pc")).unwrap();
        let wanted = match libdir.starts_with('/') {
            true => format!("libdir={libdir}\n"),
            false => format!("libdir=${{prefix}}/{libdir}\n"),
        };
        assert!(described.contains(&wanted), "{described}");
        let output = install(&["--uninstall"]);
        assert!(output.status.success(), "{}", text(&output));
        // Also no directory, unless another package has something in it.
        let used = |name: &String| {
            let at = stage.join(name);
            at.is_file() || std::fs::read_dir(&at).is_ok_and(|mut all| all.next().is_some())
        };
        let before: BTreeSet<String> = before.into_iter().filter(used).collect();
        assert_eq!(tree(&stage), before);
    }
}

#[test]
fn an_empty_staging_directory_stays() {
    let out = TempDir::new().unwrap();
    let stage = out.path().join("packages/stage");
    std::fs::create_dir_all(&stage).unwrap();
    let from = TempDir::new().unwrap();
    for library in ["libtendmap.so", "libtendmap.a"] {
        std::fs::write(from.path().join(library), "").unwrap();
    }
    for more in [&["--no-strip", "--from", from.path().to_str().unwrap()][..], &["--uninstall"]] {
        let mut install = Command::new(package().join("install.sh"));
        // With a slash at its end, as some build systems pass it.
        run(install.args(["--prefix", "/usr"]).args(more).env("DESTDIR", stage.join("")));
    }
    assert_eq!(tree(out.path()).len(), 2, "{:?}", tree(out.path()));
}

#[test]
fn directories_that_were_there_before_stay_and_others_go() {
    let out = TempDir::new().unwrap();
    let prefix = out.path().join("with a space");
    std::fs::create_dir_all(prefix.join("include")).unwrap();
    let before = tree(out.path());
    let install = |more: &[&str]| {
        let mut install = Command::new(package().join("install.sh"));
        install.arg("--prefix").arg(&prefix).args(["--libdir", "lib/x86_64-linux-gnu"]);
        run(install.args(more));
    };
    let from = libraries();
    // Twice: the second installation finds what the first has made.
    for _ in 0..2 {
        install(&["--no-strip", "--from", from.to_str().unwrap()]);
    }
    install(&["--uninstall"]);
    assert_eq!(tree(out.path()), before);
}

#[test]
fn wrong_arguments_change_nothing() {
    let out = TempDir::new().unwrap();
    for arguments in [&["--prefxi", "x"][..], &["--prefix"], &["--libdir"], &["x"]] {
        let mut install = Command::new(package().join("install.sh"));
        let output = install.args(arguments).current_dir(&out).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains("wanted"), "{}", text(&output));
    }
    assert!(tree(out.path()).is_empty());
}

#[test]
fn debug_information_lies_where_debuggers_look() {
    let prefix = TempDir::new().unwrap();
    let mut install = Command::new(package().join("install.sh"));
    run(install.arg("--prefix").arg(prefix.path()).arg("--from").arg(libraries()));
    let version = env!("CARGO_PKG_VERSION");
    let library = prefix.path().join(format!("lib/libtendmap.so.{version}"));
    let debug = prefix.path().join(format!("lib/.debug/libtendmap.so.{version}.debug"));
    let sections = |file: &Path| run(Command::new("readelf").args(["-S", "-W"]).arg(file));
    assert!(sections(&library).contains(".gnu_debuglink"));
    assert!(!sections(&library).contains(".debug_line"));
    assert!(sections(&debug).contains(".debug_line"));
    let name = format!("libtendmap.so.{version}.debug");
    let bytes = std::fs::read(&library).unwrap();
    assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()));
    // Of the static library only what the header declares can be linked to.
    let archive = prefix.path().join("lib/libtendmap.a");
    let names = run(Command::new("nm").args(["-g", "--defined-only"]).arg(archive));
    let names = names.lines().filter_map(|line| line.split_whitespace().nth(2));
    for name in names {
        assert!(name.starts_with("tendmap_"), "{name}");
    }
}

#[test]
fn every_function_has_a_manual_page() {
    if !found("man") {
        return;
    }
    let prefix = TempDir::new().unwrap();
    installed(prefix.path());
    let pages = prefix.path().join("share/man/man3");
    let header = std::fs::read_to_string(package().join("include/tendmap.h")).unwrap();
    let functions = common::declarations::functions(&header);
    let names = functions.iter().map(|(name, _)| name.as_str()).chain(["tendmap"]);
    let names: BTreeSet<String> = names.map(|name| format!("{name}.3")).collect();
    assert_eq!(tree(&pages), names);
    for (name, declaration) in &functions {
        let mut man = Command::new("man");
        man.args(["-l", "--warnings", "-E", "utf8"]).arg(pages.join(format!("{name}.3")));
        let output = man.env("MANWIDTH", "500").env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
        let page = String::from_utf8(output.stdout).unwrap();
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(&declaration.replace("( ", "(")), "{declaration}\n{page}");
        // What it returns, and the threads that may call it.
        let returns = match declaration.split_once(name.as_str()).unwrap().0 {
            _ if name == "tendmap_last_error_code" => "DESCRIPTION The code",
            "int " if page.contains("-1 on error") => "RETURN VALUE A number of 0 or more, or -1",
            "int " => "RETURN VALUE TENDMAP_OK (0), or a tendmap_error",
            "void " | "const char *" => "DESCRIPTION",
            _ => "RETURN VALUE A pointer, or NULL",
        };
        assert!(page.contains(returns), "{returns}\n{page}");
        assert!(page.contains("THREADS AND FORK Threads: ") && page.contains(" Fork: "), "{page}");
        assert!(!page.contains('`'), "{page}");
    }
}

/// Builds the examples with CMake; the directory that they are in, or what CMake said.
fn with_cmake(prefix: &Path, into: &Path, options: &[&str]) -> Result<(), String> {
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(package().join("examples")).arg("-B").arg(into);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())).args(options);
    let output = configure.output().unwrap();
    if !output.status.success() {
        return Err(text(&output));
    }
    run(Command::new("cmake").arg("--build").arg(into));
    Ok(())
}

#[test]
fn cmake_finds_what_is_installed_and_the_examples_run() {
    if !found("cmake") {
        return;
    }
    let out = TempDir::new().unwrap();
    let prefix = out.path().join("with a space");
    installed(&prefix);
    let (sim, hosts, directory) = cluster();
    for (name, option) in
        [("shared", "-DBUILD_SHARED_LIBS=ON"), ("static", "-DBUILD_SHARED_LIBS=OFF")]
    {
        let build = out.path().join(name);
        with_cmake(&prefix, &build, &[option]).unwrap();
        let example = |program: &str| {
            let mut command = Command::new(build.join(program));
            command.env("TENDMAP_SHM_DIRECTORY", directory.path());
            command
        };
        let keys = ["test", "users", "alice", "bob", "alice"];
        let answer = run(example("route").arg(&hosts).args(keys));
        assert_eq!(answer.lines().count(), 3, "{answer}");
        assert!(answer.lines().all(|line| line.contains(": partition ")), "{answer}");
        let pooled = run(example("route_cpp").arg(&hosts).args(keys));
        assert!(pooled.lines().nth(2).unwrap().ends_with(", command 2"), "{pooled}");
        let output = example("route").arg(&hosts).args(["none", "users", "x"]).output().unwrap();
        assert!(text(&output).contains("TENDMAP_ERROR_NAMESPACE_UNKNOWN"), "{}", text(&output));
    }
    // A reader in an event loop, while another process tends.
    let config =
        tendmap::Config::shared(sim.seeds().iter().copied().map(Into::into).collect(), 0xA700_0000);
    let client = tendmap::Client::connect(config.with_directory(directory.path())).unwrap();
    let mut event_loop = Command::new(out.path().join("static/event_loop"));
    event_loop.arg("2").env("TENDMAP_SHM_DIRECTORY", directory.path()).stdout(Stdio::piped());
    let mut event_loop = event_loop.spawn().unwrap();
    let lines = BufReader::new(event_loop.stdout.take().unwrap()).lines();
    for (number, line) in lines.enumerate() {
        assert!(line.unwrap().ends_with(": 3 nodes"));
        sim.set_rack(1, "test", 70 + number as i32).unwrap();
    }
    assert!(event_loop.wait().unwrap().success());
    client.close();
}

#[test]
fn cmake_says_why_it_can_not_use_an_installation() {
    if !found("cmake") {
        return;
    }
    let out = TempDir::new().unwrap();
    let prefix = out.path().join("prefix");
    installed(&prefix);
    // A project that wants another version.
    let project = out.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let wants = |version: &str| {
        let text = format!(
            "cmake_minimum_required(VERSION 3.16)\nproject(wants C)\n\
             find_package(tendmap {version} REQUIRED)\n"
        );
        std::fs::write(project.join("CMakeLists.txt"), text).unwrap();
        let build = TempDir::new().unwrap();
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(&project).arg("-B").arg(build.path());
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())).output().unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    for fits in ["", "0.1", version, &format!("{version} EXACT")] {
        let output = wants(fits);
        assert!(output.status.success(), "{fits}: {}", text(&output));
    }
    for differs in ["0.2", "1", "0.0.9"] {
        let output = wants(differs);
        assert!(!output.status.success(), "{differs}: {}", text(&output));
        assert!(text(&output).contains(&format!("version: {version}")), "{}", text(&output));
    }
    std::fs::remove_file(prefix.join("lib/libtendmap.a")).unwrap();
    let output = wants("");
    assert!(!output.status.success() && text(&output).contains("install tendmap again"));
}
