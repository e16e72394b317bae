//! A follower's poll: does the owner live, and if not, which process is next?

use core::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::event::{Event, Role};
use super::grow;
use super::pace::Pace;
use super::standby::{POLL, Rank, Standing};
use super::state::ClientState;
use crate::layout::OwnerWord;
use crate::map::{ClusterMap, snapshot};
use crate::protocol::load_owner;
use crate::random::rng;
use crate::segment::{
    Candidate, OwnerState, Ownership, Segment, SegmentError, TakeoverOutcome, WakeMask,
};
use crate::sync::Ordering;
use crate::tend::{ClusterSource, Condition, TendError, TendEvent, TendReport, Turn};

/// How long a process that may only read waits before it tries to write again.
const BARRED: Duration = Duration::from_secs(5);
/// This many new owners are reported at once; after that only the latest, one
/// per interval.
const NEWS: u32 = 16;
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// The pause after another process was about to enter.
const BUSY: Duration = Duration::from_millis(5);

/// The outcome of one poll.
pub(super) enum PollOutcome {
    /// Still a follower; sleep this long.
    Wait(Duration),
    /// It is owner now.
    Owner(Box<Ownership>),
    /// The segment is retired.
    Retired,
}

/// A follower.
pub(super) struct Follower {
    threshold: Duration,
    candidate: Candidate,
    standing: Standing,
    lives: bool,
    term: u16,
    /// Whether the owner of the current term is still to be reported, and the
    /// limit of such reports.
    new: bool,
    news: Pace,
    pulse: Pulse,
    free_since: Option<Instant>,
    probe_due: Instant,
    /// Its rank since when the owner wants to be replaced, and the pause after which
    /// it tries although those that watch more closely have not: they may be stopped.
    wanted: Option<(Rank, Instant, Duration)>,
    /// How often it has tried in vain to do better than the owner.
    tries: u32,
    trouble: Option<String>,
    /// The time until which it only reads, because it may not write.
    barred: Option<Instant>,
}

/// The owner's heartbeat as this process has seen it, counted in its own polls.
/// A process that was itself stopped must not consider all others hung.
struct Pulse {
    word: u64,
    polled: Instant,
    still: Duration,
}

impl Follower {
    pub fn new(segment: &Segment, config: &Config) -> Follower {
        let now = Instant::now();
        Follower {
            threshold: config.shm_takeover_threshold,
            candidate: Candidate::default(),
            standing: Standing::new(),
            lives: false,
            term: segment.head().term(),
            new: false,
            news: Pace::new(NEWS, NEWS_EVERY),
            pulse: Pulse { word: 0, polled: now, still: Duration::ZERO },
            free_since: None,
            probe_due: now,
            wanted: None,
            tries: 0,
            trouble: None,
            barred: None,
        }
    }

    /// Whether only the map is left to wait for: the owner was alive at the
    /// last poll, or this process may only read.
    pub fn is_settled(&self) -> bool {
        self.lives || self.barred.is_some()
    }

