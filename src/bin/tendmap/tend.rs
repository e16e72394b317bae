//! `tendmap tend`: a client in the foreground.

use std::process;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Event, Observer};
use tendmap::tend::Host;

use crate::access::Access;
use crate::args::Common;
use crate::duration;
use crate::event::{Told, told};
use crate::failure::Failure;
use crate::output::Output;
use crate::signals;

/// All settings of a client.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A server to begin with, NAME:PORT; may be given several times.
    #[arg(long, value_name = "HOST", required = true)]
    pub host: Vec<Host>,
    /// The name that the cluster must have.
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    #[command(flatten)]
    pub access: Access,
    /// Whether the map is shared; `false` keeps it private to this process.
    #[arg(
        long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
        num_args = 0..=1, default_missing_value = "true"
    )]
    pub use_shm: bool,
    /// Nodes that a new segment has room for, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub shm_max_nodes: usize,
    /// Namespaces that a new segment has room for, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub shm_max_namespaces: usize,
    /// Replicas of a partition that a new segment has room for, 1 to 255
    /// [default: 3].
    #[arg(long, value_name = "N")]
    pub shm_max_replicas: Option<usize>,
    /// Nodes that the segment may grow to, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub shm_node_ceiling: usize,
    /// Namespaces that the segment may grow to, 1 to 4096.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub shm_namespace_ceiling: usize,
    /// How long a hung owner is waited for, and how long an owner whose tends
    /// fail keeps the ownership.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub shm_takeover_threshold: Duration,
    /// Mode of a new segment, octal.
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    pub shm_mode: u32,
    /// How often the owner polls the cluster, at least 50ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub tend_interval: Duration,
    /// How long a server may take to accept a connection or to answer.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub connect_timeout: Duration,
    /// Put a checksum over the map into each publication.
    #[arg(long)]
    pub checksums: bool,
}

fn mode(text: &str) -> Result<u32, String> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = valid.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.ok_or_else(|| format!("{text:?}; wanted octal digits, such as 0640"))
}

impl Args {
    /// The settings as the library takes them.
    pub fn config(&self, common: &Common) -> Config {
        let mut config = Config::new(self.host.clone());
        config.cluster_name = self.cluster_name.clone();
        self.access.set(&mut config);
        config.use_shm = self.use_shm;
        config.shm_key = common.key();
        config.shm_backend = common.shm_backend;
        config.shm_directory = common.directory.clone();
        config.shm_owner = common.shm_owner;
        config.shm_max_nodes = self.shm_max_nodes;
        config.shm_max_namespaces = self.shm_max_namespaces;
        config.shm_max_replicas = self.shm_max_replicas.unwrap_or(config.shm_max_replicas);
        config.shm_node_ceiling = self.shm_node_ceiling;
        config.shm_namespace_ceiling = self.shm_namespace_ceiling;
        config.shm_takeover_threshold = self.shm_takeover_threshold;
        config.shm_mode = self.shm_mode;
        config.tend_interval = self.tend_interval;
        config.connect_timeout = self.connect_timeout;
        config.checksums = self.checksums;
        config
    }
}

/// What the printing thread is told.
enum Message {
    Event(Instant, Event),
    Stop,
}

/// An observer never blocks the client's thread: it only sends.
fn observer(to: &Sender<Message>) -> Observer {
    let to = std::sync::Mutex::new(to.clone());
    Observer::new(move |event| {
        if let Ok(to) = to.lock() {
            let _ = to.send(Message::Event(Instant::now(), event.clone()));
        }
    })
}

/// Tends or follows until it is interrupted.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let begun = Instant::now();
    let (to, messages) = mpsc::channel();
    let mut config = args.config(common);
    config.observer = Some(observer(&to));
    signals::on_stop(move || drop(to.send(Message::Stop)))?;
    let print = |at: Instant, told: Told| {
        let after = at.saturating_duration_since(begun);
        if output.is_json() {
            output.line(told.json(after, process::id()))
        } else {
            output.line(told.text(after))
        }
    };
    let client = Client::connect(config);
    // What led here comes first, whether it worked or not.
    for message in messages.try_iter() {
        match message {
            Message::Event(at, event) => print(at, told(&event))?,
            Message::Stop => return Ok(()),
        }
    }
    let client = client?;
    print(Instant::now(), Told::connected(client.role()))?;
    for message in messages {
        match message {
            Message::Event(at, event) => print(at, told(&event))?,
            Message::Stop => break,
        }
    }
    // Hands the ownership over.
    client.close();
    print(Instant::now(), Told::closed())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0640"), Ok(0o640));
        for text in ["", "8", "+6", "rw", "0o600"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
