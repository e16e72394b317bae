//! The result of a soak.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use tendmap_cli::failure::Failure;
use tendmap_cli::fleet::message::Report;
use tendmap_cli::output::{grouped, write_pair};
use tendmap_harness::sample::Samples;

/// The results.
#[derive(Clone, Default)]
pub struct Summary {
    pub seed: u64,
    pub seconds: f64,
    /// Workers that were killed, in the middle of a publication or not.
    pub kills: u64,
    /// Workers that died in the middle of a publication, or at either end of it.
    pub kill_points: u64,
    /// Workers that died in the middle of replacing the segment.
    pub growth_kill_points: u64,
    pub stops: u64,
    /// Changes of nodes and namespaces.
    pub node_changes: u64,
    /// Workers that ended without being killed.
    pub ended_early: u64,
    pub takeovers: u64,
    pub seasons: u64,
    pub generations: u64,
    /// Segments that were replaced by one with more room.
    pub growths: u64,
    pub publications: u64,
    pub snapshots_checked: u64,
    pub lookups: u64,
    pub unchecked: u64,
    pub torn: u64,
    pub went_back: u64,
    pub wrong_routes: u64,
    pub longest_gap: Duration,
    /// The milliseconds from an owner's death to the next owner.
    pub takeover_times: Samples,
    /// Whether no process was the owner at the end of a season.
    pub ownerless: bool,
    first_wrong: Option<String>,
    first_back: Option<String>,
}

impl Summary {
    /// An empty summary.
    pub fn new(seed: u64) -> Summary {
        Summary { seed, ..Summary::default() }
    }

    /// Adds what one worker has reported in its life.
    pub fn add(&mut self, report: &Report) {
        self.snapshots_checked += report.snapshots_checked;
        self.lookups += report.lookups;
        self.unchecked += report.unchecked;
        self.torn += report.torn_reads;
        self.went_back += report.went_back;
        self.wrong_routes += report.wrong_routes;
        self.longest_gap = self.longest_gap.max(Duration::from_nanos(report.longest_gap_ns));
        if self.first_wrong.is_none() {
            self.first_wrong.clone_from(&report.first_wrong);
        }
        if self.first_back.is_none() {
            self.first_back.clone_from(&report.first_back);
        }
    }

    /// The time that `per_mille` of a thousand takeovers do not exceed.
    fn takeover_ms(&self, per_mille: usize) -> Option<f64> {
        self.takeover_times.quantile(per_mille).map(|ms| (ms * 10.0).round() / 10.0)
    }

    /// The results as one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "kills": self.kills,
            "stops": self.stops,
            "takeovers": self.takeovers,
            "publications": self.publications,
            "snapshots_checked": self.snapshots_checked,
            "torn": self.torn,
            "went_back": self.went_back,
            "wrong_routes": self.wrong_routes,
            "longest_reader_gap_us": self.longest_gap.as_micros() as u64,
            "takeover_ms_p50": self.takeover_ms(500),
            "takeover_ms_p99": self.takeover_ms(990),
            "seed": self.seed,
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "kill_points": self.kill_points,
            "growth_kill_points": self.growth_kill_points,
            "ended_early": self.ended_early,
            "node_changes": self.node_changes,
            "seasons": self.seasons,
            "generations": self.generations,
            "growths": self.growths,
            "lookups": self.lookups,
        })
    }

    /// Writes the results as text.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let kills = format!(
            "{}, {} of them owners during a publication, {} during the segment's growth",
            grouped(self.kills),
            grouped(self.kill_points),
            grouped(self.growth_kill_points)
        );
        let segments = format!(
            "{} in {} seasons, {} of them grown",
            grouped(self.generations),
            grouped(self.seasons),
            grouped(self.growths)
        );
        let takeover = match (self.takeover_ms(500), self.takeover_ms(990)) {
            (Some(p50), Some(p99)) => {
                format!("{p50} ms (median), {p99} ms (of 100 the slowest) after a killed owner")
            }
            _ => "none after a killed owner".to_owned(),
        };
        let lookups = format!(
            "{}, each checked against the whole publication that it was read from{}",
            grouped(self.lookups),
            match self.unchecked {
                0 => String::new(),
                count => format!(" ({} more came too late for that)", grouped(count)),
            }
        );
        for (what, value) in [
            ("seed", self.seed.to_string()),
            ("length", format!("{:.1} s", self.seconds)),
            ("kills", kills),
            ("stops", grouped(self.stops)),
            ("workers ended early", grouped(self.ended_early)),
            ("cluster changes", grouped(self.node_changes)),
            ("takeovers", grouped(self.takeovers)),
            ("takeover", takeover),
            ("segments", segments),
            ("publications", grouped(self.publications)),
            ("snapshots checked", grouped(self.snapshots_checked)),
            ("lookups", lookups),
            ("longest reader gap", format!("{} µs", self.longest_gap.as_micros())),
            ("torn", self.torn.to_string()),
            ("went back", self.went_back.to_string()),
            ("wrong routes", self.wrong_routes.to_string()),
        ] {
            write_pair(out, 20, what, &value)?;
        }
        Ok(())
    }

    /// Compares the results with what the library promises.
    ///
    /// # Errors
    /// [`Failure::Failed`] names each result that breaks a promise.
    pub fn judge(&self) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        let first = |first: &Option<String>| first.clone().unwrap_or_default();
        if self.torn > 0 {
            wrong.push(format!("{} torn reads", self.torn));
        }
        if self.went_back > 0 {
            let first = first(&self.first_back);
            wrong.push(format!("it went back {} times; the first: {first}", self.went_back));
        }
        if self.wrong_routes > 0 {
            let first = first(&self.first_wrong);
            wrong.push(format!("{} wrong routes; the first: {first}", self.wrong_routes));
        }
        if self.lookups == 0 || self.snapshots_checked == 0 {
            wrong.push("nothing was checked".to_owned());
        }
        if self.ownerless {
            wrong.push("no process was the owner at the end of a season".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong.join("; "))) }
    }
}
