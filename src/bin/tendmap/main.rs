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
mod fields;
mod fleet;
mod json;
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

use args::{Nothing, OutputArgs, Placed};
use failure::warn;
use log::Log;
use output::Output;
use settings::Settings;
use tendmap::layout::WipingAllocator;

/// Passwords go through the memory of parsers and of TLS.
#[global_allocator]
static WIPING: WipingAllocator = WipingAllocator;

/// One process tends an Aerospike cluster; all others on the host route from
/// shared memory.
#[derive(Parser)]
#[command(version, after_help = SHORT, after_long_help = EXIT_CODES, subcommand_required = true)]
#[command(max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const SHORT: &str = "\
`tendmap COMMAND -h` shows what a command is most used with, `tendmap COMMAND
--help` all of it, `tendmap --help` the exit codes.";

const EXIT_CODES: &str = "\
Exit codes:
  0    answered
  1    unhealthy or stale (status); works, but not all is well (check)
  2    usage: a flag, a key or a setting that can't be
  3    no such segment
  4    a segment of another layout version
  5    a corrupt segment
  6    failed for another reason, which is told
  141  the reader of the output has gone

With --json an error is JSON, too, on standard error:
{\"error\":{\"message\":…,\"code\":…,\"hint\":…}}, its code the exit code.

Every option has three places: its flag; an environment variable of the same
name (--tend-interval, TENDMAP_TEND_INTERVAL); a line in the file that --config
names (tend-interval = \"1s\"). The earlier counts before the later. One file may
serve all commands: keys of others are passed over, and what stands under
[COMMAND] counts for that command only.";

#[derive(Subcommand)]
enum Command {
    /// See it all at work: a simulated cluster, worker processes, a takeover.
    Demo(Placed<demo::Args>),
    /// Torment it: kill, stop and move processes and nodes, check every answer.
    Soak(Placed<soak::Args>),
    /// Measure lookups, publications and takeovers on this machine.
    Bench(Placed<bench::Args>),
    /// A process of the bench.
    #[command(hide = true)]
    BenchProcess(Placed<bench::ChildArgs>),
    /// A worker of the demo or the soak.
    #[command(hide = true)]
    Worker(Box<Placed<fleet::worker::Args>>),
    /// Find out whether tending a cluster would work, and what it is like.
    Check(Placed<check::Args>),
    /// Tend a cluster, or follow the process that does, and report all events.
    Tend(Box<Placed<tend::Args>>),
    /// Show which nodes hold a key.
    #[command(
        override_usage = "tendmap route --namespace <N> <--int|--str|--hex|--double|--digest> <KEY>"
    )]
    Route(Placed<route::Args>),
    /// Show the whole map, a partition a line.
    Map(Placed<Nothing>),
    /// Show how a segment and its owner stand.
    Status(Placed<Nothing>),
    /// List the segments of this host.
    Ls(Placed<Nothing>),
    /// Remove a segment.
    Rm(Placed<rm::Args>),
    /// Simulate a cluster on the loopback, driven by lines of standard input.
    ///
    /// Each line is a command (`help` lists them), answered by a line of JSON.
    /// It runs until SIGINT, SIGTERM or SIGHUP, or until standard input ends. An
    /// input that is at its end from the start, such as /dev/null, does not end
    /// it: a service or a container needs no console.
    Sim(Placed<sim::Args>),
}

impl Command {
    fn output(&self) -> &OutputArgs {
        match self {
            Command::Demo(Placed { output, .. })
            | Command::Soak(Placed { output, .. })
            | Command::Bench(Placed { output, .. })
            | Command::BenchProcess(Placed { output, .. })
            | Command::Check(Placed { output, .. })
            | Command::Route(Placed { output, .. })
            | Command::Map(Placed { output, .. })
            | Command::Status(Placed { output, .. })
            | Command::Ls(Placed { output, .. })
            | Command::Rm(Placed { output, .. })
            | Command::Sim(Placed { output, .. }) => output,
            Command::Worker(args) => &args.output,
            Command::Tend(args) => &args.output,
        }
    }
}

fn main() -> ExitCode {
    let Settings { cli: Cli { command }, origins } = match settings::load() {
        Ok(settings) => settings,
        Err(unsettled) => return unsettled.report(),
    };
    let log = Log::start(command.output().log.as_deref());
    let json = command.output().json;
    let output = Output::new(json);
    origins.warnings.iter().for_each(|warning| warn(warning, json));
    let result = match command {
        Command::Demo(args) => demo::run(&args.common, &args.own, &output),
        Command::Soak(args) => soak::run(&args.common, &args.own, &output),
        Command::Bench(args) => bench::run(&args.common, &args.own, &output),
        Command::BenchProcess(args) => bench::run_child(&args.common, &args.own),
        Command::Worker(args) => fleet::worker::run(&args.common, &args.own),
        Command::Check(args) => check::run(&args.own, &origins, &output),
        Command::Tend(args) => tend::run(&args.common, args.own, origins, &log, &output),
        Command::Route(args) => route::run(&args.common, &args.own, &output),
        Command::Map(args) => map::run(&args.common, &output),
        Command::Status(args) => status::run(&args.common, &output),
        Command::Ls(args) => ls::run(&args.common, &output),
        Command::Rm(args) => rm::run(&args.common, &args.own, &output),
        Command::Sim(args) => sim::run(&args.own),
    };
    log.flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}
