//! `tendmap tend`: a client in the foreground.

mod reload;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{process, thread};

use tendmap::client::{Client, Config, ConnectError, Event, Observer};

use crate::args::{Common, MEMORY};
use crate::cluster::ClusterArgs;
use crate::duration;
use crate::event::Told;
use crate::failure::Failure;
use crate::json;
use crate::log::Log;
use crate::output::Output;
use crate::settings::Origins;
use crate::signals::{self, Asked};
use crate::writer::{Stream, Writer};
use reload::Reload;

/// All settings of a client.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How often the owner polls the cluster, at least 50ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub tend_interval: Duration,
    /// Wait for a cluster that is not up yet, instead of ending with an error.
    ///
    /// Failures until then are reported. Invalid settings and unusable segments
    /// are still errors at once.
    #[arg(long)]
    pub wait: bool,
    /// Publish a checksum of the map with each publication.
    #[arg(long)]
    pub checksums: bool,
    /// Whether the map is shared; `false` keeps it private to this process.
    #[arg(
        long, help_heading = MEMORY, value_name = "BOOL", default_value_t = true,
        action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
        hide_short_help = true
    )]
    pub use_shm: bool,
    /// Nodes that a new segment has room for, 1 to 4096.
    #[arg(long, help_heading = MEMORY, value_name = "N", default_value_t = 16,
        hide_short_help = true)]
    pub shm_max_nodes: usize,
    /// Namespaces that a new segment has room for, 1 to 4096.
    #[arg(long, help_heading = MEMORY, value_name = "N", default_value_t = 8,
        hide_short_help = true)]
    pub shm_max_namespaces: usize,
    /// Replicas that a new segment has room for, 1 to 255 [default: 3].
    #[arg(long, help_heading = MEMORY, value_name = "N", hide_short_help = true)]
    pub shm_max_replicas: Option<usize>,
    /// Nodes that the segment may grow to, 1 to 4096.
    #[arg(long, help_heading = MEMORY, value_name = "N", default_value_t = 4096,
        hide_short_help = true)]
    pub shm_node_ceiling: usize,
    /// Namespaces that the segment may grow to, 1 to 4096.
    #[arg(long, help_heading = MEMORY, value_name = "N", default_value_t = 256,
        hide_short_help = true)]
    pub shm_namespace_ceiling: usize,
    /// How long a hung owner, or one whose tends fail, keeps ownership.
    #[arg(long, help_heading = MEMORY, value_name = "TIME", default_value = "30s",
        value_parser = duration::parse, hide_short_help = true)]
    pub shm_takeover_threshold: Duration,
    /// Mode of a new segment, octal.
    ///
    /// One with 0020 needs --shm-allow-group-write, or sysv.
    #[arg(long, help_heading = MEMORY, value_name = "MODE", default_value = "0600",
        value_parser = mode, hide_short_help = true)]
    pub shm_mode: u32,
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
        config.shm_owner = common.owners();
        config.shm_allow_group_write = common.shm_allow_group_write;
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

/// What the main thread is told.
enum Message {
    Event(Instant, Event),
    /// How the attempt to connect ended.
    Connected(Box<Result<Client, ConnectError>>),
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

/// How often it is looked whether there is a map.
const LOOK: Duration = Duration::from_millis(50);
/// How long the last lines may take, and how long a client that has not
/// connected yet may take to give up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tends or follows until it is interrupted, whatever becomes of its output.
/// Where there is a configuration file, SIGHUP has it read again.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(
    common: &Common,
    args: Args,
    origins: Origins,
    log: &Log,
    output: &Output,
) -> Result<(), Failure> {
    let mut config = args.config(common);
    config.check().map_err(|error| Failure::Usage(origins.explain(&error.to_string())))?;
    let (to, messages) = mpsc::channel();
    config.observer = Some(observer(&to));
    let has_file = origins.file().is_some();
    let stop = to.clone();
    signals::on_signal(has_file, move |asked| {
        let message = match asked {
            Asked::Reload if has_file => Message::Reload,
            _ => Message::Stop,
        };
        drop(stop.send(message));
    })?;
    let journal = Journal::start(output)?;
    let failed = |error| Failure::Failed(format!("can't start a thread: {error}"));
    let wait = args.wait;
    // The password is the client's from here on: what replaces it is all there is.
    drop(args);
    // Beside this thread, which has to hear a signal meanwhile.
    let connect = move || {
        let result = if wait { Client::start(config) } else { Client::connect(config) };
        drop(to.send(Message::Connected(Box::new(result))));
    };
    let connecting = thread::Builder::new().name("tendmap-connect".into()).spawn(connect);
    connecting.map_err(failed)?;
    let result = Tending { journal: &journal, messages, client: None, waiting: false }
        .last(Reload::new(origins), log);
    journal.flush();
    result
}

