//! A follower's look: does the owner live, and if not, who is next?

use core::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::event::{Event, Role};
use super::shared::Shared;
use crate::layout::OwnerWord;
use crate::map::{ClusterMap, snapshot};
use crate::protocol::load_owner;
use crate::segment::{Candidate, Entry, STANDBY, Segment, SegmentError, Tenure};
use crate::sync::Ordering;
use crate::tend::{ClusterSource, TendEvent, Turn};

/// How often a follower looks.
const POLL: Duration = Duration::from_millis(250);
/// How often the standby follower looks.
const STANDBY_POLL: Duration = Duration::from_millis(4);
/// How long the others leave a free ownership to the standby.
const STANDBY_FIRST: Duration = Duration::from_millis(50);
/// After somebody else was about to enter.
const BUSY: Duration = Duration::from_millis(5);

/// What a look came to.
pub(super) enum Seen {
    /// Still a follower; sleep so long.
    Wait(Duration),
    /// It is owner now.
    Owner(Box<Tenure>),
    /// The segment is retired.
    Retired,
}

/// A follower.
pub(super) struct Follow {
    threshold: Duration,
    tend_interval: Duration,
    candidate: Candidate,
    standby: bool,
    lives: bool,
    term: u16,
    pulse: Pulse,
    free_since: Option<Instant>,
    probe_due: Instant,
    asked_standby: Option<Instant>,
    trouble: Option<String>,
}

/// The owner's heartbeat as this process has seen it, counted in its own polls:
/// a process that was stopped itself must not take everybody for stale.
struct Pulse {
    word: u64,
    polled: Instant,
    still: Duration,
}

impl Follow {
    pub fn new(segment: &Segment, config: &Config) -> Follow {
        let now = Instant::now();
        Follow {
            threshold: config.shm_takeover_threshold,
            tend_interval: config.tend_interval,
            candidate: Candidate::default(),
            standby: false,
            lives: false,
            term: segment.head().term(),
            pulse: Pulse { word: 0, polled: now, still: Duration::ZERO },
            free_since: None,
            probe_due: now,
            asked_standby: None,
            trouble: None,
        }
    }

    /// Whether the owner held its lock at the last look.
    pub fn owner_lives(&self) -> bool {
        self.lives
    }

    fn poll(&self) -> Duration {
        if self.standby { STANDBY_POLL } else { POLL }
    }

    pub fn look(
        &mut self,
        segment: &Arc<Segment>,
        shared: &Shared,
        source: &mut dyn ClusterSource,
    ) -> Result<Seen, SegmentError> {
        self.watch_term(segment, shared);
        self.ask_standby(segment, shared)?;
        let entry = Candidate::look(segment)?;
        self.lives = matches!(entry, Entry::Held);
        if !matches!(entry, Entry::Free) {
            self.free_since = None;
        }
        match entry {
            Entry::Retired => Ok(Seen::Retired),
            Entry::Free if self.leave_to_standby() => Ok(Seen::Wait(BUSY)),
            Entry::Free => self.enter(segment, false),
            Entry::Abdicated => self.probe(segment, shared, source),
            _ if self.hung(segment) => self.enter(segment, true),
            _ => Ok(Seen::Wait(self.poll())),
        }
    }

    fn watch_term(&mut self, segment: &Segment, shared: &Shared) {
        let head = segment.head();
        if head.term() != self.term {
            self.term = head.term();
            let pid = load_owner(segment.mapping().owner(OwnerWord::Pid), head).unwrap_or(0);
            shared.tell(Event::NewOwner { term: head.term(), pid: pid as u32 });
        }
    }

    /// One follower of all holds the standby byte.
    fn ask_standby(&mut self, segment: &Segment, shared: &Shared) -> Result<(), SegmentError> {
        let asked = self.asked_standby.is_some_and(|at| at.elapsed() < POLL);
        let Some(lock) = segment.lock().filter(|_| !asked && Instant::now() >= self.probe_due)
        else {
            return Ok(());
        };
        self.asked_standby = Some(Instant::now());
        segment.refresh_lock()?;
        let standby =
            lock.try_lock(STANDBY).map_err(SegmentError::io("lock a byte of", lock.path()))?;
        if standby != self.standby {
            self.standby = standby;
            shared.set_role(if standby { Role::Standby } else { Role::Follower });
        }
        Ok(())
    }

    pub fn leave_standby(&self, segment: &Segment) {
        if let Some(lock) = segment.lock().filter(|_| self.standby) {
            lock.unlock(STANDBY);
        }
    }

    fn leave_to_standby(&mut self) -> bool {
        let since = *self.free_since.get_or_insert_with(Instant::now);
        !self.standby && since.elapsed() < STANDBY_FIRST
    }

    fn enter(&mut self, segment: &Arc<Segment>, hung: bool) -> Result<Seen, SegmentError> {
        Ok(match self.candidate.enter(segment, hung)? {
            Entry::Owner(tenure) => Seen::Owner(tenure),
            Entry::Retired => Seen::Retired,
            Entry::Held => Seen::Wait(self.poll()),
            _ => Seen::Wait(BUSY),
        })
    }

    /// Whether the owner, though it holds its byte, has not shown a sign of
    /// life for the threshold.
    fn hung(&mut self, segment: &Segment) -> bool {
        // Relaxed: any change of the whole word is a sign of life.
        let word = segment.mapping().owner(OwnerWord::Heartbeat).load(Ordering::Relaxed);
        let now = Instant::now();
        let since = now.saturating_duration_since(self.pulse.polled);
        // A poll counts for at most twice its interval, however long this
        // process was stopped.
        let counted = since.min(self.poll() * 2);
        let still =
            if word == self.pulse.word { self.pulse.still + counted } else { Duration::ZERO };
        self.pulse = Pulse { word, polled: now, still };
        still >= self.threshold
    }

    /// The owner can't reach the cluster. Only the standby tries, and lets
    /// another be standby if it can't either: no rotation through terms when
    /// the cluster is down for all.
    fn probe(
        &mut self,
        segment: &Arc<Segment>,
        shared: &Shared,
        source: &mut dyn ClusterSource,
    ) -> Result<Seen, SegmentError> {
        if !self.standby || Instant::now() < self.probe_due {
            return Ok(Seen::Wait(POLL));
        }
        let empty = |_| ClusterMap::new(segment.geometry().capacity());
        source.start(snapshot(segment.mapping()).map_or_else(empty, |last| last.map));
        let reached = source.tend(&mut Probe { shared });
        source.stop();
        match reached {
            Ok(_) => self.enter(segment, false),
            Err(error) => {
                self.leave_standby(segment);
                self.standby = false;
                shared.set_role(Role::Follower);
                self.probe_due = Instant::now() + self.tend_interval.max(POLL * 4);
                if shared.awaited() {
                    shared.settle(Err(error.into()));
                }
                Ok(Seen::Wait(POLL))
            }
        }
    }

    /// Tells of trouble with the segment's files, once a reason.
    pub fn trouble(&mut self, shared: &Shared, error: &SegmentError) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            self.trouble = Some(text.clone());
            shared.tell(Event::Trouble { error: text });
        }
    }
}

/// A pass that only finds out whether the cluster can be reached.
struct Probe<'a> {
    shared: &'a Shared,
}

impl Turn for Probe<'_> {
    fn beat(&mut self) -> ControlFlow<()> {
        if self.shared.stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn event(&mut self, _: TendEvent) {}
}
