//! The header, and the line of keys.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use tendmap::client::{Status, Verdict};
use tendmap::internals::text::Printable;

use super::{Screen, rows, styled};
use crate::duration::show;
use crate::output::{grouped, wrapped};
use crate::watch::app::App;
use crate::watch::look::Absent;

/// From this height on more than one problem is shown.
const TALL: u16 = 30;
/// The most lines for the reason why a segment can't be read.
const LINES: usize = 4;
/// The most problems that are shown.
const PROBLEMS: usize = 4;

impl Screen {
    /// Draws the header; returns its height.
    pub fn header(self, area: Rect, out: &mut Buffer, app: &App) -> u16 {
        let mut lines = 0;
        let mut next = || {
            lines += 1;
            rows(area, area.y + lines - 1, 1)
        };
        self.name(next(), out, app);
        if let Some(absent) = &app.absent {
            let (style, text) = match absent {
                Absent::None(text) if app.state.is_none() => {
                    (self.paint.notable(), format!("waiting: {text}"))
                }
                Absent::None(text) => {
                    (self.paint.bad(), format!("gone, and this was its last state: {text}"))
                }
                Absent::Unread(text) => (self.paint.bad(), format!("can't be read: {text}")),
            };
            let room = usize::from(area.width).saturating_sub(2);
            for text in wrapped(&Printable(text).to_string(), room).iter().take(LINES) {
                self.line(out, next(), vec![styled(format!(" {text}"), style)]);
            }
        }
        let Some(status) = app.state.as_ref().map(|state| &state.status) else { return lines };
        self.owner(next(), out, status);
        let (texts, style) = match status.verdict() {
            Verdict::Unhealthy(problems) => (problems, self.paint.bad()),
            Verdict::Healthy => (status.remarks(), self.paint.notable()),
        };
        if texts.is_empty() {
            self.figures(next(), out, status);
        }
        let most = if area.height >= TALL { PROBLEMS } else { 1 };
        for (index, text) in texts.iter().take(most).enumerate() {
            let hidden = texts.len().saturating_sub(most);
            let more = match hidden {
                1.. if index + 1 == most => format!("(+{hidden} more) "),
                _ => String::new(),
            };
            let text = format!(" {more}{}", Printable(text));
            self.line(out, next(), vec![styled(text, style)]);
        }
        lines
    }

    /// The segment, and its verdict at the right.
    fn name(self, area: Rect, out: &mut Buffer, app: &App) {
        let paint = self.paint;
        let status = app.state.as_ref().map(|state| &state.status);
        let mut badges = Vec::new();
        if app.paused {
            badges.push(styled(" PAUSED ", paint.badge(paint.notable())));
            badges.push(Span::raw(" "));
        }
        let (word, style) = match (status, &app.absent) {
            (None, Some(Absent::None(_)) | None) => (" NO SEGMENT ", paint.notable()),
            (Some(_), Some(Absent::None(_))) => (" GONE ", paint.bad()),
            (_, Some(Absent::Unread(_))) => (" NOT READABLE ", paint.bad()),
            (Some(status), None) => match status.verdict() {
                Verdict::Healthy => (" HEALTHY ", paint.good()),
                Verdict::Unhealthy(_) if status.is_stale() => (" STALE ", paint.bad()),
                Verdict::Unhealthy(_) => (" UNHEALTHY ", paint.bad()),
            },
        };
        badges.push(styled(word, paint.badge(style)));
        let wide = badges.iter().map(Span::width).sum::<usize>() as u16;
        let right = Rect { x: area.right().saturating_sub(wide), width: wide, ..area };
        self.line(out, right, badges);
        let left = Rect { width: area.width.saturating_sub(wide + 1), ..area };
        let mut parts = vec![vec![styled(" tendmap watch", paint.title())]];
        if let Some(status) = status {
            let cluster = status.cluster_name.as_deref().unwrap_or("(no cluster name)");
            let bold = Style::new().add_modifier(ratatui::style::Modifier::BOLD);
            parts.push(vec![styled(Printable(cluster).to_string(), bold)]);
            let (key, generation) = (status.key, status.generation);
            parts.push(vec![Span::raw(format!("{key:#010x} gen {generation}"))]);
            if let Some((number, all)) = app.among {
                parts.push(vec![self.faint(format!("segment {number} of {all}"))]);
            }
            let at = match (&status.path, status.shm_id) {
                (Some(path), _) => Printable(path.display()).to_string(),
                (None, Some(id)) => format!("shmid {id}"),
                (None, None) => String::new(),
            };
            parts.push(vec![self.faint(at)]);
        }
        self.parts(out, left, parts);
    }

