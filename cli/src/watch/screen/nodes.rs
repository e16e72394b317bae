//! The table of nodes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;
use tendmap::client::{DepartedNode, NodeStatus};
use tendmap::internals::text::Printable;
use tendmap::map::NodeId;

use super::header::age;
use super::{Screen, rows, styled};
use crate::grid::{Held, palette};
use crate::watch::app::App;

/// The room for masters: a number, a share.
const FIGURES: usize = 11;
/// The longest bar of a share, and the shortest.
const BARS: [usize; 4] = [20, 10, 6, 0];
/// The least room for the state, and what it may take before other columns go.
const STATE: usize = 9;

/// The columns that a width has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Columns {
    id: usize,
    address: usize,
    build: usize,
    rack: usize,
    bar: usize,
}

impl Columns {
    /// As many as fit, the most important first.
    fn of(width: usize, id: usize, address: usize, build: usize, rack: usize) -> Columns {
        // Symbol, figures, replicas, state, and the gaps.
        let fixed = 3 + 1 + FIGURES + 1 + 5 + 2 + STATE;
        let choices = [(address, build, rack), (address, 0, rack), (address, 0, 0), (0, 0, 0)];
        for (address, build, rack) in choices {
            for bar in BARS {
                let columns = Columns { id, address, build, rack, bar };
                let gaps = [address, build, rack, bar].iter().filter(|&&wide| wide > 0).count();
                if fixed + id + address + build + rack + bar + gaps <= width {
                    return columns;
                }
            }
        }
        Columns { id: id.min(width.saturating_sub(fixed)).max(4), ..Columns::default() }
    }
}

