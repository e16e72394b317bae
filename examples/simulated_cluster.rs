//! A simulated cluster on the loopback, controlled by lines on standard input.
//!
//! ```text
//! cargo run --example simulated_cluster -- [--nodes N] [--port BASE] [--fast]
//! ```
//!
//! The first line of output has the seeds; `help` lists the commands.

use std::error::Error;
use std::io;

use tendmap::sim::{Sim, SimConfig, Timings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = SimConfig::new(3);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a number after it"));
        match argument.as_str() {
            "--nodes" => config.nodes = value()?.parse()?,
            "--port" => config.base_port = value()?.parse()?,
            "--fast" => config.timings = Timings::fast(),
            _ => {
                return Err(
                    format!("{argument} is not known; wanted --nodes, --port, --fast").into()
                );
            }
        }
    }
    let sim = Sim::start(config)?;
    sim.console(io::stdin().lock(), io::stdout().lock())?;
    Ok(())
}
