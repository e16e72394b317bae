//! `tendmap watch` on a terminal, while nodes and owners come and go.

use std::process::Command;

use rustix::process::{Signal, geteuid, kill_process};
use tendmap::sim::{Sim, SimConfig};

use crate::tmux::Tmux;
use crate::tool::{Answer, BINARY, Place, wait_until};

/// The command for a shell, with these variables and flags.
fn watch(place: &Place, variables: &str, flags: &str) -> String {
    let directory = place.path().display();
    let unset = "env -u NO_COLOR -u COLORTERM -u LC_ALL -u LC_CTYPE -u LANG";
    format!(
        "{unset} {variables} {BINARY} watch --interval 100ms --shm-directory {directory} {flags}"
    )
}

/// The masters that the lines of nodes show: the number before the share.
fn masters(screen: &str) -> Vec<usize> {
    let lines = screen.lines().filter(|line| line.contains("127.0.0.1:"));
    let masters = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let share = words.iter().position(|word| word.ends_with('%'))?;
        words.get(share - 1)?.parse().ok()
    });
    masters.collect()
}

#[test]
fn h145_watch_shows_how_a_node_and_an_owner_fail() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut owner = place.tend(&sim, &[]);
    let follower = place.tend(&sim, &[]);
    let start = |variables: &str| Tmux::start((110, 60), &watch(&place, variables, ""));
    let Some(full) = start("TERM=xterm-256color") else { return };
    let basic = start("TERM=xterm").unwrap();
    let plain = start("TERM=xterm-256color NO_COLOR=1").unwrap();
    let all = [&full, &basic, &plain];

    let (first, second) = (owner.pid(), follower.pid());
    for tmux in all {
        let owner = format!("owner {first} alive · term 1 ");
        let begins = format!("generation 1: owner {first}, term 1, sequence ");
        // The keys are drawn last: before them a terminal may have read half of a frame.
        let all = [&owner, "HEALTHY", "─ 3 nodes ─", "no holes", &begins, " q quit"];
        let screen = tmux.until(&all);
        let masters = masters(&screen);
        assert_eq!((masters.len(), masters.iter().sum()), (3, 4096), "{screen}");
    }

    // A node dies: its masters move, and it leaves.
    let gone = sim.status().unwrap().nodes[1].node.clone();
    sim.kill(2).unwrap();
    for tmux in all {
        let left = format!("node {gone} left");
        tmux.until(&["─ 2 nodes ─", &left, &format!("masters moved {gone} -> ")]);
    }
    wait_until("all masters at the others", || {
        let masters = masters(&full.screen());
        (masters.len(), masters.iter().sum()) == (2, 4096)
    });

    // The owner is killed: another takes over, in the next term.
    owner.kill();
    for tmux in all {
        let takeover = format!("takeover: owner {first} -> {second}, term 1 -> 2");
        tmux.until(&[&format!("owner {second} alive · term 2 "), &takeover]);
    }

    // Each terminal gets no more colours than it has.
    let sets = |tmux: &Tmux, what: &str| tmux.coloured().contains(what);
    assert!(sets(&full, "\u{1b}[38;5;33m") || sets(&full, ";5;33"), "{}", full.coloured());
    assert!(!sets(&basic, "8;5;") && !sets(&basic, "8;2;"), "{}", basic.coloured());
    assert!(sets(&basic, "\u{1b}[34m") || sets(&basic, "34;4"), "{}", basic.coloured());
    let text = plain.coloured();
    let mut numbers = text.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut plain_only = numbers.all(|(numbers, _)| {
        numbers.split(';').all(|number| matches!(number, "" | "0" | "1" | "4" | "7" | "39" | "49"))
    });
    plain_only &= text.contains("\u{1b}[1m");
    assert!(plain_only, "{text}");

    // A smaller terminal shows all parts, too.
    full.resize((80, 24));
    let small = |screen: &str| {
        let lines: Vec<&str> = screen.lines().collect();
        lines.len() == 24 && lines[23].starts_with(" q quit")
    };
    wait_until("the smaller screen", || small(&full.screen()));
    let screen = full.until(&["─ 2 nodes ─", "─ events UTC ─", "takeover: owner", "no holes"]);
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    full.keys(&["?"]);
    full.until(&["a hole: no node is its master"]);
    full.keys(&["x", "q"]);
    full.until(&["ended: 0"]);
    assert_eq!(full.variable("alternate_on"), "0");
}

