//! Escaped text from others: it has no effect on a terminal, and a second escaping
//! changes nothing.

use tendmap::internals::text::{Printable, Quoted, is_printable};

/// The longest escape of one character: `\u{10ffff}`.
const LONGEST: usize = 10;

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = Printable(&text).to_string();
    assert!(shown.chars().all(is_printable), "{shown:?}");
    assert!(shown.len() <= LONGEST * text.len());
    assert_eq!(Printable(&shown).to_string(), shown);
    let words: Vec<&str> = text.split(',').collect();
    let quoted = Quoted(&words).to_string();
    assert!(quoted.chars().all(is_printable), "{quoted:?}");
}
