//! Commands that show every segment of the host: `ls`, `status --all`, `status --watch`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tendmap::internals::layout::{Header, Identity};
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, Place, Running, keys, wait_until};
use crate::users::Host;

/// The segments of an answer, by key: the health, and whether there are a status and an error.
fn told(answer: &Answer) -> Vec<(u64, String, bool, bool)> {
    let json = answer.json();
    let of = |found: &Value| {
        let health = found["health"].as_str().unwrap().to_owned();
        (
            found["key"].as_u64().unwrap(),
            health,
            found["status"].is_object(),
            found["error"].is_string(),
        )
    };
    json["segments"].as_array().unwrap().iter().map(of).collect()
}

/// A text without its line breaks.
fn flat(answer: &Answer) -> String {
    answer.stdout().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wanted(key: u64, health: &str) -> (u64, String, bool, bool) {
    let read = ["healthy", "unhealthy", "stale"].contains(&health);
    (key, health.to_owned(), read, !read)
}

#[test]
fn h146_one_segment_that_can_not_be_read_does_not_hide_the_others() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let all = |more: &[&str]| place.run(&[&["status", "--all", "--json"], more].concat());
    assert_eq!((all(&[]).code(), told(&all(&[]))), (0, Vec::new()));
    assert!(place.run(&["status", "--all"]).stdout().starts_with("no segments in "));
    assert_eq!(all(&["--shm-key", "1"]).code(), 3);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is created");

    let _one = place.tend(&sim, &["--shm-key", "1"]);
    let healthy = all(&[]);
    assert_eq!((healthy.code(), told(&healthy)), (0, vec![wanted(1, "healthy")]));
    let names = [
        "key",
        "backend",
        "path",
        "shmid",
        "layout_version",
        "generation",
        "user",
        "health",
        "error",
        "status",
    ];
    assert_eq!(keys(&healthy.json()["segments"][0]), names);
    // Segments of other layouts can't be judged, and do not count.
    fs::write(place.path().join("tendmap-00000002-v9-g1"), [0; 64]).unwrap();
    assert_eq!(all(&[]).code(), 0);
    place.tend(&sim, &["--shm-key", "3"]).kill();
    fs::write(place.path().join("tendmap-00000004-v3-g1"), [0; 64]).unwrap();
    let mixed = all(&[]);
    assert_eq!(mixed.code(), 1);
    let healths = ["healthy", "other version", "stale", "damaged"];
    let healths: Vec<_> = (1..).zip(healths).map(|(key, health)| wanted(key, health)).collect();
    assert_eq!(told(&mixed), healths);
    assert_eq!(all(&["--shm-key", "1"]).code(), 0, "the key restricts it");

    let text = place.run(&["status", "--all"]);
    assert_eq!(text.code(), 1);
    let text = flat(&text);
    for wanted in [
        "0x00000001 file, generation 1, user ",
        ": healthy cluster ",
        "cluster tend-sim: 2 nodes",
        "layout version 9",
        "UNHEALTHY",
        "no live owner",
        ": damaged reason ",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
}

#[test]
fn h146_a_replaced_generation_is_not_reported_as_unhealthy() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    place.tend(&sim, &["--shm-max-nodes", "2"]).kill();
    // A copy that claims an older generation of the key stays behind.
    let mut old = fs::read(place.segment()).unwrap();
    let mut owner = place.tend(&sim, &["--shm-max-nodes", "2"]);
    sim.add().unwrap();
    wait_until("a larger segment", || {
        place.json(&["map", "--json"])["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3)
    });
    // The head's bit for retired.
    old[256 + 5] |= 0x80;
    fs::write(place.segment(), old).unwrap();
    let all = place.run(&["status", "--all", "--json"]);
    let healths: Vec<String> = told(&all).into_iter().map(|(_, health, ..)| health).collect();
    assert_eq!((all.code(), healths), (0, vec!["replaced".into(), "healthy".into()]));
    let listed = place.json(&["ls", "--json"]);
    assert_eq!(listed["segments"][0]["health"], "replaced");
    assert!(flat(&place.run(&["status", "--all"])).contains("generation 2 has taken its place"));
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h146_other_users_see_what_they_may_read_and_why_they_may_not() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let _hidden = host.tend(5001, &sim, &["--shm-key", "1"]);
    let _open = host.tend(5001, &sim, &["--shm-key", "2", "--shm-mode", "0644"]);
    let key = 0x7b00_0000 | std::process::id();
    let sysv = ["--shm-backend", "sysv", "--shm-key", &key.to_string(), "--shm-mode", "0644"];
    let _sysv = host.tend(5001, &sim, &sysv);
    for command in [&["status", "--all", "--json"][..], &["ls", "--json"]] {
        let stranger = host.command(5002, command).gid(5002).output().unwrap();
        let (stranger, root) = (Answer(stranger), host.place.run(command));
        assert_eq!((stranger.code(), root.code()), (0, 0), "{}", stranger.stdout());
        let healths = |answer: &Answer| -> Vec<Value> {
            let json = answer.json();
            json["segments"].as_array().unwrap().iter().map(|it| it["health"].clone()).collect()
        };
        assert_eq!(healths(&stranger), ["no permission", "healthy", "healthy"]);
        assert_eq!(healths(&root), ["healthy"; 3]);
    }
    let stranger = host.command(5002, &["status", "--all"]).gid(5002).output().unwrap();
    let text = flat(&Answer(stranger));
    assert!(
        text.contains("Permission denied") && text.contains("user 5001: no permission"),
        "{text}"
    );
}

#[test]
fn a_watch_goes_on_while_the_segment_is_missing_orphaned_and_replaced() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let flags = ["status", "--watch", "--interval", "100ms", "--json"];
    let mut watch = Running::start(&mut place.command(&flags));
    let mut every = Running::start(&mut place.command(&[&flags[..], &["--all"]].concat()));
    let first = watch.next();
    assert_eq!(
        (&first["error"]["code"], keys(&first["error"])),
        (&json!(3), vec!["message", "code", "hint"])
    );
    assert_eq!(every.next(), json!({ "segments": [] }));
    let mut until = |what: &str, is: &dyn Fn(&Value) -> bool| {
        wait_until(what, || is(&watch.next()));
        wait_until(what, || is(&every.next()["segments"][0]["status"]));
    };
    let mut owner = place.tend(&sim, &["--shm-max-nodes", "2"]);
    until("an owner", &|status| status["owner_alive"] == true);
    sim.add().unwrap();
    until("a larger segment", &|status| status["generation"] == 2 && status["nodes"] != json!([]));
    owner.kill();
    until("no owner", &|status| status["owner_alive"] == false);
    assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    wait_until("nothing", || watch.next()["error"]["code"] == 3);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is created");
    assert_eq!(watch.interrupt(), 0);
    every.signal(Signal::TERM);
    assert_eq!(every.end(), 0);
}

