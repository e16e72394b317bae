//! `tendmap status --watch`: the state again and again.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Report;
use crate::failure::Failure;
use crate::output::{Output, Screened, rows};
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

/// Writes a text over the one that the screen shows: as many lines as there is room for.
fn redraw(text: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let room = usize::from(rows()).saturating_sub(1).max(2);
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(b"\x1b[H")?;
    let all = lines.len() <= room;
    for line in &lines[..if all { lines.len() } else { room - 1 }] {
        Screened(&mut out).write_all(line.as_bytes())?;
        out.write_all(b"\x1b[K\n")?;
    }
    if !all {
        writeln!(out, "… {} more lines\x1b[K", lines.len() + 1 - room)?;
    }
    out.write_all(b"\x1b[J")?;
    out.flush()
}
