//! A configuration file: TOML, its keys the long flags without their dashes.

use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;

/// A key of the file and what it is set to.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The flag without its dashes.
    pub name: String,
    /// Where it stands, from 1 on.
    pub line: usize,
    /// Its value; of a list each one.
    pub values: Vec<String>,
    /// Whether it is a list.
    pub is_list: bool,
}

/// The entries of a file in the order of their lines.
///
/// # Errors
/// [`Failure::Usage`] names the file and the line.
pub fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::Usage(format!("can't read the configuration file {shown}: {error}"))
    })?;
    parse(&text).map_err(|(line, problem)| Failure::Usage(format!("{shown}:{line}: {problem}")))
}

/// What is wrong, and in which line.
type Problem = (usize, String);

fn parse(text: &str) -> Result<Vec<Entry>, Problem> {
    let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(1, line);
        (at, format!("no TOML: {}; a line is `key = value`, text in quotes", error.message()))
    })?;
    let mut entries: Vec<Entry> = Vec::new();
    for (key, value) in table.get_ref() {
        let at = line(key.span());
        // The README writes settings with underscores, as C clients do.
        let name = key.get_ref().replace('_', "-");
        if let Some(earlier) = entries.iter().find(|earlier| earlier.name == name) {
            let (first, second) = (earlier.line.min(at), earlier.line.max(at));
            return Err((second, format!("{name} is set in line {first} already; remove one")));
        }
        let (values, is_list) = match value.get_ref() {
            DeValue::Array(list) => {
                let values = list.iter().map(|value| scalar(text, value));
                (values.collect::<Option<Vec<String>>>(), true)
            }
            _ => (scalar(text, value).map(|value| vec![value]), false),
        };
        let Some(values) = values else {
            let found = value.get_ref().type_str();
            let wanted = "wanted text, a number, true, false, or a list of those";
            return Err((at, format!("{name} is a TOML {found}; {wanted}")));
        };
        entries.push(Entry { name, line: at, values, is_list });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// A value as one would write it after a flag: numbers as they stand in the
/// file, so that `0xA7000000` is a key and `0o640` a mode.
fn scalar(text: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => Some(text[value.span()].replace('_', "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, line: usize, values: &[&str], is_list: bool) -> Entry {
        let values = values.iter().map(ToString::to_string).collect();
        Entry { name: name.into(), line, values, is_list }
    }

    #[test]
    fn keys_are_read_with_their_lines() {
        let text = "# a comment\nhost = [\"a:1\",\n  \"b:2\"]\n\ntend_interval = '500ms'\n\
                    shm-key = 0xA700_0001\nshm-mode = 0o640\nchecksums = true\n";
        let wanted = [
            entry("host", 2, &["a:1", "b:2"], true),
            entry("tend-interval", 5, &["500ms"], false),
            entry("shm-key", 6, &["0xA7000001"], false),
            entry("shm-mode", 7, &["0o640"], false),
            entry("checksums", 8, &["true"], false),
        ];
        assert_eq!(parse(text).unwrap(), wanted);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_can_not_be_read_names_its_line() {
        for (text, line, what) in [
            ("host = [\"a\"]\ntend-interval = 1s\n", 2, "no TOML"),
            ("a = 1\na = 2\n", 2, "no TOML: duplicate key"),
            ("tend-interval = \"1s\"\n\ntend_interval = \"2s\"\n", 3, "in line 1 already"),
            ("\n[tend]\nhost = \"a\"\n", 2, "tend is a TOML table"),
            ("host = [[\"a\"]]\n", 1, "host is a TOML array"),
            ("host = 2026-01-01\n", 1, "datetime"),
            ("host", 1, "no TOML"),
        ] {
            let (at, problem) = parse(text).unwrap_err();
            assert!(at == line && problem.contains(what), "{text:?}: line {at}: {problem}");
        }
    }
}
