//! The commands, and their dispatch.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::args::{Nothing, OutputArgs, Placed};
use crate::event::Told;
use crate::failure::{EXIT_CODES, warn};
use crate::invocation::Host;
use crate::log::{Format, Log, Use};
use crate::output::Output;
use crate::settings::Settings;
use crate::{
    c_client, check, completions, demo, fleet, ls, manual, map, metrics, rm, route, settings,
    signals, sim, status, tend, verify, watch,
};

/// One process tends an Aerospike cluster; all others on the host route from
/// shared memory.
#[derive(Parser)]
#[command(name = "tendmap", version, after_help = SHORT, after_long_help = EXIT_CODES, subcommand_required = true)]
#[command(max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const SHORT: &str = "\
`tendmap COMMAND -h` shows the common options of a command, `tendmap COMMAND
--help` all of it, `tendmap --help` the exit codes.";

#[derive(Subcommand)]
pub enum Command {
    /// Run a demonstration: a simulated cluster, workers, a takeover.
    Demo(Placed<demo::Args>),
    /// A worker of the demo.
    #[command(hide = true)]
    Worker(Box<Placed<fleet::worker::Args>>),
    /// Check whether tending a cluster would work, and describe it.
    Check(Placed<check::Args>),
    /// Tend a cluster, or follow the process that does; report events.
    Tend(Box<Placed<tend::Args>>),
    /// Show the state of a segment and its owner, or of all segments.
    Status(Placed<status::Args>),
    /// Watch a segment, its nodes and its partitions on a terminal.
    ///
    /// It shows the owner and its age, the nodes with their share, the partitions of a namespace
    /// in the colours of their masters, and events as they happen. `?` lists the keys. It only
    /// reads, and goes on without an owner, without a segment, and over its replacement.
    Watch(Placed<watch::Args>),
    /// List the segments of this host.
    ///
    /// `health` is `healthy`, `unhealthy` (kept current, but something is wrong: see `status`),
    /// `stale` (not kept current: no process tends), `replaced` (by a newer generation), `no
    /// permission`, `version N` (another layout), `half-made`, `damaged`, or `not read` (one of too
    /// many of another user). `tended` is the time since the last successful pass, of this or an
    /// earlier owner; with --json also since the creation.
    Ls(Placed<Nothing>),
    /// Show the whole map, one partition per line, or draw it.
    Map(Placed<map::Args>),
    /// Show which nodes hold a key.
    #[command(
        override_usage = "tendmap route --namespace <N> <--int|--str|--hex|--double|--digest> <KEY>"
    )]
    Route(Placed<route::Args>),
    /// Compare the map with what every node of the cluster says now.
    ///
    /// Each node is asked which partitions it holds, and the holders in the map are compared with
    /// that. What differs is compared again until it has stayed the same for longer than an owner
    /// needs to notice a change, so that a running rebalance is no difference. Nothing is written.
    /// The exit code is 1 if the map and the cluster differ, if partitions have no master, or if a
    /// node does not answer.
    Verify(Placed<verify::Args>),
    /// Show the state of all segments as metrics for Prometheus.
    ///
    /// Without --listen or --textfile the metrics are printed once. All segments of
    /// this host are shown, or those of --shm-key. A segment that can't be read is
    /// shown as such (tendmap_segment_up), and is no error.
    Metrics(Placed<metrics::Args>),
    /// Remove a segment, or what an upgrade has left beside it.
    Rm(Placed<rm::Args>),
    /// Examine the shared memory of official clients on this host.
    ///
    /// Official Aerospike clients keep their cluster in System V segments of their own
    /// (use_shm), whether tendmap tends or not. A status compares each of them with the
    /// map in the segment of --shm-key, if it is of the same cluster.
    #[command(
        override_usage = "tendmap c-client status [KEY] [--client-max-nodes <N>]\n       tendmap c-client map <KEY>\n       tendmap c-client <release|rm> <KEY> [--force]"
    )]
    CClient(Placed<c_client::Args>),
    /// Simulate a cluster on the loopback, controlled by its input.
    ///
    /// Each line is a command (`help` lists them), answered by a line of JSON.
    /// The simulation runs until SIGINT, SIGTERM or SIGHUP, or until standard
    /// input ends. An input that is empty from the start, such as /dev/null, does
    /// not end it: a service or a container needs no console.
    Sim(Placed<sim::Args>),
    /// Print what a shell needs to complete the command line.
    Completions(Placed<completions::Args>),
    /// Print a manual page, or write all of them.
    ///
    /// `tendmap man tend | man -l -` shows one.
    Man(Placed<manual::Args>),
}

