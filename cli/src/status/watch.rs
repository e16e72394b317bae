//! `tendmap status --watch`: the state again and again.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tendmap::internals::text::Printable;

use super::Report;
use crate::failure::Failure;
use crate::output::{Output, Screened, rows, width, wrapped};
use crate::signals::on_stop;

/// How long a write may take after a signal. A reader of the output that has stopped reading does
/// not keep this process.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Reports until a signal, or until the reader of the output closes it. A look that fails is
/// reported like any other: the segment may be there the next time.
///
/// # Errors
/// [`Failure`] if the output can't be written.
pub fn run(
    interval: Duration,
    output: &Output,
    look: impl Fn() -> Result<Report, Failure>,
) -> Result<(), Failure> {
    let (stop, stopped) = channel();
    on_stop(move || {
        let _ = stop.send(());
        std::thread::sleep(LAST_WRITE);
        std::process::exit(0);
    })?;
    let redraws = !output.is_json() && io::stdout().is_terminal();
    let mut due = Instant::now();
    let mut first = true;
    loop {
        let found = look();
        if output.is_json() {
            let value = || match found {
                Ok(report) => report.json,
                Err(failure) => failure.to_json(),
            };
            output.answer(value, |_| Ok(()))?;
        } else {
            let text = match found {
                Ok(report) => report.text,
                Err(failure) => format!("UNHEALTHY: {failure}\n").into_bytes(),
            };
            if redraws { redraw(&text)? } else { print(&text, first)? }
        }
        first = false;
        // Looks that take longer than the interval are not made up for.
        due = (due + interval).max(Instant::now());
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Writes a block, with an empty line between it and the one before.
fn print(text: &[u8], first: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !first {
        writeln!(out)?;
    }
    Screened(&mut out).write_all(text)?;
    out.flush()
}

/// Writes a text over the one that the screen shows.
fn redraw(text: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(text);
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(b"\x1b[H")?;
    for line in fitted(&text, usize::from(width()), usize::from(rows())) {
        Screened(&mut out).write_all(line.as_bytes())?;
        out.write_all(b"\x1b[K\n")?;
    }
    out.write_all(b"\x1b[J")?;
    out.flush()
}

/// The lines of a text that fit on a screen. If there is no room for all, the last paragraph,
/// which has the verdict, stays, and lines before it are left out.
fn fitted(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let folded = |line: &str| -> Vec<String> {
        let line = Printable(line).to_string();
        let cut = |line: String| line.chars().take(columns).collect();
        match line.chars().count() <= columns {
            true => vec![line],
            false => wrapped(&line, columns).into_iter().map(cut).collect(),
        }
    };
    let fold = |text: &str| -> Vec<String> { text.lines().flat_map(folded).collect() };
    // The cursor stays in the last row.
    let room = rows.saturating_sub(1).max(3);
    let lines = fold(text);
    if lines.len() <= room {
        return lines;
    }
    let text = text.trim_end();
    let (head, tail) = text.rsplit_once("\n\n").unwrap_or((text, ""));
    let (mut head, mut tail) = (fold(head), fold(tail));
    tail.truncate(room - 2);
    let kept = room - 1 - tail.len();
    let left_out = lines.len() - kept - tail.len();
    head.truncate(kept);
    head.push(format!("… {left_out} more lines"));
    head.extend(tail);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_screen_still_shows_the_verdict() {
        let text = "a\nb\nc\nd\n\nnote\nhealthy\n";
        assert_eq!(fitted(text, 80, 8), ["a", "b", "c", "d", "", "note", "healthy"]);
        assert_eq!(fitted(text, 80, 7), ["a", "b", "c", "… 2 more lines", "note", "healthy"]);
        assert_eq!(fitted(text, 80, 2), ["a", "… 5 more lines", "note"]);
        assert_eq!(fitted("a\nb\nc\nd\n", 80, 4), ["a", "b", "… 2 more lines"]);
        // Long lines are folded, so that none scrolls the screen.
        assert_eq!(fitted("one two\n12345678\n", 5, 24), ["one", "two", "12345"]);
    }
}
