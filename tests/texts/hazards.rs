//! `docs/HAZARDS.md` names tests for every hazard, and `docs/SECURITY-MODEL.md` and
//! `docs/C-CLIENT.md` name tests for every claim. These tests exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The folders that hold tests.
const FOLDERS: [&str; 11] = [
    "src",
    "cli",
    "examples",
    "harness",
    "tests",
    "loom-tests/tests",
    "bindings/c",
    "bindings/node/test",
    "bindings/php/tests",
    "bindings/python/tests",
    "bindings/ruby/test",
];

/// The text of every Rust, Python, Ruby, JavaScript and PHP file under a folder.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| {
            ["rs", "py", "rb", "mjs", "php"].iter().any(|known| extension == *known)
        }) {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The tests named in each row. The rows are in order.
fn rows(text: &str) -> BTreeMap<u16, Vec<String>> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number = cells.next()?.trim().parse().ok()?;
        let tests = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some((number, tests))
    };
    let rows: Vec<(u16, _)> = text.lines().filter_map(row).collect();
    assert!(rows.is_sorted_by(|(one, _), (next, _)| one < next), "the rows are not in order");
    rows.into_iter().collect()
}

/// The names of all functions, and of all trials of the process tests.
fn tests(root: &Path) -> BTreeSet<String> {
    let mut text = String::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut text);
    }
    let mut names = BTreeSet::new();
    for (before, after) in [
        ("fn ", "("),
        ("def ", "("),
        ("def ", "\n"),
        ("function ", "("),
        ("(\"", "\", "),
        ("test('", "', "),
    ] {
        for rest in text.split(before).skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if rest[end..].starts_with(after) {
                names.insert(rest[..end].to_owned());
            }
        }
    }
    names
}

#[test]
fn every_hazard_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = tests(root);
    let rows = rows(&fs::read_to_string(root.join("docs/HAZARDS.md")).unwrap());
    let first = rows.keys().copied().take(48);
    assert!(first.eq(1..=48), "{:?}", rows.keys());
    for (row, tests) in rows {
        assert!(!tests.is_empty(), "row {row} names no test");
        let tag = format!("h{row:02}_");
        assert!(
            tests.iter().any(|test| test.contains(&tag)),
            "row {row}: no test begins with {tag}"
        );
        for test in tests {
            assert!(known.contains(&test), "row {row}: the test {test} does not exist");
        }
    }
}

/// Checks that a document has at least that number of claims, and that the tests
/// which they name exist. Claims are tables with two columns; the second names tests.
fn check_claims(document: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (known, model) = (tests(root), fs::read_to_string(root.join(document)));
    let mut claims = 0;
    let mut in_claims = false;
    for line in model.unwrap().lines() {
        match line {
            "| claim | tests |" => in_claims = true,
            "" => in_claims = false,
            "| --- | --- |" => {}
            line if in_claims => {
                claims += 1;
                let (claim, named) = line.rsplit_once(" | ").unwrap();
                let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
                assert!(!named.is_empty(), "{claim}");
                for test in named {
                    assert!(known.contains(test), "{claim}: the test {test} does not exist");
                }
            }
            _ => {}
        }
    }
    assert!(claims >= at_least, "{document}: {claims}");
}

#[test]
fn every_claim_about_security_has_a_test_that_exists() {
    check_claims("docs/SECURITY-MODEL.md", 20);
}

#[test]
fn every_claim_about_official_clients_has_a_test_that_exists() {
    check_claims("docs/C-CLIENT.md", 15);
}

/// The numbers after "row" and "rows" in a text.
fn cited(text: &str) -> BTreeSet<u16> {
    let text = text.replace('\n', " ");
    let lists = ["row ", "rows "].into_iter().flat_map(|word| text.split(word).skip(1));
    lists
        .flat_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',' && c != ' ');
            rest[..end.unwrap_or(rest.len())].split(',')
        })
        .filter_map(|number| number.trim().parse().ok())
        .collect()
}

#[test]
fn every_hazard_that_an_answer_cites_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = rows(&fs::read_to_string(root.join("docs/HAZARDS.md")).unwrap());
    let cited = cited(&fs::read_to_string(root.join("docs/FAQ.md")).unwrap());
    assert!(cited.len() > 20, "{cited:?}");
    let unknown: Vec<_> = cited.iter().filter(|row| !rows.contains_key(row)).collect();
    assert!(unknown.is_empty(), "docs/FAQ.md cites the rows {unknown:?}");
}
