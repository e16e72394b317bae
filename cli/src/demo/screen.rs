//! The output of a running demo: live lines on a terminal, plain lines elsewhere,
//! nothing with JSON output.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fleet::workers::Worker;
use crate::output::{Output, grouped};

/// The screen of the demo.
pub struct Screen {
    output: Output,
    begun: Instant,
    live: Option<(MultiProgress, Vec<ProgressBar>)>,
    plain_due: Instant,
}

/// How often the totals are printed if there are no live lines.
const PLAIN: Duration = Duration::from_secs(1);

impl Screen {
    /// A screen for this number of workers.
    pub fn new(output: Output, workers: usize) -> Screen {
        let terminal = io::stdout().is_terminal() && !output.is_json();
        let live = terminal.then(|| {
            let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = |_| lines.add(ProgressBar::new_spinner().with_style(style.clone()));
            let bars = (0..workers).map(bar).collect();
            (lines, bars)
        });
        let begun = Instant::now();
        Screen { output, begun, live, plain_due: begun + PLAIN }
    }

    /// Prints an event.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn say(&self, text: impl core::fmt::Display) -> io::Result<()> {
        let line = format!("{:>7.3} s  {text}", self.begun.elapsed().as_secs_f64());
        match &self.live {
            _ if self.output.is_json() => Ok(()),
            Some((lines, _)) => lines.println(line),
            None => self.output.line(line),
        }
    }

    /// Shows the state of the workers.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn show(&mut self, workers: &[Worker]) -> io::Result<()> {
        if let Some((_, bars)) = &self.live {
            for (index, (bar, worker)) in bars.iter().zip(workers).enumerate() {
                bar.set_message(line(index + 1, worker));
                bar.tick();
            }
        } else if Instant::now() >= self.plain_due {
            self.plain_due += PLAIN;
            let lookups = workers.iter().map(|worker| worker.report.lookups).sum();
            let wrong: u64 = workers.iter().map(|worker| worker.report.wrong_routes).sum();
            let rate: f64 = workers.iter().map(|worker| worker.rate).sum();
            let (lookups, rate) = (grouped(lookups), grouped(rate as u64));
            return self.say(format!("{lookups} lookups, {rate} a second, {wrong} wrong"));
        }
        Ok(())
    }

    /// Removes the live lines.
    pub fn clear(&self) {
        if let Some((lines, bars)) = &self.live {
            bars.iter().for_each(ProgressBar::finish);
            let _ = lines.clear();
        }
    }
}

fn line(number: usize, worker: &Worker) -> String {
    let report = &worker.report;
    let role = if worker.killed { "killed" } else { report.role.as_str() };
    let each = report.lookup_ns.checked_div(report.lookups).unwrap_or(0);
    // At most 80 columns, including the spinner.
    format!(
        "worker {number:<2} pid {:<7} {role:<8} {:>9} lookups/s {each:>4} ns map {:<4} {} wrong",
        worker.pid(),
        grouped(worker.rate as u64),
        report.sequence,
        report.wrong_routes,
    )
}
