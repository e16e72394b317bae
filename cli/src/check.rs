//! `tendmap check`: finds out whether tending a cluster would work. It is the first
//! step for users.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tendmap::internals::tend::{Survey, SurveyedAddress, SurveyedHost, SurveyedNode, survey};
use tendmap::internals::text::Printable;
use tendmap::map::{Namespace, NodeId};
use tendmap::tend::{TendEvent, Turn};

use crate::failure::Failure;
use crate::flags::{Flags, Reached};
use crate::output::{Output, table, write_pair, write_table};
use crate::settings::{Origins, PasswordFile};

/// The flags of `tendmap check`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub cluster: Flags<Reached>,
}

/// The problems that the pass reported as events.
#[derive(Default)]
struct Heard(Vec<String>);

impl Turn for Heard {
    fn beat(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn event(&mut self, event: TendEvent) {
        match event {
            TendEvent::NodeFailed { id, address, error } => {
                self.0.push(format!("node {id} at {address} can't be reached: {error}"));
            }
            TendEvent::NodeUnresolved { id, error } => {
                self.0.push(format!("node {id} is listed at an unusable address: {error}"));
            }
            TendEvent::BadReply { id, error } => {
                self.0.push(format!("node {id} gives a reply that can't be used: {error}"));
            }
            TendEvent::BadEntry { id, what, entry, problem } => {
                let told =
                    format!("node {id} reports an invalid entry of {what}, which is skipped");
                self.0.push(format!("{told}: {problem}: \"{entry}\""));
            }
            TendEvent::NoAlternateAddress { id, setting } => {
                self.0.push(no_address(id, setting));
            }
            TendEvent::NodeRefused { id, capacity } => {
                self.0.push(format!("node {id} is one too many: {capacity} is the limit"));
            }
            _ => {}
        }
    }
}

/// Connects, validates, and reports the result.
///
/// # Errors
/// [`Failure::Unhealthy`] after the answer if tending works but there are problems,
/// [`Failure::Failed`] after it if tending would not work.
pub fn run(args: &Args, origins: &Origins, output: &Output) -> Result<(), Failure> {
    let usage = |error: &dyn ToString| Failure::Usage(origins.explain(&error.to_string()));
    let config = args.cluster.config();
    config.check().map_err(|error| usage(&error))?;
    let source = config.source().map_err(|error| usage(&error))?;
    let mut heard = Heard::default();
    let found = survey(&source, &mut heard)
        .map_err(|_| Failure::Failed("the check was interrupted".to_owned()))?;
    let mut problems = problems(&found, heard.0);
    if let Some((path, mode)) = config.tls.as_ref().and_then(|tls| tls.exposed_key()) {
        problems.push(format!(
            "the mode {mode:04o} of keyfile {} lets other users read it; `chmod 600` it",
            Printable(path.display())
        ));
    }
    if let Some((file, mode)) = origins.exposed_password() {
        problems.push(exposed_password(file, mode));
    }
    output.answer(|| as_json(&found, &problems), |out| as_text(&found, &problems, out))?;
    match &found.error {
        Some(error) => Err(Failure::Failed(format!("tending would not work: {error}"))),
        None if problems.is_empty() => Ok(()),
        None => Err(Failure::Unhealthy),
    }
}

/// The problem of a file with the password that other users may read.
pub fn exposed_password(file: &PasswordFile, mode: u32) -> String {
    let shown = Printable(file.path.display());
    format!(
        "the mode {mode:04o} of the password's file {shown} lets other users read it; `chmod 600` it"
    )
}

/// The problems of a cluster that can be tended.
fn problems(survey: &Survey, mut problems: Vec<String>) -> Vec<String> {
    let unreached = |what: &str, found: &SurveyedHost, wanted: Option<NodeId>, hint: &str| {
        let host = &found.host;
        let mut problems = Vec::new();
        if let Some(error) = &found.error {
            problems.push(format!("{what} {host}: {error}; {hint}"));
        }
        for at in &found.addresses {
            let address = at.address;
            match &at.node {
                Err(error) => {
                    problems.push(format!("{what} {host} ({address}): {error}; {hint}"));
                }
                Ok(node) if wanted.is_some_and(|wanted| wanted != *node) => {
                    problems
                        .push(format!("{what} {host} ({address}): node {node} answers; {hint}"));
                }
                Ok(_) => {}
            }
        }
        problems
    };
    for host in &survey.hosts {
        let hint = "check that a server listens there, or leave the host out";
        problems.extend(unreached("host", host, None, hint));
        problems.extend(host.addresses.iter().filter_map(|at| wrong_port(survey, host, at)));
    }
    for node in &survey.nodes {
        let id = node.id;
        if let Some(error) = &node.error {
            problems.push(format!("node {id} at {}: {error}", node.address));
        }
        if node.told.is_empty() && node.error.is_none() {
            let problem = no_address(id, survey.setting);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        let what = format!("node {id} reports the address");
        let hint = match survey.setting.contains("alternate") {
            false => format!("check its {}, or try --use-services-alternate", survey.setting),
            true => format!("check its {}", survey.setting),
        };
        for host in &node.told {
            problems.extend(unreached(&what, host, Some(id), &hint));
        }
    }
    for namespace in survey.map.namespaces().iter().filter(|namespace| namespace.holes() > 0) {
        let (name, holes) = (namespace.name, namespace.holes());
        problems.push(format!("namespace {name} has {holes} partitions without a master"));
    }
    problems
}

fn no_address(id: NodeId, setting: &str) -> String {
    let kind = if setting.contains("alternate") { "alternate address" } else { "address" };
    format!("node {id} advertises no {kind}; set {setting} in its network.service stanza")
}

/// The problem of a host at whose port a node answers, but not for clients.
fn wrong_port(survey: &Survey, host: &SurveyedHost, at: &SurveyedAddress) -> Option<String> {
    let id = *at.node.as_ref().ok()?;
    let node = survey.nodes.iter().find(|node| node.id == id)?;
    if node.serves_at(at.address.port()) {
        return None;
    }
    let told: Vec<String> = node.told.iter().map(|told| told.host.to_string()).collect();
    let (host, told) = (&host.host, told.join(", "));
    Some(format!(
        "host {host}: node {id} answers there, but it serves clients at {told}: an admin port \
         answers what the tender asks and no commands; give {told} instead"
    ))
}

/// A server's text in a form for one line of a table.
fn words(told: Option<&str>) -> String {
    told.map_or("-".to_owned(), |told| Printable(told).to_string())
}

/// The racks of a namespace, and the nodes in each.
fn racks(survey: &Survey, namespace: &Namespace) -> BTreeMap<i32, Vec<NodeId>> {
    let mut racks: BTreeMap<i32, Vec<NodeId>> = BTreeMap::new();
    for (slot, node) in survey.map.nodes.iter() {
        if let Some(rack) = namespace.rack(slot) {
            racks.entry(rack).or_default().push(node.id);
        }
    }
    racks
}

fn as_json(survey: &Survey, problems: &[String]) -> Value {
    let host = |host: &SurveyedHost| {
        let addresses = host.addresses.iter().map(|at| {
            json!({
                "address": at.address,
                "node": at.node.as_ref().ok().map(NodeId::as_str),
                "error": at.node.as_ref().err(),
            })
        });
        let addresses: Vec<Value> = addresses.collect();
        json!({ "host": host.host.to_string(), "addresses": addresses, "error": host.error })
    };
    let node = |node: &SurveyedNode| {
        let racks = node.racks.as_ref().map(|racks| {
            racks.iter().map(|(name, rack)| (name.to_string(), *rack)).collect::<BTreeMap<_, _>>()
        });
        json!({
            "node": node.id.as_str(),
            "address": node.address,
            "build": node.build,
            "edition": node.edition,
            "racks": racks,
            "addresses": node.told.iter().map(host).collect::<Vec<_>>(),
            "other_addresses": node.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "error": node.error,
        })
    };
    let namespace = |namespace: &Namespace| {
        let racks = racks(survey, namespace).into_iter();
        let racks = racks.map(|(rack, nodes)| {
            let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
            json!({ "rack": rack, "nodes": nodes })
        });
        json!({
            "name": namespace.name.as_str(),
            "replication_factor": namespace.replication_factor,
            "strong_consistency": namespace.strong_consistency,
            "racks": racks.collect::<Vec<_>>(),
            "holes": namespace.holes(),
        })
    };
    json!({
        "would_tend": survey.error.is_none(),
        "error": survey.error.as_ref().map(ToString::to_string),
        "cluster_name": survey.map.cluster_name.map(|name| name.to_string()),
        "security": survey.security,
        "hosts": survey.hosts.iter().map(host).collect::<Vec<_>>(),
        "nodes": survey.nodes.iter().map(node).collect::<Vec<_>>(),
        "namespaces": survey.map.namespaces().iter().map(namespace).collect::<Vec<_>>(),
        "problems": problems,
    })
}

fn as_text(survey: &Survey, problems: &[String], out: &mut dyn Write) -> io::Result<()> {
    let security = match survey.security {
        Some(true) => "on: servers require a login",
        Some(false) => "off",
        None => "unknown",
    };
    let cluster = survey.map.cluster_name.map_or("-".to_owned(), |name| name.to_string());
    for (what, value) in [("cluster", &*cluster), ("security", security)] {
        writeln!(out, "{what:<13} {value}")?;
    }
    writeln!(out)?;
    let mut hosts = table(["host", "address", "answers"], &[]);
    for host in &survey.hosts {
        let name = host.host.to_string();
        // The problems say why not.
        if host.error.is_some() {
            hosts.add_row([name.clone(), "-".to_owned(), "no".to_owned()]);
        }
        for at in &host.addresses {
            let answer = match &at.node {
                Ok(node) => format!("node {node}"),
                Err(_) => "no".to_owned(),
            };
            hosts.add_row([name.clone(), at.address.to_string(), answer]);
        }
    }
    write_table(out, &hosts)?;
    if !survey.nodes.is_empty() {
        writeln!(out)?;
        let mut nodes = table(["node", "address", "build", "edition", "tells"], &[]);
        for node in &survey.nodes {
            let told = node.told.iter().map(|host| {
                let reached =
                    |at: &tendmap::internals::tend::SurveyedAddress| at.node == Ok(node.id);
                let good = host.error.is_none() && host.addresses.iter().all(reached);
                format!("{}{}", host.host, if good { "" } else { " (not reached)" })
            });
            let told: Vec<String> = told.collect();
            nodes.add_row([
                node.id.to_string(),
                node.address.to_string(),
                words(node.build.as_deref()),
                words(node.edition.as_deref()),
                told.join(", "),
            ]);
        }
        write_table(out, &nodes)?;
    }
    if !survey.map.namespaces().is_empty() {
        writeln!(out)?;
        let header = ["namespace", "replicas", "strong consistency", "racks:nodes", "holes"];
        let mut namespaces = table(header, &[1, 4]);
        for namespace in survey.map.namespaces() {
            let racks = racks(survey, namespace).into_iter();
            let racks: Vec<String> =
                racks.map(|(rack, nodes)| format!("{rack}:{}", nodes.len())).collect();
            namespaces.add_row([
                namespace.name.to_string(),
                namespace.replication_factor.to_string(),
                if namespace.strong_consistency { "yes" } else { "no" }.to_owned(),
                if racks.is_empty() { "-".to_owned() } else { racks.join(", ") },
                namespace.holes().to_string(),
            ]);
        }
        write_table(out, &namespaces)?;
    }
    writeln!(out)?;
    for problem in problems {
        write_pair(out, 8, "PROBLEM:", problem)?;
    }
    match (&survey.error, problems) {
        // The error itself comes last, on standard error.
        (Some(_), _) => writeln!(out, "tending would NOT work"),
        (None, []) => writeln!(out, "tending would work"),
        (None, _) => writeln!(out, "tending would work, with problems"),
    }
}
