//! The terminal while `watch` runs: the other screen, no echo, keys one by one. However
//! the process ends or stops, the terminal is as it was.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::terminal::{
    DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};

use super::paint::Depth;
use crate::failure::Failure;

/// Whether the terminal is ours to restore.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The screen, from [`Screen::take`] to its drop.
pub struct Screen {
    /// Draws frames.
    pub terminal: Terminal<CrosstermBackend<Frames>>,
}

/// Fails unless standard input and output are a terminal that can move its cursor.
///
/// # Errors
/// [`Failure::Failed`] says what to do.
pub fn check() -> Result<(), Failure> {
    let term = std::env::var_os("TERM").unwrap_or_default();
    let able = !term.is_empty() && term != "dumb" && term != "unknown";
    if able && io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    let why = if able { "" } else { " that can move its cursor (see TERM)" };
    let text = format!("watch needs a terminal{why}; use `tendmap status --watch`");
    Err(Failure::Failed(text))
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn take(depth: Depth) -> io::Result<Screen> {
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                report(info);
            }));
        });
        enter()?;
        let frames = Frames { depth, bytes: Rc::default() };
        Ok(Screen { terminal: Terminal::new(CrosstermBackend::new(frames))? })
    }

    /// Gives the terminal back for as long as the process is stopped.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn suspend(&mut self, stop: impl FnOnce()) -> io::Result<()> {
        restore();
        stop();
        self.resume()
    }

    /// Takes the terminal again, which a shell may have changed, and draws all of it.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn resume(&mut self) -> io::Result<()> {
        restore();
        enter()?;
        self.redraw()
    }

    /// Has the next frame draw everything.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal for its cursor: the answer would be among
        // the keys, which another thread reads.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    // Relaxed: only this thread takes it; a panic in another one restores once more or
    // once less.
    TAKEN.store(true, Ordering::Relaxed);
    let entered = enable_raw_mode()
        .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, Hide));
    if entered.is_err() {
        restore();
    }
    entered
}

/// Gives the terminal back. Nothing can be done about an error.
pub fn restore() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        let mut out = io::stdout().lock();
        let _ = queue!(out, EnableLineWrap, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// Gives back what needs no output: for a terminal that takes none.
pub fn restore_modes() {
    let _ = disable_raw_mode();
}

/// Collects what is drawn, and writes it at once: half a frame is never seen, and one
/// without a change is not sent.
pub struct Frames {
    depth: Depth,
    bytes: Rc<RefCell<Vec<u8>>>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = core::mem::take(&mut *self.bytes.borrow_mut());
        if !has_effect(&frame) {
            return Ok(());
        }
        let frame = if self.depth == Depth::Basic { basic(&frame) } else { frame };
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }
}

/// Whether a frame does more than to set attributes and hide the cursor.
fn has_effect(mut frame: &[u8]) -> bool {
    while let Some(rest) = frame.strip_prefix(b"\x1b[") {
        let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
            return true;
        };
        let sequence = &rest[..=end];
        if rest[end] != b'm' && sequence != b"?25l" {
            return true;
        }
        frame = &rest[end + 1..];
    }
    !frame.is_empty()
}

/// The colours 0 to 15 as every terminal with 16 colours knows them: 31 instead of
/// 38;5;1, and 91 instead of 38;5;9.
fn basic(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len());
    let mut rest = frame;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\x1b[") {
        out.extend_from_slice(&rest[..at + 2]);
        rest = &rest[at + 2..];
        let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(rest.len());
        let parameters = &rest[..end];
        rest = &rest[end..];
        if rest.first() != Some(&b'm') {
            out.extend_from_slice(parameters);
            continue;
        }
        let numbers: Vec<&[u8]> = parameters.split(|byte| *byte == b';').collect();
        let mut words: Vec<String> = Vec::new();
        let mut at = 0;
        while at < numbers.len() {
            let text = |index: usize| numbers.get(index).map(|word| String::from_utf8_lossy(word));
            let (base, bright) = match text(at).as_deref() {
                Some("38") => (30, 90),
                Some("48") => (40, 100),
                word => {
                    words.push(word.unwrap_or_default().to_owned());
                    at += 1;
                    continue;
                }
            };
            let index: u8 = text(at + 2).and_then(|word| word.parse().ok()).unwrap_or(7);
            let code = if index < 8 { base + index } else { bright + index % 8 };
            words.push(code.to_string());
            at += 3;
        }
        out.extend_from_slice(words.join(";").as_bytes());
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Run by the next test on a terminal of its own.
    #[test]
    #[ignore = "it panics"]
    fn panics_on_its_screen() {
        let _screen = Screen::take(Depth::Full).unwrap();
        panic!("a panic to be read");
    }

    #[test]
    fn h145_a_panic_is_read_on_the_terminal_as_it_was() {
        let own = std::env::current_exe().unwrap();
        let test = "watch::terminal::tests::panics_on_its_screen";
        let command = format!("'{}' --exact {test} --ignored --nocapture", own.display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let output = match script.stdin(std::process::Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => {
                return tendmap_testkit::skipped(&format!("`script` is not installed: {error}"));
            }
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}"));
        let (entered, left) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
        assert!(entered < left && left < at("a panic to be read"), "{text:?}");
        assert!(at("\u{1b}[?25h") < at("a panic to be read"), "{text:?}");
        assert_eq!(text.matches("\u{1b}[?1049l").count(), 1, "{text:?}");
    }

    #[test]
    fn h143_sixteen_colours_are_sent_as_every_terminal_knows_them() {
        let sent = |text: &str| String::from_utf8(basic(text.as_bytes())).unwrap();
        assert_eq!(sent("\x1b[38;5;1mx"), "\x1b[31mx");
        assert_eq!(sent("\x1b[38;5;9;48;5;14mxß\x1b[2;3Hy"), "\x1b[91;106mxß\x1b[2;3Hy");
        assert_eq!(sent("\x1b[0m\x1b[1m\x1b[39;48;5;0m"), "\x1b[0m\x1b[1m\x1b[39;40m");
        assert_eq!(sent("a\x1b["), "a\x1b[");
    }

    #[test]
    fn a_frame_without_a_change_is_not_sent() {
        assert!(!has_effect(b"\x1b[39m\x1b[49m\x1b[0m\x1b[?25l"));
        assert!(!has_effect(b""));
        assert!(has_effect(b"\x1b[1;1Hx\x1b[0m"));
        assert!(has_effect(b"\x1b[?25h"));
    }
}
