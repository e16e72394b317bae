//! All links between the project's documents lead somewhere, and the index lists them all.

use std::collections::BTreeSet;
use std::fs;

use super::markdown::{anchors, documents, links, read, root};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let documents = documents();
    assert!(documents.len() > 20, "{documents:?}");
    for document in &documents {
        let name = document.to_string_lossy();
        for link in links(&read(&name)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => root().join(document),
                path => root().join(document).parent().unwrap().join(path),
            };
            if !target.exists() {
                broken.push(format!("{name}: {link}: no such file"));
            } else if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap_or_default();
                if !anchors(&text).iter().any(|known| known == anchor) {
                    broken.push(format!("{name}: {link}: no such heading"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_index_lists_every_document() {
    let index: BTreeSet<String> = links(&read("docs/README.md"))
        .into_iter()
        .map(|link| link.split('#').next().unwrap().to_owned())
        .collect();
    let mut missing = Vec::new();
    for document in documents() {
        let name = document.to_string_lossy().into_owned();
        let listed = match name.strip_prefix("docs/") {
            Some("README.md") => true,
            Some(inside) => index.contains(inside),
            // Texts of packages stand for themselves.
            None if name.starts_with("bindings/") => true,
            None => index.contains(&format!("../{name}")),
        };
        if !listed {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/README.md does not list {missing:?}");
}

#[test]
fn a_link_from_the_start_page_leads_to_the_index() {
    assert!(links(&read("README.md")).iter().any(|link| link == "docs/README.md"));
}
