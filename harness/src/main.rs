//! The soak test and the bench, which kill, stop and measure real processes.

#![forbid(unsafe_code)]

mod bench;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tendmap_cli::args::Placed;
use tendmap_cli::fleet::worker;
use tendmap_cli::log::{Log, Use};
use tendmap_cli::output::Output;

/// Tests tendmap with real processes, and measures it.
#[derive(Parser)]
#[command(version, subcommand_required = true, max_term_width = 80)]
struct Harness {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stress test: kill, stop and continue processes and nodes, check every
    /// answer.
    Soak(Placed<soak::Args>),
    /// Measure lookups, publications and takeovers on this machine.
    Bench(Placed<bench::Args>),
    /// A process of the bench.
    #[command(hide = true)]
    BenchProcess(Placed<bench::ChildArgs>),
    /// A worker of the soak.
    #[command(hide = true)]
    Worker(Box<Placed<worker::Args>>),
}

fn main() -> ExitCode {
    let Harness { command } = Harness::parse();
    let output = match &command {
        Command::Soak(Placed { output, .. })
        | Command::Bench(Placed { output, .. })
        | Command::BenchProcess(Placed { output, .. }) => output,
        Command::Worker(args) => &args.output,
    };
    let (log, json) =
        (Log::start(output.log.as_deref(), output.log_format(), Use::Beside), output.json);
    let output = Output::new(json);
    let result = match command {
        Command::Soak(args) => soak::run(&args.common, &args.own, &output),
        Command::Bench(args) => bench::run(&args.common, &args.own, &output),
        Command::BenchProcess(args) => bench::run_child(&args.common, &args.own),
        Command::Worker(args) => worker::run(&args.common, &args.own),
    };
    log.flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report(json)),
    }
}
