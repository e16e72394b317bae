//! Runs the binary: a directory for its segments, single commands, and background
//! processes.

use crossbeam::channel::{Receiver, unbounded};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tendmap::sim::Sim;

pub const BINARY: &str = env!("CARGO_BIN_EXE_tendmap");
/// Long enough for any step on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A temporary directory for segments.
pub struct Place {
    pub directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The file of the first segment of the default key.
    pub fn segment(&self) -> PathBuf {
        self.path().join("tendmap-a7000000-v3-g1")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args);
        // These commands use no segment.
        if !matches!(args.first(), Some(&("sim" | "check"))) {
            command.arg("--shm-directory").arg(self.path());
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        Answer(self.command(args).output().unwrap())
    }

    /// The JSON answer of a command that must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let answer = self.run(args);
        assert_eq!(answer.code(), 0, "{args:?}: {}", answer.stderr());
        answer.json()
    }

    /// Starts a `tend` of the cluster and waits until it has connected.
    pub fn tend(&self, sim: &Sim, more: &[&str]) -> Running {
        let mut args = vec!["tend", "--json"];
        if !more.contains(&"--config") {
            args.extend(["--tend-interval", "100ms"]);
        }
        let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
        args.extend(hosts.iter().flat_map(|host| ["--host", host]));
        args.extend(more);
        let mut running = Running::start(&mut self.command(&args));
        running.until("connected");
        running
    }
}

/// The output of a command.
pub struct Answer(pub Output);

impl Answer {
    pub fn code(&self) -> i32 {
        self.0.status.code().expect("it was not killed")
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// The error that it reports as JSON.
    pub fn error(&self) -> Value {
        let text = self.stderr();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(keys(&value["error"]), ["message", "code", "hint"]);
        value["error"].clone()
    }

    /// One object on one line.
    pub fn json(&self) -> Value {
        let text = self.stdout();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }
}

/// A process that prints JSON lines; killed when it is dropped.
pub struct Running {
    pub child: Child,
    pub input: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// The lines that it has printed so far.
    pub heard: Vec<Value>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running::start_with(command, Stdio::piped())
    }

    /// Starts a process with this standard input.
    pub fn start_with(command: &mut Command, input: Stdio) -> Running {
        let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = unbounded();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line);
                let value = value.unwrap_or_else(|error| panic!("{line}: {error}"));
                if to.send(value).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Running { child, input, lines, heard: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line.
    pub fn next(&mut self) -> Value {
        let value = self.lines.recv_timeout(PATIENCE).expect("another line");
        self.heard.push(value.clone());
        value
    }

    /// The next event with this name.
    pub fn until(&mut self, event: &str) -> Value {
        loop {
            let value = self.next();
            if value["event"] == event {
                return value;
            }
        }
    }

    /// Sends a line and returns the answer.
    pub fn ask(&mut self, line: &str) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.next()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Interrupts the process as ^C does; returns its exit code.
    pub fn interrupt(&mut self) -> i32 {
        self.signal(rustix::process::Signal::INT);
        self.end()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended; returns its exit code.
    pub fn end(&mut self) -> i32 {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.heard.extend(self.lines.iter());
                return status.code().expect("it was not killed");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reader of the segment.
pub fn reader(place: &Place) -> tendmap::client::Reader {
    tendmap::client::Reader::attach(&tendmap::segment::Place {
        directory: place.path().into(),
        ..tendmap::segment::Place::of_key(tendmap::segment::Place::KEY)
    })
    .unwrap()
}

/// Waits until `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The names of an object's fields, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}
