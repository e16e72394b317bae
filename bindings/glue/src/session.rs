//! A client or a reader, behind one set of calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tendmap::client::{Changes, Client, Config, ConnectError, Reader, Role, Status};
use tendmap::internals::layout::ForkLocal;
use tendmap::map::{Node, Snapshot};
use tendmap::route::Router;
use tendmap::wire::login::SecretString;

use crate::client::ClientSession;
use crate::kind::{Failure, Kind};

/// A client or a reader.
///
/// A **client** ([`connect`](Self::connect)) shares the tending. A **reader**
/// ([`read`](Self::read)) has no thread, no network and no permission to write; the
/// calls that need a client fail with [`Kind::ReadOnly`]. Everything else works on
/// both in the same way, and from any thread.
///
/// Both survive `fork`. A client creates another client in each forked child that
/// uses it, see [`client`](Self::client). A reader reads on in a child, which does not
/// count as attached.
#[derive(Debug)]
pub struct Session(Part);

#[derive(Debug)]
enum Part {
    Client(ClientSession),
    Reader { reader: Reader, closed: AtomicBool },
}

/// Both.
impl Session {
    /// Connects as a client. An observer of the configuration is told of each event, on the
    /// client's own thread, after it was kept for [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<Session, Failure> {
        Ok(Session(Part::Client(ClientSession::connect(config)?)))
    }

    /// The same without waiting for a map: until there is one, routing fails with
    /// [`Kind::NoMap`]. For event loops.
    ///
    /// # Errors
    /// [`Failure`], except of the kinds that come from waiting.
    pub fn start(config: Config) -> Result<Session, Failure> {
        Ok(Session(Part::Client(ClientSession::start(config)?)))
    }

    /// Attaches as a reader to the newest segment under the key of that configuration,
    /// whether it has an owner or not. Hosts, the login and the settings of the tender
    /// are not used.
    ///
    /// # Errors
    /// [`Kind::Segment`] if there is no segment or it can't be used;
    /// [`Kind::OtherCluster`] if a `cluster_name` is configured and the map is of
    /// another cluster; [`Kind::Config`] if the configuration is of a private map.
    pub fn read(config: &Config) -> Result<Session, Failure> {
        if !config.use_shm {
            let text = "use_shm is false; a reader reads shared memory: set it to true";
            return Err(Failure::new(Kind::Config, text));
        }
        let reader = Reader::attach(&config.place())?;
        if let (Some(wanted), Ok(snapshot)) = (&config.cluster_name, reader.map()) {
            let found = snapshot.map.cluster_name.map_or_else(String::new, |name| name.to_string());
            if found != *wanted {
                let (key, wanted) = (config.shm_key, wanted.clone());
                return Err(ConnectError::OtherCluster { key, found, wanted }.into());
            }
        }
        reader.set_preferred_racks(&config.preferred_racks);
        Ok(Session(Part::Reader { reader, closed: AtomicBool::new(false) }))
    }

    /// Whether it is a reader.
    pub fn is_reader(&self) -> bool {
        matches!(self.0, Part::Reader { .. })
    }

    /// What it is called in errors.
    pub fn name(&self) -> &'static str {
        if self.is_reader() { "reader" } else { "client" }
    }

    /// The failure of a call with a closed session.
    #[cold]
    pub fn closed(&self) -> Failure {
        Failure::new(Kind::Closed, format!("the {} is closed", self.name()))
    }

    /// What this process reads with. It stays usable after the session is closed.
    ///
    /// # Errors
    /// As [`client`](Self::client); a reader has none.
    pub fn reader(&self) -> Result<Reader, Failure> {
        match &self.0 {
            Part::Client(client) => Ok(client.client()?.reader()),
            Part::Reader { reader, .. } => Ok(reader.clone()),
        }
    }

    /// A router for one thread, which keeps for each node what `state` makes.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn router_with<S>(
        &self,
        state: impl FnMut(&Node) -> S + Send + 'static,
    ) -> Result<Router<S>, Failure> {
        Ok(self.reader()?.router_with(state))
    }

    /// The state of the segment and its owner.
    ///
    /// # Errors
    /// As [`reader`](Self::reader), and those of [`Reader::status`].
    pub fn status(&self) -> Result<Status, Failure> {
        Ok(self.reader()?.status()?)
    }

    /// The whole map of the last publication.
    ///
    /// # Errors
    /// As [`reader`](Self::reader), and those of [`Reader::map`].
    pub fn map(&self) -> Result<Snapshot, Failure> {
        Ok(self.reader()?.map()?)
    }

    /// Sleeps until a publication other than `sequence` is live, at most for
    /// `timeout`, and returns the live sequence. Blocks the thread: a language with an
    /// event loop uses [`changes`](Self::changes).
    ///
    /// # Errors
    /// As [`reader`](Self::reader); [`Kind::Closed`] if there was no change and the
    /// session is closed.
    pub fn wait_for_change(&self, sequence: u64, timeout: Duration) -> Result<u64, Failure> {
        let (found, closed) = match &self.0 {
            Part::Client(client) => {
                let client = client.client()?;
                (client.wait_for_change(sequence, timeout), client.is_closed())
            }
            Part::Reader { reader, closed } => {
                // Acquire: pairs with `close`.
                (reader.wait_for_change(sequence, timeout), closed.load(Ordering::Acquire))
            }
        };
        if found == sequence && closed { Err(self.closed()) } else { Ok(found) }
    }

    /// A descriptor that becomes readable when the map changes and when the session is
    /// closed; in a forked child it must be made again. The errors of
    /// [`Changes::take`] become [`Failure`]s by `?`.
    ///
    /// # Errors
    /// As [`reader`](Self::reader); [`Kind::Closed`]; [`Kind::Descriptor`] or
    /// [`Kind::Thread`] if a limit is reached.
    pub fn changes(&self) -> Result<Changes, Failure> {
        Ok(match &self.0 {
            Part::Client(client) => client.client()?.changes()?,
            Part::Reader { reader, .. } => reader.changes()?,
        })
    }

    /// This process's role; `None` for a reader.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn role(&self) -> Result<Option<Role>, Failure> {
        match &self.0 {
            Part::Client(client) => Ok(Some(client.client()?.role())),
            Part::Reader { .. } => Ok(None),
        }
    }

    /// Asks the owner, whichever process that is, to tend soon.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn request_tend(&self) -> Result<(), Failure> {
        self.reader()?.request_tend();
        Ok(())
    }

    /// As [`Client::set_preferred_racks`], also for clients of children that are
    /// forked from now on.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn set_preferred_racks(&self, racks: &[i32]) -> Result<(), Failure> {
        match &self.0 {
            Part::Client(client) => client.set_preferred_racks(racks),
            Part::Reader { reader, .. } => {
                reader.set_preferred_racks(racks);
                Ok(())
            }
        }
    }

    /// Closes this process's part. It has closed when this returns, whatever other
    /// threads do with it; waits for a change return, and the descriptors of
    /// [`changes`](Self::changes) become readable. A child does not change what belongs
    /// to its parent.
    pub fn close(&self) {
        match &self.0 {
            Part::Client(client) => client.close(),
            Part::Reader { reader, closed } => {
                // Release: pairs with `wait_for_change`.
                closed.store(true, Ordering::Release);
                reader.close();
            }
        }
    }

    /// Whether the calling process created this session, or already has its own part
    /// in it: whether the next call starts nothing.
    pub fn is_settled(&self) -> bool {
        match &self.0 {
            Part::Client(client) => client.is_settled(),
            Part::Reader { .. } => true,
        }
    }
}

