//! Text from others has no effect on a terminal, and forges no line of a log.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tendmap::internals::text::is_printable;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, BINARY, PATIENCE, Place, Running, wait_until};

/// Clears the screen, sets a window title, moves back in the line, reverses text,
/// and begins further lines.
const FOREIGN: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\r\u{8}\u{9b}31m\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{feff}\u{2028}\u{7f}%n{}";

/// A proxy between the tender and a node that changes the node's replies.
struct Forger {
    address: SocketAddr,
}

impl Forger {
    /// Replaces `from` by `to`.
    fn new(sim: &Sim, from: &str, to: &str) -> Forger {
        let node = sim.seeds()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // The node's own address leads here, too.
        let own = (node.port().to_string(), address.port().to_string());
        let rules = vec![own, (from.to_owned(), to.to_owned())];
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let rules = rules.clone();
                // The thread ends with the connection.
                std::thread::spawn(move || drop(forward(client, node, &rules)));
            }
        });
        Forger { address }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }
}

fn forward(
    mut client: TcpStream,
    node: SocketAddr,
    rules: &[(String, String)],
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(node)?;
    loop {
        let request = message(&mut client)?;
        server.write_all(&request)?;
        let mut reply = message(&mut server)?.split_off(8);
        for (from, to) in rules {
            reply = String::from_utf8(reply).unwrap().replace(from, to).into_bytes();
        }
        let length = (2_u64 << 56 | 1 << 48) + reply.len() as u64;
        client.write_all(&[&length.to_be_bytes(), &reply[..]].concat())?;
    }
}

/// A message with its header.
fn message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 8];
    from.read_exact(&mut message)?;
    let length = u64::from_be_bytes(message[..].try_into().unwrap()) & 0xffff_ffff_ffff;
    message.resize(8 + length as usize, 0);
    from.read_exact(&mut message[8..])?;
    Ok(message)
}

#[track_caller]
fn harmless(what: &str, text: &str) {
    let foreign = |character: &char| !is_printable(*character) && *character != '\n';
    assert_eq!(text.chars().find(foreign), None, "{what}: {text:?}");
}

#[track_caller]
fn shows(what: &str, answer: &Answer, wanted: bool) {
    let (out, err) = (answer.stdout(), answer.stderr());
    harmless(what, &out);
    harmless(what, &err);
    assert!(!wanted || (out + &err).contains("\\u{"), "{what} shows it, escaped");
}

#[test]
fn h113_what_a_server_says_does_nothing_to_a_terminal() {
    let evil = |prefix: &str| format!("{prefix}{FOREIGN}");
    for (from, to, connects) in [
        ("8.1.2.0", evil("8.1.2.0"), true),
        ("Community Edition", evil("Community"), true),
        ("node\t", evil("node\tERROR:4:"), false),
        ("node\t", evil("node\t"), false),
        ("cluster-name\t", evil("cluster-name\t"), false),
        ("cluster-name\t", "cluster-name\ta\u{202e}".to_owned(), false),
        ("replicas\t", evil("replicas\tFAIL:"), true),
        ("replicas\t", evil("replicas\t"), true),
        ("peers-clear-std\t", evil("peers-clear-std\t1,3000,[[X,,["), true),
        ("service-clear-std\t", evil("service-clear-std\tx"), true),
        ("partition-generation\t", evil("partition-generation\t"), false),
    ] {
        let what = format!("{from:?} that is {to:?}");
        let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
        let forger = Forger::new(&sim, from, &to);
        let host = forger.host();
        let check = place.run(&["check", "--host", &host, "--log", "trace"]);
        shows(&what, &check, false);
        let json = place.run(&["check", "--json", "--host", &host]);
        shows(&what, &json, false);
        serde_json::from_str::<Value>(&json.stdout()).unwrap();
        if from == "8.1.2.0" {
            assert_eq!(json.json()["nodes"][0]["build"], to, "JSON is exact");
            assert!(check.stdout().contains("\\u{1b}[2J"), "{}", check.stdout());
        }
        let mut tend = place.command(&["tend", "--log", "trace", "--tend-interval", "100ms"]);
        tend.args(["--host", &host]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tend = tend.spawn().unwrap();
        if connects {
            let ready = || place.run(&["map"]).code() == 0 || place.segment().exists();
            wait_until("a segment", ready);
            for command in [&["status"][..], &["map"], &["ls"], &["status", "--json"]] {
                shows(&what, &place.run(command), false);
            }
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&tend),
                rustix::process::Signal::TERM,
            )
            .unwrap();
        }
        let since = std::time::Instant::now();
        while tend.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < PATIENCE, "{what}: it goes on");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let answer = Answer(tend.wait_with_output().unwrap());
        shows(&what, &answer, !connects);
    }
}

