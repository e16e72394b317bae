//! Put, get and delete over a router: the part of a database client that is not in
//! tendmap, and how the two work together.
//!
//! 1. The router keeps a [`Pool`] for each node ([`Client::router_with`]).
//! 2. A command is routed by its digest; the route leads to the pool.
//! 3. A failed try is recorded with [`Attempt::fail`], and the command is routed again:
//!    to the next replica, by the newest map, until its time is up.
//! 4. A failure also means that the map may be old: [`Client::request_tend`] asks the
//!    owner, whichever process that is, to tend early. It costs next to nothing, and the
//!    owner limits how often it does so.
//!
//! # What a read can miss
//!
//! Reads use consistency level ALL: while partitions migrate, the server compares all
//! copies of the record before it replies. In a namespace that favours availability
//! (AP) a client can't ask for more. A node that wakes after it was frozen or cut off
//! does not know at first that others have replaced it. Until it has joined them
//! again it replies from its old copy, and a record that was put meanwhile is missing
//! there. A read at that node finds nothing; a later one finds the record. If that is
//! not acceptable, the namespace must have strong consistency.
//!
//! [`Attempt::fail`]: tendmap::route::Attempt::fail

use std::thread;
use std::time::{Duration, Instant};

use tendmap::client::Client;
use tendmap::route::{Digest, Key, NamespaceHandle, Policy, RouteError, Router};

use crate::access::Access;
use crate::pool::{Counts, Pool};
use crate::wire::{self, BadName, Bins, Command, Reply};

/// The limits of a command.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For the whole command, with all its tries.
    pub total_timeout: Duration,
    /// For each try.
    pub socket_timeout: Duration,
    /// The replica to read from; writes go to the master first.
    pub read_policy: Policy,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            total_timeout: Duration::from_secs(2),
            socket_timeout: Duration::from_millis(300),
            read_policy: Policy::Sequence,
        }
    }
}

/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// The reason why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The map does not have the namespace, or can't be read.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// An invalid bin.
    #[error(transparent)]
    Bin(#[from] BadName),
    /// A server has refused the command.
    #[error("the server answers {result}: {meaning}")]
    Refused { result: u8, meaning: &'static str },
    /// No try succeeded in time.
    #[error("given up after {tries} tries in {after:?}, the last: {last}")]
    GaveUp {
        tries: u32,
        after: Duration,
        last: String,
        /// Whether a server may have executed it, or may still do so.
        in_doubt: bool,
    },
}

impl KvError {
    /// Whether the record may have been changed nevertheless.
    pub fn in_doubt(&self) -> bool {
        matches!(self, KvError::GaveUp { in_doubt: true, .. })
    }
}

/// A completed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether the record existed (for a delete).
    pub found: bool,
    /// Whether an earlier try got no reply. A node that is only frozen still has that
    /// command and executes it when it wakes: this may undo a *later* write of the
    /// same record. To prevent this, write with the generation that was read.
    /// generation that was read.
    pub in_doubt: bool,
}

/// The records of a set, for one thread.
pub struct Store {
    client: Client,
    router: Router<Pool>,
    namespace: NamespaceHandle,
    namespace_name: String,
    set: String,
    settings: Settings,
    message: Vec<u8>,
}

impl Store {
    /// A store over a client's map. It opens no connection before the first command.
    pub fn new(
        client: &Client,
        namespace: &str,
        set: &str,
        settings: Settings,
        access: &Access,
        counts: &Counts,
    ) -> Result<Store, KvError> {
        let (access, counts) = (access.clone(), counts.clone());
        let mut router = client.router_with(move |node| Pool::new(node, &access, &counts));
        let handle = router.namespace(namespace)?;
        let (namespace_name, set) = (namespace.to_owned(), set.to_owned());
        Ok(Store {
            client: client.clone(),
            router,
            namespace: handle,
            namespace_name,
            set,
            settings,
            message: Vec::new(),
        })
    }

    /// Writes bins of a record.
    pub fn put<'a>(&mut self, key: impl Into<Key<'a>>, bins: &Bins) -> Result<Written, KvError> {
        let (reply, in_doubt) = self.execute(key.into(), Command::Put(bins))?;
        Ok(Written { found: reply.result == wire::OK, in_doubt })
    }

    /// The bins of a record; `None` if the record does not exist.
    pub fn get<'a>(&mut self, key: impl Into<Key<'a>>) -> Result<Option<Bins>, KvError> {
        let (reply, _) = self.execute(key.into(), Command::Get)?;
        Ok((reply.result == wire::OK).then_some(reply.bins))
    }

    /// Removes a record.
    pub fn delete<'a>(&mut self, key: impl Into<Key<'a>>) -> Result<Written, KvError> {
        let (reply, in_doubt) = self.execute(key.into(), Command::Delete)?;
        Ok(Written { found: reply.result == wire::OK, in_doubt })
    }

    /// Tries a command until it is done, refused, or out of time. Returns the reply,
    /// and whether an earlier try of a write may have been executed too.
    fn execute(&mut self, key: Key<'_>, command: Command<'_>) -> Result<(Reply, bool), KvError> {
        let Settings { total_timeout, socket_timeout, read_policy } = self.settings;
        let begun = Instant::now();
        let deadline = begun + total_timeout;
        let digest = Digest::of(&self.set, key);
        let message = &mut self.message;
        wire::encode(message, &self.namespace_name, &self.set, &digest, command, socket_timeout)?;

        let policy = if command.writes() { Policy::Sequence } else { read_policy };
        let mut attempt = self.router.attempt(policy);
        let (mut in_doubt, mut last, mut tries) = (false, String::new(), 0);
        let mut pause = Duration::ZERO;
        while Instant::now() < deadline {
            match self.router.route_attempt(self.namespace, digest, &attempt) {
                Ok(mut route) => {
                    tries += 1;
                    let (replica, slot) = (route.replica(), route.slot());
                    let until = deadline.min(Instant::now() + socket_timeout);
                    match route.state_mut().exchange(&self.message, until) {
                        Ok(reply) => match reply.result {
                            wire::OK => return Ok((reply, in_doubt)),
                            wire::NOT_FOUND if !matches!(command, Command::Put(_)) => {
                                return Ok((reply, in_doubt));
                            }
                            result => {
                                let (meaning, passing) = wire::meaning(result);
                                if !passing {
                                    return Err(KvError::Refused { result, meaning });
                                }
                                // A server that took too long may still execute it.
                                in_doubt |= result == wire::TIMEOUT && command.writes();
                                if result == wire::UNAVAILABLE {
                                    self.client.request_tend();
                                }
                                last = format!("node {} answers: {meaning}", route.id());
                            }
                        },
                        Err(broken) => {
                            in_doubt |= broken.sent && command.writes();
                            last = broken.to_string();
                            // The node may have left, so the map may be old.
                            self.client.request_tend();
                        }
                    }
                    attempt.fail(replica, slot);
                }
                // A hole in the map may be filled after the next tend.
                Err(error @ (RouteError::NoNode { .. } | RouteError::ClusterEmpty)) => {
                    last = error.to_string();
                    self.client.request_tend();
                }
                Err(error) => return Err(error.into()),
            }
            // The next replica is tried at once.
            thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            pause = (pause * 2).clamp(Duration::from_millis(1), MAX_PAUSE);
        }
        Err(KvError::GaveUp { tries, after: begun.elapsed(), last, in_doubt })
    }
}
