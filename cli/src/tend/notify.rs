//! Reports to the service manager that started this process: see sd_notify(3).
//!
//! The crate `sd-notify` writes the messages. The socket is this module's own,
//! because that crate knows no abstract sockets, and because a report must never
//! block.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tendmap::client::Client;
use tendmap::internals::layout::is_secure_execution;
use tendmap::internals::text::Printable;

use crate::event::Told;
use crate::log::Log;

/// By this much a start may take longer while the client makes progress, and how
/// often that is reported.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// The service manager, if there is one.
pub struct Manager {
    socket: Option<Socket>,
    /// How often the watchdog wants to hear of this process.
    watchdog: Option<Duration>,
    /// When the watchdog, or the start's timeout, was last reset, and the steps
    /// that the client had made then.
    fed: Option<Instant>,
    steps: u64,
    /// The last status line.
    status: String,
    is_ready: bool,
    /// Whether a failure was reported since the last success.
    failed: bool,
}

struct Socket {
    /// As the environment names it.
    name: String,
    from: UnixDatagram,
    to: SocketAddr,
}

impl Socket {
    fn new(name: &str) -> io::Result<Socket> {
        let to = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
            None => {
                let problem = "NOTIFY_SOCKET must begin with / or @";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
        };
        let from = UnixDatagram::unbound()?;
        from.set_nonblocking(true)?;
        Ok(Socket { name: name.to_owned(), from, to })
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        self.from.send_to_addr(lines.as_bytes(), &self.to).map(|_| ())
    }
}

impl Manager {
    /// The service manager of the environment. A socket that can't be used is
    /// reported, and tending goes on without it.
    pub fn of_environment(log: &Log) -> Manager {
        let mut manager = Manager {
            socket: None,
            watchdog: None,
            fed: None,
            steps: 0,
            status: String::new(),
            is_ready: false,
            failed: false,
        };
        // A set-user-id program takes nothing from the environment.
        let named = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let Some(name) = named.filter(|_| !is_secure_execution()) else { return manager };
        let name = name.to_string_lossy();
        match Socket::new(&name) {
            Ok(socket) => {
                manager.socket = Some(socket);
                manager.watchdog = sd_notify::watchdog_enabled().filter(|every| !every.is_zero());
                manager.status(log, "connecting");
            }
            Err(error) => log.tell(Told::notify_failed(&name, &error.to_string())),
        }
        manager
    }

    /// Sends a message; returns whether it was sent. A failure is reported once.
    fn send(&mut self, log: &Log, states: &[NotifyState<'_>]) -> bool {
        let Some(socket) = &self.socket else { return false };
        match socket.send(states) {
            Ok(()) => self.failed = false,
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                log.tell(Told::notify_failed(&socket.name, &error.to_string()));
            }
            Err(_) => {}
        }
        !self.failed
    }

    fn status(&mut self, log: &Log, status: &str) {
        if self.status != status && self.send(log, &[NotifyState::Status(status)]) {
            status.clone_into(&mut self.status);
        }
    }

    /// At most this long may pass until the next [`look`](Self::look).
    pub fn pause(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |every| every / 4)
    }

    /// Reports the state of the client. The watchdog is fed only while the client's
    /// own thread makes progress, so that a tender that hangs is restarted.
    pub fn look(&mut self, log: &Log, client: &Client) {
        if self.socket.is_none() {
            return;
        }
        if !client.has_map() {
            self.status(log, "waiting: there is no map yet");
        } else if let Ok(now) = client.status() {
            let (role, term, sequence) = (client.role(), now.term, now.sequence);
            let status = format!("{role}: term {term}, sequence {sequence}, {} nodes", now.nodes);
            self.status(log, &status);
        }
        if !self.is_ready && client.has_map() {
            self.is_ready = self.send(log, &[NotifyState::Ready]);
        }
        let every = match self.is_ready {
            true => self.watchdog.map(|every| every / 3),
            false => Some(EXTEND_EVERY),
        };
        let Some(every) = every else { return };
        let (steps, now) = (client.steps(), Instant::now());
        let is_due = self.fed.is_none_or(|fed| now.duration_since(fed) >= every);
        if steps == self.steps || !is_due {
            return;
        }
        let micros = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        let fed = match self.is_ready {
            true => self.send(log, &[NotifyState::Watchdog]),
            false => self.send(log, &[NotifyState::ExtendTimeoutUsec(micros)]),
        };
        if fed {
            (self.fed, self.steps) = (Some(now), steps);
        }
    }

    /// The configuration is about to be read again.
    pub fn reloading(&mut self, log: &Log) {
        if !self.is_ready {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(log, &[NotifyState::Reloading, now]),
            Err(_) => self.send(log, &[NotifyState::Reloading]),
        };
    }

    /// The configuration was read again.
    pub fn reloaded(&mut self, log: &Log) {
        if self.is_ready {
            self.send(log, &[NotifyState::Ready]);
        }
    }

    /// The command ends.
    pub fn stopping(&mut self, log: &Log) {
        self.send(log, &[NotifyState::Stopping, NotifyState::Status("closing")]);
    }

    /// The command fails.
    pub fn failing(&mut self, log: &Log, error: &dyn core::fmt::Display) {
        let status = format!("failed: {}", Printable(error));
        self.send(log, &[NotifyState::Stopping, NotifyState::Status(&status)]);
    }
}
