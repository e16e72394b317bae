//! `tendmap tend`: a client in the foreground.

mod reload;

use std::process;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Event, Observer};

use crate::args::Common;
use crate::cluster::ClusterArgs;
use crate::duration;
use crate::event::Told;
use crate::failure::Failure;
use crate::log::Log;
use crate::output::Output;
use crate::settings::Origins;
use crate::signals::{self, Asked};
use reload::Reload;

/// All settings of a client.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub cluster: ClusterArgs,
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
    /// Put a checksum over the map into each publication.
    #[arg(long)]
    pub checksums: bool,
}

fn mode(text: &str) -> Result<u32, String> {
    // 0o640 is how TOML writes it.
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let mode = valid.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    mode.ok_or_else(|| format!("{text:?}; wanted octal digits, such as 0640"))
}

impl Args {
    /// The settings as the library takes them.
    pub fn config(&self, common: &Common) -> Config {
        let mut config = self.cluster.config();
        config.use_shm = self.use_shm;
        config.shm_key = common.key();
        config.shm_backend = common.shm_backend;
        config.shm_directory = common.shm_directory.clone();
        config.shm_owner = common.shm_owner;
        config.shm_max_nodes = self.shm_max_nodes;
        config.shm_max_namespaces = self.shm_max_namespaces;
        config.shm_max_replicas = self.shm_max_replicas.unwrap_or(config.shm_max_replicas);
        config.shm_node_ceiling = self.shm_node_ceiling;
        config.shm_namespace_ceiling = self.shm_namespace_ceiling;
        config.shm_takeover_threshold = self.shm_takeover_threshold;
        config.shm_mode = self.shm_mode;
        config.tend_interval = self.tend_interval;
        config.checksums = self.checksums;
        config
    }
}

/// What the printing thread is told.
enum Message {
    Event(Instant, Event),
    Reload,
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

/// Tends or follows until it is interrupted. Where there is a configuration
/// file, SIGHUP has it read anew.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(
    common: &Common,
    args: &Args,
    origins: Origins,
    log: &Log,
    output: &Output,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let (to, messages) = mpsc::channel();
    let mut config = args.config(common);
    config.check().map_err(|error| Failure::Usage(origins.explain(&error.to_string())))?;
    config.observer = Some(observer(&to));
    let has_file = origins.file().is_some();
    signals::on_signal(move |asked| {
        let message = match asked {
            Asked::Reload if has_file => Message::Reload,
            _ => Message::Stop,
        };
        drop(to.send(message));
    })?;
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
            Message::Event(at, event) => print(at, Told::from(&event))?,
            // It was read only just now.
            Message::Reload => {}
            Message::Stop => return Ok(()),
        }
    }
    let client = client?;
    print(Instant::now(), Told::connected(client.role()))?;
    let mut reload = Reload::new(origins);
    for message in messages {
        match message {
            Message::Event(at, event) => print(at, Told::from(&event))?,
            Message::Reload => {
                for told in reload.run(&client, log) {
                    print(Instant::now(), told)?;
                }
            }
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
        for text in ["0640", "640", "0o640"] {
            assert_eq!(mode(text), Ok(0o640));
        }
        for text in ["", "8", "+6", "rw", "0o", "0x1"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
