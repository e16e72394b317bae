//! The grids of a map as one SVG image that needs nothing else: no script, no font, no
//! file beside it. It follows the reader's choice of light or dark.

use std::fmt::Write as _;

use tendmap::internals::text::Printable;
use tendmap::map::{ClusterMap, Node, NodeId};

use super::{Grid, Roster, palette};

/// The distance of two cells, in pixels.
const PITCH: usize = 12;
/// The side of a cell.
const CELL: usize = 11;
/// The room around everything.
const MARGIN: usize = 28;
/// The room for the numbers of partitions, left of the grid.
const GUTTER: usize = 40;
/// The height of a legend's line.
const LINE: usize = 18;
/// The width of a character of 12 pixels in a monospaced font.
const CHARACTER: usize = 8;
/// The height of a namespace's title.
const TITLE: usize = 34;

/// Colours that depend on the background, and the same for both: the sign of a hole.
const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--faint:#656d76;--rule:#d0d7de}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--faint:#8b949e;--rule:#30363d}}
svg{background:var(--back);max-width:100%;height:auto}
text{font:12px ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--text);white-space:pre}
.back{fill:var(--back)}.rule{stroke:var(--rule)}.faint{fill:var(--faint)}.end{text-anchor:end}
.head{font-size:20px;font-weight:600}.name{font-size:15px;font-weight:600}
.mark{font-size:8.5px;text-anchor:middle;pointer-events:none}.key{font-size:11px;text-anchor:middle}
.onbright{fill:#000}.ondark{fill:#fff}
.grid .hole rect,.hole .swatch{fill:#d1242f}.hole path{stroke:#fff;stroke-width:1.8;fill:none;pointer-events:none}
.bad{fill:#d1242f;font-weight:600}@media(prefers-color-scheme:dark){.bad{fill:#ff7b72}}
.track{fill:var(--rule)}";

/// The map of a publication as an SVG image.
pub fn draw(map: &ClusterMap, sequence: u64, namespaces: &[Grid], roster: &Roster) -> String {
    let mut nodes: Vec<(usize, &Node)> =
        map.nodes.iter().filter_map(|(_, node)| Some((roster.seat(&node.id)?, node))).collect();
    nodes.sort_unstable_by_key(|(seat, _)| *seat);
    let legend = Legend::of(&nodes);
    let mut body = String::new();
    let mut top = MARGIN + 60;
    let mut width = MARGIN * 2 + 640;
    for grid in namespaces {
        let side = columns(grid.len());
        let right = MARGIN + GUTTER + side * PITCH;
        let tall = grid.len().div_ceil(side) * PITCH;
        title(&mut body, grid, top);
        let under = top + TITLE;
        cells(&mut body, grid, roster, under);
        let beside = (legend.lines(1) + 2) * LINE <= tall.max(20 * LINE);
        let (left, below, across) = match beside {
            true => (right + 36, under, 1),
            false => (MARGIN, under + tall + 24, (right / legend.width()).max(2)),
        };
        legend.draw(&mut body, grid, (left, below), across);
        width = width.max(left + across * legend.width() + MARGIN).max(right + MARGIN);
        top = (under + tall).max(below + (legend.lines(across) + 2) * LINE) + 40;
    }
    let cluster = map
        .cluster_name
        .map_or("cluster without a name".to_owned(), |name| format!("cluster {name}"));
    let cluster = escaped(cluster);
    let holes: usize = namespaces.iter().map(|grid| grid.holes).sum();
    let counts = format!(
        "publication {sequence}  ·  {}  ·  {}  ·  {}",
        counted(nodes.len(), "node", "nodes"),
        counted(namespaces.len(), "namespace", "namespaces"),
        counted(holes, "partition without a master", "partitions without a master"),
    );
    let (first, second) = (MARGIN + 14, MARGIN + 38);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" \
         viewBox=\"0 0 {width} {top}\" role=\"img\">\n<title>{cluster}: {counts}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" height=\"{top}\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"{first}\">{cluster}</text>\n\
         <text class=\"faint\" x=\"{MARGIN}\" y=\"{second}\">{counts}</text>\n{body}</svg>\n"
    )
}

/// How many cells a line of the grid has: a square for 4096 partitions.
fn columns(partitions: usize) -> usize {
    partitions.isqrt().next_power_of_two().max(16)
}

fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Text from elsewhere, fit for XML and for readers.
fn escaped(text: impl core::fmt::Display) -> String {
    let text = Printable(text).to_string();
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Adds text; a `String` never fails.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

fn title(out: &mut String, grid: &Grid, top: usize) {
    let line = top + 14;
    let strong = if grid.strong_consistency { "  ·  strong consistency" } else { "" };
    let missing = match grid.missing {
        0 => String::new(),
        missing => format!("  ·  {}", counted(missing, "replica missing", "replicas missing")),
    };
    let about = format!("replication factor {}{strong}{missing}", grid.replication_factor);
    put!(out, "<text x=\"{MARGIN}\" y=\"{line}\"><tspan class=\"name\">");
    put!(out, "{}</tspan>", escaped(&grid.namespace));
    put!(out, "<tspan class=\"faint\">   {about}</tspan>");
    if grid.holes > 0 {
        put!(out, "<tspan class=\"bad\">  ·  {}</tspan>", counted(grid.holes, "hole", "holes"));
    }
    out.push_str("</text>\n");
}

fn cells(out: &mut String, grid: &Grid, roster: &Roster, top: usize) {
    let side = columns(grid.len());
    let place = |partition: usize| {
        (MARGIN + GUTTER + partition % side * PITCH, top + partition / side * PITCH)
    };
    put!(out, "<g class=\"grid\" data-namespace=\"{}\">\n", escaped(&grid.namespace));
    for partition in (0..grid.len()).step_by(side * 4) {
        let (x, y) = place(partition);
        put!(
            out,
            "<text class=\"faint end\" x=\"{}\" y=\"{}\">{partition}</text>\n",
            x - 8,
            y + 10
        );
    }
    let rect = |out: &mut String, partition: usize| {
        let (x, y) = place(partition);
        put!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\"><title>{partition}:"
        );
        for (replica, seat) in grid.holders(partition).iter().enumerate() {
            let id = seat.and_then(|seat| roster.id(usize::from(seat)));
            let comma = if replica == 0 { "" } else { "," };
            put!(out, "{comma} {}", escaped(id.map_or("nobody", NodeId::as_str)));
        }
        out.push_str("</title></rect>\n");
    };
    let mut by_master: Vec<Vec<usize>> = vec![Vec::new(); grid.held.len()];
    let mut holes = Vec::new();
    for partition in 0..grid.len() {
        match grid.master(partition) {
            Some(seat) => by_master[seat].push(partition),
            None => holes.push(partition),
        }
    }
    for (seat, partitions) in by_master.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
        let id = roster.id(seat).map_or("", NodeId::as_str);
        put!(out, "<g class=\"node\" data-node=\"{}\" fill=\"{}\">\n", escaped(id), fill(seat));
        partitions.iter().for_each(|&partition| rect(out, partition));
        let list = |of: &dyn Fn((usize, usize)) -> usize| {
            let all = partitions.iter().map(|&partition| of(place(partition)).to_string());
            all.collect::<Vec<_>>().join(" ")
        };
        let (xs, ys) = (list(&|(x, _)| x + 5), list(&|(_, y)| y + 9));
        let marks = palette::symbol(seat).to_string().repeat(partitions.len());
        put!(
            out,
            "<text class=\"mark {}\" x=\"{xs}\" y=\"{ys}\">{marks}</text>\n</g>\n",
            ink(seat)
        );
    }
    if !holes.is_empty() {
        out.push_str("<g class=\"hole\">\n");
        for &partition in &holes {
            rect(out, partition);
        }
        out.push_str("<path d=\"");
        holes.iter().for_each(|&partition| cross(out, place(partition)));
        out.push_str("\"/>\n</g>\n");
    }
    out.push_str("</g>\n");
}

/// The way of a pen that crosses out a cell.
fn cross(out: &mut String, (x, y): (usize, usize)) {
    put!(out, "M{}.5 {}.5l6 6m0-6l-6 6", x + 2, y + 2);
}

/// The colour of the node in a seat.
fn fill(seat: usize) -> String {
    let [red, green, blue] = palette::colour(seat).rgb();
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The class of text on it.
fn ink(seat: usize) -> &'static str {
    if palette::colour(seat).is_bright() { "onbright" } else { "ondark" }
}

/// The list of nodes beside or below a grid.
struct Legend<'a> {
    nodes: &'a [(usize, &'a Node)],
    id: usize,
    address: usize,
}

