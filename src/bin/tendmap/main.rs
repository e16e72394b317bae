//! The command line: looks at the segments of this host, tends a cluster in
//! the foreground, simulates one, and shows all of it at work.

#![forbid(unsafe_code)]

mod access;
mod args;
mod bench;
mod check;
mod cluster;
mod demo;
mod duration;
mod event;
mod failure;
mod fleet;
mod log;
mod ls;
mod map;
mod output;
mod rm;
mod route;
mod settings;
mod signals;
mod sim;
mod soak;
mod status;
mod tend;
mod writer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use args::Common;
use failure::Failure;
use log::Log;
use output::Output;
use settings::{Settings, Unsettled};

/// One process tends an Aerospike cluster; all others on the host route from
/// shared memory.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  answered
  1  unhealthy or stale (status); works, but not all is well (check)
  2  usage: a flag, a key or a setting that can't be
  3  no such segment
  4  a segment of another layout version
  5  a corrupt segment
  6  failed for another reason, which is told
  141  the reader of the output has gone

Every setting has three places: its flag; an environment variable of the same
name (--tend-interval, TENDMAP_TEND_INTERVAL); a line in the file that --config
names (tend-interval = \"1s\"). The earlier counts before the later.";

#[derive(Subcommand)]
enum Command {
    /// See it all at work: a simulated cluster, worker processes, a takeover.
    Demo(demo::Args),
    /// Torment it: kill, stop and continue processes and nodes at random, and
    /// check every answer.
    Soak(soak::Args),
    /// Measure lookups, publications and takeovers on this machine.
    Bench(bench::Args),
    /// A process of the bench.
    #[command(hide = true)]
    BenchProcess(bench::ChildArgs),
    /// A worker of the demo or the soak.
    #[command(hide = true)]
    Worker(fleet::worker::Args),
    /// Find out whether tending a cluster would work, and tell what it is like.
    Check(check::Args),
    /// Tend a cluster, or follow who does, and tell all that happens.
    Tend(tend::Args),
    /// Tell which nodes hold a key.
    Route(route::Args),
    /// Show the whole map, a partition a line.
    Map,
    /// Tell how a segment and its owner stand.
    Status,
    /// List the segments of this host.
    Ls,
    /// Remove a segment.
    Rm(rm::Args),
    /// Simulate a cluster on the loopback, driven by lines of standard input.
    ///
    /// Each line is a command (`help` lists them), answered by a line of JSON.
    /// It runs until SIGINT, SIGTERM or SIGHUP, or until standard input ends. An
    /// input that is at its end from the start, such as /dev/null, does not end
    /// it: a service or a container needs no console.
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let Settings { cli: Cli { common, command }, origins } = match settings::load() {
        Ok(settings) => settings,
        Err(Unsettled::Usage(error)) => return tell(&error),
        Err(Unsettled::Failure(failure)) => return failure.report(),
    };
    let log = Log::start(common.log.as_deref());
    let output = Output::new(common.json);
    let result = match command {
        Command::Demo(args) => demo::run(&common, &args, &output),
        Command::Soak(args) => soak::run(&common, &args, &output),
        Command::Bench(args) => bench::run(&common, &args, &output),
        Command::BenchProcess(args) => bench::run_child(&common, &args),
        Command::Worker(args) => fleet::worker::run(&common, &args),
        Command::Check(args) => check::run(&args, &origins, &output),
        Command::Tend(args) => tend::run(&common, &args, origins, &log, &output),
        Command::Route(args) => route::run(&common, &args, &output),
        Command::Map => map::run(&common, &output),
        Command::Status => status::run(&common, &output),
        Command::Ls => ls::run(&common, &output),
        Command::Rm(args) => rm::run(&common, &args, &output),
        Command::Sim(args) => sim::run(&args),
    };
    log.flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Prints help or what is wrong with the command line; the exit code.
fn tell(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(failed) if !error.use_stderr() => Failure::from(failed).report(),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}
