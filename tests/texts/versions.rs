//! All packages have the version of the crate.

use super::markdown::read;

/// What follows `key` on the first line that begins with it, without quotes and commas.
fn value(file: &str, key: &str) -> String {
    let text = read(file);
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
    let line = line.unwrap_or_else(|| panic!("{file}: no {key}"));
    line.trim_matches(|c: char| "=: \"',;".contains(c)).to_owned()
}

#[test]
fn all_packages_have_the_version_of_the_crate() {
    let wanted = value("Cargo.toml", "version");
    assert!(wanted.starts_with(|c: char| c.is_ascii_digit()), "{wanted}");
    for (file, key) in [
        // Python's package takes its version from here.
        ("bindings/Cargo.toml", "version"),
        // Composer takes the version from a tag; this is the version that the package compares.
        ("bindings/php/src/Internal/Engines.php", "public const VERSION"),
        ("bindings/node/package.json", "\"version\""),
        ("bindings/node/package-lock.json", "\"version\""),
        ("bindings/ruby/lib/tendmap/version.rb", "VERSION"),
    ] {
        assert_eq!(value(file, key), wanted, "{file}");
    }
}
