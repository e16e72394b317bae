//! The partitions of a namespace as cells of characters.
//!
//! With colours a character holds two cells, one above the other; without, or where
//! there are more nodes than colours, a character is a cell with the node's symbol.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use tendmap::internals::text::Printable;

use super::{Screen, styled};
use crate::grid::{Change, Grid, palette};
use crate::watch::app::App;
use crate::watch::paint::Depth;

/// The room for the numbers of partitions, left of the cells.
const GUTTER: usize = 7;

/// How partitions are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Cells in a line.
    pub columns: usize,
    /// Partitions in a cell.
    pub each: usize,
    /// Cells in a character, one above the other.
    pub deep: usize,
    partitions: usize,
}

impl Shape {
    /// The shape with the fewest partitions in a cell that fits, as near to 64 columns as
    /// possible: then 4096 partitions in halves of characters are a square.
    pub fn of(partitions: usize, width: usize, height: usize, deep: usize) -> Option<Shape> {
        let most = width.saturating_sub(GUTTER + 1);
        let columns = [256, 128, 64, 48, 32, 16].into_iter().filter(|&columns| columns <= most);
        let lines = height * deep;
        let shapes = columns.filter(|_| lines > 0).map(|columns| {
            let each = partitions.div_ceil(columns * lines).max(1).next_power_of_two();
            Shape { columns, each, deep, partitions }
        });
        shapes.min_by_key(|shape| (shape.each, shape.columns.abs_diff(64)))
    }

    /// Characters in a line, with the numbers.
    pub fn width(self) -> usize {
        GUTTER + self.columns
    }

    fn line(self) -> usize {
        self.columns * self.each
    }

    /// Lines of characters.
    pub fn height(self) -> usize {
        self.partitions.div_ceil(self.line()).div_ceil(self.deep)
    }

    /// The partitions of a cell, in a line of cells.
    fn range(self, line: usize, column: usize) -> core::ops::Range<usize> {
        let begin = line * self.line() + column * self.each;
        begin.min(self.partitions)..(begin + self.each).min(self.partitions)
    }
}

/// What a cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// No partition.
    Nothing,
    /// A partition without a master is among them.
    Hole,
    /// The node in that seat is the master of most of them, the marked one of all.
    Master(usize),
    /// The marked node, in that seat, is the master of this many quarters of them: 1 to 3.
    Part(usize, u8),
    /// The marked node holds other replicas of at least half of them.
    Replica,
    /// The marked node holds less.
    Other,
}

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its content.
    pub fill: Fill,
    /// The newest change in it.
    pub change: Change,
}

/// The cell of some partitions, with one node marked or none.
pub fn cell(grid: &Grid, partitions: core::ops::Range<usize>, marked: Option<usize>) -> Cell {
    let change = partitions.clone().map(|at| grid.changes[at]).max().unwrap_or_default();
    let masters = partitions.clone().map(|at| grid.master(at));
    let fill = if partitions.is_empty() {
        Fill::Nothing
    } else if masters.clone().any(|master| master.is_none()) {
        Fill::Hole
    } else if let Some(marked) = marked {
        let size = partitions.len();
        let own = masters.clone().filter(|master| *master == Some(marked)).count();
        let others = partitions.clone().filter(|&at| grid.holds_replica(at, marked)).count();
        match own {
            0 if others * 2 >= size => Fill::Replica,
            0 => Fill::Other,
            own if own == size => Fill::Master(marked),
            own => Fill::Part(marked, (own * 4 / size).clamp(1, 3) as u8),
        }
    } else {
        let count = |seat| masters.clone().filter(|master| *master == Some(seat)).count();
        let largest =
            masters.clone().flatten().max_by_key(|&seat| (count(seat), usize::MAX - seat));
        largest.map_or(Fill::Hole, Fill::Master)
    };
    Cell { fill, change }
}

impl Screen {
    /// Whether cells show symbols.
    fn letters(self, app: &App) -> bool {
        let colours = match self.paint.depth {
            Depth::None => 0,
            Depth::Basic => palette::BASIC.len(),
            Depth::Full => palette::COLOURS.len(),
        };
        let few = app.nodes().len() <= colours && !self.paint.ascii;
        self.paint.depth == Depth::None || self.paint.ascii || app.letters.unwrap_or(!few)
    }

    /// The shape of the partitions in a part of the screen.
    pub fn shape(self, app: &App, width: u16, height: u16) -> Option<Shape> {
        let grid = app.grids.get(app.shown())?;
        let deep = if self.letters(app) { 1 } else { 2 };
        Shape::of(grid.len(), usize::from(width), usize::from(height), deep)
    }