/// Clients only.
impl Session {
    fn part(&self) -> Result<&ClientSession, Failure> {
        match &self.0 {
            Part::Client(client) => Ok(client),
            Part::Reader { .. } => {
                let text = "a reader only reads: it has no thread, no login and no events of its \
                            own; connect as a client";
                Err(Failure::new(Kind::ReadOnly, text))
            }
        }
    }

    /// This process's client.
    ///
    /// The first call in a child starts the child's own client. A shared client waits
    /// for nothing; a private one (`use_shm = false`) waits for its first map.
    ///
    /// If that is not possible, for example because the child has changed its user,
    /// the result is the inherited client, which only reads. Another attempt follows
    /// every second.
    ///
    /// # Errors
    /// [`Failure`] if the child's own client can't be started, except if the child
    /// may not open the segment; [`Kind::ReadOnly`] for a reader.
    pub fn client(&self) -> Result<Client, Failure> {
        self.part()?.client()
    }

    /// Keeps this process attached until it ends, even if all sessions are closed: for
    /// hosts that connect repeatedly, as PHP does with every request. It applies to the
    /// calling process, not to its children.
    ///
    /// # Errors
    /// As [`client`](Self::client); [`Kind::Closed`].
    pub fn keep(&self) -> Result<(), Failure> {
        static KEPT: ForkLocal<Mutex<Vec<Client>>> = ForkLocal::new();
        // A client of its own, which stays when the caller's is closed.
        let client = self.client()?.join().ok_or_else(|| self.closed())?;
        let kept = KEPT.get_or_init(Mutex::default);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(|kept| kept.is_same(&client)) {
            kept.push(client);
        }
        Ok(())
    }

    /// The oldest event of this process's client that was not returned yet: the
    /// fields of [`Event::to_json`](tendmap::client::Event::to_json), with its
    /// `level` and its `time` in seconds since 1970. `None` if there is no event.
    ///
    /// The last 256 events are kept. If there were more, the first is `events_lost`
    /// with their `count`. Clients of a process that share an attachment share their
    /// events: the one that connected first has them.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn next_event(&self) -> Result<Option<Value>, Failure> {
        self.part()?.next_event()
    }

    /// All events that [`next_event`](Self::next_event) would return, but a bounded
    /// number.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn events(&self) -> Result<Vec<Value>, Failure> {
        self.part()?.events()
    }

    /// As [`Client::set_tend_interval`], also for clients of children that are
    /// forked from now on.
    ///
    /// # Errors
    /// As [`client`](Self::client), and those of the method.
    pub fn set_tend_interval(&self, interval: Duration) -> Result<(), Failure> {
        self.part()?.set_tend_interval(interval)
    }

    /// As [`Client::set_password`], also for clients of children that are forked
    /// from now on.
    ///
    /// # Errors
    /// As [`client`](Self::client), and those of the method.
    pub fn set_password(&self, password: SecretString) -> Result<(), Failure> {
        self.part()?.set_password(password)
    }
}
