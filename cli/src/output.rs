//! Standard output: JSON lines, plain lines, tables.
//!
//! Nothing here panics when the reader closes the pipe (`| head`): the error is
//! returned and ends the command.
//!
//! All text for people goes through [`Screened`], so that text from a server, a
//! file or another process has no effect on a terminal.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use tendmap::internals::text::Printable;

use crate::{json, log};

/// Standard output in one of two formats.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Output as JSON, or for people.
    pub fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether it is JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes and flushes one line.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn line(&self, line: impl core::fmt::Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", Printable(line))?;
        out.flush()
    }

    /// Writes the answer: `value` as JSON, or the text that `text` writes.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn answer(
        &self,
        value: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            json::write(&mut out, &value())?;
            writeln!(out)?;
        } else {
            text(&mut Screened(&mut out))?;
        }
        out.flush()
    }

    /// Writes the answer: `value` as JSON, or this text of the program itself, which
    /// another program reads and in which nothing is escaped.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn verbatim(&self, value: impl FnOnce() -> Value, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            json::write(&mut out, &value())?;
            writeln!(out)?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    }
}

/// Escapes everything that is written to it, except newlines.
///
/// A value that must not begin a new line has to be escaped with [`Printable`]
/// before.
pub struct Screened<'a>(pub &'a mut dyn Write);

impl Write for Screened<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // No character is ever cut, because this program writes whole texts.
        for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let (text, end) = match line.strip_suffix('\n') {
                Some(text) => (text, "\n"),
                None => (line, ""),
            };
            write!(self.0, "{}{end}", Printable(text))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The most columns of a line: those of the terminal, else 80.
pub fn width() -> u16 {
    columns(&io::stdout()).unwrap_or(80)
}

/// The rows of the terminal, else 24.
pub fn rows() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map(|size| size.ws_row).ok().filter(|&rows| rows > 0).unwrap_or(24)
}

/// The width of a terminal; `None` if the stream is not a terminal.
fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (stream.is_terminal() && size.ws_col >= 40).then_some(size.ws_col)
}

/// Writes a message to standard error, wrapped between words on a terminal.
pub fn complain(text: &str) {
    let is_error = !text.starts_with("warning: ");
    let text = &Printable(text).to_string();
    let lines = match columns(&io::stderr()) {
        Some(columns) => wrapped(text, usize::from(columns).saturating_sub(9)),
        None => vec![text.to_owned()],
    };
    // If standard error is closed too, there is no way to report it.
    let prefix = log::journal_prefix(is_error);
    let _ = writeln!(io::stderr(), "{prefix}tendmap: {}", lines.join("\n         "));
}

/// Writes a name, padded to a fixed width, and its value, wrapped between words.
///
/// # Errors
/// The error of the system call.
pub fn write_pair(out: &mut dyn Write, columns: usize, name: &str, value: &str) -> io::Result<()> {
    let room = usize::from(width()).saturating_sub(columns + 1).max(20);
    let value = &Printable(value).to_string();
    for (index, line) in wrapped(value, room).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        writeln!(out, "{}", format!("{name:<columns$} {line}").trim_end())?;
    }
    Ok(())
}

/// Wraps a text between words to lines of at most `room` characters. A longer word
/// is not broken.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A table without a frame. The columns in `right` are aligned to the right.
pub fn table<const N: usize>(header: [&str; N], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width());
    for (index, column) in table.column_iter_mut().enumerate() {
        let last = if index + 1 == N { 0 } else { 2 };
        column.set_padding((0, last));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Writes a table without blanks at the ends of lines.
///
/// # Errors
/// The error of the system call.
pub fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// A number with separated thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible a b", 4), ["incomprehensible", "a b"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn h113_text_for_people_does_nothing_to_a_terminal() {
        let mut bytes = Vec::new();
        write!(Screened(&mut bytes), "a\u{1b}[2J\r\u{9b}\n\u{202e}b\u{2028}\nä").unwrap();
        let shown = String::from_utf8(bytes).unwrap();
        assert_eq!(shown, "a\\u{1b}[2J\\r\\u{9b}\n\\u{202e}b\\u{2028}\nä");
    }

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
