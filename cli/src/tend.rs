//! `tendmap tend`: a client in the foreground.

mod reload;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::time::{Duration, Instant};
use std::{process, thread};

use tendmap::client::{Client, Config, ConnectError, Event, Observer};

use crate::args::Common;
use crate::event::Told;
use crate::failure::Failure;
use crate::flags::{Flags, Mirrored, Reached, Tended};
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
    pub cluster: Flags<Reached>,
    /// Wait for a cluster that is not up yet, instead of ending with an error.
    ///
    /// Failures until then are reported. Invalid settings and unusable segments
    /// are still errors at once.
    #[arg(long)]
    pub wait: bool,
    /// Publish a checksum of the map with each publication.
    #[arg(long)]
    pub checksums: bool,
    #[command(flatten)]
    pub tended: Flags<Tended>,
    #[command(flatten)]
    pub mirrored: Flags<Mirrored>,
}

impl Args {
    /// The settings as the library's configuration.
    pub fn config(&self, common: &Common) -> Config {
        let mut config = self.cluster.config();
        config.use_shm = true;
        self.tended.apply(&mut config);
        self.mirrored.apply(&mut config);
        common.apply(&mut config);
        config.set_checksums(self.checksums);
        config
    }
}

/// A message to the main thread.
enum Message {
    Event(Instant, Event),
    /// The result of the connect.
    Connected(Box<Result<Client, ConnectError>>),
    Reload,
    Stop,
}

/// An observer that only sends, because it must not block the client's thread.
fn observer(to: &Sender<Message>) -> Observer {
    let to = std::sync::Mutex::new(to.clone());
    Observer::new(move |event| {
        if let Ok(to) = to.lock() {
            let _ = to.send(Message::Event(Instant::now(), event.clone()));
        }
    })
}

/// How often to check whether there is a map.
const LOOK: Duration = Duration::from_millis(50);
/// How long writing the last lines may take, and how long a client that is not
/// connected yet may take to give up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tends or follows until it is interrupted, even if its output fails. With a
/// configuration file, SIGHUP makes it read the file again.
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
    let (to, messages) = unbounded();
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
    // From here only the client holds the password.
    drop(args);
    // In another thread, because this one waits for signals.
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
    /// Runs until a signal asks it to stop.
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
                    // The events before it are printed first, whatever the result.
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

    /// Prints the waiting events; returns whether it must stop.
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

    /// Checks whether there is a map, and whether it belongs to another cluster.
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
            // What the close itself reports.
            self.catch_up();
        }
        self.journal.print(Instant::now(), Told::closed());
    }
}

/// The lines for standard output.
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
