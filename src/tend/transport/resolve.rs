//! Name resolution in threads, so that it does not block the loop.

use crossbeam::channel::{Receiver, Sender, unbounded};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Interrupted;
use crate::explain::explain;
use crate::tend::{BEAT, Turn};
use crate::text::Printable;
use crate::thread;
use crate::wire::Host;

/// The most lookups in progress. A name server that hangs must not cause an
/// unlimited number of threads.
const MAX_LOOKUPS: usize = 32;

type Outcome = Result<Vec<SocketAddr>, String>;

/// Looks names up in short-lived threads. A lookup that is too late for one call
/// is used by the next.
pub(super) struct Resolver {
    timeout: Duration,
    sender: Sender<(Host, Outcome)>,
    receiver: Receiver<(Host, Outcome)>,
    under_way: BTreeSet<Host>,
    /// Lookups for which there was no thread, and why.
    shortage: Option<(usize, String)>,
}

impl Resolver {
    pub(super) fn new(timeout: Duration) -> Resolver {
        let (sender, receiver) = unbounded();
        Resolver { timeout, sender, receiver, under_way: BTreeSet::new(), shortage: None }
    }

    pub(super) fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Outcome>, Interrupted> {
        let mut known: BTreeMap<Host, Outcome> = BTreeMap::new();
        // Hosts that are being looked up, or wait until another lookup has ended.
        let mut wanted: BTreeSet<Host> = BTreeSet::new();
        let mut waiting: VecDeque<Host> = VecDeque::new();
        for host in hosts {
            if let Some(address) = host.address() {
                known.insert(host.clone(), Ok(vec![address]));
            } else if let Some(scope) = host.scope() {
                let error = format!("this machine has no network interface {scope:?}");
                known.insert(host.clone(), Err(error));
            } else if wanted.insert(host.clone()) {
                waiting.push_back(host.clone());
            }
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            while self.under_way.len() < MAX_LOOKUPS
                && let Some(host) = waiting.pop_front()
            {
                if !wanted.contains(&host) {
                    continue;
                }
                if let Err(error) = self.look_up(&host) {
                    wanted.remove(&host);
                    known.insert(host, Err(error));
                }
            }
            if wanted.is_empty() {
                break;
            }
            if turn.beat().is_break() {
                return Err(Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok((host, outcome)) = self.receiver.recv_timeout(left.min(BEAT)) {
                self.under_way.remove(&host);
                wanted.remove(&host);
                known.insert(host, outcome);
            } else if left.is_zero() {
                break;
            }
        }
        let waits = !waiting.is_empty();
        let late = || match waits {
            true => Err(format!("{MAX_LOOKUPS} name lookups hang; check the name server")),
            false => Err(format!("no address within {:?}", self.timeout)),
        };
        Ok(hosts.iter().map(|host| known.get(host).cloned().unwrap_or_else(late)).collect())
    }

    /// The lookups for which no thread could be started since the last call.
    pub(super) fn take_shortage(&mut self) -> Option<(usize, String)> {
        self.shortage.take()
    }

    fn look_up(&mut self, host: &Host) -> Result<(), String> {
        if self.under_way.contains(host) {
            return Ok(());
        }
        let (wanted, sender) = (host.clone(), self.sender.clone());
        let lookup = move || {
            let outcome = match (wanted.name(), wanted.port()).to_socket_addrs() {
                Ok(addresses) => Ok(addresses.collect()),
                Err(error) => Err(Printable(error).to_string()),
            };
            // This fails if the source was dropped in the meantime.
            let _ = sender.send((wanted, outcome));
        };
        let started = thread::apart("tendmap-resolve", lookup);
        if let Err(error) = started {
            let why = format!("can't start a thread for a lookup: {}", explain(&error));
            let (count, text) = self.shortage.get_or_insert_default();
            *count += 1;
            text.clone_from(&why);
            return Err(why);
        }
        self.under_way.insert(host.clone());
        Ok(())
    }
}
