//! The parent's side of the worker processes.

use crossbeam::channel::Sender;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tendmap::segment::Place;

use super::Told;
use super::message::{Message, Report};
use crate::failure::Failure;
use crate::invocation::another;
use crate::settings::forget_secrets;

/// The settings of all workers.
pub struct Setting<'a> {
    pub place: &'a Place,
    pub seeds: &'a [SocketAddr],
    pub tend_interval: Duration,
    /// Further flags.
    pub more: &'a [String],
}

/// One worker.
pub struct Worker {
    child: Child,
    /// Whether the worker is connected.
    pub ready: bool,
    /// Whether the worker was killed.
    pub killed: bool,
    /// The worker's last report.
    pub report: Report,
    /// The time and the lookups of an earlier report, for the rate.
    earlier: (Instant, u64),
    /// Lookups per second.
    pub rate: f64,
}

impl Worker {
    /// Starts a worker; its messages are forwarded with its number.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it can't be started.
    pub fn start(number: usize, setting: &Setting, to: Sender<Told>) -> Result<Worker, Failure> {
        let failed = |error| Failure::Failed(format!("can't start a worker: {error}"));
        let mut command = another().map_err(failed)?;
        forget_secrets(&mut command);
        command.arg("worker").arg("--checksums");
        command.arg(format!("--shm-key={}", setting.place.key));
        command.arg(format!("--shm-backend={}", setting.place.backend));
        command.arg("--shm-directory").arg(&setting.place.directory);
        command.arg(format!("--tend-interval={}ms", setting.tend_interval.as_millis()));
        command.args(setting.seeds.iter().map(|seed| format!("--hosts={seed}")));
        command.args(setting.more);
        // A process group of its own, so that only the parent receives an
        // interrupt from the terminal.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take();
        thread::spawn(move || {
            let lines = BufReader::new(output?).lines();
            for line in lines.map_while(Result::ok) {
                if let Ok(message) = serde_json::from_str(&line) {
                    to.send(Told::Worker(number, Instant::now(), message)).ok()?;
                }
            }
            to.send(Told::Gone(number)).ok()
        });
        Ok(Worker {
            child,
            ready: false,
            killed: false,
            report: Report::default(),
            earlier: (Instant::now(), 0),
            rate: 0.0,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the worker is the owner according to its last message.
    pub fn is_owner(&self) -> bool {
        !self.killed && self.report.role == "owner"
    }

    /// Records a message of the worker.
    pub fn hear(&mut self, at: Instant, message: Message) {
        match message {
            Message::Ready => self.ready = true,
            Message::Owner { .. } => self.report.role = "owner".to_owned(),
            Message::Dying { .. } | Message::DyingGrown { .. } => self.killed = true,
            Message::Report(report) => {
                let since = at.saturating_duration_since(self.earlier.0).as_secs_f64();
                if since >= 0.45 {
                    self.rate = report.lookups.saturating_sub(self.earlier.1) as f64 / since;
                    self.earlier = (at, report.lookups);
                }
                self.report = report;
            }
        }
    }

    /// Kills the worker, as `kill -9` does.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system refuses.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.killed = true;
        self.rate = 0.0;
        self.child.kill().map_err(|error| Failure::Failed(format!("can't kill a worker: {error}")))
    }

    /// Makes the worker become owner and die during a publication.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the worker has ended.
    pub fn die_amid(&mut self, random: u64) -> Result<(), Failure> {
        let failed = |error| Failure::Failed(format!("can't tell a worker to die: {error}"));
        let Some(input) = &mut self.child.stdin else { return Ok(()) };
        self.killed = true;
        writeln!(input, "die {random}").map_err(failed)
    }

    /// Stops or continues the worker.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system refuses.
    pub fn set_stopped(&self, stopped: bool) -> Result<(), Failure> {
        let signal = if stopped { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| Failure::Failed(format!("can't stop or continue a worker: {error}")))
    }

    /// Asks the worker to end.
    pub fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the worker has ended, and kills it after the deadline.
    pub fn wait(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.let_go();
        self.wait(Instant::now() + Duration::from_secs(2));
    }
}
