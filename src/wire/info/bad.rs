//! Entries of a list that can't be used: they are skipped, and the others are
//! used.

use core::fmt;

use super::shown;

/// The most bad entries of one reply that are kept. All are counted.
const MAX_KEPT: usize = 16;

/// An entry that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadEntry {
    /// The list that it is in.
    pub what: &'static str,
    /// The start of the entry, printable.
    pub entry: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadEntry { what, entry, problem } = self;
        write!(f, "skipped an entry of {what}: {problem}: \"{entry}\"")
    }
}

/// The bad entries of one reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadEntries {
    kept: Vec<BadEntry>,
    count: usize,
}

impl BadEntries {
    pub(super) fn add(&mut self, what: &'static str, entry: &[u8], problem: &'static str) {
        self.count += 1;
        if self.kept.len() < MAX_KEPT {
            let entry = shown(entry).escape_default().to_string();
            self.kept.push(BadEntry { what, entry, problem });
        }
    }

    /// The first bad entries.
    pub fn kept(&self) -> &[BadEntry] {
        &self.kept
    }

    /// The number of bad entries.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there are no bad entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_escaped_and_all_are_counted() {
        let mut bad = BadEntries::default();
        for _ in 0..100 {
            bad.add("peers", b"\x1b[31m\"\xff", "it is not text");
        }
        assert_eq!((bad.count(), bad.kept().len(), bad.is_empty()), (100, MAX_KEPT, false));
        let shown = bad.kept()[0].to_string();
        assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{shown:?}");
        assert!(shown.starts_with("skipped an entry of peers: it is not text: "), "{shown}");
    }
}
