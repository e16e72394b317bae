//! The test's side of a worker process.

use crossbeam::channel::{Receiver, RecvTimeoutError, unbounded};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::roles::{ROLE, TRIAL};
use crate::setup::Setup;

/// A worker process. Dropping it kills the process.
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Worker {
    pub fn start(role: &str, setup: &Setup) -> Worker {
        Worker::run(Command::new(std::env::current_exe().unwrap()), role, setup)
    }

    /// A worker with a preloaded library.
    pub fn preloaded(library: &Path, role: &str, setup: &Setup) -> Worker {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("LD_PRELOAD", library);
        Worker::run(command, role, setup)
    }

    /// A worker of another user and group, without further privileges. Only root can
    /// start it.
    pub fn of_user(role: &str, setup: &Setup, user: u32, group: u32) -> Worker {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        // Other users may not have access to this binary's folder.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("worker");
        tendmap_testkit::copy_program(&std::env::current_exe().unwrap(), &copy, 0o755);
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new(&copy);
        command.uid(user).gid(group).current_dir("/");
        Worker::run(command, role, setup)
    }

    /// The reason why user namespaces are unavailable; `None` if they are available.
    pub fn no_namespaces() -> Option<String> {
        let flags = ["--user", "--map-root-user", "--pid", "--mount", "--fork", "true"];
        match Command::new("unshare").args(flags).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(format!("unshare (of util-linux) can't be started: {error}")),
        }
    }

    /// A client that is process 1 of its own pid namespace, as in a container. Killing
    /// the outer process also kills it.
    pub fn contained(setup: &Setup) -> Worker {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL"])
            .arg(std::env::current_exe().unwrap());
        let worker = Worker::run(command, "client", setup);
        worker.expect("connected");
        worker
    }

    fn run(mut command: Command, role: &str, setup: &Setup) -> Worker {
        let mut child = command
            .env(ROLE, format!("{role} {}", setup.to_json()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = unbounded();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let stdin = child.stdin.take();
        Worker { child, stdin, lines }
    }

    /// Runs a trial in a separate process. Trials that fork need this, because a child
    /// shares everything that its parent has mapped.
    pub fn run_trial(name: &str) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let setup = Setup::new(Path::new("/"), vec![]);
        let status = command
            .env(ROLE, format!("trial {}", setup.to_json()))
            .env(TRIAL, name)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{name}: {status}");
    }

    /// The first message of a worker in its own IPC namespace with a System V limit;
    /// `None` if that is not possible here.
    pub fn with_limit(setup: &Setup, role: &str, limit: &str, value: u64) -> Option<Value> {
        let script = "echo $VALUE > /proc/sys/kernel/$LIMIT && echo {} && exec \"$WORKER\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--ipc", "sh", "-c", script])
            .env("LIMIT", limit)
            .env("VALUE", value.to_string())
            .env("WORKER", std::env::current_exe().unwrap())
            .env(ROLE, format!("{role} {}", setup.to_json()))
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        // The first line shows that the limit could be set.
        lines.next().map(|_: Value| {
            let told = String::from_utf8_lossy(&output.stderr);
            lines.next().unwrap_or_else(|| panic!("{told}"))
        })
    }

    /// The first message of a worker without /proc, in its own mount and user
    /// namespaces; or the reason why that is not possible here.
    pub fn without_proc(setup: &Setup) -> Result<Value, String> {
        let script = "mount -t tmpfs none /proc && exec \"$WORKER\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .env("WORKER", std::env::current_exe().unwrap())
            .env(ROLE, format!("switch {}", setup.to_json()))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("unshare (of util-linux) can't be started: {error}"))?;
        let line = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned);
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        line.ok_or(told).map(|line| serde_json::from_str(&line).expect("JSON"))
    }

    /// The message of a client that creates its segment in a tmpfs of this size, in its
    /// own user and mount namespaces.
    pub fn in_small_tmpfs(setup: &Setup, at: &Path, size: &str) -> Value {
        let script = "mount -t tmpfs -o size=$SIZE none \"$AT\" && exec \"$WORKER\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .env("SIZE", size)
            .env("AT", at)
            .env("WORKER", std::env::current_exe().unwrap())
            .env(ROLE, format!("client {}", setup.to_json()))
            .stdin(Stdio::null())
            .output()
            .expect("unshare (of util-linux) is needed for this test");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "unprivileged user namespaces are needed: {told}");
        let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}; {told}"))
    }

    /// A client that has connected.
    pub fn client(setup: &Setup) -> Worker {
        let worker = Worker::start("client", setup);
        worker.expect("connected");
        worker
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// SIGKILL; the process stays a zombie until this is dropped.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    #[track_caller]
    pub fn say(&mut self, line: &str) {
        if let Err(error) = writeln!(self.stdin.as_mut().unwrap(), "{line}") {
            let last: Vec<Value> = self.lines.try_iter().collect();
            panic!("{} does not hear {line:?}: {error}; it said {last:?}", self.pid());
        }
    }

    /// The next event of this kind within 30 s; others are skipped.
    #[track_caller]
    pub fn expect(&self, event: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == event => return value,
                Ok(value) if value["event"] == "error" => panic!("waiting for {event}: {value}"),
                Ok(_) => {}
                Err(error) => panic!("waiting for {event} of {}: {error}", self.pid()),
            }
        }
    }

    /// The next event of this kind, if it arrives in time.
    pub fn hears(&self, event: &str, within: Duration) -> Option<Value> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == event => return Some(value),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Waits for the result of the connect; returns whether it got a map in time. It must
    /// not fail for another reason.
    pub fn settled(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == "connected" => return true,
                Ok(value) if value["event"] == "error" => {
                    let text = value["text"].as_str().unwrap_or_default();
                    assert!(
                        text.starts_with("no map after"),
                        "{} did not connect: {text}",
                        self.pid()
                    );
                    return false;
                }
                Ok(_) => {}
                Err(error) => panic!("{} did not connect: {error}", self.pid()),
            }
        }
    }

    /// The segment that it reads; `None` while that is retired.
    pub fn generation(&mut self) -> Option<u64> {
        self.ask("where", "where")["generation"].as_u64()
    }

    /// Whether it may route from its segment: one of a lower generation is checked first.
    pub fn has_map(&mut self) -> bool {
        self.ask("has map", "map")["there"].as_bool().unwrap()
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str, answer: &str) -> Value {
        self.say(command);
        self.expect(answer)
    }

    pub fn role(&mut self) -> String {
        self.ask("role", "role")["role"].as_str().unwrap().to_owned()
    }

    /// Checks that every partition of every namespace has the right master.
    #[track_caller]
    pub fn assert_routes(&mut self) {
        let answer = self.ask("route", "routed");
        assert_eq!(answer["wrong"], 0, "{answer}");
        assert!(answer["routed"].as_u64().unwrap() > 0, "{answer}");
    }

    pub fn close(mut self) {
        self.ask("close", "closed");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
