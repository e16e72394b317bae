//! The kinds of errors: what `docs/ERRORS.md` says of every language.

use std::collections::BTreeMap;

use super::markdown::{read, tables};

#[test]
fn the_table_of_errors_is_that_of_the_packages() {
    let shared: serde_json::Value =
        serde_json::from_str(&read("bindings/glue/tests/invalid.json")).unwrap();
    let kinds = shared["kinds"].as_object().unwrap();
    // The package of Node.js has a line for each kind with a class of its own.
    let node = read("bindings/node/lib/errors.js");
    let classes: BTreeMap<_, _> = node
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
        .filter(|(kind, class)| kinds.contains_key(*kind) && class.ends_with("Error"))
        .collect();
    let table = tables(&read("docs/ERRORS.md")).remove(0);
    let mut rows = Vec::new();
    for (kind, number) in kinds {
        let plain: String =
            kind.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect();
        let class = classes.get(kind.as_str()).unwrap_or(&"TendmapError");
        rows.push([number.to_string(), kind.clone(), format!("{plain}Error"), (*class).to_owned()]);
    }
    let columns = ["number", "kind", "class in Python, Ruby and PHP", "class in Node.js"];
    for (at, name) in columns.into_iter().enumerate() {
        let mut found = table.column(name);
        let mut wanted: Vec<_> = rows.iter().map(|row| row[at].clone()).collect();
        // JSON objects have no order.
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{name}");
    }
}
