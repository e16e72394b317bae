//! The binary interface is the recorded one: `abi.txt` lists every function with its
//! types, the size of every structure with the place of each field, and every constant.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use common::declarations::{constants, functions, structures};
use common::{package, run};

/// The interface, one thing a line. A compiler says sizes, places and values.
fn interface(header: &str) -> String {
    let mut program = String::from("#include <stdio.h>\n#include <tendmap.h>\nint main(void) {\n");
    for name in constants(header).into_iter().filter(|name| !name.starts_with("TENDMAP_VERSION_")) {
        writeln!(program, "printf(\"constant {name} = %llu\\n\", (unsigned long long){name});")
            .unwrap();
    }
    for (name, fields) in structures(header) {
        writeln!(program, "printf(\"struct {name}: %zu bytes\\n\", sizeof({name}));").unwrap();
        for field in fields {
            writeln!(
                program,
                "printf(\"struct {name}: {field} at %zu, %zu bytes\\n\", \
                 offsetof({name}, {field}), sizeof((({name} *)0)->{field}));"
            )
            .unwrap();
        }
    }
    program += "return 0; }\n";
    let out = tempfile::tempdir().unwrap();
    let (source, binary) = (out.path().join("sizes.c"), out.path().join("sizes"));
    std::fs::write(&source, program).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.arg("-I").arg(package().join("include")).arg(&source).arg("-o").arg(&binary);
    run(&mut gcc);
    let mut text = run(&mut Command::new(binary));
    for (_, declaration) in functions(header) {
        writeln!(text, "function {declaration}").unwrap();
    }
    text
}

#[test]
fn the_interface_is_the_recorded_one() {
    let header = std::fs::read_to_string(package().join("include/tendmap.h")).unwrap();
    let found = interface(&header);
    let path = package().join("abi.txt");
    if std::env::var_os("TENDMAP_WRITE_ABI").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (found, recorded) = (lines(&found), lines(&recorded));
    assert!(found.len() > 100, "{found:?}");
    let (gone, new): (Vec<_>, Vec<_>) =
        (recorded.difference(&found).collect(), found.difference(&recorded).collect());
    assert!(
        gone.is_empty() && new.is_empty(),
        "the interface differs from abi.txt.\ngone or changed: {gone:#?}\nnew: {new:#?}\n\
         What is gone or changed breaks programs: raise the number in the soname (build.rs). \
         Then record it: TENDMAP_WRITE_ABI=1 cargo test -p tendmap-c --test abi"
    );
}

#[test]
fn declarations_are_read_as_a_compiler_reads_them() {
    let header = "/* a\n * tendmap_no(void); */\n// tendmap_no(void);\n#define TENDMAP_A 1\n\
        enum tendmap_e\n#if 1\n  : int32_t\n#endif\n {\n    // One.\n    TENDMAP_B = 2,\n};\n\
        typedef struct tendmap_s {\n    // tendmap_no().\n    char *name;\n    \
        uint8_t (*other);\n    char text[TENDMAP_A];\n} tendmap_s;\n\
        typedef struct tendmap_opaque tendmap_opaque;\n\
        typedef void (*tendmap_free)(void *state);\n\
        int tendmap_f(struct tendmap_s *s,\n              size_t n);\n";
    let f = "int tendmap_f(struct tendmap_s *s, size_t n)";
    assert_eq!(functions(header), [("tendmap_f".to_owned(), f.to_owned())]);
    assert_eq!(constants(header), ["TENDMAP_B", "TENDMAP_A"]);
    let fields = structures(header);
    assert_eq!(fields.len(), 1);
    assert_eq!((fields[0].0.as_str(), fields[0].1.len()), ("tendmap_s", 3));
    assert_eq!((fields[0].1[0].as_str(), fields[0].1[2].as_str()), ("name", "text"));
}
