//! The log of events, the latest last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tendmap::internals::text::Printable;

use super::{Screen, rows, styled};
use crate::watch::app::App;

impl Screen {
    /// Draws as many events as fit.
    pub fn events(self, area: Rect, out: &mut Buffer, app: &App) {
        if area.height == 0 {
            return;
        }
        let more = match app.back {
            0 => String::new(),
            back => format!(", {back} newer below"),
        };
        self.rule(out, area, "events", vec![self.faint(format!(" UTC{more}"))]);
        let room = usize::from(area.height) - 1;
        let last = app.log.len().saturating_sub(app.back);
        let shown = app.log.iter().take(last).skip(last.saturating_sub(room));
        for (index, entry) in shown.enumerate() {
            let line = rows(area, area.y + 1 + index as u16, 1);
            let text = Printable(&entry.event).to_string();
            let style = self.paint.weight(entry.event.weight);
            let time = self.faint(format!(" {} ", entry.time));
            self.line(out, line, vec![time, styled(text, style)]);
        }
    }
}