#[test]
fn h145_watch_goes_on_without_a_segment_and_with_the_next_one() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let command = watch(&place, "TERM=xterm-256color", "");
    let Some(tmux) = Tmux::start((100, 50), &command) else { return };
    tmux.until(&["NO SEGMENT", "waiting: ", "no segment yet"]);

    let mut tend = place.tend(&sim, &["--shm-mode", "0644"]);
    let owner = tend.pid();
    tmux.until(&[&format!("owner {owner} alive"), "2 nodes", "term 1,"]);
    // Another user may read it, and nothing else.
    let stranger = reading_stranger(&place);
    if let Some(stranger) = &stranger {
        stranger.until(&[&format!("owner {owner} alive"), "2 nodes", "HEALTHY"]);
    }
    tend.kill();
    tmux.until(&[&format!("owner {owner} gone"), "STALE", "2 nodes", "there is no live owner"]);
    if let Some(stranger) = &stranger {
        stranger.until(&[&format!("owner {owner} gone"), "STALE"]);
    }
    assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    tmux.until(&["GONE", "its last state", "the segment is gone", "2 nodes"]);
    let next = place.tend(&sim, &[]);
    tmux.until(&[&format!("owner {} alive", next.pid()), "HEALTHY", "the segment is back"]);

    // Another segment of the host.
    let other = place.tend(&sim, &["--shm-key", "0xA7000009"]);
    tmux.until(&["segment 1 of 2"]);
    tmux.keys(&["s"]);
    tmux.until(&["0xa7000009", "segment 2 of 2", &format!("owner {} alive", other.pid())]);
    tmux.keys(&["S"]);
    tmux.until(&["0xa7000000", &format!("owner {} alive", next.pid())]);
    // While it pauses, nothing is read.
    tmux.keys(&["p"]);
    tmux.until(&["PAUSED"]);
    drop(next);
    tmux.until(&["PAUSED", "HEALTHY"]);
    tmux.keys(&["p"]);
    tmux.until(&["STALE"]);
}

/// A watch of a user who may only read.
fn reading_stranger(place: &Place) -> Option<Tmux> {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can watch as another user");
        return None;
    }
    // That user must reach the program and the directory.
    let open = "0755";
    let copy = place.path().join("tendmap-to-run");
    // By another process: a child that is forked here must not keep it open for writing.
    Command::new("cp").arg(BINARY).arg(&copy).status().unwrap();
    Command::new("chmod").arg(open).arg(place.path()).arg(&copy).status().unwrap();
    let command = watch(place, "TERM=xterm", "--shm-owner 0");
    let command = command.replace(BINARY, copy.to_str().unwrap());
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    Tmux::start((90, 30), &format!("{user} {command}"))
}

