//! The folders of `src` know only those that the table in `src/lib.rs` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of a table `| folder | what it holds | knows |`, and what it knows:
/// everything if the last cell names no folder.
fn table(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let name = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_start_matches("//! ").split('|').map(str::trim).collect();
        let [_, folder, _, knows, _] = cells[..] else { return None };
        Some((name(folder)?, knows))
    });
    let rows: Vec<_> = rows.collect();
    let all: BTreeSet<String> = rows.iter().map(|(folder, _)| folder.clone()).collect();
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (folder, knows) in rows {
        let mut allowed = BTreeSet::from([folder.clone()]);
        match name(knows) {
            Some(below) => allowed.extend(table.get(&below).cloned().unwrap_or_default()),
            None if knows == "nothing" => {}
            None => allowed.extend(all.clone()),
        }
        table.insert(folder, allowed);
    }
    table
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[test]
fn each_folder_knows_only_those_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = table(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(table.len() > 9 && table["map"].contains("protocol"), "{table:?}");
    let mut upwards = Vec::new();
    for (folder, allowed) in &table {
        let mut found = Vec::new();
        if src.join(folder).is_dir() {
            files(&src.join(folder), &mut found);
        }
        for file in found {
            let text = fs::read_to_string(&file).unwrap();
            // Tests may know more.
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for other in lines.flat_map(|line| line.split("crate::").skip(1)) {
                let other = other.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                // Modules that are in no row know nothing of the folders.
                if table.contains_key(other) && other != "text" && !allowed.contains(other) {
                    upwards.push(format!("{} knows {other}", file.display()));
                }
            }
        }
    }
    assert!(upwards.is_empty(), "{upwards:#?}");
}

#[test]
fn the_table_for_contributors_is_that_of_the_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_library = table(&fs::read_to_string(root.join("src/lib.rs")).unwrap());
    let contributing = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let for_contributors = table(&contributing);
    assert!(for_contributors.len() > 9, "{for_contributors:?}");
    for (folder, knows) in for_contributors {
        let mut wanted = of_library[&folder].clone();
        wanted.remove("text");
        assert_eq!(knows.difference(&wanted).count(), 0, "{folder}");
        assert_eq!(wanted.difference(&knows).count(), 0, "{folder}");
    }
}
