//! How nodes are told apart: a colour and a symbol for each.
//!
//! No node is red, because red marks what is wrong. Colours repeat before symbols do,
//! and their numbers have no common period below 496, so that as many nodes differ in
//! one of the two.

/// A colour of a terminal with 256 colours, with the values of its cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// Its number in the terminal's table, 16 to 231.
    pub index: u8,
}

/// The colours of nodes, in an order that keeps neighbours apart.
pub const COLOURS: [Colour; 16] = [
    Colour { index: 33 },
    Colour { index: 214 },
    Colour { index: 35 },
    Colour { index: 134 },
    Colour { index: 80 },
    Colour { index: 211 },
    Colour { index: 142 },
    Colour { index: 63 },
    Colour { index: 222 },
    Colour { index: 29 },
    Colour { index: 117 },
    Colour { index: 130 },
    Colour { index: 183 },
    Colour { index: 155 },
    Colour { index: 25 },
    Colour { index: 173 },
];
/// The colours of nodes on a terminal with 16: no red, black, white or grey.
pub const BASIC: [u8; 10] = [4, 3, 2, 5, 6, 12, 11, 10, 13, 14];
/// The symbols of nodes.
const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The levels of red, green and blue in a terminal's table.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

impl Colour {
    /// Red, green and blue, 0 to 255.
    pub fn rgb(self) -> [u8; 3] {
        let at = usize::from(self.index.saturating_sub(16)).min(215);
        [LEVELS[at / 36], LEVELS[at / 6 % 6], LEVELS[at % 6]]
    }

    /// The colour at some quarters of its brightness, as near as the cube has it.
    pub fn darker(self, quarters: u8) -> Colour {
        let level = |value: u8| {
            let wanted = u16::from(value) * (2 + u16::from(quarters)) / 6;
            (0..6).min_by_key(|&at: &usize| u16::from(LEVELS[at]).abs_diff(wanted)).unwrap_or(0)
        };
        let [red, green, blue] = self.rgb().map(level);
        Colour { index: (16 + red * 36 + green * 6 + blue) as u8 }
    }

    /// Whether black is easier to read on it than white.
    pub fn is_bright(self) -> bool {
        luminance(self.rgb()) > 0.179
    }
}

/// The relative luminance of a colour, 0 to 1, as WCAG 2.1 defines it.
pub fn luminance(rgb: [u8; 3]) -> f64 {
    let [red, green, blue] = rgb.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The colour of the node in that seat.
pub fn colour(seat: usize) -> Colour {
    COLOURS[seat % COLOURS.len()]
}

/// Its colour on a terminal with 16 colours.
pub fn basic(seat: usize) -> u8 {
    BASIC[seat % BASIC.len()]
}

/// Its symbol.
pub fn symbol(seat: usize) -> char {
    char::from(SYMBOLS[seat % SYMBOLS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn h143_256_nodes_differ_in_colour_or_symbol() {
        let looks: HashSet<_> = (0..256).map(|seat| (colour(seat).index, symbol(seat))).collect();
        assert_eq!(looks.len(), 256);
        let looks: HashSet<_> = (0..256).map(|seat| (basic(seat), symbol(seat))).collect();
        assert_eq!(looks.len(), 256);
    }

    #[test]
    fn h143_no_node_has_the_colour_of_a_hole() {
        for colour in COLOURS {
            let [red, green, blue] = colour.rgb();
            assert!(green.max(blue) >= 95, "{} is {red} {green} {blue}", colour.index);
        }
        for basic in BASIC {
            assert!(![0, 1, 7, 8, 9, 15].contains(&basic), "{basic}");
        }
    }

    #[test]
    fn a_symbol_can_be_read_on_its_colour() {
        for colour in COLOURS {
            let own = luminance(colour.rgb());
            let ink = if colour.is_bright() { 0.0 } else { 1.0 };
            let ratio = (own.max(ink) + 0.05) / (own.min(ink) + 0.05);
            assert!(ratio >= 4.5, "{}: {ratio}", colour.index);
        }
        assert_eq!(Colour { index: 214 }.rgb(), [255, 175, 0]);
        assert_eq!(Colour { index: 214 }.darker(4), Colour { index: 214 });
        assert_eq!(Colour { index: 214 }.darker(1).rgb(), [135, 95, 0]);
    }
}
