//! The soak test: random failures of processes and nodes, while every route is
//! checked.
//!
//! A simulated cluster runs in this process. Worker processes share one segment in a
//! temporary directory. Workers, most often the owner, are killed by SIGKILL, made
//! to die in the middle of a publication or while the segment grows, stopped and
//! continued. Nodes are killed, frozen, thawed, moved, added and removed, and
//! namespaces are added and dropped. The seed determines all actions; their effects
//! also depend on the machine.
//!
//! A segment never shrinks, and one that has grown enough would not grow again. So
//! the soak runs in seasons: each begins with few nodes, a small segment and another
//! key, and outgrows its segment several times.

mod live;
mod nodes;
mod summary;
mod watch;

use crossbeam::channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tendmap::client::parse_duration;
use tendmap::sim::{SimConfig, Timings};

use live::Live;
use nodes::Nodes;
use summary::Summary;
use tendmap_cli::args::Common;
use tendmap_cli::failure::Failure;
use tendmap_cli::fleet::message::Message;
use tendmap_cli::fleet::stage::{Play, Stage};
use tendmap_cli::fleet::workers::{Setting, Worker};
use tendmap_cli::fleet::{Told, heard};
use tendmap_cli::output::Output;
use tendmap_cli::signals;
use watch::Watch;

/// The flags of the soak test.
#[derive(clap::Args)]
pub struct Args {
    /// Length in seconds.
    #[arg(long, value_name = "N", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: u64,
    /// Number of worker processes at any time.
    #[arg(long, value_name = "N", default_value_t = 6,
        value_parser = clap::value_parser!(u16).range(3..=256))]
    workers: u16,
    /// Seed of the random actions [default: random; it is printed].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How often a worker is killed, on average.
    #[arg(long, value_name = "TIME", default_value = "150ms", value_parser = parse_duration)]
    kill_interval: Duration,
}

const TEND_INTERVAL: Duration = Duration::from_millis(50);
/// The workers' settings: small capacities, so that the segment must grow.
const MORE: [&str; 5] = [
    "--connect-timeout=200ms",
    "--shm-takeover-threshold=600ms",
    "--shm-max-nodes=2",
    "--shm-max-namespaces=1",
    "--report=20ms",
];
/// How long a season lasts.
const SEASON: Duration = Duration::from_secs(20);
/// How often the state is checked.
const TICK: Duration = Duration::from_millis(5);
/// How long the first workers may take to start, and a new owner after the last
/// kill.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the stress test and reports the result.
///
/// # Errors
/// [`Failure`] if something can't be started, or if a route was wrong.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let (to, told) = unbounded();
    let stop = to.clone();
    signals::on_stop(move || drop(stop.send(Told::Stop)))?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let mut cluster = SimConfig::new(nodes::FIRST);
    cluster.cluster_name = Some("tendmap-soak".into());
    cluster.timings = Timings::fast();
    cluster.seed = seed;
    let stage = Stage::new(common, Play::Soak, cluster)?;
    let mut soak = Soak {
        random: fastrand::Rng::with_seed(seed),
        live: Live::new(*output, seed)?,
        workers: BTreeMap::new(),
        started: 0,
        summary: Summary::new(seed),
        to,
        told,
        wanted: usize::from(args.workers),
        kill_interval: args.kill_interval,
        stage,
    };
    let summary = soak.last(Duration::from_secs(args.seconds));
    soak.live.clear();
    let summary = summary?;
    output.answer(|| summary.json(), |out| summary.text(out))?;
    summary.judge()
}

struct Soak {
    random: fastrand::Rng,
    live: Live,
    workers: BTreeMap<usize, Subject>,
    started: usize,
    summary: Summary,
    to: Sender<Told>,
    told: Receiver<Told>,
    wanted: usize,
    kill_interval: Duration,
    // Dropped last: its directory is removed when all workers have ended.
    stage: Stage,
}

/// A worker, and the time until which it is stopped.
struct Subject {
    worker: Worker,
    stopped: Option<Instant>,
}

impl Subject {
    fn routes(&self) -> bool {
        self.worker.ready && !self.worker.killed && self.stopped.is_none()
    }
}