impl<'a> Legend<'a> {
    fn of(nodes: &'a [(usize, &'a Node)]) -> Legend<'a> {
        let longest = |of: &dyn Fn(&Node) -> usize| {
            nodes.iter().map(|(_, node)| of(node)).max().unwrap_or(0).max(7) * CHARACTER + 16
        };
        let id = longest(&|node| node.id.as_str().len());
        let address = longest(&|node| node.address.to_string().len());
        Legend { nodes, id, address }
    }

    /// The width of one column, with the room to the next one.
    fn width(&self) -> usize {
        24 + self.id + self.address + 40 + 80 + 110 + 70 + 24
    }

    /// How many lines it has in that many columns, with the holes.
    fn lines(&self, across: usize) -> usize {
        (self.nodes.len() + 1).div_ceil(across)
    }

    fn draw(&self, out: &mut String, grid: &Grid, (left, top): (usize, usize), across: usize) {
        out.push_str("<g class=\"legend\">\n");
        let most = grid.held.iter().map(|held| held.masters).max().unwrap_or(0).max(grid.holes);
        let lines = self.lines(across);
        for column in 0..across.min((self.nodes.len() + 1).div_ceil(lines)) {
            let x = left + column * self.width();
            let [id, address, rack, masters, replicas] = self.stops(x);
            let y = top + 10;
            put!(out, "<g class=\"heads\"><text class=\"faint\" x=\"{id}\" y=\"{y}\">node</text>");
            put!(out, "<text class=\"faint\" x=\"{address}\" y=\"{y}\">address</text>");
            for (end, what) in [(rack, "rack"), (masters, "masters"), (replicas, "replicas")] {
                put!(out, "<text class=\"faint end\" x=\"{end}\" y=\"{y}\">{what}</text>");
            }
            let (rule, end) = (top + 17, replicas);
            put!(out, "<path class=\"rule\" d=\"M{x} {rule}.5H{end}\"/></g>\n");
        }
        for (line, &(seat, node)) in self.nodes.iter().enumerate() {
            let x = left + line / lines * self.width();
            let y = top + 24 + line % lines * LINE;
            self.node(out, grid, (x, y), (seat, node), most);
        }
        let line = self.nodes.len();
        let (x, y) = (left + line / lines * self.width(), top + 24 + line % lines * LINE);
        self.holes(out, grid, (x, y), most);
        out.push_str("</g>\n");
    }

    /// Where id and address begin, and where rack, masters and replicas end.
    fn stops(&self, x: usize) -> [usize; 5] {
        let address = x + 24 + self.id;
        let rack = address + self.address + 40;
        [x + 24, address, rack, rack + 190, rack + 260]
    }

    fn node(
        &self,
        out: &mut String,
        grid: &Grid,
        (x, y): (usize, usize),
        (seat, node): (usize, &Node),
        most: usize,
    ) {
        let [id, address, rack, _, replicas] = self.stops(x);
        let text = y + 11;
        let held = grid.held[seat];
        put!(out, "<g class=\"entry\" data-node=\"{}\">", escaped(node.id));
        put!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{}\"/>", fill(seat));
        let mark = palette::symbol(seat);
        put!(out, "<text class=\"key {}\" x=\"{}\" y=\"{text}\">{mark}</text>", ink(seat), x + 7);
        put!(out, "<text x=\"{id}\" y=\"{text}\">{}</text>", escaped(node.id));
        put!(out, "<text x=\"{address}\" y=\"{text}\">{}</text>", escaped(node.address));
        let number = grid.racks[seat].map_or("-".to_owned(), |rack| rack.to_string());
        put!(out, "<text class=\"end\" x=\"{rack}\" y=\"{text}\">{number}</text>");
        self.share(out, grid, (x, y), (held.masters, most), &fill(seat));
        put!(
            out,
            "<text class=\"end\" x=\"{replicas}\" y=\"{text}\">{}</text></g>\n",
            held.replicas
        );
    }

    /// The line that explains the sign of a hole, and counts them.
    fn holes(&self, out: &mut String, grid: &Grid, (x, y): (usize, usize), most: usize) {
        let (id, text) = (self.stops(x)[0], y + 11);
        put!(out, "<g class=\"hole entry\">");
        put!(out, "<rect class=\"swatch\" x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\"/>");
        put!(out, "<path d=\"M{}.5 {}.5l7 7m0-7l-7 7\"/>", x + 3, y + 3);
        let class = if grid.holes > 0 { "bad" } else { "faint" };
        put!(out, "<text class=\"{class}\" x=\"{id}\" y=\"{text}\">hole: no master</text>");
        self.share(out, grid, (x, y), (grid.holes, most), "#d1242f");
        out.push_str("</g>\n");
    }

    /// A number of partitions and their share, as a bar and in figures.
    fn share(
        &self,
        out: &mut String,
        grid: &Grid,
        (x, y): (usize, usize),
        (number, most): (usize, usize),
        colour: &str,
    ) {
        let [_, _, rack, masters, _] = self.stops(x);
        let (bar, middle, text) = (rack + 18, y + 4, y + 11);
        let long = (number * 70).checked_div(most).unwrap_or(0);
        put!(out, "<rect class=\"track\" x=\"{bar}\" y=\"{middle}\" width=\"70\" height=\"6\"/>");
        put!(
            out,
            "<rect x=\"{bar}\" y=\"{middle}\" width=\"{long}\" height=\"6\" fill=\"{colour}\"/>"
        );
        let share = number as f64 * 100.0 / grid.len().max(1) as f64;
        put!(out, "<text class=\"end\" x=\"{}\" y=\"{text}\">{number}</text>", masters - 56);
        put!(out, "<text class=\"end faint\" x=\"{masters}\" y=\"{text}\">{share:.1} %</text>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::tests::map_of;
    use roxmltree::{Document, Node as Element};
    use tendmap::map::ClusterMap;

    fn drawn(map: &ClusterMap) -> String {
        let roster = Roster::of(map);
        let grids: Vec<Grid> =
            map.namespaces().iter().map(|found| Grid::of(map, found, &roster)).collect();
        draw(map, 7, &grids, &roster)
    }

    fn class<'a>(
        document: &'a Document<'a>,
        wanted: &'a str,
    ) -> impl Iterator<Item = Element<'a, 'a>> {
        let all = document.descendants();
        all.filter(move |found| found.attribute("class").is_some_and(|own| own == wanted))
    }

    fn rects(element: Element) -> usize {
        element.children().filter(|child| child.has_tag_name("rect")).count()
    }

    #[test]
    fn h144_an_image_is_valid_xml_and_shows_each_partition_once() {
        for nodes in [1, 3, 16, 256] {
            let mut map = map_of(nodes, "test");
            map.namespaces_mut()[0].partitions.set_holder(5, 0, None);
            map.namespaces_mut()[0].partitions.set_holder(77, 0, None);
            let image = drawn(&map);
            let document = Document::parse(&image).unwrap();
            let grid = Grid::of(&map, &map.namespaces()[0], &Roster::of(&map));
            let cells: Vec<(String, usize)> = class(&document, "node")
                .map(|group| (group.attribute("data-node").unwrap().to_owned(), rects(group)))
                .collect();
            let roster = Roster::of(&map);
            let wanted: Vec<(String, usize)> = grid
                .held
                .iter()
                .enumerate()
                .map(|(seat, held)| (roster.id(seat).unwrap().to_string(), held.masters))
                .collect();
            assert_eq!(cells, wanted);
            let holes: Vec<usize> = class(&document, "hole").map(rects).collect();
            assert_eq!(holes, [2]);
            assert_eq!(class(&document, "entry").count(), nodes);
            assert!(image.contains("2 partitions without a master"));
            let hole = document.descendants().filter(|node| node.has_tag_name("title"));
            let hole = hole.filter_map(|title| title.text()).find(|text| text.starts_with("5:"));
            let second = roster.id(6 % nodes).unwrap();
            assert_eq!(hole.unwrap(), format!("5: nobody, {second}"));
        }
    }

    #[test]
    fn h144_names_can_not_leave_their_place_in_an_image() {
        let name = "a\"'><script>&x";
        let map = map_of(2, name);
        let image = drawn(&map);
        let document = Document::parse(&image).unwrap();
        assert!(!document.descendants().any(|node| node.has_tag_name("script")));
        let grid = class(&document, "grid").next().unwrap();
        assert_eq!(grid.attribute("data-namespace"), Some(name));
    }

    #[test]
    fn nothing_in_an_image_overlaps_or_leaves_it() {
        for nodes in [1, 3, 40, 64, 256] {
            let image = drawn(&map_of(nodes, "test"));
            let document = Document::parse(&image).unwrap();
            let number = |element: Element, name: &str| -> usize {
                element.attribute(name).map_or(0, |text| text.parse().unwrap())
            };
            let root = document.root_element();
            let (width, height) = (number(root, "width"), number(root, "height"));
            let mut keys = std::collections::HashSet::new();
            for rect in document.descendants().filter(|node| node.has_tag_name("rect")) {
                assert!(number(rect, "x") + number(rect, "width") <= width, "{nodes}");
                assert!(number(rect, "y") + number(rect, "height") <= height, "{nodes}");
                if rect.attribute("width") == Some("14") || rect.attribute("width") == Some("11") {
                    assert!(keys.insert((number(rect, "x"), number(rect, "y"))), "{nodes}");
                }
            }
            assert_eq!(keys.len(), 4096 + nodes + 1);
        }
    }
}
