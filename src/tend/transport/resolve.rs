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
/// How long an outcome that came too late is kept, and how many are.
const KEPT: Duration = Duration::from_secs(30);
const MOST_KEPT: usize = 256;

type Outcome = Result<Vec<SocketAddr>, String>;
/// A name, what was found, and how long that took.
type Lookup = (Host, Outcome, Duration);

/// Looks names up in short-lived threads. A lookup that is too late for one call
/// is used by the next.
///
/// A name that was late once is not waited for, until one of its lookups has been in
/// time again: otherwise one name whose servers hang would delay every
/// pass, and with it the changes that other nodes report.
pub(super) struct Resolver {
    timeout: Duration,
    sender: Sender<Lookup>,
    receiver: Receiver<Lookup>,
    under_way: BTreeSet<Host>,
    /// Names that were late, and when they were last wanted.
    late: BTreeMap<Host, Instant>,
    /// Outcomes that came too late, and when.
    kept: BTreeMap<Host, (Instant, Outcome)>,
    /// Looks a name up: the system's resolver.
    look: fn(&Host) -> Outcome,
    /// Lookups for which there was no thread, and why.
    shortage: Option<(usize, String)>,
}

impl Resolver {
    pub(super) fn new(timeout: Duration) -> Resolver {
        let (sender, receiver) = unbounded();
        Resolver {
            timeout,
            sender,
            receiver,
            under_way: BTreeSet::new(),
            late: BTreeMap::new(),
            kept: BTreeMap::new(),
            look,
            shortage: None,
        }
    }

    pub(super) fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Outcome>, Interrupted> {
        let begun = Instant::now();
        while let Ok(lookup) = self.receiver.try_recv() {
            let (host, outcome) = self.ended(lookup);
            self.kept.insert(host, (begun, outcome));
        }
        self.forget(begun);
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
            } else if let Some((_, outcome)) = self.kept.remove(host) {
                known.insert(host.clone(), outcome);
            } else if !known.contains_key(host) && wanted.insert(host.clone()) {
                waiting.push_back(host.clone());
            }
        }
        let deadline = begun + self.timeout;
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
            if wanted.iter().all(|host| self.late.contains_key(host)) {
                break;
            }
            if turn.beat().is_break() {
                return Err(Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(lookup) = self.receiver.recv_timeout(left.min(BEAT)) {
                let (host, outcome) = self.ended(lookup);
                if wanted.remove(&host) {
                    known.insert(host, outcome);
                } else {
                    self.kept.insert(host, (Instant::now(), outcome));
                }
            } else if left.is_zero() {
                break;
            }
        }
        self.late.extend(wanted.into_iter().map(|host| (host, begun)));
        let waits = !waiting.is_empty();
        let late = || match waits {
            true => Err(format!("{MAX_LOOKUPS} name lookups hang; check the name server")),
            false => Err(format!("no address within {:?}", self.timeout)),
        };
        Ok(hosts.iter().map(|host| known.get(host).cloned().unwrap_or_else(late)).collect())
    }

    /// Records that a lookup has ended, and whether it was in time.
    fn ended(&mut self, (host, outcome, took): Lookup) -> (Host, Outcome) {
        self.under_way.remove(&host);
        if took <= self.timeout {
            self.late.remove(&host);
        }
        (host, outcome)
    }

    /// Forgets names that have not been wanted for long, and what is known about them.
    fn forget(&mut self, now: Instant) {
        let recent = |at: Instant| now.saturating_duration_since(at) < KEPT;
        self.late.retain(|_, &mut at| recent(at));
        self.kept.retain(|_, (at, _)| recent(*at));
        while self.kept.len() > MOST_KEPT {
            self.kept.pop_first();
        }
    }

    /// The lookups for which no thread could be started since the last call.
    pub(super) fn take_shortage(&mut self) -> Option<(usize, String)> {
        self.shortage.take()
    }

    fn look_up(&mut self, host: &Host) -> Result<(), String> {
        if self.under_way.contains(host) {
            return Ok(());
        }
        let (wanted, sender, look) = (host.clone(), self.sender.clone(), self.look);
        let lookup = move || {
            let begun = Instant::now();
            let outcome = look(&wanted);
            // This fails if the source was dropped in the meantime.
            let _ = sender.send((wanted, outcome, begun.elapsed()));
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

fn look(host: &Host) -> Outcome {
    match (host.name(), host.port()).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(Printable(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use core::ops::ControlFlow;
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::tend::TendEvent;

    /// The names whose lookups hang.
    static HANGING: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    static CHANGED: Condvar = Condvar::new();

    fn hang(host: &Host) -> Outcome {
        let mut hanging = HANGING.lock().unwrap();
        while hanging.iter().any(|&name| name == host.name()) {
            hanging = CHANGED.wait(hanging).unwrap();
        }
        Ok(vec![SocketAddr::from(([127, 0, 0, 9], host.port()))])
    }

    fn answers(name: &str) {
        HANGING.lock().unwrap().retain(|&other| other != name);
        CHANGED.notify_all();
    }

    /// Counts how often it was waited.
    #[derive(Default)]
    struct Beats(usize);

    impl Turn for Beats {
        fn beat(&mut self) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn event(&mut self, _: TendEvent) {}
    }

    #[test]
    #[cfg_attr(miri, ignore = "it starts threads with a table of descriptors of their own")]
    fn h193_a_name_that_hangs_is_waited_for_once() {
        HANGING.lock().unwrap().extend(["a.example", "b.example"]);
        let [slow, slower, good] =
            ["a.example:1", "b.example:2", "c.example:3"].map(|host| host.parse().unwrap());
        let hosts: [Host; 3] = [slow, slower, good];
        let at = |port| Ok(vec![SocketAddr::from(([127, 0, 0, 9], port))]);
        let timeout = Duration::from_secs(1);
        let mut resolver = Resolver { look: hang, ..Resolver::new(timeout) };
        let mut waits = |hosts: &[Host]| {
            let mut beats = Beats::default();
            (resolver.resolve(hosts, &mut beats).unwrap(), beats.0)
        };
        let late = || Err("no address within 1s".to_owned());
        let (found, beats) = waits(&hosts);
        assert_eq!(found, [late(), late(), at(3)]);
        assert!(beats > 2, "the first time it is waited for");
        for _ in 0..3 {
            assert_eq!(waits(&hosts[..2]), (vec![late(), late()], 0), "and then not again");
        }
        // Another name is waited for, and what has come meanwhile is not lost.
        answers("a.example");
        loop {
            assert_eq!(waits(&hosts[2..]).0, [at(3)]);
            let (found, beats) = waits(&hosts[..2]);
            assert_eq!((&found[1], beats), (&late(), 0));
            if found[0] == at(1) {
                break;
            }
            assert_eq!(found[0], late());
        }
        // When its lookups are in time again it is waited for again.
        answers("b.example");
        let mut in_a_row = 0;
        while in_a_row < 5 {
            in_a_row = if waits(&hosts[1..2]).0 == [at(2)] { in_a_row + 1 } else { 0 };
        }
    }
}
