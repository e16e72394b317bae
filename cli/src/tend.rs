//! `tendmap tend`: a client in the foreground.

mod notify;
mod reload;

use crossbeam::channel::{Receiver, RecvTimeoutError, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, ConnectError, Observer};

use crate::args::Common;
use crate::event::Told;
use crate::failure::Failure;
use crate::flags::{Flags, Mirrored, Reached, Tended};
use crate::log::Log;
use crate::settings::Origins;
use crate::signals::{self, Asked};
use notify::Manager;
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
    /// The client of the connect, which may not have a map yet.
    Begun(Client),
    /// The result of the connect.
    Connected(Box<Result<Client, ConnectError>>),
    Reload,
    Stop,
}

/// How often to check whether there is a map.
const LOOK: Duration = Duration::from_millis(50);
/// How long a connect that is called off may take to end, in the worst case.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tends or follows until it is interrupted, even if its output fails. With a
/// configuration file or a password's file, SIGHUP makes it read them again.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(common: &Common, args: Args, origins: Origins, log: &Log) -> Result<(), Failure> {
    let mut config = args.config(common);
    config.check().map_err(|error| Failure::Usage(origins.explain(&error.to_string())))?;
    let (to, messages) = unbounded();
    let events = log.clone();
    // On the client's thread: a line is only passed on, so that lines of events and
    // of libraries are in the order in which they happen.
    config.observer = Some(Observer::new(move |event| events.tell(event.into())));
    let has_file = origins.file().is_some() || origins.password_file.is_some();
    let stop = to.clone();
    signals::on_signal(has_file, move |asked| {
        let message = match asked {
            Asked::Reload if has_file => Message::Reload,
            _ => Message::Stop,
        };
        drop(stop.send(message));
    })?;
    let failed = |error| Failure::Failed(format!("can't start a thread: {error}"));
    log.begin().map_err(failed)?;
    let wait = args.wait;
    // From here only the client holds the password.
    drop(args);
    let called_off = Arc::new(AtomicBool::new(false));
    let unless = called_off.clone();
    // In another thread, because this one waits for signals.
    let connect = move || {
        let begun = |client: &Client| drop(to.send(Message::Begun(client.clone())));
        let result = Client::connect_unless(config, !wait, &unless, begun);
        drop(to.send(Message::Connected(Box::new(result))));
    };
    let connecting = thread::Builder::new().name("tendmap-connect".into()).spawn(connect);
    connecting.map_err(failed)?;
    let mut manager = Manager::of_environment(log);
    let mut tending =
        Tending { log, messages, called_off, begun: None, client: None, waiting: false };
    let result = tending.last(Reload::new(origins), &mut manager);
    match &result {
        Ok(()) => manager.stopping(log),
        Err(error) => manager.failing(log, error),
    }
    result?;
    tending.stop();
    Ok(())
}

/// A client in the foreground.
struct Tending<'a> {
    log: &'a Log,
    messages: Receiver<Message>,
    /// Ends a connect that has not begun.
    called_off: Arc<AtomicBool>,
    /// The client of a connect that has begun and has not ended.
    begun: Option<Client>,
    client: Option<Client>,
    /// Whether there is a client, but no map yet.
    waiting: bool,
}

impl Tending<'_> {
    /// Runs until a signal asks it to stop.
    fn last(&mut self, mut reload: Reload, manager: &mut Manager) -> Result<(), Failure> {
        loop {
            if let Some(client) = &self.client {
                manager.look(self.log, client);
                let told = reload.follow(client).unwrap_or_default();
                told.into_iter().for_each(|told| self.log.tell(told));
            }
            let pause = if self.waiting { LOOK } else { LOOK * 10 };
            let pause = pause.min(manager.pause());
            let message = match self.messages.recv_timeout(pause) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    self.look()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => Message::Stop,
            };
            match message {
                Message::Begun(client) => self.begun = Some(client),
                Message::Connected(result) => {
                    // If it has failed, it is closed before that is reported.
                    self.begun = None;
                    self.client = Some((*result)?);
                    self.waiting = true;
                    self.look()?;
                    if self.waiting {
                        self.log.tell(Told::waiting());
                    }
                }
                Message::Reload => {
                    // Without a client the file was read only just now.
                    let Some(client) = &self.client else { continue };
                    manager.reloading(self.log);
                    for told in reload.run(client, self.log) {
                        self.log.tell(told);
                    }
                    manager.reloaded(self.log);
                }
                Message::Stop => return Ok(()),
            }
        }
    }

    /// Checks whether there is a map, and whether it belongs to another cluster.
    fn look(&mut self) -> Result<(), Failure> {
        let Some(client) = &self.client else { return Ok(()) };
        if let Some(error) = client.refusal() {
            return Err(error.into());
        }
        if self.waiting && client.has_map() {
            self.waiting = false;
            self.log.tell(Told::connected(client.role()));
        }
        Ok(())
    }

    /// Hands the ownership over, or calls the connect off.
    fn stop(mut self) {
        // Relaxed: no other data depends on it.
        self.called_off.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        let mut client = self.client.take().or_else(|| self.begun.take());
        while client.is_none() {
            match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Begun(begun)) => client = Some(begun),
                Ok(Message::Connected(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if let Some(client) = client {
            client.close();
        }
        self.log.tell(Told::closed());
    }
}