impl Soak {
    fn last(&mut self, length: Duration) -> Result<Summary, Failure> {
        let begun = Instant::now();
        let end = begun + length;
        while self.season(end)? && Instant::now() < end {
            nodes::reset(&self.stage.sim)?;
            self.stage.place.key = self.stage.place.key.wrapping_add(1);
        }
        self.summary.seconds = begun.elapsed().as_secs_f64();
        Ok(core::mem::take(&mut self.summary))
    }

    /// Runs a season, from the first worker's start to the last one's end; `false` if
    /// it was interrupted.
    fn season(&mut self, end: Instant) -> Result<bool, Failure> {
        let mut watch = self.begin()?;
        let begun = Instant::now();
        let end = end.min(begun + SEASON);
        let mut nodes = Nodes::new(begun);
        let (mut kill, mut stop) = (begun, begun);
        let mut on = true;
        while on && Instant::now() < end {
            let now = Instant::now();
            if now >= kill {
                kill = now + self.draw(self.kill_interval);
                self.kill(&mut watch)?;
            }
            if now >= stop {
                stop = now + self.draw(self.kill_interval * 3);
                self.stop()?;
            }
            self.go_on(now)?;
            self.summary.node_changes += nodes.change(now, &self.stage.sim, &mut self.random)?;
            on = self.listen(&mut watch, now + TICK)?;
            watch.look();
            self.live.show(&self.summary, &watch, self.workers.values().map(|it| &it.worker))?;
        }
        self.settle(&mut watch)?;
        watch.sum_up(&mut self.summary);
        self.end()?;
        Ok(on)
    }

