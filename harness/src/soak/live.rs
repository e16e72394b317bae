//! The output of a running soak: a live line on a terminal, a plain line now and
//! then elsewhere, nothing with JSON output.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::summary::Summary;
use super::watch::Watch;
use tendmap_cli::fleet::workers::Worker;
use tendmap_cli::output::{Output, grouped};

/// How often the plain line is printed.
const PLAIN: Duration = Duration::from_secs(5);
const LIVE: Duration = Duration::from_millis(100);

/// The live output of a soak.
pub struct Live {
    output: Output,
    begun: Instant,
    due: Instant,
    line: Option<ProgressBar>,
}

impl Live {
    /// Starts the output, and prints the seed.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn new(output: Output, seed: u64) -> io::Result<Live> {
        let begun = Instant::now();
        let terminal = io::stdout().is_terminal() && !output.is_json();
        let line = terminal.then(|| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let target = ProgressDrawTarget::stdout();
            ProgressBar::with_draw_target(None, target).with_style(style)
        });
        if !output.is_json() {
            output.line(format!("seed {seed}"))?;
        }
        Ok(Live { output, begun, due: begun, line })
    }

    /// Shows the progress.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn show<'a>(
        &mut self,
        summary: &Summary,
        watch: &Watch,
        workers: impl Iterator<Item = &'a Worker>,
    ) -> io::Result<()> {
        if Instant::now() < self.due || self.output.is_json() {
            return Ok(());
        }
        self.due = Instant::now() + if self.line.is_some() { LIVE } else { PLAIN };
        let mut sum = summary.clone();
        workers.for_each(|worker| sum.add(&worker.report));
        let text = format!(
            "{:>7.1} s  {} kills, {} takeovers, {} maps, {} lookups; {} wrong",
            self.begun.elapsed().as_secs_f64(),
            grouped(sum.kills),
            grouped(sum.takeovers + watch.takeovers()),
            grouped(sum.publications + watch.publications()),
            grouped(sum.lookups),
            sum.torn + sum.went_back + sum.wrong_routes,
        );
        match &self.line {
            Some(line) => {
                line.set_message(text);
                line.tick();
                Ok(())
            }
            None => self.output.line(text),
        }
    }

    /// Removes the live line.
    pub fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}
