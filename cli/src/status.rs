//! `tendmap status`: the state of a segment and its owner.

mod all;
mod watch;

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tendmap::client::{Histogram, Status, Verdict, parse_duration};
use tendmap::internals::text::Printable;

use crate::args::Common;
use crate::duration::show;
use crate::failure::Failure;
use crate::ls::user;
use crate::output::{Output, grouped, table, write_table};

/// The flags of `tendmap status`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Show every segment of this host, or every one of --shm-key, in short.
    #[arg(long)]
    all: bool,
    /// Judge only whether an owner is at work, for a probe.
    ///
    /// The exit code is 1 if there is no live owner, or if it shows no heartbeat. Unlike without
    /// this flag, a cluster that fails and a map with holes are no reason. For the liveness probe
    /// of a container: another process takes over from an owner that hangs, so let the probe fail
    /// only after more than --shm-takeover-threshold.
    #[arg(long, conflicts_with = "all")]
    live: bool,
    /// Show it again and again, until SIGINT or SIGTERM.
    ///
    /// A terminal shows the latest state only. With --json each is a line. The exit code is 0 at
    /// a signal, whatever the state.
    #[arg(long)]
    watch: bool,
    /// The time between two states of --watch.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
}

/// The shortest interval. Each look reads whole segments.
const SHORTEST: Duration = Duration::from_millis(100);

/// The time between two looks, from text.
///
/// # Errors
/// What was wanted.
pub fn interval(text: &str) -> Result<Duration, String> {
    let found = parse_duration(text).map_err(|error| error.to_string())?;
    match found < SHORTEST {
        true => Err(format!("wanted at least {}", show(SHORTEST))),
        false => Ok(found),
    }
}

/// Reports the state of the segment, or of all of them, once or repeatedly.
///
/// # Errors
/// [`Failure::Unhealthy`] after the answer, if a segment is unhealthy; any other if there is no
/// answer.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let report = || match args.all {
        true => all::report(common),
        false if args.live => live(common),
        false => one(common),
    };
    if args.watch {
        return watch::run(args.interval, output, report);
    }
    let report = report()?;
    output.answer(|| report.json, |out| out.write_all(&report.text))?;
    if report.healthy { Ok(()) } else { Err(Failure::Unhealthy) }
}

/// What one look found.
struct Report {
    json: Value,
    text: Vec<u8>,
    healthy: bool,
}

fn one(common: &Common) -> Result<Report, Failure> {
    let status = common.status()?;
    let verdict = status.verdict();
    let problems = match &verdict {
        Verdict::Healthy => &[][..],
        Verdict::Unhealthy(problems) => problems,
    };
    let mut text = Vec::new();
    as_text(&status, problems, &mut text)?;
    Ok(Report { json: status.to_json_value(), text, healthy: problems.is_empty() })
}

/// How long most of them took; nothing if there are none.
fn spread(times: Option<&Histogram>) -> String {
    let Some(times) = times.filter(|times| times.count() > 0) else { return String::new() };
    let up_to = |percent: u128| {
        let wanted = u128::from(times.count()) * percent;
        let mut below = 0;
        let bucket = times.buckets.iter().position(|&count| {
            below += u128::from(count) * 100;
            below >= wanted
        });
        let bound = bucket.and_then(|bucket| times.bounds.get(bucket));
        bound.map_or_else(
            || times.bounds.last().map_or(String::new(), |most| format!("over {}", show(*most))),
            |bound| format!("up to {}", show(*bound)),
        )
    };
    format!("; half took {}, 99 % {}", up_to(50), up_to(99))
}

/// Whether an owner is at work.
fn live(common: &Common) -> Result<Report, Failure> {
    let status = common.status()?;
    let problems = status.lifelessness();
    let mut text = Vec::new();
    for problem in &problems {
        writeln!(text, "NOT LIVE: {}", Printable(problem))?;
    }
    if problems.is_empty() {
        let pid = status.owner_pid.map_or("unknown".to_owned(), |pid| pid.to_string());
        let age = status.heartbeat_age.map_or("never".to_owned(), |age| show(age) + " ago");
        writeln!(text, "live: owner pid {pid}, term {}, heartbeat {age}", status.term)?;
    }
    let healthy = problems.is_empty();
    Ok(Report { json: json!({ "live": healthy, "problems": problems }), text, healthy })
}

