//! `tendmap demo`: shows the library at work without a real cluster.
//!
//! A simulated cluster runs in this process. Several worker processes share one
//! segment, and one of them owns it. The demo kills the owner, removes a node and
//! adds another one. The workers check every lookup.

mod act;
mod cluster;
mod screen;
mod summary;
mod traffic;

use crossbeam::channel::{Receiver, unbounded};
use std::io;
use std::time::{Duration, Instant};

use tendmap::client::{Config, ConnectError, Reader};
use tendmap::wire::Host;

use crate::args::Common;
use crate::failure::Failure;
use crate::flags::{Flags, Polled};
use crate::fleet::message::Message;
use crate::fleet::stage::{Play, Stage};
use crate::fleet::workers::{Setting, Worker};
use crate::fleet::{Told, heard};
use crate::output::Output;
use crate::signals;
use act::Act;
use screen::Screen;
use summary::Summary;
use traffic::{Surplus, Traffic};

/// The flags of `tendmap demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Length of the demo in seconds.
    #[arg(long, value_name = "N", default_value_t = 12,
        value_parser = clap::value_parser!(u64).range(3..=86_400))]
    seconds: u64,
    /// Number of worker processes that route.
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(2..=256))]
    workers: u16,
    #[command(flatten)]
    polled: Flags<Polled>,
}

/// How often the screen is drawn and the servers' counters are read.
const TICK: Duration = Duration::from_millis(100);
/// How long workers may take to connect, and how much later than planned the last
/// event may have its effect.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running demo.
pub struct Demo {
    stage: Stage,
    workers: Vec<Worker>,
    screen: Screen,
    traffic: Traffic,
    surplus: Surplus,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure`] if something can't be started, or if a result breaks a promise of
/// the library.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let mut config =
        Config::shared(Host::new("localhost", 3000).into_iter().collect(), common.place().key);
    args.polled.apply(&mut config);
    config.check().map_err(ConnectError::from)?;
    let tend_interval = config.tend_interval;
    let length = Duration::from_secs(args.seconds);
    let (to, told) = unbounded();
    let stop = to.clone();
    signals::on_stop(move || drop(stop.send(Told::Stop)))?;
    let workers = usize::from(args.workers);
    let mut screen = Screen::new(*output, workers);
    let stage = Stage::new(common, Play::Demo, cluster::config(length))?;
    let seeds = stage.sim.seeds();
    screen.say(format!(
        "a cluster of {} simulated nodes, {workers} workers on one key",
        seeds.len()
    ))?;
    let setting = Setting { place: &stage.place, seeds: &seeds, tend_interval, more: &[] };
    let workers = (0..workers)
        .map(|number| Worker::start(number, &setting, to.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    screen.show(&workers)?;
    let mut demo = Demo {
        stage,
        workers,
        screen,
        traffic: Traffic::new(tend_interval),
        surplus: Surplus::default(),
    };
    let summary = demo.play(&told, length, tend_interval * 5 / 2);
    demo.screen.clear();
    let Some(summary) = summary? else {
        return Err(Failure::Failed("the demo was interrupted".into()));
    };
    output.answer(|| summary.json(), |out| summary.text(out))?;
    summary.judge()
}

impl Demo {
    /// Causes all events, the first one not before `calm`; `None` if the demo was
    /// interrupted.
    fn play(
        &mut self,
        told: &Receiver<Told>,
        length: Duration,
        calm: Duration,
    ) -> Result<Option<Summary>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !self.workers.iter().all(|worker| worker.ready) {
            if Instant::now() >= deadline {
                return Err(Failure::Failed("the workers did not connect in time".into()));
            }
            if !self.listen(told, TICK, &mut None)? {
                return Ok(None);
            }
        }
        let reader = Reader::attach(&self.stage.place)?;
        let first = reader.segment().head().sequence();
        self.screen.say("all workers are connected and route")?;
        let begun = Instant::now();
        let mut act = Act::new(reader.map()?, calm.as_secs_f64() / length.as_secs_f64());
        while begun.elapsed() < length || (!act.is_last() && begun.elapsed() < length + PATIENCE) {
            let mut heard = None;
            if !self.listen(told, TICK, &mut heard)? {
                return Ok(None);
            }
            self.traffic.look(&self.stage.sim)?;
            let part = begun.elapsed().as_secs_f64() / length.as_secs_f64();
            act.go_on(self, &reader, part, heard)?;
            self.screen.show(&self.workers)?;
        }
        let map_changes = reader.segment().head().sequence().saturating_sub(first);
        drop(reader);
        self.end(told)?;
        Ok(Some(self.sum_up(act.takeover(), map_changes)))
    }

    /// Reads messages of the workers for this long, or until one reports that it
    /// is the owner; `false` to stop.
    fn listen(
        &mut self,
        told: &Receiver<Told>,
        patience: Duration,
        owner: &mut Option<(usize, Instant, u16)>,
    ) -> Result<bool, Failure> {
        for told in heard(told, Instant::now() + patience) {
            match told {
                Told::Stop => return Ok(false),
                Told::Gone(number) if !self.workers[number].killed => {
                    let number = number + 1;
                    return Err(Failure::Failed(format!("worker {number} ended unexpectedly")));
                }
                Told::Gone(_) => {}
                Told::Worker(number, at, message) => {
                    let became = match &message {
                        Message::Owner { term, .. } => {
                            self.surplus.new_owner();
                            Some((number, at, *term))
                        }
                        Message::Report(report) if report.role == "owner" => {
                            self.surplus.look(&self.stage.sim, report.sockets)?;
                            None
                        }
                        _ => None,
                    };
                    self.workers[number].hear(at, message);
                    if became.is_some() {
                        *owner = became;
                        return Ok(true);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Ends all workers, and reads their remaining messages.
    fn end(&mut self, told: &Receiver<Told>) -> Result<(), Failure> {
        self.workers.iter_mut().for_each(Worker::let_go);
        let deadline = Instant::now() + Duration::from_secs(5);
        self.workers.iter_mut().for_each(|worker| worker.wait(deadline));
        while let Ok(message) = told.recv_timeout(TICK) {
            match message {
                Told::Worker(number, at, message) => self.workers[number].hear(at, message),
                Told::Gone(_) => {}
                Told::Stop => break,
            }
        }
        Ok(())
    }

    fn sum_up(&mut self, takeover: Option<Duration>, map_changes: u64) -> Summary {
        let (calm, whole) = (self.traffic.calm_rate(), self.traffic.whole_rate());
        let reports = || self.workers.iter().map(|worker| &worker.report);
        let own: usize = reports().map(|report| report.follower_sockets).sum();
        Summary {
            workers: self.workers.len(),
            lookups: reports().map(|report| report.lookups).sum(),
            wrong_routes: reports().map(|report| report.wrong_routes).sum(),
            first_wrong: reports().find_map(|report| report.first_wrong.clone()),
            torn_reads: reports().map(|report| report.torn_reads).sum(),
            unchecked: reports().map(|report| report.unchecked).sum(),
            takeover,
            map_changes,
            calm_info_requests: calm,
            all_info_requests: whole,
            // The larger of two counts: the connections that the workers report,
            // and those at the servers beyond the owner's.
            follower_connections: own.max(self.surplus.most()),
        }
    }

    fn say(&self, text: impl core::fmt::Display) -> io::Result<()> {
        self.screen.say(text)
    }
}