    /// Starts the workers and waits until one has published.
    fn begin(&mut self) -> Result<Watch, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut watch = None;
        self.replace()?;
        while Instant::now() < deadline {
            match watch.as_mut() {
                None => watch = Watch::new(&self.stage.place).ok(),
                Some(_) if self.workers.values().all(Subject::routes) => break,
                Some(_) => {}
            }
            let mut none = Watch::nobody();
            if !self.listen(watch.as_mut().unwrap_or(&mut none), Instant::now() + TICK)? {
                return Err(Failure::Failed("the soak was interrupted".into()));
            }
        }
        watch.ok_or_else(|| Failure::Failed("no worker has published in time".into()))
    }

    /// A random time with this average.
    fn draw(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(-(1.0 - self.random.f64()).ln().max(-5.0))
    }

    /// Replaces workers that have ended.
    fn replace(&mut self) -> Result<(), Failure> {
        let there = self.workers.values().filter(|it| !it.worker.killed).count();
        let seeds = self.stage.sim.seeds();
        let setting = Setting {
            place: &self.stage.place,
            seeds: &seeds,
            tend_interval: TEND_INTERVAL,
            more: &MORE.map(str::to_owned),
        };
        for _ in there..self.wanted {
            let number = self.started;
            self.started += 1;
            let worker = Worker::start(number, &setting, self.to.clone())?;
            self.workers.insert(number, Subject { worker, stopped: None });
        }
        Ok(())
    }

    /// Kills a worker: the owner, any, or one that has become owner and is in the
    /// middle of a publication or of the segment's growth. A few always stay.
    fn kill(&mut self, watch: &mut Watch) -> Result<(), Failure> {
        let routing = self.workers.values().filter(|it| it.routes()).count();
        let random = self.random.u64(..);
        let how = self.random.u8(..4);
        let pick = self.random.usize(..);
        if routing <= self.wanted / 2 {
            return Ok(());
        }
        let owner = watch.owner();
        let there: Vec<usize> = self
            .workers
            .iter()
            .filter(|(_, it)| it.worker.ready && !it.worker.killed)
            .filter(|(_, it)| how != 0 || Some(it.worker.pid()) == owner)
            .filter(|(_, it)| how < 2 || it.stopped.is_none())
            .map(|(&number, _)| number)
            .collect();
        let Some(number) = there.get(pick % there.len().max(1)) else { return Ok(()) };
        let Some(subject) = self.workers.get_mut(number) else { return Ok(()) };
        self.summary.kills += 1;
        if how >= 2 {
            // A worker that has just ended by itself reports `Gone`.
            let _ = subject.worker.die_amid(random);
        } else {
            if Some(subject.worker.pid()) == owner {
                watch.struck(*number, Instant::now());
            }
            subject.worker.kill()?;
        }
        self.replace()
    }

    /// Stops a worker for a while, every fourth time for longer than the takeover
    /// threshold. Most workers always run.
    fn stop(&mut self) -> Result<(), Failure> {
        let stopped = self.workers.values().filter(|it| it.stopped.is_some()).count();
        let (pick, long) = (self.random.usize(..), self.random.u8(..4) == 0);
        let part = self.random.f64();
        let there: Vec<usize> =
            self.workers.iter().filter(|(_, it)| it.routes()).map(|(&number, _)| number).collect();
        let Some(number) = there.get(pick % there.len().max(1)) else { return Ok(()) };
        let Some(subject) = self.workers.get_mut(number) else { return Ok(()) };
        if stopped > self.wanted / 3 {
            return Ok(());
        }
        let ms = if long { 800.0 + 1000.0 * part } else { 200.0 * part };
        subject.worker.set_stopped(true)?;
        subject.stopped = Some(Instant::now() + Duration::from_secs_f64(ms / 1000.0));
        self.summary.stops += 1;
        Ok(())
    }

    /// Continues workers that were stopped long enough.
    fn go_on(&mut self, now: Instant) -> Result<(), Failure> {
        for subject in self.workers.values_mut() {
            if subject.stopped.is_some_and(|until| now >= until) {
                subject.stopped = None;
                if !subject.worker.killed {
                    subject.worker.set_stopped(false)?;
                }
            }
        }
        Ok(())
    }

    /// Reads messages of the workers; `false` to stop.
    fn listen(&mut self, watch: &mut Watch, until: Instant) -> Result<bool, Failure> {
        let told = self.told.clone();
        for told in heard(&told, until) {
            match told {
                Told::Stop => return Ok(false),
                Told::Gone(number) => self.gone(number)?,
                Told::Worker(number, at, message) => {
                    match &message {
                        Message::Dying { .. } => {
                            self.summary.kill_points += 1;
                            watch.struck(number, at);
                        }
                        Message::DyingGrown { .. } => {
                            self.summary.growth_kill_points += 1;
                            watch.struck(number, at);
                        }
                        Message::Owner { .. } => watch.owned(number, at),
                        _ => {}
                    }
                    if let Some(subject) = self.workers.get_mut(&number) {
                        subject.worker.hear(at, message);
                    }
                }
            }
        }
        Ok(true)
    }

    fn gone(&mut self, number: usize) -> Result<(), Failure> {
        let Some(mut subject) = self.workers.remove(&number) else { return Ok(()) };
        self.summary.add(&subject.worker.report);
        if !subject.worker.killed {
            self.summary.ended_early += 1;
            self.replace()?;
        }
        subject.worker.wait(Instant::now());
        Ok(())
    }

    /// Continues all processes; a process must become owner, and nodes and
    /// workers must settle.
    fn settle(&mut self, watch: &mut Watch) -> Result<(), Failure> {
        let far = Instant::now() + Duration::from_secs(86_400);
        self.go_on(far)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.listen(watch, Instant::now() + TICK)?;
            watch.look();
            if self.workers.values().all(Subject::routes) && watch.is_owned() {
                return Ok(());
            }
        }
        self.summary.ownerless |= !watch.is_owned();
        Ok(())
    }

    /// Ends all workers, and reads their remaining messages.
    fn end(&mut self) -> Result<(), Failure> {
        self.workers.values_mut().for_each(|it| {
            it.worker.killed = true;
            it.worker.let_go();
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut nobody = Watch::nobody();
        while !self.workers.is_empty() && Instant::now() < deadline {
            self.listen(&mut nobody, Instant::now() + TICK)?;
        }
        let left: Vec<usize> = self.workers.keys().copied().collect();
        left.into_iter().try_for_each(|number| self.gone(number))
    }
}
