//! The child processes of the bench: this program, started again.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tendmap::client::{Client, Config, Reader};
use tendmap::route::{Partition, Policy, Router};
use tendmap::segment::Place;

use super::counted::{self, Case};
use tendmap_cli::args::Common;
use tendmap_cli::failure::Failure;
use tendmap_cli::settings::forget_secrets;
use tendmap_harness::fixed::Fixed;
use tendmap_harness::shape::{NAMESPACE, PARTITIONS, Shape};

/// The task of a child.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Follow the owner, and take over if necessary.
    Follow,
    /// As `Follow`, with lookups without a pause.
    Busy,
    /// As `Follow`, with a shorter takeover threshold for an owner that hangs.
    Impatient,
    /// Attach and route repeatedly, and report how long each took.
    Attach,
    /// Stay attached as a reader that has routed once.
    Read,
    /// Run a case that is counted in instructions.
    Count,
}

/// A child's flags.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[arg(long)]
    task: Task,
    /// The case to count.
    #[arg(long, required_if_eq("task", "count"))]
    case: Option<Case>,
}

/// The longest time between two heartbeats of an owner that may hang.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// The takeover threshold for an owner that hangs.
pub const THRESHOLD: Duration = Duration::from_secs(1);
/// How many times a child attaches.
const ATTACHES: usize = 50;

/// Runs a process of the bench until standard input ends.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    // The measuring process has priority over all others; the processes that it
    // starts do not.
    let _ = rustix::process::setpriority_process(None, 0);
    match args.task {
        Task::Follow | Task::Impatient => {
            let client = connect(&common.place(), args.task)?;
            tell("ready")?;
            wait_for_end();
            client.close();
        }
        Task::Busy => {
            let client = connect(&common.place(), args.task)?;
            tell("ready")?;
            // Waits for the end of standard input, as every child does.
            let ended = thread::spawn(wait_for_end);
            look_up(client.router(), || ended.is_finished());
            client.close();
        }
        Task::Count => args.case.map_or(Ok(()), |case| counted::run(common, case))?,
        Task::Read => {
            let reader = Reader::attach(&common.place())?;
            look_up(reader.router(), || true);
            tell("ready")?;
            wait_for_end();
        }
        Task::Attach => {
            for _ in 0..ATTACHES {
                let begun = Instant::now();
                let client = connect(&common.place(), args.task)?;
                look_up(client.router(), || true);
                tell(begun.elapsed().as_nanos())?;
                client.close();
            }
        }
    }
    Ok(())
}

/// A client of the segment there; creates the segment if there is none.
fn connect(place: &Place, task: Task) -> Result<Client, Failure> {
    // No server is ever asked, because the map comes from a source without one.
    let nowhere = "127.0.0.1:1".parse().map_err(|_| Failure::Failed("no address".into()))?;
    let mut config = Config::shared(vec![nowhere], place.key);
    config.shm_backend = place.backend;
    config.shm_directory.clone_from(&place.directory);
    config.shm_owner.clone_from(&place.owners);
    if task == Task::Impatient {
        config.tend_interval = INTERVAL;
        config.connect_timeout = INTERVAL;
        config.shm_takeover_threshold = THRESHOLD;
    }
    Ok(Client::connect_with(config, Box::new(Fixed::new(Shape::DEFAULT.map())))?)
}

/// Looks up one partition after the other, at least one, until `enough` is true.
fn look_up(mut router: Router, enough: impl Fn() -> bool) {
    let Ok(handle) = router.namespace(NAMESPACE) else { return };
    for partition in (0..PARTITIONS).cycle() {
        let _ = std::hint::black_box(router.route(handle, Partition(partition), Policy::Master));
        if partition % 256 == 0 && enough() {
            return;
        }
    }
}

fn wait_for_end() {
    io::stdin().lines().map_while(Result::ok).for_each(drop);
}

fn tell(what: impl core::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}

/// The parent's side of a child. Dropping it asks the child to end, and kills it if
/// it does not.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<std::process::ChildStdout>>,
}

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system refuses.
    pub fn start(place: &Place, task: Task) -> Result<Process, Failure> {
        let failed =
            |error| Failure::Failed(format!("can't start a process of the bench: {error}"));
        let task = match task {
            Task::Follow => "follow",
            Task::Busy => "busy",
            Task::Impatient => "impatient",
            Task::Attach => "attach",
            Task::Read => "read",
            Task::Count => "count",
        };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        forget_secrets(&mut command);
        command.arg("bench-process").arg(format!("--task={task}"));
        command.arg(format!("--shm-key={}", place.key));
        command
            .arg(format!("--shm-backend={}", place.backend))
            .arg("--shm-directory")
            .arg(&place.directory);
        command.args(place.owners.iter().map(|owner| format!("--shm-owner={owner}")));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        Ok(Process { child, input, output })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output; `None` when it has ended.
    pub fn hear(&mut self) -> Option<String> {
        self.output.as_mut()?.lines().next()?.ok()
    }

    /// Waits until the child is connected.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the child ends instead.
    pub fn expect_ready(&mut self) -> Result<(), Failure> {
        match self.hear() {
            Some(line) if line == "ready" => Ok(()),
            _ => Err(Failure::Failed("a process of the bench has not connected".into())),
        }
    }

    /// Stops the child, as `kill -STOP` does, or continues it.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system refuses.
    pub fn stop(&self, stopped: bool) -> Result<(), Failure> {
        let failed = |error| Failure::Failed(format!("can't stop a process of the bench: {error}"));
        let signal = if stopped { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal).map_err(failed)
    }

    /// Kills the child, as `kill -9` does. It stays a zombie until it is waited for.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system refuses.
    pub fn kill(&mut self) -> Result<(), Failure> {
        let failed = |error| Failure::Failed(format!("can't kill a process of the bench: {error}"));
        self.child.kill().map_err(failed)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks the child to close its client and end.
    pub fn let_go(&mut self) {
        drop(self.input.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.let_go();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