#[test]
fn a_watch_prints_blocks_and_ends_with_its_reader() {
    let place = Place::new();
    let mut command = place.command(&["status", "--watch", "--interval", "100ms", "--all"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let block: Vec<String> = lines.by_ref().take(3).collect();
    assert!(block[0].starts_with("no segments in ") && block[0] == block[2], "{block:?}");
    assert_eq!(block[1], "");
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(141));
    for (args, text) in [
        (["status", "--interval", "10ms"], "wanted at least 0.1 s"),
        (["status", "--interval", "x"], "invalid value 'x'"),
    ] {
        let refused = place.run(&args);
        assert_eq!(refused.code(), 2);
        assert!(refused.stderr().contains(text), "{}", refused.stderr());
    }
}

#[test]
fn a_watch_on_a_terminal_redraws_the_screen_within_its_size() {
    let found = std::process::Command::new("script").arg("--version").output();
    if found.is_err() {
        tendmap_testkit::skipped("there is no script(1), which provides a terminal");
        return;
    }
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _owner = place.tend(&sim, &[]);
    let command = place.command(&["status", "--watch", "--interval", "100ms"]);
    let words: Vec<&str> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|it| it.to_str().unwrap())
        .collect();
    let run = format!("stty rows 12 cols 60; exec {}", words.join(" "));
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qfec", &run, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = terminal.spawn().unwrap();
    let mut shown = Vec::new();
    let mut output = child.stdout.take().unwrap();
    // The beginnings of two screens after the first one.
    let screens = |shown: &[u8]| shown.windows(3).filter(|it| it == b"\x1b[H").count();
    while screens(&shown) < 3 {
        let mut bytes = [0; 4096];
        let count = output.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend(&bytes[..count]);
    }
    let text = String::from_utf8_lossy(&shown).replace('\r', "");
    let screen = text.split("\x1b[H").nth(2).unwrap();
    let lines: Vec<&str> = screen.lines().map(|line| line.trim_end_matches("\x1b[K")).collect();
    assert_eq!(lines.len(), 12, "11 lines, and the end of the screen: {screen:?}");
    assert_eq!(lines[11], "\x1b[J");
    assert!(lines[..11].iter().all(|line| line.chars().count() <= 60), "{screen:?}");
    assert!(lines[9].ends_with(" more lines") && lines[10] == "healthy", "{screen:?}");
    // ^C, as a terminal delivers it.
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\x03").unwrap();
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watch_whose_output_is_not_read_still_ends_at_a_signal() {
    let place = Place::new();
    for index in 0..40 {
        fs::write(place.path().join(format!("tendmap-{index:08x}-v9-g1")), [0; 64]).unwrap();
    }
    let mut command = place.command(&["status", "--watch", "--interval", "100ms", "--all"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 64]).unwrap();
    let full = || rustix::io::ioctl_fionread(&output).unwrap();
    let mut before = 0;
    // The pipe is full, and the process waits in a write.
    wait_until("a full pipe", || {
        let now = full();
        let blocked = now > 40_000 && now == before && {
            let path = format!("/proc/{}/wchan", child.id());
            fs::read_to_string(path).is_ok_and(|at| at.contains("pipe")) || now >= 65_472
        };
        before = now;
        blocked
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn h159_a_user_who_plants_segments_costs_a_bounded_number_of_reads() {
    let Some(host) = Host::new() else { return };
    let (place, sim) = (&host.place, Sim::start(SimConfig::fast(2)).unwrap());
    place.tend(&sim, &["--shm-key", "1"]).kill();
    let segment = fs::read(place.path().join("tendmap-00000001-v3-g1")).unwrap();
    let bytes = segment.len() as u64;
    let (identity, geometry) = Header::validate(&segment, bytes).unwrap();
    // Each is valid, and empty.
    for key in 0x100..0x100 + 100_u32 {
        let path = place.path().join(format!("tendmap-{key:08x}-v3-g1"));
        fs::write(&path, Header::new(Identity { key, ..identity }, &geometry).bytes()).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        chown(&path, Some(5003), None).unwrap();
    }
    let _last = place.tend(&sim, &["--shm-key", "0xf0000000"]);
    let listed = place.json(&["ls", "--json"]);
    let listed = listed["segments"].as_array().unwrap();
    let of = |health: &str| listed.iter().filter(|found| found["health"] == health).count();
    // All are listed, and those of other users are read.
    assert_eq!(listed.len(), 102);
    assert_eq!((of("healthy"), of("not read")), (1, 36), "{listed:?}");
    let all = place.run(&["status", "--all"]);
    assert!(flat(&all).contains("only 64 segments of a user are read"), "{}", all.stdout());
}