    /// The lines that the partitions need, with their title, of those that there are.
    pub fn cells_wanted(self, app: &App, width: u16, most: u16) -> u16 {
        let shape = self.shape(app, width, most.saturating_sub(1));
        shape.map_or(1, |shape| shape.height() as u16 + 1).min(most)
    }

    /// Draws the partitions of the namespace that is shown.
    pub fn cells(self, area: Rect, out: &mut Buffer, app: &App) {
        let Some(grid) = app.grids.get(app.shown()) else {
            return self.rule(out, area, "partitions", vec![self.faint(" no namespace yet")]);
        };
        let shape = self.shape(app, area.width, area.height.saturating_sub(1));
        self.title(area, out, app, grid, shape);
        let Some(shape) = shape else { return };
        let marked = app.marked();
        for line in 0..shape.height() {
            let y = area.y + 1 + line as u16;
            if y >= area.bottom() {
                break;
            }
            let first = shape.range(line * shape.deep, 0).start;
            out.set_string(area.x, y, format!("{first:>6}"), self.paint.faint());
            for column in 0..shape.columns {
                let at = |deep| {
                    let line = line * shape.deep + deep;
                    cell(grid, shape.range(line, column), marked)
                };
                let (character, style) = match shape.deep {
                    1 => self.letter(at(0), marked),
                    _ => self.halves(at(0), at(1)),
                };
                let x = area.x + (GUTTER + column) as u16;
                out[(x, y)].set_char(character).set_style(style);
            }
        }
    }

    fn title(self, area: Rect, out: &mut Buffer, app: &App, grid: &Grid, shape: Option<Shape>) {
        let paint = self.paint;
        let mut more = vec![self.faint(format!(" {}/{}", app.shown() + 1, app.grids.len()))];
        let mut part = |style: Style, text: String| {
            more.push(self.faint(format!(" {} ", paint.either('·', '|'))));
            more.push(styled(text, style));
        };
        match grid.holes {
            0 => part(Style::new(), "no holes".to_owned()),
            1 => part(paint.bad(), "1 hole".to_owned()),
            holes => part(paint.bad(), format!("{holes} holes")),
        }
        let changed = grid.changes.iter().filter(|change| **change >= Change::Master).count();
        if changed > 0 {
            part(paint.notable(), format!("{changed} moved"));
        }
        let strong = if grid.strong_consistency { " strong" } else { "" };
        part(Style::new(), format!("rf {}{strong}", grid.replication_factor));
        if grid.missing > 0 {
            part(paint.notable(), format!("{} replicas missing", grid.missing));
        }
        match shape {
            Some(shape) if shape.each > 1 => {
                part(paint.faint(), format!("cell = {} partitions", shape.each));
            }
            Some(_) => part(paint.faint(), "cell = partition".to_owned()),
            None => {}
        }
        self.rule(out, area, &Printable(&grid.namespace).to_string(), more);
    }

    /// A cell as it is drawn now, twice if a character holds two.
    pub fn sample(self, app: &App, cell: Cell) -> (char, Style) {
        if self.letters(app) { self.letter(cell, Some(0)) } else { self.halves(cell, cell) }
    }

    /// A cell as a character.
    fn letter(self, cell: Cell, marked: Option<usize>) -> (char, Style) {
        let mark = match cell.change {
            Change::None => Modifier::empty(),
            Change::Replica => Modifier::UNDERLINED,
            Change::Master => Modifier::BOLD | Modifier::UNDERLINED,
            Change::NewMaster => Modifier::BOLD | Modifier::REVERSED,
        };
        match cell.fill {
            Fill::Nothing => (' ', Style::new()),
            Fill::Hole => {
                let (style, sign) = self.paint.hole();
                (sign, style)
            }
            Fill::Master(seat) => {
                let mut style = self.paint.symbol(seat);
                // Without colours a mark has to show in another way.
                if marked.is_some() && self.paint.depth == Depth::None {
                    style = style.add_modifier(Modifier::BOLD);
                }
                (palette::symbol(seat), style.add_modifier(mark))
            }
            Fill::Part(seat, 2..) => {
                (palette::symbol(seat), self.paint.symbol(seat).add_modifier(mark))
            }
            Fill::Part(seat, _) => {
                let colour = self.paint.node(seat).map(|colour| Style::new().fg(colour));
                (palette::symbol(seat), colour.unwrap_or_default().add_modifier(mark))
            }
            Fill::Replica => ('+', self.paint.faint().add_modifier(mark)),
            Fill::Other => (self.paint.either('·', '.'), self.paint.faint()),
        }
    }

