//! What stands on the screen, at many sizes and on poor terminals.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use tendmap::internals::text::is_printable;
use tendmap::map::{NodeHealth, Slot};

use super::*;
use crate::grid::tests::map_of;
use crate::seen::State;
use crate::watch::look::Absent;
use crate::watch::paint::Depth;
use crate::watch::testing::{healthy, state_of};

const FULL: Paint = Paint { depth: Depth::Full, ascii: false };
const BASIC: Paint = Paint { depth: Depth::Basic, ascii: false };
const PLAIN: Paint = Paint { depth: Depth::None, ascii: false };
const ASCII: Paint = Paint { depth: Depth::None, ascii: true };

fn app(states: impl IntoIterator<Item = State>) -> App {
    let (mut app, mut now) = (App::new(), Instant::now());
    for state in states {
        app.take(Ok(state), now, "12:34:56");
        now += Duration::from_millis(500);
    }
    app
}

fn drawn(app: &App, (width, height): (u16, u16), paint: Paint) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, paint)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect()
}

#[track_caller]
fn shows(buffer: &Buffer, wanted: &[&str]) {
    let text = lines(buffer).join("\n");
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

#[test]
fn h143_a_small_terminal_shows_every_part() {
    let screen = lines(&drawn(&app([healthy(3)]), (80, 24), PLAIN));
    assert_eq!(screen[0], format!("{:<71} HEALTHY", " tendmap watch · lab · 0xa7000000 gen 1"));
    let owner = " owner 100 alive · term 3 · sequence 7 · heartbeat <1 s · tended <1 s / 1.0 s";
    assert_eq!(screen[1], owner);
    assert!(screen[3].starts_with("─ 3 nodes ─") && screen[3].contains(" masters "));
    let node = " A BB9000000000000 10.0.0.1:3000 8.1.2.0 ██████████  1366 33.3%  1365  ok";
    assert_eq!(screen[4], node);
    let title = "─ test 1/1 · no holes · rf 2 · cell = 8 partitions ─";
    assert!(screen[7].starts_with(title), "{}", screen[7]);
    assert_eq!(screen[8].len(), 7 + 64);
    assert!(screen[9].starts_with("   512 "), "{}", screen[9]);
    assert!(screen[16].starts_with("─ events UTC ─"), "{}", screen[16]);
    assert_eq!(screen[17], " 12:34:56 generation 1: owner 100, term 3, sequence 7");
    assert!(screen[23].starts_with(" q quit  ? help  n namespace"));
}

#[test]
fn h143_nothing_is_drawn_outside_at_any_size() {
    let mut unhealthy = healthy(256);
    unhealthy.status.owner_alive = false;
    let apps = [app([]), app([healthy(1)]), app([healthy(3), healthy(2)]), app([unhealthy])];
    for mut app in apps {
        app.help = app.grids.is_empty();
        for paint in [FULL, BASIC, PLAIN, ASCII] {
            for size in [(1, 1), (20, 5), (24, 6), (40, 10), (60, 15), (80, 24), (200, 50)] {
                let buffer = drawn(&app, size, paint);
                for cell in buffer.content() {
                    assert!(cell.symbol().chars().all(is_printable));
                    assert!(paint != ASCII || cell.symbol().is_ascii(), "{}", cell.symbol());
                }
            }
        }
        for width in (24..220).step_by(19) {
            for height in [6, 7, 9, 12, 25, 26, 60] {
                drawn(&app, (width, height), FULL);
            }
        }
    }
}

#[test]
fn h143_each_depth_uses_no_more_colours_than_it_has() {
    let mut map = map_of(3, "test");
    map.namespaces_mut()[0].partitions.set_holder(0, 0, None);
    for marked in [false, true] {
        let mut app = app([healthy(3), state_of(map.clone(), 9)]);
        if marked {
            app.turn_node(true);
        }
        for (paint, most) in [(FULL, 255), (BASIC, 15), (PLAIN, 0)] {
            let buffer = drawn(&app, (80, 24), paint);
            for cell in buffer.content() {
                for colour in [cell.fg, cell.bg] {
                    let fits = match colour {
                        Color::Reset => true,
                        Color::Indexed(index) => paint != PLAIN && index <= most,
                        _ => false,
                    };
                    assert!(fits, "{paint:?}: {colour:?}");
                }
            }
        }
    }
}

#[test]
fn h143_a_hole_is_seen_with_and_without_colours() {
    let mut map = map_of(3, "test");
    map.namespaces_mut()[0].partitions.set_holder(4095, 0, None);
    let app = app([state_of(map, 9)]);
    for (paint, sign, size) in [
        (FULL, "×", (80, 24)),
        (BASIC, "×", (60, 15)),
        (PLAIN, "×", (80, 24)),
        (ASCII, "!", (200, 50)),
    ] {
        let buffer = drawn(&app, size, paint);
        let marks = |cell: &&ratatui::buffer::Cell| {
            cell.symbol() == sign && cell.modifier.contains(Modifier::BOLD)
        };
        assert_eq!(buffer.content().iter().filter(marks).count(), 1, "{paint:?}");
        shows(&buffer, &["1 hole", "UNHEALTHY", "namespace test has 1 partitions without"]);
    }
}

#[test]
fn h145_moved_masters_are_marked_and_fade() {
    let mut map = map_of(3, "test");
    for at in 0..64 {
        map.namespaces_mut()[0].partitions.set_holder(at * 3, 0, Slot::new(2));
    }
    let begun = Instant::now();
    let mut app = App::new();
    app.take(Ok(healthy(3)), begun, "12:34:56");
    app.take(Ok(state_of(map, 9)), begun, "12:34:57");
    let signs = |app: &App, sign: &str| {
        let buffer = drawn(app, (200, 50), FULL);
        buffer.content().iter().filter(|cell| cell.symbol() == sign).count()
    };
    assert!(signs(&app, "◆") >= 32 && app.is_fading());
    shows(&drawn(&app, (80, 24), PLAIN), &["64 moved", "test: 64 masters moved BB9"]);
    app.refresh(begun + Duration::from_secs(3));
    assert!(signs(&app, "◆") == 0 && signs(&app, "•") >= 32);
    app.refresh(begun + Duration::from_secs(6));
    assert!(signs(&app, "•") == 0 && !app.is_fading());
    // Without colours and signs.
    app.take(Ok(healthy(3)), begun + Duration::from_secs(7), "12:35:03");
    let mut back = healthy(3);
    back.map.as_mut().unwrap().sequence = 10;
    app.take(Ok(back), begun + Duration::from_secs(8), "12:35:04");
    let buffer = drawn(&app, (80, 24), ASCII);
    let reversed = |cell: &&ratatui::buffer::Cell| {
        cell.modifier.contains(Modifier::REVERSED | Modifier::BOLD) && cell.symbol() != " "
    };
    assert!(buffer.content().iter().filter(reversed).count() > 16);
}

#[test]
fn h143_256_nodes_scroll_to_the_marked_one() {
    let mut app = app([healthy(256)]);
    shows(&drawn(&app, (80, 24), FULL), &["256 nodes 1-", "of 256", "BB9000000000000"]);
    app.mark_end(true);
    let buffer = drawn(&app, (80, 24), FULL);
    shows(&buffer, &["256 of 256", "BB90000000000FF"]);
    app.turn_node(false);
    shows(&drawn(&app, (80, 24), PLAIN), &["BB90000000000FE"]);
    app.turn_node(true);
    app.turn_node(true);
    assert_eq!(app.node, None, "beyond the end");
    app.turn_node(true);
    let marked = drawn(&app, (200, 50), PLAIN);
    let text = lines(&marked).join("");
    assert_eq!(text.matches("A·").count(), 16, "the masters of the first node: {text}");
}

#[test]
fn h145_a_segment_without_an_owner_or_gone_is_shown_as_it_was() {
    let mut orphan = healthy(3);
    (orphan.status.owner_alive, orphan.status.owner_pid) = (false, Some(100));
    let mut app = app([healthy(3), orphan]);
    let buffer = drawn(&app, (80, 24), FULL);
    shows(&buffer, &["owner 100 gone", "STALE", "there is no live owner", "100 is gone", " A BB9"]);
    app.take(Err(Absent::None("no segment of key 7".into())), Instant::now(), "12:35:00");
    let buffer = drawn(&app, (80, 24), FULL);
    shows(&buffer, &["GONE", "gone, and this was its last state: no segment of key 7", " A BB9"]);
    let mut next = healthy(2);
    next.status.generation = 2;
    app.take(Ok(next), Instant::now(), "12:35:01");
    shows(&drawn(&app, (80, 24), FULL), &["the segment is back", "generation 1 -> 2", "2 nodes"]);
}

#[test]
fn h145_there_may_be_no_segment_yet_or_one_that_may_not_be_read() {
    let mut app = app([]);
    app.take(Err(Absent::None("no segment".into())), Instant::now(), "12:34:56");
    shows(&drawn(&app, (80, 24), PLAIN), &["NO SEGMENT", "waiting: no segment", "no segment yet"]);
    app.take(Err(Absent::Unread("Permission denied".into())), Instant::now(), "12:34:57");
    shows(&drawn(&app, (80, 24), PLAIN), &["NOT READABLE", "can't be read: Permission denied"]);
    app.take(Err(Absent::Unread("Permission denied".into())), Instant::now(), "12:34:58");
    assert_eq!(app.log.len(), 2, "said once");
    let mut fresh = healthy(1);
    (fresh.map, fresh.status.sequence) = (None, 0);
    app.take(Ok(fresh), Instant::now(), "12:34:59");
    shows(&drawn(&app, (80, 24), PLAIN), &["no namespace yet", "sequence 0"]);
    app.take(Ok(healthy(3)), Instant::now(), "12:35:00");
    shows(&drawn(&app, (80, 24), PLAIN), &["first map: 3 nodes, 1 namespaces"]);
}

#[test]
fn h143_text_from_elsewhere_does_nothing_to_the_terminal() {
    let evil = "\u{1b}[2J\u{9b}31m\r\n\u{202e}漢字";
    let mut state = healthy(2);
    state.status.cluster_name = Some(evil.to_owned());
    state.status.members[0].health = Some(NodeHealth::new(3, "x"));
    if let Some(health) = &mut state.status.members[0].health {
        health.last_error = Some(evil.to_owned());
    }
    let app = app([healthy(2), state]);
    for paint in [FULL, ASCII] {
        let buffer = drawn(&app, (200, 50), paint);
        let bad = buffer.content().iter().find(|cell| !cell.symbol().chars().all(is_printable));
        assert_eq!(bad, None);
        shows(&buffer, &["\\u{1b}[2J", "failed 3x", "does not answer"]);
    }
}

#[test]
fn keys_turn_namespaces_nodes_and_the_log() {
    let mut map = map_of(3, "beta");
    map.namespace_entry("alpha".parse().unwrap()).unwrap().replication_factor = 1;
    let mut app = app([state_of(map, 9)]);
    assert_eq!(app.grids[app.shown()].namespace, "alpha");
    app.turn_namespace(false);
    assert_eq!(app.grids[app.shown()].namespace, "beta");
    app.turn_namespace(true);
    assert_eq!(app.grids[app.shown()].namespace, "alpha");
    app.paused = true;
    app.help = true;
    let buffer = drawn(&app, (80, 24), FULL);
    shows(&buffer, &["PAUSED", "help any key closes it", "a hole: no node is its master"]);
}