/// A line of the table.
enum Row<'a> {
    Node(&'a NodeStatus),
    Departed(&'a DepartedNode),
}

impl Screen {
    /// The lines that the table needs.
    pub fn nodes_wanted(self, app: &App) -> u16 {
        let Some(state) = &app.state else { return 0 };
        let lines = state.status.members.len() + state.status.departed.len();
        u16::try_from(lines + 1).unwrap_or(u16::MAX)
    }

    /// Draws the table; of many nodes, those around the marked one.
    pub fn nodes(self, area: Rect, out: &mut Buffer, app: &App) {
        let Some(state) = app.state.as_ref().filter(|_| area.height > 0) else { return };
        let status = &state.status;
        let seat = |id: &NodeId| app.roster.seat(id).unwrap_or(usize::MAX);
        let mut members: Vec<&NodeStatus> = status.members.iter().collect();
        members.sort_by_key(|node| seat(&node.id));
        let marked = members.iter().position(|node| Some(node.id) == app.node);
        let mut all: Vec<Row> = members.iter().map(|node| Row::Node(node)).collect();
        all.extend(status.departed.iter().map(Row::Departed));
        let room = usize::from(area.height) - 1;
        let first = match marked {
            Some(at) => (at + 1 + room / 2).min(all.len()).saturating_sub(room).min(at),
            None => 0,
        };
        let grid = app.grids.get(app.shown());
        let rack = |node: &NodeStatus| {
            let rack = grid.and_then(|grid| *grid.racks.get(seat(&node.id))?);
            rack.map_or("-".to_owned(), |rack| rack.to_string())
        };
        let build =
            |node: &NodeStatus| node.build.map_or("-".to_owned(), |build| build.to_string());
        let longest = |of: &dyn Fn(&NodeStatus) -> usize| {
            members.iter().map(|node| of(node)).max().unwrap_or(0)
        };
        let racked = members.iter().any(|node| rack(node) != "-");
        let columns = Columns::of(
            usize::from(area.width),
            longest(&|node| node.id.as_str().len()).max(4),
            longest(&|node| node.address.to_string().len()).max(7),
            longest(&|node| build(node).len()).max(5),
            if racked { longest(&|node| rack(node).len()).max(4) } else { 0 },
        );
        self.heads(rows(area, area.y, 1), out, columns, (first, room, all.len()), members.len());
        let most =
            grid.map_or(0, |grid| grid.held.iter().map(|held| held.masters).max().unwrap_or(0));
        let total = grid.map_or(0, |grid| grid.len());
        for (index, row) in all.iter().skip(first).take(room).enumerate() {
            let line = rows(area, area.y + 1 + index as u16, 1);
            match row {
                Row::Node(node) => {
                    let seat = seat(&node.id);
                    let held = grid.and_then(|grid| grid.held.get(seat).copied());
                    let texts = [node.address.to_string(), build(node), rack(node)];
                    let figures = (held.unwrap_or_default(), most, total);
                    let is_marked = Some(node.id) == app.node;
                    self.node(line, out, columns, (seat, node), texts, figures, is_marked);
                }
                Row::Departed(left) => {
                    let reason = Printable(&left.reason).to_string();
                    let text = format!("   {} left {} ago: {reason}", left.id, age(Some(left.age)));
                    self.line(out, line, vec![self.faint(text)]);
                }
            }
        }
    }

    fn heads(
        self,
        area: Rect,
        out: &mut Buffer,
        columns: Columns,
        (first, room, all): (usize, usize, usize),
        count: usize,
    ) {
        let title = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
        let more = match all > room {
            true => format!(" {}-{} of {all}", first + 1, (first + room).min(all)),
            false => String::new(),
        };
        self.rule(out, area, &title, vec![self.faint(more.clone())]);
        let used = title.len() + more.len() + 3;
        let mut at = 3 + columns.id;
        let mut head = |name: &str, width: usize, right: bool| {
            if width == 0 {
                return;
            }
            at += 1;
            let begin = if right { at + width - name.len().min(width) } else { at };
            at += width;
            if begin > used && begin + name.len() < usize::from(area.width) {
                let x = area.x + begin as u16 - 1;
                out.set_string(x, area.y, format!(" {name} "), self.paint.faint());
            }
        };
        head("address", columns.address, false);
        head("build", columns.build, false);
        head("rack", columns.rack, true);
        head("masters", FIGURES + if columns.bar > 0 { columns.bar + 1 } else { 0 }, true);
        head("repl", 5, true);
        at += 1;
        let x = area.x + at as u16;
        if at + 7 < usize::from(area.width) {
            out.set_string(x, area.y, " state ", self.paint.faint());
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one line")]
    fn node(
        self,
        area: Rect,
        out: &mut Buffer,
        columns: Columns,
        (seat, node): (usize, &NodeStatus),
        [address, build, rack]: [String; 3],
        (held, most, total): (Held, usize, usize),
        is_marked: bool,
    ) {
        let paint = self.paint;
        let text = if is_marked {
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
        } else {
            Style::new()
        };
        let symbol = format!(" {} ", palette::symbol(seat));
        let mut spans = vec![styled(symbol, paint.symbol(seat).add_modifier(Modifier::BOLD))];
        let id: String = node.id.as_str().chars().take(columns.id).collect();
        spans.push(styled(format!("{id:<0$}", columns.id), text));
        let mut column = |text: String, width: usize, right: bool| match (width, right) {
            (0, _) => {}
            (_, true) => spans.push(Span::raw(format!(" {text:>width$}"))),
            (_, false) => spans.push(Span::raw(format!(" {text:<width$}"))),
        };
        column(address, columns.address, false);
        column(build, columns.build, false);
        column(rack, columns.rack, true);
        if columns.bar > 0 {
            spans.push(Span::raw(" "));
            spans.extend(self.bar(seat, held.masters, most, columns.bar));
        }
        let share = held.masters as f64 * 100.0 / total.max(1) as f64;
        spans.push(Span::raw(format!(" {:>5} {share:>4.1}%", held.masters)));
        spans.push(Span::raw(format!(" {:>5}  ", held.replicas)));
        spans.push(self.answers(node));
        self.line(out, area, spans);
    }

    /// A share as a bar, and the rest of its room.
    fn bar(self, seat: usize, number: usize, most: usize, room: usize) -> [Span<'static>; 2] {
        const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
        let style = self.paint.node(seat).map_or(Style::new(), |colour| Style::new().fg(colour));
        let (full, part) = if self.paint.ascii {
            ((number * room).checked_div(most).unwrap_or(0), String::new())
        } else {
            let eighths = (number * room * 8).checked_div(most).unwrap_or(0);
            let part = (eighths % 8).checked_sub(1).map(|part| PARTS[part]);
            (eighths / 8, part.map_or(String::new(), String::from))
        };
        let bar = self.paint.either('█', '#').to_string().repeat(full) + &part;
        let rest = " ".repeat(room.saturating_sub(bar.chars().count()));
        [styled(bar, style), Span::raw(rest)]
    }

    /// Whether the node answers, and if not, why.
    fn answers(self, node: &NodeStatus) -> Span<'static> {
        let Some(health) = &node.health else { return self.faint("not known") };
        let error = health.last_error.as_deref().map(|error| Printable(error).to_string());
        match (health.failures, error) {
            (0, None) => styled("ok", self.paint.good()),
            (0, Some(error)) => {
                let ago = age(node.last_error_age);
                styled(format!("ok; {ago} ago: {error}"), self.paint.good())
            }
            (failures, error) => {
                let error = error.map_or(String::new(), |error| format!(": {error}"));
                styled(format!("failed {failures}x{error}"), self.paint.bad())
            }
        }
    }
}
