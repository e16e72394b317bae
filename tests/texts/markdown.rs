//! Reading the project's Markdown: its files, headings, tables and links.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A table, and the heading that it is under.
#[derive(Clone, Debug)]
pub struct Table {
    pub heading: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The cells of a column, without the marks of code.
    pub fn column(&self, name: &str) -> Vec<String> {
        let at = self.header.iter().position(|cell| cell == name);
        let at = at.unwrap_or_else(|| panic!("no column {name} in {:?}", self.header));
        self.rows.iter().map(|row| row[at].replace('`', "")).collect()
    }
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.replace("\\|", "\u{1}").split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

/// The lines outside of code blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut inside = false;
    let outside = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    };
    text.lines().filter(outside).collect()
}

/// The text of a heading; `None` for another line.
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level) && rest.starts_with(' ')).then(|| rest.trim())
}

/// The headings of a text.
pub fn headings(text: &str) -> Vec<&str> {
    prose(text).into_iter().filter_map(heading).collect()
}

/// The tables of a text.
pub fn tables(text: &str) -> Vec<Table> {
    let (mut tables, mut under, mut open) = (Vec::<Table>::new(), "", false);
    for line in prose(text) {
        under = heading(line).unwrap_or(under);
        if !line.starts_with('|') {
            open = false;
        } else if !open {
            open = true;
            let (heading, header) = (under.to_owned(), cells(line));
            tables.push(Table { heading, header, rows: Vec::new() });
        } else if !line.starts_with("| ---") {
            tables.last_mut().unwrap().rows.push(cells(line));
        }
    }
    for table in &tables {
        for row in &table.rows {
            assert_eq!(row.len(), table.header.len(), "{}: {row:?}", table.heading);
        }
    }
    tables
}

/// The one table with that header.
pub fn table(text: &str, header: &[&str]) -> Table {
    let mut found: Vec<Table> =
        tables(text).into_iter().filter(|table| table.header == header).collect();
    assert_eq!(found.len(), 1, "tables with the header {header:?}");
    found.remove(0)
}

/// The blocks of code of a text.
pub fn blocks(text: &str) -> Vec<String> {
    text.split("```").skip(1).step_by(2).map(str::to_owned).collect()
}

/// The anchor that a heading has on GitHub.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a document: of its headings, repeated ones with a number, and explicit ones.
pub fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for heading in headings(text) {
        let plain = anchor(heading);
        let mut name = plain.clone();
        let mut number = 0;
        while anchors.contains(&name) {
            number += 1;
            name = format!("{plain}-{number}");
        }
        anchors.push(name);
    }
    let explicit = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    anchors.extend(explicit.map(str::to_owned));
    anchors
}

/// The targets of the links and images of a text.
pub fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    // A link may be broken over lines, but not over paragraphs.
    let prose = prose(text).join("\n");
    for part in prose.split("](").skip(1) {
        if let Some(target) = part.split([')', '\n']).next() {
            links.push(target.split(" \"").next().unwrap_or(target).trim().to_owned());
        }
    }
    for part in prose.lines().filter(|line| line.starts_with('[')) {
        if let Some((_, target)) = part.split_once("]: ") {
            links.push(target.trim().to_owned());
        }
    }
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        let targets = prose.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
        links.extend(targets.map(str::to_owned));
    }
    links
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().unwrap();
        // What builds and tools leave behind, and other projects' files.
        let strange = ["target", "node_modules", "corpus", "artifacts", "vendor", "venv", "build"];
        let skipped = name.starts_with('.') || strange.iter().any(|other| name == *other);
        if kind.is_dir() && !skipped {
            walk(&path, into);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

/// The paths of the project's Markdown files, from its folder.
pub fn documents() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(root(), &mut files);
    files.sort();
    files.into_iter().map(|file| file.strip_prefix(root()).unwrap().to_path_buf()).collect()
}
