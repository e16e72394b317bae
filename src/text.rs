//! Text that others wrote, fit to be read by people.
//!
//! What a server, a file, a segment or another process says may hold anything:
//! sequences that take a terminal over, line ends that forge lines of a log,
//! marks that turn the direction of text around. [`Printable`] is the one place
//! where such text is escaped, and it stands where the text enters a sentence:
//! in the `Display` of an error. The text itself, as programs read it (fields,
//! JSON), stays as it came.

use core::fmt::{self, Display, Write};

/// Shows a value with every character escaped that moves the cursor, changes
/// the direction, or is not seen: as Rust writes it in a literal, `\u{1b}`.
///
/// Letters of all scripts stay as they are, and so does a backslash. So text
/// that was escaped already does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printable<T>(
    /// The value to be shown.
    pub T,
);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Names in one sentence, each in quotes and escaped, with commas between them.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a, T>(
    /// The names.
    pub &'a [T],
);

impl<T: AsRef<str>> Display for Quoted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}\"{}\"", Printable(name.as_ref()))?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// Whether a character may go to a terminal: it is seen where it stands, and
/// nothing else happens.
pub fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        // Letters to Unicode, but they are blank.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => false,
        '\u{80}'.. => character.escape_debug().eq([character]),
        _ => false,
    }
}

/// Escapes all that is written to it.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|character| !is_printable(character)) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What does something to a terminal, to a line or to the direction of text,
    /// and what can't be seen.
    const FOREIGN: [core::ops::RangeInclusive<u32>; 22] = [
        0x00..=0x1f,
        0x7f..=0x9f,
        0xa0..=0xa0,
        0xad..=0xad,
        0x300..=0x36f,
        0x61c..=0x61c,
        0x115f..=0x1160,
        0x180b..=0x180e,
        0x1680..=0x1680,
        0x2000..=0x200f,
        0x2028..=0x202f,
        0x205f..=0x206f,
        0x3000..=0x3000,
        0x3164..=0x3164,
        0xe000..=0xf8ff,
        0xfe00..=0xfe0f,
        0xfeff..=0xfeff,
        0xffa0..=0xffa0,
        0xfff9..=0xfffb,
        0x1d173..=0x1d17a,
        0xe0000..=0xe01ef,
        0xf0000..=0x10ffff,
    ];

    #[test]
    fn h113_what_is_not_seen_as_it_stands_is_escaped() {
        for character in FOREIGN.into_iter().flatten().filter_map(char::from_u32) {
            assert!(!is_printable(character), "{:#x}", u32::from(character));
            let shown = Printable(character).to_string();
            assert_eq!(shown, character.escape_default().to_string());
            assert!(shown.chars().all(is_printable), "{shown}");
        }
    }

    #[test]
    fn h113_letters_of_all_scripts_stay() {
        let text = "a\\b \"c\" %s {} äß漢字עבריתعربى😀€";
        assert_eq!(Printable(text).to_string(), text);
        assert_eq!(Quoted(&["a", "b\u{202e}"]).to_string(), "\"a\", \"b\\u{202e}\"");
        assert_eq!(Quoted::<&str>(&[]).to_string(), "none");
    }

    proptest! {
        #[test]
        fn h113_escaping_again_changes_nothing(text in any::<String>()) {
            let once = Printable(&text).to_string();
            prop_assert!(once.chars().all(is_printable), "{once:?}");
            prop_assert_eq!(Printable(&once).to_string(), once);
        }
    }
}