    fn owner(self, area: Rect, out: &mut Buffer, status: &Status) {
        let paint = self.paint;
        let pid = status.owner_pid.map_or("?".to_owned(), |pid| pid.to_string());
        let owner = match (status.owner_alive, status.abdicated) {
            (_, true) => styled(format!("{pid} gives up"), paint.bad()),
            (true, _) => styled(format!("{pid} alive"), paint.good()),
            (false, _) if status.owner_pid.is_some() => styled(format!("{pid} gone"), paint.bad()),
            (false, _) => styled("none", paint.bad()),
        };
        let interval =
            status.tend_interval.map_or(String::new(), |interval| format!(" / {}", show(interval)));
        let pair = |name: &'static str, value: String| vec![self.faint(name), Span::raw(value)];
        let parts = vec![
            vec![self.faint(" owner "), owner],
            pair("term ", status.term.to_string()),
            pair("sequence ", status.sequence.to_string()),
            pair("heartbeat ", age(status.heartbeat_age)),
            pair("tended ", age(status.tended_age) + &interval),
        ];
        self.parts(out, area, parts);
    }

    fn figures(self, area: Rect, out: &mut Buffer, status: &Status) {
        let pair = |name: &'static str, value: String| vec![self.faint(name), Span::raw(value)];
        let attached = status.attached.map_or("?".to_owned(), |count| count.to_string());
        let parts = vec![
            pair(" attached ", attached),
            pair("publications ", grouped(status.publications)),
            pair("takeovers ", grouped(status.takeovers)),
            pair("failed passes ", grouped(status.tend_errors)),
            pair("last pass ", status.pass_time.map_or("-".to_owned(), show)),
            pair("received ", format!("{} bytes", grouped(status.bytes_in))),
        ];
        self.parts(out, area, parts);
    }

    /// The keys, in the last line.
    pub fn keys(self, area: Rect, out: &mut Buffer, app: &App) {
        let arrows = if self.paint.ascii { "up/down" } else { "↑↓" };
        let pause = if app.paused { "go on" } else { "pause" };
        let mut keys = vec![("q", "quit"), ("?", "help"), ("n", "namespace"), (arrows, "node")];
        keys.extend([("s", "segment"), ("p", pause), ("c", "cells"), ("PgUp", "older events")]);
        let bold = Style::new().add_modifier(ratatui::style::Modifier::BOLD);
        let mut used = 1;
        let mut spans = vec![Span::raw(" ")];
        for (key, what) in keys {
            let width = key.chars().count() + what.len() + 3;
            if used + width > usize::from(area.width) {
                break;
            }
            used += width;
            spans.push(styled(key, bold));
            spans.push(self.faint(format!(" {what}  ")));
        }
        self.line(out, area, spans);
    }
}

/// An age in whole seconds, so that it changes no more often than that.
pub fn age(age: Option<Duration>) -> String {
    match age {
        None => "never".to_owned(),
        Some(age) if age < Duration::from_secs(1) => "<1 s".to_owned(),
        Some(age) if age < Duration::from_secs(120) => format!("{} s", age.as_secs()),
        Some(age) => show(age),
    }
}