#[test]
fn h145_a_terminal_is_as_it_was_after_a_stop_and_a_signal() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let _tend = place.tend(&sim, &[]);
    let Some(tmux) = Tmux::start((90, 24), "bash --norc --noprofile -i") else { return };
    let is_own = || tmux.variable("alternate_on") == "1" && tmux.variable("cursor_flag") == "0";
    let is_free = || tmux.variable("alternate_on") == "0" && tmux.variable("cursor_flag") == "1";
    let command = watch(&place, "TERM=xterm-256color", "");
    tmux.keys(&[&command, "Enter"]);
    tmux.until(&["HEALTHY", "1 node"]);
    assert!(is_own());

    // All of it again, without a question to the terminal.
    tmux.keys(&["C-l"]);
    tmux.keys(&["p"]);
    tmux.until(&["PAUSED", "HEALTHY"]);
    tmux.keys(&["p"]);

    // Ctrl-Z, and back.
    tmux.keys(&["C-z"]);
    wait_until("a free terminal", is_free);
    tmux.until(&["Stopped"]);
    tmux.keys(&["fg", "Enter"]);
    tmux.until(&["HEALTHY"]);
    wait_until("a screen again", is_own);
    tmux.until(&[" q quit"]);

    // The same from another process.
    let pid = child_of(&tmux.variable("pane_pid"));
    let send = |signal| kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    send(Signal::TSTP);
    wait_until("a free terminal", is_free);
    tmux.keys(&["fg", "Enter"]);
    tmux.until(&["HEALTHY"]);
    wait_until("a screen again", is_own);

    send(Signal::TERM);
    wait_until("a free terminal", is_free);
    tmux.keys(&["echo code=$?", "Enter"]);
    tmux.until(&["code=0"]);
    tmux.keys(&["clear; stty -a | tr ';' '\\n' | grep icanon", "Enter"]);
    let screen = tmux.until(&["iexten"]);
    let words: Vec<&str> = screen.split_whitespace().collect();
    assert!(words.contains(&"icanon") && words.contains(&"echo"), "{screen}");
}

/// Under a shell without job control, as `ssh -t` starts one, nobody would continue it.
#[test]
fn h145_what_no_shell_can_continue_does_not_stop() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let _tend = place.tend(&sim, &[]);
    let Some(tmux) = Tmux::start((90, 24), &watch(&place, "TERM=xterm-256color", "")) else {
        return;
    };
    tmux.until(&["HEALTHY", " q quit"]);
    tmux.keys(&["C-z", "p"]);
    tmux.until(&["PAUSED"]);
    tmux.keys(&["q"]);
    tmux.until(&["ended: 0"]);
}

#[test]
fn h145_a_terminal_that_can_not_be_read_is_an_error() {
    let place = Place::new();
    let command = format!("ulimit -n 8; {}", watch(&place, "TERM=xterm", ""));
    let Some(tmux) = Tmux::start((90, 24), &command) else { return };
    let screen = tmux.until(&["ended: "]);
    assert!(screen.contains("ended: 6") && screen.contains("ulimit -n"), "{screen}");
}

/// The process that runs `tendmap` under the shells of a terminal.
fn child_of(pane: &str) -> i32 {
    let all = Command::new("ps").args(["-eo", "pid,ppid,args"]).output().unwrap();
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let rows: Vec<(i32, i32, String)> = all
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok()?;
            let parent = words.next()?.parse().ok()?;
            Some((pid, parent, words.collect::<Vec<_>>().join(" ")))
        })
        .collect();
    let mut at: i32 = pane.parse().unwrap();
    loop {
        let child = rows.iter().find(|(_, parent, _)| *parent == at);
        let (pid, _, args) = child.unwrap_or_else(|| panic!("no child of {at} in\n{all}"));
        if args.starts_with(BINARY) {
            return *pid;
        }
        at = *pid;
    }
}

#[test]
fn h145_watch_without_a_terminal_says_what_to_use() {
    let place = Place::new();
    let answer = place.run(&["watch"]);
    assert_eq!(answer.code(), 6);
    let wanted = "tendmap: watch needs a terminal; use `tendmap status --watch`\n";
    assert_eq!(answer.stderr(), wanted);
    let answer = Answer(place.command(&["watch"]).env("TERM", "dumb").output().unwrap());
    assert!(answer.code() == 6 && answer.stderr().contains("(see TERM)"), "{}", answer.stderr());
    for (flags, wanted) in [
        (&["--json"][..], "use `tendmap status --watch --json`"),
        (&["--interval", "0"], "wanted at least"),
        (&["--interval", "soon"], "interval"),
        (&["--colour"], "unexpected argument"),
    ] {
        let answer = place.run(&[&["watch"], flags].concat());
        assert_eq!(answer.code(), 2, "{flags:?}: {}", answer.stderr());
        assert!(answer.stderr().contains(wanted), "{}", answer.stderr());
    }
}