    /// Polls as a process that may become owner, or as a reader if it may not write.
    ///
    /// # Errors
    /// [`SegmentError`] if the segment's files can't be used.
    pub fn look(
        &mut self,
        segment: &Arc<Segment>,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<PollOutcome, SegmentError> {
        if self.barred.is_none_or(|until| Instant::now() >= until) {
            match self.look_as_candidate(segment, state, source) {
                Err(error) if error.is_barred() => {
                    if self.barred.is_none() {
                        let segment = segment.location().map_or(String::new(), |at| at.to_string());
                        state.notify(Event::ReadOnly { segment, reason: error.to_string() });
                    }
                    // The permissions may change.
                    self.barred = Some(Instant::now() + BARRED);
                    self.leave(segment);
                }
                other => {
                    self.barred = None;
                    return other;
                }
            }
        }
        self.watch_term(segment, state);
        self.lives = Candidate::look(segment)? == OwnerState::Alive;
        state.set_role(Role::Follower);
        // Without an owner nobody may retire a removed segment, if all that are
        // left only read: it is left like a retired one.
        let left = || !self.lives && segment.is_gone();
        let ended = segment.head().retired() || left();
        Ok(if ended { PollOutcome::Retired } else { PollOutcome::Wait(self.standing.pause()) })
    }

    fn look_as_candidate(
        &mut self,
        segment: &Arc<Segment>,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<PollOutcome, SegmentError> {
        self.watch_term(segment, state);
        self.standing.ask(segment)?;
        let owner = Candidate::look(segment)?;
        self.lives = owner == OwnerState::Alive;
        match owner {
            // The standby may have died as well.
            OwnerState::Vacant if self.standing.rank() != Rank::Standby => {
                self.standing.ask_now(segment)?;
            }
            OwnerState::Alive => self.standing.watch(segment.lock(), self.term),
            _ => {}
        }
        if owner != OwnerState::Vacant {
            self.free_since = None;
        }
        let offers = owner == OwnerState::Alive && offered(segment);
        if owner != OwnerState::Abdicated && !offers {
            self.wanted = None;
        }
        let standby = self.standing.rank() == Rank::Standby;
        state.set_role(if standby { Role::Standby } else { Role::Follower });
        match owner {
            OwnerState::Retired => Ok(PollOutcome::Retired),
            OwnerState::Vacant if self.leave_to_others() => Ok(PollOutcome::Wait(BUSY)),
            OwnerState::Vacant => self.enter(segment, false),
            OwnerState::Abdicated => self.probe(segment, state, source),
            _ if self.hung(segment) => self.enter(segment, true),
            OwnerState::Alive if offers => self.try_better(segment, state, source),
            OwnerState::Alive => Ok(PollOutcome::Wait(self.standing.pause())),
        }
    }

    /// Sleeps until the next look.
    pub fn sleep(&mut self, segment: &Segment, seen: u64, personal: WakeMask, pause: Duration) {
        self.standing.sleep(segment, seen, personal, pause);
    }

    /// Makes the next attempt due at once, if the cluster could not be reached.
    pub fn retry(&mut self) {
        self.probe_due = Instant::now();
        self.standing.hurry(self.probe_due);
    }

    fn watch_term(&mut self, segment: &Segment, state: &ClientState) {
        let head = segment.head();
        if head.term() != self.term {
            (self.term, self.new) = (head.term(), true);
            self.standing.hurry(self.probe_due);
        }
        if self.new && self.news.take_now() {
            self.new = false;
            let pid = load_owner(segment.mapping().owner(OwnerWord::Pid), head).unwrap_or(0);
            state.notify(Event::NewOwner { term: head.term(), pid: pid as u32 });
        }
    }

    /// Releases what it holds of the segment's lock file as a follower.
    pub fn leave(&mut self, segment: &Segment) {
        self.standing.leave(segment, self.probe_due);
    }

    fn leave_to_others(&mut self) -> bool {
        let since = *self.free_since.get_or_insert_with(Instant::now);
        since.elapsed() < self.standing.patience()
    }

    fn enter(&mut self, segment: &Arc<Segment>, hung: bool) -> Result<PollOutcome, SegmentError> {
        Ok(match self.candidate.enter(segment, hung)? {
            TakeoverOutcome::Won(ownership) => PollOutcome::Owner(ownership),
            TakeoverOutcome::Retired => PollOutcome::Retired,
            TakeoverOutcome::OwnerAlive => PollOutcome::Wait(self.standing.pause()),
            TakeoverOutcome::Busy | TakeoverOutcome::Lost => PollOutcome::Wait(BUSY),
        })
    }

    /// Whether the owner holds its byte but has shown no heartbeat for the
    /// threshold.
    fn hung(&mut self, segment: &Segment) -> bool {
        // Relaxed: any change of the whole word is a sign of life.
        let word = segment.mapping().owner(OwnerWord::Heartbeat).load(Ordering::Relaxed);
        let now = Instant::now();
        let since = now.saturating_duration_since(self.pulse.polled);
        // A poll counts for at most twice its interval, however long this
        // process was stopped. A poll of the standby, which is planned far more
        // often than a busy machine allows, counts for at most a part of the
        // threshold.
        let most = (self.standing.poll() * 2).max(POLL.min(self.threshold / 8));
        let counted = since.min(most);
        let still =
            if word == self.pulse.word { self.pulse.still + counted } else { Duration::ZERO };
        self.pulse = Pulse { word, polled: now, still };
        still >= self.threshold
    }

    /// Whether it is this process that tries to do better than an owner that wants to
    /// be replaced. The standby does at once, and passes its rank on if it can't. So the
    /// rank of the others changes soon, unless those before them are stopped.
    fn tries_now(&mut self, state: &ClientState) -> bool {
        let rank = self.standing.rank();
        let patience = match rank {
            Rank::Standby => Duration::ZERO,
            Rank::Reserve => state.config.patience(),
            Rank::Other => state.config.patience().mul_f64(2.0 + 6.0 * rng().f64()),
        };
        let known = self.wanted.filter(|(known, ..)| *known == rank);
        let (_, since, patience) = known.unwrap_or((rank, Instant::now(), patience));
        self.wanted = Some((rank, since, patience));
        since.elapsed() >= patience && Instant::now() >= self.probe_due
    }

    /// It could not do better than the owner: it passes its rank on, and tries again
    /// after that pause at the earliest.
    fn gives_up(&mut self, segment: &Segment, state: &ClientState, pause: Duration) {
        self.probe_due = Instant::now() + pause;
        self.wanted = None;
        self.leave(segment);
        state.set_role(Role::Follower);
    }

    /// The owner can't reach the cluster. Only one follower tries at a time, so that
    /// terms do not rotate while the cluster is down for all.
    fn probe(
        &mut self,
        segment: &Arc<Segment>,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<PollOutcome, SegmentError> {
        if !self.tries_now(state) {
            return Ok(PollOutcome::Wait(POLL));
        }
        let asked = state.asked();
        let reached = try_tend(segment, state, source);
        source.stop();
        let lacks_nothing = |report: &TendReport| report.conditions.count(Condition::Shortage) == 0;
        if reached.as_ref().is_ok_and(lacks_nothing) {
            return self.enter(segment, false);
        }
        self.gives_up(segment, state, state.tend_interval().max(POLL * 4));
        if let Err(error) = reached {
            state.settle(Err(error.into()), asked);
        }
        Ok(PollOutcome::Wait(POLL))
    }

    /// The owner lacks a local resource, and continues with what it has. A follower
    /// takes over if it lacks nothing: if it can ask every server, and create a
    /// larger segment where one is wanted. Otherwise it tries less and less often.
    fn try_better(
        &mut self,
        segment: &Arc<Segment>,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<PollOutcome, SegmentError> {
        if !self.tries_now(state) {
            return Ok(PollOutcome::Wait(self.standing.pause()));
        }
        let reached = try_tend(segment, state, source);
        let lacks_nothing = |report: TendReport| {
            report.refused == 0 && report.conditions.count(Condition::Shortage) == 0
        };
        let better = reached.is_ok_and(lacks_nothing)
            && grow::has_room(segment, &state.config, source.map());
        source.stop();
        // Another one may have taken over meanwhile.
        if better && offered(segment) {
            return self.enter(segment, true);
        }
        let pause = state.tend_interval().max(POLL * 4) * (1 << self.tries.min(6));
        self.tries = self.tries.saturating_add(1);
        self.gives_up(segment, state, pause);
        Ok(PollOutcome::Wait(POLL))
    }

    /// Reports trouble with the segment's files, once per reason.
    pub fn trouble(&mut self, state: &ClientState, error: &SegmentError) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            self.trouble = Some(text.clone());
            state.notify(Event::Trouble { error: text });
        }
    }
}

/// Whether the living owner offers ownership to a process that can do better.
fn offered(segment: &Segment) -> bool {
    let word = segment.mapping().owner(OwnerWord::Flags);
    load_owner(word, segment.head()).is_some_and(|flags| flags & OwnerWord::OFFERED != 0)
}

/// A pass as if this process were the owner.
fn try_tend(
    segment: &Segment,
    state: &ClientState,
    source: &mut dyn ClusterSource,
) -> Result<TendReport, TendError> {
    let empty = |_| ClusterMap::new(segment.geometry().capacity());
    let mut map = snapshot(segment.mapping()).map_or_else(empty, |last| last.map);
    state.config.raise(&mut map);
    source.start(map);
    source.tend(&mut ProbeTurn { state })
}

/// A pass that only determines whether the cluster can be reached.
pub(super) struct ProbeTurn<'a> {
    pub state: &'a ClientState,
}

impl Turn for ProbeTurn<'_> {
    fn beat(&mut self) -> ControlFlow<()> {
        self.state.step();
        if self.state.stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn event(&mut self, _: TendEvent) {}
}
