//! The configuration file, in TOML. Its keys are the long flags without dashes. A
//! key applies to every command at the top, and to one command in its section.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tendmap::internals::text::Printable;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;

/// A key of the file and its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The command whose section it is in.
    pub section: Option<String>,
    /// The flag without its dashes.
    pub name: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The value, or those of a list.
    pub values: Vec<String>,
    /// Whether the value is a list.
    pub is_list: bool,
}

/// The entries of a file in the order of their lines, and its mode. `sections` are
/// the allowed sections. The file may be a pipe, so it is read only once.
///
/// # Errors
/// [`Failure::Usage`] names the file and the line.
pub fn read(path: &Path, sections: &[&str]) -> Result<(Vec<Entry>, u32), Failure> {
    let shown = Printable(path.display());
    let failed = |problem: &dyn Display| {
        Failure::Usage(format!("can't read the configuration file {shown}: {problem}"))
    };
    let read = || {
        let file = File::open(path)?;
        // The mode of the open file, because its name may lead to another one
        // later.
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        let mut text = String::new();
        file.take(MAX_FILE + 1).read_to_string(&mut text)?;
        Ok((text, mode))
    };
    let (text, mode) = read().map_err(|error: io::Error| failed(&error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(&"it is longer than 1 MiB"));
    }
    let entries = parse(&text, sections)
        .map_err(|(line, problem)| Failure::Usage(format!("{shown}:{line}: {problem}")))?;
    Ok((entries, mode))
}

/// The most bytes of a file. No file of settings is longer.
const MAX_FILE: u64 = 1 << 20;

/// A line and its problem.
type Problem = (usize, String);

pub(super) fn parse(text: &str, sections: &[&str]) -> Result<Vec<Entry>, Problem> {
    let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(1, line);
        (at, format!("invalid TOML: {}; a line is `key = value`, text in quotes", error.message()))
    })?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut add = |section: Option<&str>, key: &Spanned<_>, value| {
        let entry = entry(text, section, key, value, &line)?;
        let same =
            |earlier: &&Entry| (&earlier.section, &earlier.name) == (&entry.section, &entry.name);
        if let Some(earlier) = entries.iter().find(same) {
            let (first, second) = (earlier.line.min(entry.line), earlier.line.max(entry.line));
            let name = &entry.name;
            return Err((second, format!("{name} is already set in line {first}; remove one")));
        }
        entries.push(entry);
        Ok(())
    };
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(_) if !sections.contains(&&**key.get_ref()) => {
                let (name, known) = (key.get_ref(), sections.join(", "));
                let problem = format!(
                    "unknown section [{name}]; a section has the name of a command: {known}"
                );
                return Err((line(key.span()), problem));
            }
            DeValue::Table(section) => {
                for (inner, value) in section {
                    add(Some(key.get_ref()), inner, value)?;
                }
            }
            _ => add(None, key, value)?,
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn entry(
    text: &str,
    section: Option<&str>,
    key: &Spanned<Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    line: &impl Fn(Range<usize>) -> usize,
) -> Result<Entry, Problem> {
    let at = line(key.span());
    // The README writes settings with underscores, as C clients do.
    let name = key.get_ref().replace('_', "-");
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
    Ok(Entry { section: section.map(str::to_owned), name, line: at, values, is_list })
}

/// A value as text after a flag. Numbers stay as written in the file, so that
/// `0xA7000000` is a key and `0o640` a mode.
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
        Entry { section: None, name: name.into(), line, values, is_list }
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
        assert_eq!(parse(text, &["sim", "tend"]).unwrap(), wanted);
        assert_eq!(parse("", &[]).unwrap(), []);
    }

    #[test]
    fn a_section_has_keys_of_its_own() {
        let text = "namespace = \"test\"\n\n[sim]\nnodes = 2\nnamespace = [\"test:1\"]\n";
        let in_sim = |entry| Entry { section: Some("sim".into()), ..entry };
        let wanted = [
            entry("namespace", 1, &["test"], false),
            in_sim(entry("nodes", 4, &["2"], false)),
            in_sim(entry("namespace", 5, &["test:1"], true)),
        ];
        assert_eq!(parse(text, &["sim", "tend"]).unwrap(), wanted);
    }

    #[test]
    fn what_can_not_be_read_names_its_line() {
        for (text, line, what) in [
            ("host = [\"a\"]\ntend-interval = 1s\n", 2, "invalid TOML"),
            ("a = 1\na = 2\n", 2, "invalid TOML: duplicate key"),
            ("tend-interval = \"1s\"\n\ntend_interval = \"2s\"\n", 3, "already set in line 1"),
            ("\n[tend]\nhost = {a = 1}\n", 3, "host is a TOML table"),
            ("[sim]\nnodes = 1\n\n[tend]\nwait = true\n[sim.more]\n", 6, "more is a TOML table"),
            ("host = [[\"a\"]]\n", 1, "host is a TOML array"),
            ("host = 2026-01-01\n", 1, "datetime"),
            ("host", 1, "invalid TOML"),
            ("a = 1\n[colours]\n", 2, "unknown section [colours]"),
            ("host = {}\n", 1, "unknown section [host]"),
        ] {
            let (at, problem) = parse(text, &["sim", "tend"]).unwrap_err();
            assert!(at == line && problem.contains(what), "{text:?}: line {at}: {problem}");
        }
    }
}
