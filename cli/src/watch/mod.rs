//! `tendmap watch`: a segment, its owner, its nodes and its partitions on a terminal,
//! as they change. It only reads.

mod app;
mod change;
mod jobs;
mod look;
mod paint;
mod screen;
mod terminal;
#[cfg(test)]
mod testing;

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::iterator::Signals;
use tendmap::internals::explain::explain;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::Output;
use crate::{signals, status};
use app::{App, turned};
use look::{look, position, targets};
use paint::Paint;
use terminal::Screen;

/// How often marks of changes are looked at while they fade.
const FADE: Duration = Duration::from_millis(250);
/// How long the end may take after a signal, if the terminal takes no output.
const PATIENCE: Duration = Duration::from_secs(2);

/// The flags of `tendmap watch`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The time between two looks at the segment.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = status::interval)]
    interval: Duration,
}

/// What the loop waits for.
enum Heard {
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// SIGINT, SIGTERM or SIGHUP.
    Stop,
    /// The terminal can't be read.
    Deaf(io::Error),
    /// SIGTSTP, from another process.
    Suspend,
    /// SIGCONT: the terminal may have been used by others.
    Continued,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Quit,
    Suspend,
    Redraw,
    Segment(bool),
}

/// Watches until it is told to stop.
///
/// # Errors
/// [`Failure`] without a terminal.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let text = "watch draws on a terminal and has no JSON; use `tendmap status --watch --json`";
        return Err(Failure::Usage(text.to_owned()));
    }
    terminal::check()?;
    let paint = Paint::of(|name| std::env::var_os(name));
    let (to, heard) = bounded(64);
    hear(&to)?;
    let failed =
        |error: io::Error| Failure::Failed(format!("can't use the terminal: {}", explain(&error)));
    let mut screen = Screen::take(paint.depth).map_err(failed)?;
    // Only now, because reading keys needs the terminal's mode.
    read_keys(to)?;
    let result = serve(common, args, paint, &mut screen, &heard);
    drop(screen);
    result.map_err(failed)
}

/// Passes signals on.
fn hear(to: &Sender<Heard>) -> Result<(), Failure> {
    let stop = to.clone();
    signals::on_stop(move || {
        let _ = stop.try_send(Heard::Stop);
        // The loop may be held up by a terminal that takes no output.
        thread::sleep(PATIENCE);
        terminal::restore_modes();
        std::process::exit(0);
    })?;
    let failed = |error| Failure::Failed(format!("can't catch signals: {}", explain(&error)));
    let mut caught = Signals::new([SIGTSTP, SIGCONT]).map_err(failed)?;
    let to = to.clone();
    spawn("tendmap-jobs", move || {
        for signal in caught.forever() {
            let heard = if signal == SIGTSTP { Heard::Suspend } else { Heard::Continued };
            if to.send(heard).is_err() {
                break;
            }
        }
    })
}

fn read_keys(to: Sender<Heard>) -> Result<(), Failure> {
    spawn("tendmap-keys", move || {
        loop {
            let heard = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Heard::Key(key),
                Ok(Event::Resize(..)) => Heard::Resized,
                Ok(_) => continue,
                Err(error) => Heard::Deaf(unread(error)),
            };
            let end = matches!(heard, Heard::Deaf(_));
            if to.send(heard).is_err() || end {
                break;
            }
        }
    })
}

