//! `tendmap sim`: a simulated cluster, controlled by lines of text.

mod input;

use crossbeam::channel::unbounded;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;
use std::{io, thread};

use tendmap::client::parse_duration;
use tendmap::sim::{Sim, SimConfig, SimNamespace, SimTls, SimUser};
use tendmap::wire::login::SecretString;

use crate::failure::Failure;
use crate::flags::SECURITY;
use crate::signals;
use input::{Foreground, Input};

/// The flags of `tendmap sim`.
#[derive(clap::Args)]
pub struct Args {
    /// Number of nodes, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Port of node 1; the others use the ports after it. 0 = any free ports.
    #[arg(long, value_name = "P", default_value_t = 0)]
    base_port: u16,
    /// A namespace and its replication factor [default: test:2 bar:3].
    ///
    /// Without a factor it has 2 replicas; with `:strong` it has strong
    /// consistency. May be given several times.
    #[arg(long, value_name = "NAME:RF[:strong]", value_parser = namespace)]
    namespace: Vec<SimNamespace>,
    /// Simulate the enterprise edition, which reports racks.
    #[arg(long)]
    enterprise: bool,
    /// The build that the nodes report.
    #[arg(long, value_name = "BUILD", default_value = "8.1.2.0", hide_short_help = true)]
    build: String,
    /// The name of the cluster that the nodes report.
    #[arg(long, value_name = "NAME", default_value = "tend-sim")]
    cluster_name: String,
    /// Also listen at an alternate address of each node.
    #[arg(long, hide_short_help = true)]
    alternate_addresses: bool,
    /// Have the nodes listen at ::1 instead of 127.0.0.1.
    #[arg(long, hide_short_help = true)]
    ipv6: bool,
    /// A user and its password; clients then have to log in.
    ///
    /// May be given several times. --password is the password of users that are
    /// given without one.
    #[arg(long, help_heading = SECURITY, value_name = "NAME:PASSWORD", value_parser = user)]
    user: Vec<User>,
    /// The password of users that are given without one.
    #[arg(long, help_heading = SECURITY, value_name = "TEXT",
        value_parser = crate::settings::password)]
    password: Option<SecretString>,
    /// Lifetime of a session; 0 = no limit.
    #[arg(long, help_heading = SECURITY, value_name = "TIME", default_value = "24h",
        value_parser = parse_duration, hide_short_help = true)]
    session_lifetime: Duration,
    /// The nodes' certificate, PEM: each also speaks TLS, at its port + 1000.
    #[arg(long, help_heading = SECURITY, value_name = "FILE", requires = "tls_keyfile")]
    tls_certfile: Option<PathBuf>,
    /// The private key of the nodes' certificate, PEM.
    #[arg(long, help_heading = SECURITY, value_name = "FILE", requires = "tls_certfile")]
    tls_keyfile: Option<PathBuf>,
    /// Authorities of client certificates, PEM: clients must show one.
    #[arg(long, help_heading = SECURITY, value_name = "FILE", requires = "tls_certfile", hide_short_help = true)]
    tls_cafile: Option<PathBuf>,
    /// The TLS name that the nodes list for their peers.
    #[arg(long, help_heading = SECURITY, value_name = "NAME", requires = "tls_certfile", hide_short_help = true)]
    tls_name: Option<String>,
}

/// A user, with its password if that was given.
#[derive(Clone)]
struct User(String, Option<String>);

fn user(text: &str) -> Result<User, String> {
    match text.split_once(':') {
        Some((name, password)) => Ok(User(name.to_owned(), Some(password.to_owned()))),
        None if text.is_empty() => Err("wanted NAME:PASSWORD".to_owned()),
        None => Ok(User(text.to_owned(), None)),
    }
}

impl Args {
    fn users(&self) -> Result<Vec<SimUser>, Failure> {
        let own = self.password.as_ref().map(|password| password.expose_secret());
        let users = self.user.iter().map(|User(name, password)| {
            let none = || {
                Failure::Usage(format!(
                    "user {name} has no password; give NAME:PASSWORD or --password"
                ))
            };
            Ok(SimUser::new(name, password.as_deref().or(own).ok_or_else(none)?))
        });
        users.collect()
    }
}

fn namespace(text: &str) -> Result<SimNamespace, String> {
    let (text, strong) = match text.strip_suffix(":strong") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (name, factor) = text.rsplit_once(':').unwrap_or((text, "2"));
    tendmap::map::NamespaceName::new(name).map_err(|error| error.to_string())?;
    match factor.parse() {
        Ok(factor @ 1..=255) if strong => Ok(SimNamespace::strong(name, factor)),
        Ok(factor @ 1..=255) => Ok(SimNamespace::new(name, factor)),
        _ => Err(format!("replication factor {factor:?}; wanted 1 to 255")),
    }
}

/// Simulates a cluster. The output is JSON: a line at the start and one for
/// each line of standard input.
///
/// It ends at SIGINT, SIGTERM or SIGHUP, and when standard input ends. A standard
/// input that is empty from the start (/dev/null, as in services and containers),
/// or that can't be read, is ignored.
///
/// # Errors
/// [`Failure`].
pub fn run(args: &Args) -> Result<(), Failure> {
    // First of all, because a script may end its input soon.
    let input = Input::look();
    let mut config = SimConfig::new(args.nodes);
    config.base_port = args.base_port;
    config.cluster_name = Some(args.cluster_name.clone()).filter(|name| !name.is_empty());
    if !args.namespace.is_empty() {
        config.namespaces = args.namespace.clone();
    }
    config.build.clone_from(&args.build);
    config.enterprise = args.enterprise;
    config.alternate_addresses = args.alternate_addresses;
    config.ipv6 = args.ipv6;
    config.security = !args.user.is_empty();
    config.users = args.users()?;
    let lifetime = args.session_lifetime;
    config.session_lifetime = (!lifetime.is_zero()).then_some(lifetime);
    if let (Some(certfile), Some(keyfile)) = (&args.tls_certfile, &args.tls_keyfile) {
        let mut tls = SimTls::new(certfile, keyfile);
        tls.cafile.clone_from(&args.tls_cafile);
        tls.name.clone_from(&args.tls_name);
        config.tls = Some(tls);
    }
    let (to, ended) = unbounded();
    let stop = to.clone();
    signals::on_stop(move || drop(stop.send(Ok(()))))?;
    let sim = Sim::start(config)?;
    // In another thread, because this one waits for signals.
    let serve = move || {
        let result = match input {
            Input::Open => sim.console(BufReader::new(Foreground), io::stdout().lock()),
            // Standard output may have no reader, either.
            Input::None => match sim.console(io::empty(), io::stdout().lock()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                _ => loop {
                    thread::park();
                },
            },
        };
        drop(to.send(result));
    };
    let failed = |error| Failure::Failed(format!("can't start a thread: {error}"));
    thread::Builder::new().name("tendmap-console".into()).spawn(serve).map_err(failed)?;
    Ok(ended.recv().unwrap_or(Ok(()))?)
}