impl Command {
    fn output(&self) -> &OutputArgs {
        match self {
            Command::Demo(Placed { output, .. })
            | Command::Check(Placed { output, .. })
            | Command::Verify(Placed { output, .. })
            | Command::Route(Placed { output, .. })
            | Command::Map(Placed { output, .. })
            | Command::Status(Placed { output, .. })
            | Command::Watch(Placed { output, .. })
            | Command::Ls(Placed { output, .. })
            | Command::Metrics(Placed { output, .. })
            | Command::Rm(Placed { output, .. })
            | Command::CClient(Placed { output, .. })
            | Command::Sim(Placed { output, .. })
            | Command::Completions(Placed { output, .. })
            | Command::Man(Placed { output, .. }) => output,
            Command::Worker(args) => &args.output,
            Command::Tend(args) => &args.output,
        }
    }
}

/// Reads the settings and runs the command.
pub fn run() -> ExitCode {
    ExitCode::from(answer())
}

/// The same inside another program: `program` is what starts it so that it runs the
/// command line (`python -m tendmap`), `arguments` are those of the command line.
/// Returns the exit code. To be called once, in a process that does nothing else and
/// ends then: signals are caught, and threads may remain.
pub fn run_in(program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    Host { program, arguments }.set();
    answer()
}

fn answer() -> u8 {
    signals::survive_file_limit();
    let Settings { cli: Cli { command }, origins } = match settings::load() {
        Ok(settings) => settings,
        Err(unsettled) => return unsettled.report(),
    };
    let (given, tends) = (command.output(), matches!(command, Command::Tend(_)));
    let format = given.log_format();
    let log =
        Log::start(given.log.as_deref(), format, if tends { Use::Answer } else { Use::Beside });
    // `tend` has no answer but the log.
    let json = given.json || tends && format == Format::Json;
    let output = Output::new(json);
    for warning in &origins.warnings {
        match tends {
            true => log.tell(Told::unwise(warning)),
            false => warn(warning, json),
        }
    }
    // `check` counts it as a problem.
    if let Some((file, mode)) = origins.exposed_password() {
        match command {
            Command::Tend(_) => log.tell(Told::secret_exposed(&file.path, mode)),
            Command::Check(_) => {}
            _ => warn(&check::exposed_password(file, mode), json),
        }
    }
    let result = match command {
        Command::Demo(args) => demo::run(&args.common, &args.own, &output),
        Command::Worker(args) => fleet::worker::run(&args.common, &args.own),
        Command::Check(args) => check::run(&args.own, &origins, &output),
        Command::Verify(args) => verify::run(&args.common, &args.own, &origins, &output),
        Command::Tend(args) => tend::run(&args.common, args.own, origins, &log),
        Command::Route(args) => route::run(&args.common, &args.own, &output),
        Command::Map(args) => map::run(&args.common, &args.own, &output),
        Command::Status(args) => status::run(&args.common, &args.own, &output),
        Command::Watch(args) => watch::run(&args.common, &args.own, &output),
        Command::Ls(args) => ls::run(&args.common, &output),
        Command::Metrics(args) => metrics::run(&args.common, &args.own, &output),
        Command::Rm(args) => rm::run(&args.common, &args.own, &output),
        Command::CClient(args) => c_client::run(&args.common, &args.own, &output),
        Command::Sim(args) => sim::run(&args.own),
        Command::Completions(args) => completions::run(&args.own, &output),
        Command::Man(args) => manual::run(&args.own, &output),
    };
    log.flush();
    match result {
        Ok(()) => 0,
        Err(failure) => failure.report(json),
    }
}
