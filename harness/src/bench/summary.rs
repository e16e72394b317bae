//! The report.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::child::{INTERVAL, THRESHOLD};
use super::digest::{Digests, lanes};
use super::lookup::Lookups;
use super::mirror::Mirrored;
use super::publication::Publications;
use super::takeover::Times;
use tendmap_cli::output::{table, write_table};
use tendmap_harness::sample::Samples;

/// All results.
#[derive(Default)]
pub struct Summary {
    pub lookups: Lookups,
    pub digests: Digests,
    pub publications: Publications,
    /// Microseconds.
    pub attach: Samples,
    pub times: Times,
    pub mirrored: Mirrored,
    /// The number of followers.
    pub followers: usize,
}

impl Summary {
    /// The medians as one JSON object.
    pub fn json(&self) -> Value {
        let Summary { lookups, digests, publications, attach, times, mirrored, .. } = self;
        json!({
            "floor_ns": rounded(lookups.floor.median()),
            "lookup_ns": rounded(lookups.lookup.median()),
            "pinned_lookup_ns": rounded(lookups.pinned.median()),
            "floor_latency_ns": rounded(lookups.floor_latency.median()),
            "lookup_latency_ns": rounded(lookups.latency.median()),
            "lookup_two_readers_ns": rounded(lookups.two_readers.median()),
            "lookup_while_publishing_ns": rounded(lookups.while_publishing.median()),
            "retries": self.retries(),
            "digest_ns": rounded(digests.crates.median()),
            "route_key_ns": rounded(digests.one.median()),
            "batch_key_ns": rounded(digests.batch.median()),
            "lanes": lanes(),
            "publish_us": rounded(publications.whole.median()),
            "publish_one_percent_us": rounded(publications.one_percent.median()),
            "memcpy_us": rounded(publications.copy.median()),
            "attach_us": rounded(attach.median()),
            "mirror_steady_percent": rounded(mirrored.steady_percent.median()),
            "mirror_delay_ms": rounded(mirrored.delay_ms.median()),
            "mirror_delay_ms_p95": rounded(mirrored.delay_ms.quantile(950)),
            "takeover_ms_p50": rounded(times.takeovers.median()),
            "takeover_ms_p99": rounded(times.takeovers.quantile(990)),
            "handover_ms_p50": rounded(times.handovers.median()),
            "hung_takeover_ms": rounded(times.hung.quantile(1000)),
            "hung_bound_ms": (THRESHOLD + INTERVAL).as_millis() as u64,
        })
    }

    /// The share of lookups that had to read again while the owner published.
    fn retries(&self) -> f64 {
        self.lookups.retries as f64 / self.lookups.beside.max(1) as f64
    }

    /// Writes the results as text.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Summary { lookups, digests, publications, attach, times, mirrored, followers } = self;
        let mut shown = table(["what", "median", "", "compared with"], &[1]);
        let mut row = |what: &str, samples: &Samples, unit: &str, beside: String| {
            shown.add_row([what.to_owned(), number(samples.median()), unit.to_owned(), beside]);
        };
        let none = String::new;
        let floor = |samples: &Samples, floor: &Samples| times_of(samples, floor, "the floor");
        row("floor: two array reads", &lookups.floor, "ns", none());
        row("lookup", &lookups.lookup, "ns", floor(&lookups.lookup, &lookups.floor));
        row("lookup, pinned", &lookups.pinned, "ns", floor(&lookups.pinned, &lookups.floor));
        let two = &lookups.two_readers;
        row("lookup, two readers", two, "ns", floor(two, &lookups.floor));
        let beside = &lookups.while_publishing;
        let retried = match lookups.retries {
            0 => floor(beside, &lookups.floor),
            _ => {
                let percent = self.retries() * 100.0;
                format!("{}, {percent:.3} % twice", floor(beside, &lookups.floor))
            }
        };
        row("lookup, owner publishing", beside, "ns", retried);
        row("floor, each needs the last", &lookups.floor_latency, "ns", none());
        let chain = floor(&lookups.latency, &lookups.floor_latency);
        row("lookup, each needs the last", &lookups.latency, "ns", chain);
        row("digest: ripemd crate", &digests.crates, "ns", none());
        let crates = |samples: &Samples| times_of(samples, &digests.crates, "the digest");
        row("key to node, one by one", &digests.one, "ns", crates(&digests.one));
        let name = format!("key to node, {} at once", lanes());
        row(&name, &digests.batch, "ns", crates(&digests.batch));
        row("copy of the map's words", &publications.copy, "µs", none());
        let copy = |samples: &Samples| times_of(samples, &publications.copy, "the copy");
        let whole = &publications.whole;
        row("publication, all routes changed", whole, "µs", copy(whole));
        let part = &publications.one_percent;
        row("publication, 1 % changed", part, "µs", copy(part));
        row("attach, to the first route", attach, "µs", none());
        row("mirror for C clients, steady", &mirrored.steady_percent, "% CPU", none());
        let slowest = format!("95 %: {} ms", number(mirrored.delay_ms.quantile(950)));
        row("publication to the C segment", &mirrored.delay_ms, "ms", slowest);
        let slowest = number(times.takeovers.quantile(990));
        let many = times.takeovers.len();
        let slowest = format!("99 %: {slowest} ms; {many}, {followers} followers");
        row("takeover after a kill", &times.takeovers, "ms", slowest);
        let many = format!("of {}", times.handovers.len());
        row("hand-over at close", &times.handovers, "ms", many);
        let (threshold, interval) = (THRESHOLD.as_millis(), INTERVAL.as_millis());
        let slowest = number(times.hung.quantile(1000));
        let bound = format!("at most {slowest}; bound {} ms", threshold + interval);
        row("takeover from a hung owner", &times.hung, "ms", bound);
        write_table(out, &shown)
    }
}

fn times_of(samples: &Samples, base: &Samples, name: &str) -> String {
    match (samples.median(), base.median()) {
        (Some(value), Some(base)) if base > 0.0 => format!("{:.2} × {name}", value / base),
        _ => String::new(),
    }
}

/// A number with three significant digits.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1000.0).round() / 1000.0)
}