/// An error of the terminal's reader, which does not say why it can't start: it needs
/// descriptors of its own.
fn unread(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => {
            let advice = "the limit of descriptors may be too low (`ulimit -n`): raise it";
            io::Error::other(format!("{error}; {advice}"))
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::Failed(format!("can't start a thread: {}", explain(&error)));
    thread::Builder::new().name(name.into()).spawn(work).map(drop).map_err(failed)
}

fn serve(
    common: &Common,
    args: &Args,
    paint: Paint,
    screen: &mut Screen,
    heard: &Receiver<Heard>,
) -> io::Result<()> {
    let mut app = App::new();
    let mut due = Instant::now();
    loop {
        let now = Instant::now();
        if now >= due && !app.paused {
            app.take(look(common, app.target), now, &time_of_day());
            number(common, &mut app);
            due = now + args.interval;
        }
        app.refresh(now);
        screen.terminal.draw(|frame| screen::draw(frame, &app, paint))?;
        let idle = if app.paused { Duration::from_secs(3600) } else { due - now.min(due) };
        let wait = if app.is_fading() { idle.min(FADE) } else { idle };
        let mut next = match heard.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(next) => Some(next),
        };
        // Keys that were typed in the meantime, before the next frame.
        while let Some(one) = next {
            match one {
                Heard::Stop => return Ok(()),
                Heard::Deaf(error) => return Err(error),
                Heard::Resized => screen.terminal.autoresize()?,
                Heard::Suspend => screen.suspend(stop)?,
                Heard::Continued => screen.resume()?,
                Heard::Key(key) => match press(&mut app, key) {
                    Asked::Quit => return Ok(()),
                    Asked::Suspend => screen.suspend(stop)?,
                    Asked::Redraw => screen.redraw()?,
                    Asked::Segment(forward) => {
                        turn_segment(common, &mut app, forward);
                        due = Instant::now();
                    }
                    Asked::Nothing => {}
                },
            }
            next = heard.try_recv().ok();
        }
    }
}

/// Stops this process as SIGTSTP does, unless no shell could continue it.
fn stop() {
    if jobs::is_job() {
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
    }
}

/// Watches the next segment of the host, or the one before.
fn turn_segment(common: &Common, app: &mut App, forward: bool) {
    let Ok(targets) = targets(common) else { return };
    let at = app.state.as_ref().and_then(|state| position(&targets, &state.status));
    if targets.is_empty() || targets.len() == 1 && at.is_some() {
        return;
    }
    let next = targets[turned(at, targets.len(), forward)];
    app.turn_to(next, Instant::now(), &time_of_day());
}

/// Notes which of the host's segments is shown.
fn number(common: &Common, app: &mut App) {
    let targets = targets(common).unwrap_or_default();
    let at = app.state.as_ref().and_then(|state| position(&targets, &state.status));
    app.among = at.filter(|_| targets.len() > 1).map(|at| (at + 1, targets.len()));
}

/// Does what a key asks for, as far as the screen alone is concerned.
fn press(app: &mut App, key: KeyEvent) -> Asked {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Asked::Quit,
            KeyCode::Char('z') => Asked::Suspend,
            KeyCode::Char('l') => Asked::Redraw,
            _ => Asked::Nothing,
        };
    }
    if app.help {
        app.help = false;
        return if key.code == KeyCode::Char('q') { Asked::Quit } else { Asked::Nothing };
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Asked::Quit,
        KeyCode::Char('r') => return Asked::Redraw,
        KeyCode::Char('s') => return Asked::Segment(true),
        KeyCode::Char('S') => return Asked::Segment(false),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => app.help = true,
        KeyCode::Char('n') | KeyCode::Tab | KeyCode::Right => app.turn_namespace(true),
        KeyCode::Char('N') | KeyCode::BackTab | KeyCode::Left => app.turn_namespace(false),
        KeyCode::Char('j') | KeyCode::Down => app.turn_node(true),
        KeyCode::Char('k') | KeyCode::Up => app.turn_node(false),
        KeyCode::Home => app.mark_end(false),
        KeyCode::End => app.mark_end(true),
        KeyCode::Char('p' | ' ') => app.paused = !app.paused,
        KeyCode::Char('c') => app.letters = Some(!app.letters.unwrap_or(app.nodes().len() > 16)),
        KeyCode::PageUp => app.back = (app.back + 5).min(app.log.len().saturating_sub(1)),
        KeyCode::PageDown => app.back = app.back.saturating_sub(5),
        _ => {}
    }
    Asked::Nothing
}

/// The time of day in UTC.
#[allow(clippy::disallowed_methods, reason = "shown to people, and nothing else depends on it")]
fn time_of_day() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}
