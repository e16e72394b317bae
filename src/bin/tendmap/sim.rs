//! `tendmap sim`: a simulated cluster, driven by lines of text.

mod input;

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use tendmap::sim::{Sim, SimConfig, SimNamespace, SimTls, SimUser, console};

use crate::failure::Failure;
use crate::signals;
use input::{Foreground, Input};

/// What the cluster is made of.
#[derive(clap::Args)]
pub struct Args {
    /// How many nodes, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Port of node 1, with the others following; 0 = any free ports.
    #[arg(long, value_name = "P", default_value_t = 0)]
    base_port: u16,
    /// A namespace and its replication factor, with `:strong` for one of strong
    /// consistency; may be given several times [default: test:2 bar:3].
    #[arg(long, value_name = "NAME:RF[:strong]", value_parser = namespace)]
    namespace: Vec<SimNamespace>,
    /// Whether the nodes pass for the enterprise edition, which tells racks.
    #[arg(long)]
    enterprise: bool,
    /// What the nodes call their cluster.
    #[arg(long, value_name = "NAME", default_value = "tend-sim")]
    cluster_name: String,
    /// Have each node listen at an alternate address too.
    #[arg(long)]
    alternate_addresses: bool,
    /// A user and its password; may be given several times. Clients then have to
    /// log in.
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = user)]
    user: Vec<SimUser>,
    /// How many seconds a session is good for; 0 = for ever.
    #[arg(long, value_name = "N", default_value_t = 86_400)]
    session_lifetime: u64,
    /// The nodes' certificate, PEM: each also speaks TLS, at its port + 1000.
    #[arg(long, value_name = "FILE", requires = "tls_keyfile")]
    tls_certfile: Option<PathBuf>,
    /// The key to it, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certfile")]
    tls_keyfile: Option<PathBuf>,
    /// Authorities of client certificates, PEM: clients must show one.
    #[arg(long, value_name = "FILE", requires = "tls_certfile")]
    tls_cafile: Option<PathBuf>,
    /// The TLS name that the nodes list for their peers.
    #[arg(long, value_name = "NAME", requires = "tls_certfile")]
    tls_name: Option<String>,
}

fn user(text: &str) -> Result<SimUser, String> {
    let (name, password) = text.split_once(':').ok_or("wanted NAME:PASSWORD")?;
    Ok(SimUser::new(name, password))
}

fn namespace(text: &str) -> Result<SimNamespace, String> {
    let (text, strong) = match text.strip_suffix(":strong") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (name, factor) = text.rsplit_once(':').ok_or("wanted NAME:RF, such as test:2")?;
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
/// It ends at SIGINT, SIGTERM or SIGHUP, and when a standard input that was
/// open at the start ends. One that is at its end from the start (/dev/null, as
/// services and containers have it), or that can't be read, is none.
///
/// # Errors
/// [`Failure`].
pub fn run(args: &Args) -> Result<(), Failure> {
    // Before anything else: a script may end its input soon.
    let input = Input::look();
    let mut config = SimConfig::new(args.nodes);
    config.base_port = args.base_port;
    config.cluster_name = Some(args.cluster_name.clone()).filter(|name| !name.is_empty());
    if !args.namespace.is_empty() {
        config.namespaces = args.namespace.clone();
    }
    config.enterprise = args.enterprise;
    config.alternate_addresses = args.alternate_addresses;
    config.security = !args.user.is_empty();
    config.users.clone_from(&args.user);
    let lifetime = Duration::from_secs(args.session_lifetime);
    config.session_lifetime = (!lifetime.is_zero()).then_some(lifetime);
    if let (Some(certfile), Some(keyfile)) = (&args.tls_certfile, &args.tls_keyfile) {
        let mut tls = SimTls::new(certfile, keyfile);
        tls.cafile.clone_from(&args.tls_cafile);
        tls.name.clone_from(&args.tls_name);
        config.tls = Some(tls);
    }
    let (to, ended) = mpsc::channel();
    let stop = to.clone();
    signals::on_stop(move || drop(stop.send(Ok(()))))?;
    let sim = Sim::start(config)?;
    // Beside this thread, which has to hear a signal meanwhile.
    let serve = move || {
        let result = match input {
            Input::Open => console(&sim, BufReader::new(Foreground), io::stdout().lock()),
            // Nobody may want to know where it is, either.
            Input::None => match console(&sim, io::empty(), io::stdout().lock()) {
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
