//! The screen of `watch`: header, nodes, partitions, events, keys. It only shows what
//! [`App`] knows.

mod cells;
mod events;
mod header;
mod help;
mod nodes;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::App;
use super::paint::Paint;
use cells::Shape;

/// From this size on nodes and partitions stand side by side.
const WIDE: (u16, u16) = (140, 26);
/// The smallest size on which anything can be seen.
const SMALLEST: (u16, u16) = (24, 6);

/// Draws all of it.
pub fn draw(frame: &mut Frame, app: &App, paint: Paint) {
    let area = frame.area();
    show(area, frame.buffer_mut(), app, paint);
}

fn show(area: Rect, out: &mut Buffer, app: &App, paint: Paint) {
    let screen = Screen { paint };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("{}x{} is too small: q quits", area.width, area.height);
        return screen.line(out, area, vec![Span::raw(text)]);
    }
    let (mut top, mut bottom) = (area, area);
    top.height = screen.header(area, out, app);
    bottom.y = area.bottom() - 1;
    bottom.height = 1;
    screen.keys(bottom, out, app);
    let body = rows(area, top.bottom(), bottom.y - top.bottom());
    if app.state.is_none() {
        screen.events(body, out, app);
    } else if area.width >= WIDE.0 && area.height >= WIDE.1 {
        screen.beside(body, out, app);
    } else {
        screen.stacked(body, out, app);
    }
    if app.help {
        screen.help(area, out, app);
    }
    if paint.ascii {
        only_ascii(area, out);
    }
}

/// Replaces what came in texts and a terminal can't show.
fn only_ascii(area: Rect, out: &mut Buffer) {
    for position in area.positions() {
        let cell = &mut out[position];
        if !cell.symbol().is_ascii() {
            let replaced = if cell.symbol() == "µ" { 'u' } else { '?' };
            cell.set_char(replaced);
        }
    }
}

/// Rows of an area.
fn rows(area: Rect, y: u16, height: u16) -> Rect {
    Rect { y, height, ..area }
}

/// Draws with the colours and characters of a terminal.
#[derive(Clone, Copy)]
struct Screen {
    paint: Paint,
}

impl Screen {
    /// Nodes above partitions above events.
    fn stacked(self, body: Rect, out: &mut Buffer, app: &App) {
        let room = body.height;
        let nodes = self.nodes_wanted(app).min((room * 3 / 10).max(4)).min(room);
        let least = (room / 4).clamp(3, 12).min(room - nodes);
        let grid = self.cells_wanted(app, body.width, room - nodes - least);
        self.nodes(rows(body, body.y, nodes), out, app);
        self.cells(rows(body, body.y + nodes, grid), out, app);
        self.events(rows(body, body.y + nodes + grid, room - nodes - grid), out, app);
    }

    /// Nodes above events, both beside the partitions.
    fn beside(self, body: Rect, out: &mut Buffer, app: &App) {
        let most = body.width * 11 / 20;
        let shape = self.shape(app, most, body.height - 1);
        let across = (shape.map_or(0, Shape::width) as u16 + 1).min(most);
        let right = Rect { x: body.right() - across, width: across, ..body };
        let left = Rect { width: body.width - across - 2, ..body };
        let nodes = self.nodes_wanted(app).min(body.height * 3 / 5);
        self.nodes(rows(left, left.y, nodes), out, app);
        self.events(rows(left, left.y + nodes, left.height - nodes), out, app);
        self.cells(right, out, app);
    }

    /// A line of text, cut at the end of the area.
    fn line(self, out: &mut Buffer, area: Rect, spans: Vec<Span>) {
        if area.height == 0 || area.width == 0 {
            return;
        }
        let line = Line::from(spans);
        let long = line.width() > usize::from(area.width);
        out.set_line(area.x, area.y, &line, area.width);
        if long {
            let cut = self.paint.either('…', '~');
            out[(area.right() - 1, area.y)].set_char(cut).set_style(self.paint.faint());
        }
    }

    /// Parts of a line, as many as fit, with dots in between.
    fn parts(self, out: &mut Buffer, area: Rect, parts: Vec<Vec<Span<'_>>>) {
        let dot = format!(" {} ", self.paint.either('·', '|'));
        let mut spans: Vec<Span> = Vec::new();
        let mut used = 0;
        for part in parts {
            let width: usize = part.iter().map(Span::width).sum();
            let gap = if spans.is_empty() { 0 } else { dot.chars().count() };
            if !spans.is_empty() && used + gap + width > usize::from(area.width) {
                break;
            }
            if gap > 0 {
                spans.push(Span::styled(dot.clone(), self.paint.faint()));
            }
            used += gap + width;
            spans.extend(part);
        }
        self.line(out, area, spans);
    }

    /// A line that begins a part of the screen: a title in a rule.
    fn rule(self, out: &mut Buffer, area: Rect, title: &str, more: Vec<Span<'_>>) {
        if area.height == 0 {
            return;
        }
        let dash = self.paint.either('─', '-').to_string();
        let faint = self.paint.faint();
        out.set_string(area.x, area.y, dash.repeat(usize::from(area.width)), faint);
        let mut spans = vec![Span::raw(" "), Span::styled(title.to_owned(), self.paint.title())];
        if title.is_empty() {
            return;
        }
        spans.extend(more);
        spans.push(Span::raw(" "));
        let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
        self.line(out, inner, spans);
    }

    /// A text in the background's style.
    fn faint<'a>(self, text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
        Span::styled(text, self.paint.faint())
    }
}

/// A text with a style.
fn styled<'a>(text: impl Into<std::borrow::Cow<'a, str>>, style: Style) -> Span<'a> {
    Span::styled(text, style)
}

#[cfg(test)]
mod tests;
