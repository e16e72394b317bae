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
