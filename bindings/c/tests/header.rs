//! `include/tendmap.h` is what cbindgen generates from the source.

use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let made = cbindgen::Builder::new().with_crate(crate_dir).with_config(config).generate();
    let mut text = Vec::new();
    made.expect("cbindgen reads the source").write(&mut text);
    let text = String::from_utf8(text).unwrap();
    let path = crate_dir.join("include/tendmap.h");
    if std::env::var_os("TENDMAP_WRITE_HEADER").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "include/tendmap.h is out of date; generate it again: \
         TENDMAP_WRITE_HEADER=1 cargo test -p tendmap-c --test header"
    );
}

/// The header names each setting, with the default that docs/SETTINGS.md gives.
#[test]
fn the_header_has_each_setting_with_its_default() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = std::fs::read_to_string(crate_dir.join("include/tendmap.h")).unwrap();
    let settings = std::fs::read_to_string(crate_dir.join("../../docs/SETTINGS.md")).unwrap();
    let mut count = 0;
    let table = settings.split("\n## ").next().unwrap();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (name, default) = (cells[1], cells[2]);
        let line = header.lines().find(|line| line.starts_with(&format!("//     {name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} is missing"));
        let shown = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let wanted = match (name, default) {
            ("use_shm", _) => Some("true"),
            (_, "" | "unset" | "empty" | "none") => None,
            (_, default) => Some(default),
        };
        assert_eq!(shown.map(|(default, _)| default), wanted, "{line}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}
