//! Colours and characters for terminals that have all, some or none of them.

use std::ffi::OsString;

use ratatui::style::{Color, Modifier, Style};

use super::change::Weight;
use crate::grid::palette;

/// The colours of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None, or none are wanted.
    None,
    /// 16, numbered as in ECMA-48.
    Basic,
    /// 256.
    Full,
}

/// What may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// The colours.
    pub depth: Depth,
    /// Whether only ASCII may be used.
    pub ascii: bool,
}

/// The terminals with 256 colours whose names do not say so.
const FULL: [&str; 7] =
    ["alacritty", "xterm-kitty", "xterm-ghostty", "foot", "wezterm", "contour", "ms-terminal"];
/// Terminals without colours.
const NONE: [&str; 6] = ["vt52", "vt100", "vt102", "vt220", "vt320", "xterm-mono"];

impl Paint {
    /// What the environment says about the terminal.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Paint {
        let text = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        };
        let term = text("TERM").unwrap_or_default();
        let full = term.contains("256color") || term.contains("direct") || FULL.contains(&&*term);
        let depth = if text("NO_COLOR").is_some() || NONE.contains(&&*term) {
            Depth::None
        } else if full || text("COLORTERM").is_some() {
            Depth::Full
        } else {
            Depth::Basic
        };
        // Without any of them the terminal is more likely to know UTF-8 than not.
        let locale = text("LC_ALL").or_else(|| text("LC_CTYPE")).or_else(|| text("LANG"));
        let ascii = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            !locale.contains("utf-8") && !locale.contains("utf8")
        });
        Paint { depth, ascii }
    }

    fn with(self, full: u8, basic: u8) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::Basic => Style::new().fg(Color::Indexed(basic)),
            Depth::Full => Style::new().fg(Color::Indexed(full)),
        }
    }

    /// Labels and other text in the background.
    pub fn faint(self) -> Style {
        self.with(245, 8)
    }

    /// Headings.
    pub fn title(self) -> Style {
        self.with(75, 6).add_modifier(Modifier::BOLD)
    }

    /// What is in order.
    pub fn good(self) -> Style {
        self.with(71, 2)
    }

    /// What deserves a look.
    pub fn notable(self) -> Style {
        self.with(214, 3)
    }

    /// What is wrong.
    pub fn bad(self) -> Style {
        self.with(203, 9).add_modifier(Modifier::BOLD)
    }

    /// A word that must be seen, such as the verdict.
    pub fn badge(self, of: Style) -> Style {
        of.add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// An event of that weight.
    pub fn weight(self, weight: Weight) -> Style {
        match weight {
            Weight::Plain => Style::new(),
            Weight::Good => self.good(),
            Weight::Notable => self.notable(),
            Weight::Bad => self.bad(),
        }
    }

    /// The colour of a node; `None` without colours.
    pub fn node(self, seat: usize) -> Option<Color> {
        match self.depth {
            Depth::None => None,
            Depth::Basic => Some(Color::Indexed(palette::basic(seat))),
            Depth::Full => Some(Color::Indexed(palette::colour(seat).index)),
        }
    }

    /// Black or white, which can be read on a node's colour.
    pub fn ink(self, seat: usize) -> Color {
        let bright = match self.depth {
            Depth::Full => palette::colour(seat).is_bright(),
            // Blue and magenta are dark.
            _ => !matches!(palette::basic(seat), 4 | 5),
        };
        match (self.depth, bright) {
            (Depth::Full, true) => Color::Indexed(16),
            (Depth::Full, false) => Color::Indexed(231),
            (_, true) => Color::Indexed(0),
            (_, false) => Color::Indexed(15),
        }
    }

    /// A symbol on the colour of its node.
    pub fn symbol(self, seat: usize) -> Style {
        match self.node(seat) {
            Some(colour) => Style::new().fg(self.ink(seat)).bg(colour),
            None => Style::new(),
        }
    }

    /// A cell of which the marked node is the master of some quarters: darker than its
    /// colour.
    pub fn part(self, seat: usize, quarters: u8) -> Color {
        match self.depth {
            Depth::Full => Color::Indexed(palette::colour(seat).darker(quarters).index),
            _ if quarters >= 2 => self.node(seat).unwrap_or(Color::Reset),
            _ => self.dim(),
        }
    }

    /// A cell that a mark of one node leaves dark.
    pub fn dark(self) -> Color {
        if self.depth == Depth::Full { Color::Indexed(238) } else { Color::Indexed(0) }
    }

    /// A cell of which the marked node holds a replica.
    pub fn dim(self) -> Color {
        if self.depth == Depth::Full { Color::Indexed(250) } else { Color::Indexed(7) }
    }

    /// A hole, and its sign.
    pub fn hole(self) -> (Style, char) {
        let style = match self.depth {
            Depth::None => Style::new().add_modifier(Modifier::REVERSED),
            Depth::Basic => Style::new().fg(Color::Indexed(15)).bg(Color::Indexed(1)),
            Depth::Full => Style::new().fg(Color::Indexed(231)).bg(Color::Indexed(160)),
        };
        (style.add_modifier(Modifier::BOLD), self.either('×', '!'))
    }

    /// A character, or the one for terminals that know only ASCII.
    pub fn either(self, character: char, ascii: char) -> char {
        if self.ascii { ascii } else { character }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paint(variables: &[(&str, &str)]) -> Paint {
        Paint::of(|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn h143_colours_follow_the_terminal_and_no_color() {
        for (variables, depth) in [
            (&[("TERM", "xterm-256color")][..], Depth::Full),
            (&[("TERM", "tmux-256color")], Depth::Full),
            (&[("TERM", "alacritty")], Depth::Full),
            (&[("TERM", "xterm"), ("COLORTERM", "truecolor")], Depth::Full),
            (&[("TERM", "xterm")], Depth::Basic),
            (&[("TERM", "screen")], Depth::Basic),
            (&[("TERM", "linux")], Depth::Basic),
            (&[("TERM", "vt220")], Depth::None),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Depth::None),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Depth::Full),
        ] {
            assert_eq!(paint(variables).depth, depth, "{variables:?}");
        }
    }

    #[test]
    fn only_a_locale_that_says_so_takes_the_signs_away() {
        for (variables, ascii) in [
            (&[][..], false),
            (&[("LANG", "C.UTF-8")], false),
            (&[("LANG", "de_DE.utf8")], false),
            (&[("LANG", "C")], true),
            (&[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")], true),
            (&[("LC_ALL", "en_US.UTF-8"), ("LANG", "C")], false),
        ] {
            assert_eq!(paint(variables).ascii, ascii, "{variables:?}");
        }
    }
}
