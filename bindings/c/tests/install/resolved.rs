//! What `resolve.c` does to an object: less is left to the linker, and programs are the
//! same.

use std::process::Command;

use tempfile::TempDir;

use crate::common::{package, run, text};

/// Everything that `resolve.c` may meet: calls, tables of functions and of texts, a jump
/// table, variables, of a thread also, and functions of other objects.
const PIECE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static _Thread_local int turns;
static int total = 3;
static const char *const names[] = {"one", "two", "three"};
__attribute__((noinline)) static int first(int n) { return n + turns++; }
__attribute__((noinline)) static int second(int n) { return first(n) * total; }
static int (*const table[])(int) = {first, second};
int piece(int n) {
    total += table[n % 2](n) + second(n);
    switch (n) {
    case 0: puts(names[0]); break;
    case 1: total = abs(total); break;
    case 2: puts(names[total % 3]); break;
    case 3: puts("first"); break;
    case 4: return first(second(n));
    case 5: total <<= 1; break;
    }
    return total;
}
"#;
const WHOLE: &str = r#"
#include <stdio.h>
int piece(int);
int main(void) { for (int n = 0; n < 7; n++) printf("%d\n", piece(n)); return 0; }
"#;

#[test]
fn what_is_resolved_in_the_static_library_changes_no_byte_of_a_program() {
    if !cfg!(target_arch = "x86_64") {
        return tendmap_testkit::skipped("objects of x86_64 alone are resolved");
    }
    let out = TempDir::new().unwrap();
    let at = |name: &str| out.path().join(name);
    std::fs::write(at("piece.c"), PIECE).unwrap();
    std::fs::write(at("whole.c"), WHOLE).unwrap();
    let here = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(&out);
        command
    };
    run(here("cc")
        .args("-std=c99 -O1 -D_POSIX_C_SOURCE=200809L -o resolve".split(' '))
        .arg(package().join("resolve.c")));
    let mut sizes = Vec::new();
    for optimised in ["-O0", "-O2", "-Os"] {
        run(here("cc")
            .args("-fPIC -ffunction-sections -fdata-sections -c piece.c".split(' '))
            .arg(optimised));
        let script = package().join("merge.ld");
        run(here("ld")
            .args(["-r", "--gc-sections", "-e", "piece", "-T"])
            .arg(script)
            .args(["piece.o", "-o", "plain.o"]));
        run(here("objcopy").args(["--keep-global-symbol=piece", "plain.o"]));
        std::fs::copy(at("plain.o"), at("resolved.o")).unwrap();
        run(here("./resolve").arg("resolved.o"));
        run(here("strip").args(["--strip-unneeded", "plain.o", "resolved.o"]));
        let programs = ["plain", "resolved"].map(|name| {
            run(here("cc")
                .args(["-Wl,--build-id=none", "-s", "whole.c", "-o", "program"])
                .arg(format!("{name}.o")));
            (std::fs::read(at("program")).unwrap(), run(&mut here("./program")))
        });
        assert!(programs[0] == programs[1], "{optimised}");
        let relocations =
            |name: &str| run(here("readelf").args(["-r", "-W", name])).lines().count();
        sizes.push((relocations("plain.o"), relocations("resolved.o")));
    }
    assert!(sizes.iter().all(|(plain, resolved)| resolved < plain), "{sizes:?}");
    // What is no object stays as it is.
    for content in [&b""[..], b"#!/bin/sh\n", &std::fs::read(at("plain.o")).unwrap()[..100]] {
        std::fs::write(at("other"), content).unwrap();
        let output = here("./resolve").arg("other").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_eq!(std::fs::read(at("other")).unwrap(), content);
    }
}