#[test]
fn h113_what_a_file_or_a_name_holds_does_nothing_to_a_terminal() {
    let place = Place::new();
    let name = FOREIGN.replace('/', "");
    let folder = place.path().join(&name);
    fs::create_dir(&folder).unwrap();
    // Files of another user in a directory that is listed.
    for file in [format!("tendmap-a7000000-v3-g1{name}"), format!("tendmap-{name}")] {
        fs::write(place.path().join(file), "x").unwrap();
    }
    let config = folder.join("config");
    for line in [
        format!("{FOREIGN} = 1"),
        format!("\"{}\" = 1", FOREIGN.replace(['\r', '\u{7}', '\u{8}', '\u{1b}', '\u{7f}'], "")),
        "host = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
        "\"\\u001b[2J\\u009b\\u202e\" = 1".to_owned(),
        "[\"\\u001b[2J\\u009b\\u202e\"]\nx = 1".to_owned(),
        "log = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
        "cluster-name = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
        "shm-owner = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
        "tls-cafile = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
        "auth-mode = \"\\u001b[2J\\u009b\\u202e\"".to_owned(),
    ] {
        fs::write(&config, &line).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        for more in [&[][..], &["--json"]] {
            let args = ["tend", "--host", "127.0.0.1:1", "--config", config.to_str().unwrap()];
            let answer = place.run(&[&args[..], more].concat());
            assert_ne!(answer.code(), 0);
            shows(&line, &answer, false);
        }
    }
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["status"],
        &["rm"],
        &["tend", "--host", FOREIGN],
        &["tend", FOREIGN],
        &["route", "--namespace", FOREIGN, "--int", "1"],
        &["status", "--shm-key", FOREIGN],
        &[FOREIGN],
    ] {
        shows("arguments", &place.run(args), false);
    }
    let mut other = Command::new(BINARY);
    other.args(["status", "--shm-directory"]).arg(&folder);
    shows("a directory", &Answer(other.output().unwrap()), true);
}

#[test]
fn h113_a_directory_whose_name_is_no_text_is_shown_all_the_same() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(1)).unwrap());
    let folder = place.path().join(OsStr::from_bytes(b"a\xff\x1b[2J"));
    fs::create_dir(&folder).unwrap();
    let command = |args: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(args).arg("--shm-directory").arg(&folder);
        command
    };
    let host = sim.seeds()[0].to_string();
    let mut tend = Running::start(&mut command(&["tend", "--json", "--host", &host]));
    tend.until("connected");
    for name in ["ls", "status", "map"] {
        for more in [&[][..], &["--json"]] {
            let answer = Answer(command(&[&[name], more].concat()).output().unwrap());
            assert_eq!(answer.code(), 0, "{name}: {}", answer.stderr());
            shows(name, &answer, false);
        }
    }
    let listed = Answer(command(&["ls", "--json"]).output().unwrap()).json();
    let path = listed["segments"][0]["path"].as_str().unwrap().to_owned();
    assert!(path.contains("a\u{fffd}\u{1b}[2J/"), "{path:?}");
    assert_eq!(tend.interrupt(), 0);
}
