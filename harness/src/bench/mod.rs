//! The bench: the cost of lookups, publications and takeovers on this machine, each
//! with its baseline.
//!
//! All kinds are measured in turn, in many rounds, so that load on the machine
//! affects all of them. The medians are reported. The child processes are this
//! program, started again; no server is needed.

mod attach;
mod child;
mod counted;
mod digest;
mod lookup;
mod mirror;
mod publication;
mod summary;
mod takeover;

use std::time::{Duration, Instant};

use tendmap::route::Batch;
use tendmap::segment::Place;

pub use child::{Args as ChildArgs, run as run_child};
use child::{Process, Task};
use digest::Digests;
use lookup::{Bench, Lookups};
use publication::{Copy, Publications};
use summary::Summary;
use takeover::Group;
use tendmap_cli::args::Common;
use tendmap_cli::failure::Failure;
use tendmap_cli::fleet::stage::{Ground, Play};
use tendmap_cli::output::Output;
use tendmap_harness::fixed::own;
use tendmap_harness::shape::Shape;

/// The flags of the bench.
#[derive(clap::Args)]
pub struct Args {
    /// Length in seconds, not counting what is measured once.
    #[arg(long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Number of processes that follow the owner that is killed.
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    followers: u16,
    /// These followers look up without a pause.
    #[arg(long)]
    busy: bool,
    /// Number of attached readers while lookups and publications are measured.
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(..=4096))]
    attached: u16,
    #[command(flatten)]
    shape: Shape,
}

/// The least number of rounds, whatever the time.
const LEAST: usize = 5;
/// How many times an owner hangs, and the number of its followers.
const HANGS: usize = 4;
const IMPATIENT: usize = 8;
/// The number of timings for each start of a second thread.
const BESIDE: usize = 10;

/// Measures and reports.
///
/// # Errors
/// [`Failure`] if something can't be started.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let ground = Ground::new(common, Play::Bench)?;
    let length = Duration::from_secs(args.seconds);
    let mut summary = in_one_process(&ground.place, args, length / 2)?;
    let followed = Place { key: ground.place.key.wrapping_add(1), ..ground.place.clone() };
    let task = if args.busy { Task::Busy } else { Task::Follow };
    let mut group = Group::new(&followed, args.followers.into(), task)?;
    summary.attach = attach::times(&followed)?;
    summary.mirrored = mirror::measure(&ground.place, args.shape)?;
    summary.followers = args.followers.into();
    summary.times = group.run(Instant::now() + length / 2, LEAST)?;
    drop(group);
    let mut group = Group::new(&followed, IMPATIENT, Task::Impatient)?;
    group.hang(HANGS, &mut summary.times)?;
    drop(group);
    output.answer(|| summary.json(), |out| summary.text(out))?;
    Ok(())
}

/// The measurements that need no other process.
fn in_one_process(place: &Place, args: &Args, length: Duration) -> Result<Summary, Failure> {
    let mut map = args.shape.map();
    let mut ownership = own(place, args.shape.capacity())?;
    publication::publish(&mut ownership, &map)?;
    let attached = (0..args.attached).map(|_| Process::start(place, Task::Read));
    let mut attached = attached.collect::<Result<Vec<_>, _>>()?;
    attached.iter_mut().try_for_each(Process::expect_ready)?;
    let mut bench = Bench::new(place, &map)?;
    let (mut lookups, mut digests) = (Lookups::default(), Digests::default());
    let (mut publications, mut copy) = (Publications::default(), Copy::new(args.shape));
    let (mut random, mut batch) = (fastrand::Rng::with_seed(3), Batch::new());
    let until = Instant::now() + length;
    for turn in 0.. {
        if turn >= LEAST && Instant::now() >= until {
            break;
        }
        for _ in 0..BESIDE {
            bench.alone(&mut lookups)?;
        }
        bench.beside_a_reader(&mut lookups, BESIDE)?;
        bench.beside_the_owner((&mut ownership, &mut map), &mut lookups, BESIDE)?;
        let (router, handle) = bench.router();
        digest::round(router, handle, &mut batch, turn as i64, &mut digests)?;
        publication::round((&mut ownership, &mut map), &mut random, &mut copy, &mut publications)?;
    }
    attached.iter_mut().for_each(Process::let_go);
    Ok(Summary { lookups, digests, publications, ..Summary::default() })
}
