//! The help, over the rest of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Clear, Widget as _};

use super::cells::{Cell, Fill};
use super::{Screen, rows, styled};
use crate::grid::Change;
use crate::watch::app::App;

/// What a line explains: a key, or a cell as it is drawn.
enum Sign {
    Text(&'static str),
    Drawn(Fill, Change),
}
use Sign::{Drawn, Text};

const MASTER: Fill = Fill::Master(0);
const LINES: [(Sign, &str); 19] = [
    (Text("n, Tab / N"), "the next namespace / the one before"),
    (Text("Down, j / Up, k"), "mark a node; beyond the ends: none"),
    (Text("Home / End"), "the first / the last node"),
    (Text("s / S"), "the next segment of this host / the one before"),
    (Text("p, Space"), "pause, and go on"),
    (Text("PgUp / PgDn"), "older / newer events"),
    (Text("c"), "cells with symbols, or without"),
    (Text("r, Ctrl-L"), "draw the screen again"),
    (Text("q, Esc, Ctrl-C"), "quit"),
    (Text(""), ""),
    (Drawn(MASTER, Change::None), "a partition, in the colour of its master"),
    (Drawn(Fill::Hole, Change::None), "a hole: no node is its master"),
    (Drawn(MASTER, Change::NewMaster), "another node has just become its master"),
    (Drawn(MASTER, Change::Master), "the same, up to 5 seconds ago"),
    (Drawn(MASTER, Change::Replica), "another node holds one of its replicas"),
    (Drawn(Fill::Replica, Change::None), "the marked node holds a replica"),
    (Drawn(Fill::Other, Change::None), "it holds nothing of it"),
    (Text(""), "A cell of several has the colour of most of them,"),
    (Text(""), "and is a hole or has changed if one of them has."),
];

impl Screen {
    /// Draws the help in the middle.
    pub fn help(self, area: Rect, out: &mut Buffer, app: &App) {
        let width = 76.min(area.width);
        let height = (LINES.len() as u16 + 2).min(area.height);
        let x = area.x + (area.width - width) / 2;
        let y = area.y + (area.height - height) / 2;
        let frame = Rect { x, y, width, height };
        Clear.render(frame, out);
        self.rule(out, rows(frame, y, 1), "help", vec![self.faint(" any key closes it")]);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        for (index, (sign, what)) in LINES.iter().enumerate() {
            let line = rows(frame, y + 1 + index as u16, 1);
            if line.y + 1 >= frame.bottom() {
                break;
            }
            let mut spans = vec![styled("  ", Style::new())];
            match *sign {
                Text(key) => spans.push(styled(format!("{key:<18}"), bold)),
                Drawn(fill, change) => {
                    let (character, style) = self.sample(app, Cell { fill, change });
                    spans.push(styled(character.to_string().repeat(2), style));
                    spans.push(styled(" ".repeat(16), Style::new()));
                }
            }
            spans.push(styled(*what, Style::new()));
            self.line(out, line, spans);
        }
        self.rule(out, rows(frame, frame.bottom() - 1, 1), "", Vec::new());
    }
}