    /// Two cells as the halves of a character.
    fn halves(self, upper: Cell, lower: Cell) -> (char, Style) {
        if upper.fill == Fill::Hole || lower.fill == Fill::Hole {
            let (style, sign) = self.paint.hole();
            return (sign, style);
        }
        let newest = if upper.change >= lower.change { upper } else { lower };
        let sign = match newest.change {
            Change::None => None,
            Change::Replica => Some('·'),
            Change::Master => Some('•'),
            Change::NewMaster => Some('◆'),
        };
        if let (Some(sign), Some(back)) = (sign, self.colour(newest.fill)) {
            let ink = match newest.fill {
                Fill::Master(seat) => self.paint.ink(seat),
                Fill::Replica | Fill::Part(..) => Color::Indexed(0),
                _ => self.paint.dim(),
            };
            let style = Style::new().fg(ink).bg(back).add_modifier(Modifier::BOLD);
            return (sign, style);
        }
        match (self.colour(upper.fill), self.colour(lower.fill)) {
            (None, None) => (' ', Style::new()),
            (Some(upper), Some(lower)) if upper == lower => ('█', Style::new().fg(upper).bg(upper)),
            (Some(upper), Some(lower)) => ('▀', Style::new().fg(upper).bg(lower)),
            (Some(upper), None) => ('▀', Style::new().fg(upper)),
            (None, Some(lower)) => ('▄', Style::new().fg(lower)),
        }
    }

    fn colour(self, fill: Fill) -> Option<Color> {
        match fill {
            Fill::Nothing | Fill::Hole => None,
            Fill::Master(seat) => self.paint.node(seat),
            Fill::Part(seat, quarters) => Some(self.paint.part(seat, quarters)),
            Fill::Replica => Some(self.paint.dim()),
            Fill::Other => Some(self.paint.dark()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Roster;
    use crate::grid::tests::map_of;
    use tendmap::map::Slot;

    #[test]
    fn a_shape_uses_the_room_for_the_smallest_cells() {
        let shape = |width, height, deep| {
            let shape = Shape::of(4096, width, height, deep).unwrap();
            (shape.columns, shape.each, shape.height())
        };
        assert_eq!(shape(80, 10, 2), (64, 4, 8));
        assert_eq!(shape(80, 10, 1), (64, 8, 8));
        assert_eq!(shape(200, 40, 2), (64, 1, 32), "rather square than wide");
        assert_eq!(shape(200, 16, 2), (128, 1, 16));
        assert_eq!(shape(200, 40, 1), (128, 1, 32));
        assert_eq!(shape(60, 3, 2), (48, 16, 3));
        assert_eq!(Shape::of(4096, 20, 10, 2), None);
        assert_eq!(Shape::of(4096, 80, 0, 2), None);
        for partitions in [1, 16, 4096, 65_536] {
            for (width, height) in [(24, 1), (80, 7), (133, 33), (300, 100)] {
                let shape = Shape::of(partitions, width, height, 2).unwrap();
                assert!(shape.height() <= height && shape.width() < width, "{shape:?}");
                let cells = (0..shape.height() * 2).flat_map(|line| {
                    (0..shape.columns).map(move |column| shape.range(line, column).len())
                });
                assert_eq!(cells.sum::<usize>(), partitions, "{shape:?}");
            }
        }
    }

    #[test]
    fn h143_a_cell_of_several_partitions_hides_no_hole_and_no_change() {
        let mut map = map_of(3, "test");
        map.namespaces_mut()[0].partitions.set_holder(6, 0, None);
        map.namespaces_mut()[0].partitions.set_holder(9, 0, Slot::new(2));
        let mut grid = Grid::of(&map, &map.namespaces()[0], &Roster::of(&map));
        grid.changes[10] = Change::Master;
        let cell = |range, marked| super::cell(&grid, range, marked);
        let is = |fill, change| Cell { fill, change };
        assert_eq!(cell(0..4, None), is(Fill::Master(0), Change::None), "most are of node 0");
        assert_eq!(cell(4..8, None), is(Fill::Hole, Change::None));
        assert_eq!(cell(4..8, Some(0)), is(Fill::Hole, Change::None), "also with a mark");
        assert_eq!(cell(8..12, None), is(Fill::Master(2), Change::Master));
        assert_eq!(cell(0..1, Some(1)), is(Fill::Replica, Change::None));
        assert_eq!(cell(1..2, Some(1)), is(Fill::Master(1), Change::None));
        assert_eq!(cell(2..3, Some(1)), is(Fill::Other, Change::None));
        assert_eq!(cell(0..4, Some(0)), is(Fill::Part(0, 2), Change::None), "of 2 of 4");
        assert_eq!(cell(4096..4096, None), is(Fill::Nothing, Change::None));
    }
}