fn as_text(status: &Status, problems: &[String], out: &mut dyn Write) -> io::Result<()> {
    let ago = |age: Option<Duration>| age.map_or("never".to_owned(), |age| show(age) + " ago");
    let owner = match (status.owner_pid, status.owner_alive) {
        (Some(pid), true) => format!("pid {pid}, alive"),
        (Some(pid), false) => format!("pid {pid}, gone"),
        (None, true) => "alive, pid unknown".to_owned(),
        (None, false) => "none".to_owned(),
    };
    let attached = status.attached.map_or("can't be counted".to_owned(), |count| count.to_string());
    let segment = match (&status.path, status.shm_id) {
        (Some(path), _) => Printable(path.display()).to_string(),
        (None, Some(id)) => format!("System V shared memory, shmid {id}"),
        (None, None) => "-".to_owned(),
    };
    let every = status
        .tend_interval
        .map_or(String::new(), |interval| format!(", every {}", show(interval)));
    for (what, value) in [
        ("segment", format!("{segment} ({} bytes)", grouped(status.bytes))),
        ("key", format!("{:#010x}, generation {}", status.key, status.generation)),
        ("user", status.user.map_or_else(|| "-".to_owned(), user)),
        ("layout", format!("version {}", status.layout_version)),
        ("cluster", status.cluster_name.clone().unwrap_or("-".into())),
        ("owner", format!("{owner}, term {}", status.term)),
        ("heartbeat", ago(status.heartbeat_age)),
        ("tended", ago(status.tended_age) + &every),
        ("map", format!("sequence {}", status.sequence)),
        ("nodes", format!("{} of {}", status.nodes, status.max_nodes)),
        ("namespaces", format!("{} of {}", status.namespaces.len(), status.max_namespaces)),
        ("attached", attached),
        ("publications", grouped(status.publications) + &spread(status.publication_times.as_ref())),
        ("takeovers", grouped(status.takeovers)),
        ("tends", format!("{}, failed {}", grouped(status.tends), grouped(status.tend_errors))),
        (
            "last failure",
            status
                .last_error
                .as_ref()
                .map_or("-".to_owned(), |error| format!("{}: {error}", ago(status.last_error_age))),
        ),
        (
            "last pass",
            status.pass_time.map_or("-".to_owned(), show) + &spread(status.pass_times.as_ref()),
        ),
        ("failing", format!("{} of the nodes", status.failing_nodes)),
        (
            "node errors",
            format!(
                "{} without an answer, {} bad replies",
                grouped(status.ask_errors),
                grouped(status.bad_replies)
            ),
        ),
        ("received", format!("{} bytes", grouped(status.bytes_in))),
        ("refused", grouped(status.refused_nodes)),
    ] {
        writeln!(out, "{what:<13} {}", Printable(value))?;
    }
    if !status.members.is_empty() {
        writeln!(out)?;
        let mut nodes =
            table(["node", "address", "build", "failures", "age", "last error"], &[3, 4]);
        for node in &status.members {
            let health = node.health.as_ref();
            let error = health.and_then(|health| health.last_error.clone());
            nodes.add_row([
                node.id.to_string(),
                node.address.to_string(),
                node.build.map_or("-".to_owned(), |build| build.to_string()),
                health.map_or("-".to_owned(), |health| health.failures.to_string()),
                node.last_error_age.map_or("-".to_owned(), show),
                error.unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        write_table(out, &nodes)?;
    }
    if !status.namespaces.is_empty() {
        writeln!(out)?;
        let header = ["namespace", "replication factor", "strong consistency", "holes"];
        let mut namespaces = table(header, &[1, 3]);
        for namespace in &status.namespaces {
            namespaces.add_row([
                namespace.name.clone(),
                match usize::from(namespace.replication_factor) {
                    all if all == namespace.routable_replicas => all.to_string(),
                    all => format!("{all} ({} routable)", namespace.routable_replicas),
                },
                if namespace.strong_consistency { "yes" } else { "no" }.to_owned(),
                namespace.holes.to_string(),
            ]);
        }
        write_table(out, &namespaces)?;
    }
    writeln!(out)?;
    for remark in status.remarks() {
        writeln!(out, "note: {}", Printable(remark))?;
    }
    match problems {
        [] => writeln!(out, "healthy"),
        problems => problems
            .iter()
            .try_for_each(|problem| writeln!(out, "UNHEALTHY: {}", Printable(problem))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tendmap::client::Client;
    use tendmap::sim::{Sim, SimConfig};

    #[test]
    fn a_histogram_is_shown_by_its_median_and_its_tail() {
        let sim = Sim::start(SimConfig::fast(1)).unwrap();
        let mut config = tendmap::client::Config::new(vec![sim.seeds()[0].into()]);
        config.use_shm = false;
        let mut times = Client::connect(config).unwrap().status().unwrap().pass_times.unwrap();
        times.buckets.fill(0);
        assert_eq!(spread(Some(&times)) + &spread(None), "");
        // 1 ms, 2.5 ms, 5 ms …
        times.buckets[..3].copy_from_slice(&[50, 49, 1]);
        assert_eq!(spread(Some(&times)), "; half took up to 1.0 ms, 99 % up to 2.5 ms");
        *times.buckets.last_mut().unwrap() = 100;
        assert_eq!(spread(Some(&times)), "; half took up to 5.0 ms, 99 % over 10 s");
        times.buckets.fill((1 << 48) - 1);
        assert!(spread(Some(&times)).ends_with("99 % over 10 s"));
    }
}
