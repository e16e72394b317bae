//! `tendmap verify`: compares the map in a segment with what every node of the cluster says now.
//!
//! The owner reads a change of the cluster only with its next pass, and two nodes never answer
//! at the same moment. So a finding counts only if it has stayed the same for longer than the
//! owner needs, whatever the map's sequence is.

mod compare;
mod report;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tendmap::client::Status;
use tendmap::internals::tend::{ClaimReader, ClusterClaims};
use tendmap::map::{ClusterMap, NodeId, Snapshot};
use tendmap::tend::{TendEvent, Turn};

use crate::args::Common;
use crate::failure::Failure;
use crate::flags::{Flags, Reached};
use crate::output::Output;
use crate::settings::Origins;
use compare::{Comparison, Finding, compare};
use report::Report;

/// The flags of `tendmap verify`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub cluster: Flags<Reached>,
}

/// The time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How long a finding must stay the same, at least and at most.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// The number of such waits after which a finding counts without passes of the owner.
const WAITS_WITHOUT_PASSES: u32 = 3;
/// The number of such waits after which what still changes is left open.
const MOST_WAITS: u32 = 5;
/// The most nodes that an error names.
const NAMED: usize = 4;

/// Nothing interrupts a pass, and what it reports shows in the claims.
struct Quiet;

impl Turn for Quiet {
    fn beat(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn event(&mut self, _: TendEvent) {}
}

/// Compares, and reports the result.
///
/// # Errors
/// [`Failure::Unhealthy`] after the answer if there are differences; any other if there is no
/// answer.
pub fn run(
    common: &Common,
    args: &Args,
    origins: &Origins,
    output: &Output,
) -> Result<(), Failure> {
    let usage = |error: &dyn ToString| Failure::Usage(origins.explain(&error.to_string()));
    let config = args.cluster.config();
    config.check().map_err(|error| usage(&error))?;
    let source = config.source().map_err(|error| usage(&error))?;
    let mut before = common.look()?.map()?;
    let mut status = common.status()?;
    let wait = patience(&status);
    let mut reader = ClaimReader::new(&source, before.map.capacity().partitions);
    let begun = Moment::of(&status);
    let mut since: BTreeMap<Finding, Moment> = BTreeMap::new();
    let (claims, after, compared) = loop {
        let claims = reader
            .read(&before.map.nodes, &mut Quiet)
            .map_err(|error| Failure::Failed(format!("the cluster can't be asked: {error}")))?;
        let after = common.look()?.map()?;
        refuse_another(&after, &claims)?;
        let compared = compare_twice(&before, &after, &claims);
        status = common.status()?;
        let now = Moment::of(&status);
        let first = |finding: &Finding| since.get(finding).copied().unwrap_or(now);
        since = compared.findings.iter().map(|it| (it.clone(), first(it))).collect();
        let settled = since.values().all(|since| since.lasts(&status, wait));
        if settled || begun.at.elapsed() >= wait * MOST_WAITS {
            break (claims, after, compared);
        }
        before = after;
        std::thread::sleep(BETWEEN_LOOKS);
    };
    let (findings, moving): (Vec<_>, Vec<_>) =
        since.into_iter().partition(|(_, since)| since.lasts(&status, wait));
    let report = Report {
        status,
        map: &after,
        claims: &claims,
        extents: &compared.extents,
        findings: findings.into_iter().map(|(finding, _)| finding).collect(),
        moving: moving.len(),
    };
    output.answer(|| report.as_json(), |out| report.as_text(out))?;
    if report.findings.is_empty() { Ok(()) } else { Err(Failure::Unhealthy) }
}

/// When a finding was first made.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    /// The number of the owner's passes until then.
    passes: u64,
}

impl Moment {
    fn of(status: &Status) -> Moment {
        Moment { at: Instant::now(), passes: status.tends }
    }

    /// Whether a finding of that moment is no passing one: the owner has had two passes since, or
    /// makes none, or had time for many. A busy machine delays an owner.
    fn lasts(&self, status: &Status, wait: Duration) -> bool {
        let (age, passes) = (self.at.elapsed(), status.tends.saturating_sub(self.passes));
        age >= wait && (passes >= 2 || status.is_stale() || age >= wait * WAITS_WITHOUT_PASSES)
    }
}

/// How long an owner may need to notice a change: two passes.
fn patience(status: &Status) -> Duration {
    let pass = status.tend_interval.unwrap_or_default() + status.pass_time.unwrap_or_default();
    (pass.saturating_mul(2) + BETWEEN_LOOKS).clamp(SHORTEST, LONGEST)
}

/// Compares claims with the maps before and after they were read. What agrees with one of them
/// is in order.
fn compare_twice(before: &Snapshot, after: &Snapshot, claims: &ClusterClaims) -> Comparison {
    let mut compared = compare(&after.map, claims);
    if after.sequence != before.sequence {
        let earlier = compare(&before.map, claims).findings;
        compared.findings.retain(|finding| earlier.contains(finding));
    }
    compared
}

/// Refuses to compare the maps of two clusters.
fn refuse_another(map: &Snapshot, claims: &ClusterClaims) -> Result<(), Failure> {
    let ClusterMap { cluster_name, nodes, .. } = &map.map;
    let members = || claims.nodes.iter().filter(|node| node.in_cluster);
    if nodes.is_empty() || members().any(|node| nodes.slot_of(&node.id).is_some()) {
        return Ok(());
    }
    let named = |name: Option<&dyn core::fmt::Display>, ids: &mut dyn Iterator<Item = NodeId>| {
        let name = name.map_or("without a name".to_owned(), |name| format!("\"{name}\""));
        let mut ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let more = ids.len().saturating_sub(NAMED);
        ids.truncate(NAMED);
        if more > 0 {
            ids.push(format!("{more} more"));
        }
        format!("{name} ({})", ids.join(", "))
    };
    let told = |name: &Option<tendmap::map::ClusterName>, ids: &mut dyn Iterator<Item = NodeId>| {
        named(name.as_ref().map(|name| name as &dyn core::fmt::Display), ids)
    };
    Err(Failure::Failed(format!(
        "the hosts are of cluster {}, and no node of it is in the map, which is of cluster {}; \
         give the hosts of that cluster, or the shm_key of the other",
        told(&claims.cluster_name, &mut members().map(|node| node.id)),
        told(cluster_name, &mut nodes.iter().map(|(_, node)| node.id)),
    )))
}
