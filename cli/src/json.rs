//! JSON output that is exact for programs and harmless to a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use tendmap::internals::text::is_printable;

/// Escapes characters that JSON allows but that affect a terminal. To a reader of
/// JSON, `\u202e` is the character itself.
struct Escaping(CompactFormatter);

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character| !is_printable(character)) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

/// Writes a value as one line, without the newline.
///
/// # Errors
/// The error of the system call.
pub fn write(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping(CompactFormatter)))?;
    Ok(())
}

/// A value as one line, without the newline.
pub fn line(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(&mut bytes, value);
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn h113_json_is_exact_and_does_nothing_to_a_terminal() {
        let foreign = "\u{1b}[2J\u{7f}\u{9b}31m\u{202e}a\u{2066}\u{feff}\u{2028}\"\\\n😀ä\u{e0041}";
        let value = json!({ foreign: [foreign, 1, null] });
        let line = line(&value);
        assert!(line.chars().all(is_printable), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        assert!(
            line.contains("\\u009b31m\\u202ea") && line.contains("😀ä\\udb40\\udc41"),
            "{line}"
        );
    }
}
