//! The result of a demo.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{grouped, write_pair};

/// The measured results.
pub struct Summary {
    pub workers: usize,
    pub lookups: u64,
    pub wrong_routes: u64,
    pub first_wrong: Option<String>,
    pub torn_reads: u64,
    pub unchecked: u64,
    pub takeover: Option<Duration>,
    pub map_changes: u64,
    /// Info requests per second and node, while nothing happened in the cluster.
    pub calm_info_requests: Option<f64>,
    /// Info requests per second and node, over the whole demo.
    pub all_info_requests: f64,
    pub follower_connections: usize,
}

impl Summary {
    fn takeover_ms(&self) -> Option<f64> {
        self.takeover.map(|takeover| (takeover.as_secs_f64() * 10_000.0).round() / 10.0)
    }

    fn info_requests(&self) -> f64 {
        self.calm_info_requests.unwrap_or(self.all_info_requests)
    }

    /// The results as one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "workers": self.workers,
            "lookups": self.lookups,
            "wrong_routes": self.wrong_routes,
            "torn_reads": self.torn_reads,
            "takeover_ms": self.takeover_ms(),
            "map_changes": self.map_changes,
            "info_requests_per_s_per_node": (self.info_requests() * 100.0).round() / 100.0,
            "follower_connections": self.follower_connections,
        })
    }

    /// Writes the results as text.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let takeover = match self.takeover_ms() {
            Some(ms) => format!("{ms} ms after the owner was killed"),
            None => "none".to_owned(),
        };
        let lookups = format!(
            "{}, each checked against the whole publication that it was read from{}",
            grouped(self.lookups),
            match self.unchecked {
                0 => String::new(),
                count => format!(" ({} more came too late for that)", grouped(count)),
            }
        );
        let calm = match self.calm_info_requests {
            Some(rate) => format!(", {rate:.2} while nothing happens"),
            None => String::new(),
        };
        let requests = format!(
            "{:.2} a second at each node{calm}: those of one process",
            self.all_info_requests
        );
        writeln!(out)?;
        for (what, value) in [
            ("workers", self.workers.to_string()),
            ("lookups", lookups),
            ("wrong routes", self.wrong_routes.to_string()),
            ("torn reads", self.torn_reads.to_string()),
            ("takeover", takeover),
            ("map changes", self.map_changes.to_string()),
            ("info requests", requests),
            ("follower connections", self.follower_connections.to_string()),
        ] {
            write_pair(out, 21, what, &value)?;
        }
        Ok(())
    }

    /// Compares the results with what the library promises.
    ///
    /// # Errors
    /// [`Failure::Failed`] names each result that breaks a promise.
    pub fn judge(&self) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        if self.lookups == 0 {
            wrong.push("no lookup was made".to_owned());
        }
        if self.wrong_routes > 0 {
            let first = self.first_wrong.as_deref().unwrap_or_default();
            wrong.push(format!("{} wrong routes; the first: {first}", self.wrong_routes));
        }
        if self.torn_reads > 0 {
            wrong.push(format!("{} torn reads", self.torn_reads));
        }
        if self.takeover.is_none() {
            wrong.push("no worker took over".to_owned());
        }
        if self.follower_connections > 0 {
            wrong.push(format!("followers had {} connections", self.follower_connections));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong.join("; "))) }
    }
}