/// A client in the foreground.
struct Tending<'a> {
    journal: &'a Journal,
    messages: Receiver<Message>,
    client: Option<Client>,
    /// Whether there is a client, but no map yet.
    waiting: bool,
}

impl Tending<'_> {
    /// Tends until it is asked to stop.
    fn last(mut self, mut reload: Reload, log: &Log) -> Result<(), Failure> {
        loop {
            let pause = if self.waiting { LOOK } else { LOOK * 10 };
            let message = match self.messages.recv_timeout(pause) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    self.look()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => Message::Stop,
            };
            match message {
                Message::Event(at, event) => self.journal.print(at, Told::from(&event)),
                Message::Connected(result) => {
                    // What led here comes first, whether it worked or not.
                    let stopped = self.catch_up();
                    self.client = Some((*result)?);
                    self.waiting = true;
                    self.look()?;
                    if self.waiting {
                        self.journal.print(Instant::now(), Told::waiting());
                    }
                    if stopped {
                        break;
                    }
                }
                Message::Reload => {
                    // Without a client the file was read only just now.
                    let client = self.client.as_ref();
                    for told in client.map_or(Vec::new(), |client| reload.run(client, log)) {
                        self.journal.print(Instant::now(), told);
                    }
                }
                Message::Stop => break,
            }
        }
        self.stop();
        Ok(())
    }

    /// Prints the events that are there; whether it is to stop.
    fn catch_up(&mut self) -> bool {
        let mut stopped = false;
        for message in self.messages.try_iter() {
            match message {
                Message::Event(at, event) => self.journal.print(at, Told::from(&event)),
                Message::Stop => stopped = true,
                Message::Connected(_) | Message::Reload => {}
            }
        }
        stopped
    }

    /// Looks whether there is a map, and whether it is another cluster's.
    fn look(&mut self) -> Result<(), Failure> {
        let Some(client) = &self.client else { return Ok(()) };
        if let Some(error) = client.refusal() {
            return Err(error.into());
        }
        if self.waiting && client.has_map() {
            self.waiting = false;
            self.journal.print(Instant::now(), Told::connected(client.role()));
        }
        Ok(())
    }

    /// Hands the ownership over.
    fn stop(mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.client.is_none() {
            match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Connected(result)) => match *result {
                    Ok(client) => self.client = Some(client),
                    Err(_) => return,
                },
                Ok(_) => {}
                Err(_) => return,
            }
        }
        self.catch_up();
        if let Some(client) = self.client.take() {
            client.close();
        }
        self.journal.print(Instant::now(), Told::closed());
    }
}

/// What goes to standard output.
struct Journal {
    begun: Instant,
    json: bool,
    writer: Writer,
}

impl Journal {
    fn start(output: &Output) -> Result<Journal, Failure> {
        let (begun, json) = (Instant::now(), output.is_json());
        let notice = move |lost| line(Told::output_lost(lost), begun.elapsed(), json);
        let failed = |error| Failure::Failed(format!("can't start a thread: {error}"));
        let writer = Writer::start(Stream::Output, Box::new(notice)).map_err(failed)?;
        Ok(Journal { begun, json, writer })
    }

    fn print(&self, at: Instant, told: Told) {
        self.writer.write(line(told, at.saturating_duration_since(self.begun), self.json));
    }

    fn flush(&self) {
        self.writer.flush(PATIENCE);
    }
}

fn line(told: Told, after: Duration, json: bool) -> String {
    match json {
        true => json::line(&told.json(after, process::id())) + "\n",
        false => told.text(after) + "\n",
    }
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
