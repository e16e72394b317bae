//! One iteration of the owner's loop: check ownership, tend, publish, sleep.

use core::ops::ControlFlow;
use std::mem::Discriminant;
use std::time::{Duration, Instant};

use super::account::Account;
use super::backoff::Backoff;
use super::config::MIN_TEND_INTERVAL;
use super::error::ConnectError;
use super::event::Event;
use super::fit::Fit;
use super::grow::PartialPublication;
use super::state::ClientState;
use crate::layout::OwnerWord;
use crate::map::{Condition, NodeId, Reason};
use crate::segment::{
    GenerationWatch, Ownership, OwnershipLost, PublishFailure, SegmentError, Timed, boottime_ms,
    sweep,
};
use crate::tend::{ClusterSource, TendError, TendEvent, TendReport, Turn};

/// An owner wakes at least this often, whatever its interval: the wake-up for a
/// changed setting may be lost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A condition that has lasted for more passes than this is not expected to go
/// away by itself.
const FEW: u64 = 3;

/// The outcome of one iteration of the owner's loop.
pub(super) enum TurnOutcome {
    /// Still the owner; sleep this long.
    Wait(Duration),
    /// Another process owns the segment.
    Fenced,
    /// The segment is retired: a successor is wanted.
    Retired,
}

/// An owner.
pub(super) struct Owner {
    pub ownership: Ownership,
    pub(super) interval: Duration,
    threshold: Duration,
    /// The start of the last pass.
    begun: Instant,
    due: Instant,
    /// When the owner next checks whether a server answers again.
    glance_due: Instant,
    pub(super) published: Option<Instant>,
    failing: Option<Instant>,
    backoff: Backoff,
    last_error: Option<String>,
    pub(super) account: Account,
    /// The published part of a map that has outgrown the segment.
    pub(super) fit: Option<Fit>,
    /// Why no larger segment could be created, and when.
    pub(super) no_room: Option<(Discriminant<SegmentError>, Instant)>,
    /// The number of nodes and namespaces that did not fit in the map in the
    /// last pass.
    refused: usize,
    /// Whether there may be segments to sweep that other processes have not
    /// left yet.
    pub(super) unswept: bool,
    /// Watches the directory for segments of higher generations.
    watch: GenerationWatch,
}

impl Owner {
    pub fn new(ownership: Ownership, state: &ClientState) -> Owner {
        let interval = state.tend_interval();
        ownership.set(OwnerWord::TendIntervalMs, interval.as_millis() as u64);
        ownership.set_hosts(state.config.hosts_hash());
        let account = Account::new(ownership.segment());
        let now = Instant::now();
        Owner {
            ownership,
            interval,
            threshold: state.config.shm_takeover_threshold,
            begun: now,
            due: now,
            glance_due: now,
            published: None,
            failing: None,
            backoff: Backoff::default(),
            last_error: None,
            account,
            fit: None,
            no_room: None,
            refused: 0,
            unswept: true,
            watch: GenerationWatch::default(),
        }
    }

    pub fn turn(&mut self, state: &ClientState, source: &mut dyn ClusterSource) -> TurnOutcome {
        match self.step(state, source) {
            Ok(pause) => TurnOutcome::Wait(pause),
            Err(_) if self.ownership.segment().head().retired() => TurnOutcome::Retired,
            Err(_) => TurnOutcome::Fenced,
        }
    }

    fn step(
        &mut self,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<Duration, OwnershipLost> {
        self.ownership.turn()?;
        self.heal(state)?;
        self.follow_interval(state);
        let begun = Instant::now();
        if begun >= self.due {
            self.begun = begun;
            self.tend(state, source)?;
            // Measured from the start of the pass, so that its length does not
            // add to the interval; but there is always a pause.
            let now = Instant::now();
            self.due = (begun + self.pause()).max(now + MIN_TEND_INTERVAL / 2);
            self.glance_next(begun);
        } else if self.backoff.is_grown() && begun >= self.glance_due {
            if self.glance(state, source)? {
                self.backoff.reset();
                self.due = begun;
            }
            self.glance_next(begun);
        }
        let due = if self.backoff.is_grown() { self.due.min(self.glance_due) } else { self.due };
        Ok(due.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP))
    }

    /// Schedules the next check for an answer, an interval after the last one,
    /// but never without a pause.
    fn glance_next(&mut self, begun: Instant) {
        let pause = self.backoff.glance(self.interval);
        self.glance_due = (begun + pause).max(Instant::now() + MIN_TEND_INTERVAL / 2);
    }

    /// Whether any server answers again.
    fn glance(
        &mut self,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<bool, OwnershipLost> {
        let mut turn =
            OwnerTurn { ownership: &mut self.ownership, state, ended: None, left: Vec::new() };
        let anybody = source.glance(&mut turn);
        turn.ended.map_or(Ok(anybody), Err)
    }

    /// The time from the start of the last pass to the start of the next.
    fn pause(&self) -> Duration {
        let pause = self.backoff.pause(self.interval);
        match self.failing.map(|since| self.threshold.saturating_sub(since.elapsed())) {
            // The backoff must not delay giving up ownership.
            Some(left) if !left.is_zero() => pause.min(left.max(self.interval)),
            _ => pause,
        }
    }

    /// Applies a changed interval.
    fn follow_interval(&mut self, state: &ClientState) {
        let interval = state.tend_interval();
        if interval != self.interval {
            self.interval = interval;
            self.ownership.set(OwnerWord::TendIntervalMs, interval.as_millis() as u64);
            self.due = self.begun + self.pause();
        }
    }

    /// Another process or thread asks for an early pass: the next one starts a
    /// quarter of the interval after the last one, however often it is
    /// requested.
    pub fn hurry(&mut self) {
        self.tend_within(self.interval / 4);
    }

    /// This process was given another password, or waits for a map: the next
    /// pass starts at once.
    pub fn retry(&mut self) {
        self.tend_within(Duration::ZERO);
    }

    /// Schedules the next pass this long after the last one, ignoring backoff.
    fn tend_within(&mut self, pause: Duration) {
        self.backoff.reset();
        self.due = self.due.min(self.begun + pause.max(MIN_TEND_INTERVAL));
    }

    /// Checks whether this is still *the* segment of the key, and repairs its
    /// name. `link` alone is not enough: if the name leads elsewhere, if new
    /// processes would refuse the segment, or if there is a higher generation,
    /// the segment is retired and all processes move. The higher generation may
    /// be retired itself: then it has a newer map, and gets a successor.
    fn heal(&mut self, state: &ClientState) -> Result<(), OwnershipLost> {
        let segment = self.ownership.segment().clone();
        // If this process sees another directory, or none, the others that use
        // the segment still see the original one.
        if !segment.is_shared() || segment.is_unseen() {
            return Ok(());
        }
        let own = segment.identity().generation;
        let place = state.config.place();
        let higher = self.watch.finds_higher(&place, own);
        if segment.is_sound() && !higher {
            if self.unswept {
                // What can't be swept remains; `ls` shows it.
                self.unswept = matches!(sweep(&place, &segment), Ok(false));
            }
            return Ok(());
        }
        if let Some(error) = segment.lock().and_then(|lock| lock.occupant()) {
            state.notify(Event::Trouble { error: error.to_string() });
        }
        self.ownership.retire()?;
        if higher {
            // The creator of that segment has already swept, but this one was
            // still in use then.
            let _ = sweep(&place, &segment);
        }
        if segment.is_gone() {
            // No other process can find it any more to remove it.
            segment.remove_lost_lock();
        }
        Err(OwnershipLost::Fenced)
    }

    fn tend(
        &mut self,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<(), OwnershipLost> {
        let asked = state.asked();
        let mut turn =
            OwnerTurn { ownership: &mut self.ownership, state, ended: None, left: Vec::new() };
        let begun = Instant::now();
        let result = source.tend(&mut turn);
        if let Some(ended) = turn.ended {
            return Err(ended);
        }
        for (id, reason) in turn.left {
            self.account.left(id, reason);
        }
        let took = begun.elapsed();
        self.ownership.set(OwnerWord::PassUs, took.as_micros() as u64);
        // A pass that was interrupted has no length.
        if !matches!(result, Err(TendError::Interrupted)) {
            self.ownership.count_time(Timed::Pass, took);
        }
        self.put_node_healths(source)?;
        if let Some(what) = source.shortage() {
            self.account.explain(Reason::Shortage, what);
        }
        match result {
            Ok(report) => self.tended(state, report),
            Err(TendError::Interrupted) => return Ok(()),
            Err(error) => {
                self.ownership.add(OwnerWord::TendErrors, 1);
                let report = source.failed_pass();
                self.account.pass(&report, true);
                self.account.explain(Reason::Pass, &error.to_string());
                self.count(report);
                self.failed(state, &error);
                if report.answers > 0 {
                    // The nodes are coming back, or waiting does not change
                    // their state.
                    self.backoff.reset();
                }
                state.settle(Err(ConnectError::Tend(error)), asked);
                return self.ended(state);
            }
        }
        self.publish(state, source)?;
        self.ended(state)
    }

    /// Ends a pass: records what it found. An owner that lacks a local resource
    /// offers ownership to a process that does not.
    fn ended(&mut self, state: &ClientState) -> Result<(), OwnershipLost> {
        self.account.put(&self.ownership)?;
        let lasts = |condition| self.account.get(condition).passes() > FEW;
        let short = lasts(Condition::Shortage) || lasts(Condition::NoRoom);
        // Without other attached processes, none can take it.
        let others = || self.ownership.segment().attached().is_ok_and(|attached| attached > 1);
        let offers = short && others();
        if self.ownership.offer(offers) && offers {
            state.notify(Event::Offered);
        }
        Ok(())
    }

    /// Records how the nodes fail, for any process that asks for the status.
    fn put_node_healths(&self, source: &dyn ClusterSource) -> Result<(), OwnershipLost> {
        let mut put = Ok(());
        let fit = self.fit.as_ref();
        source.node_healths(&mut |slot, id, health| {
            // In a partial publication a node may have another slot, or none.
            let slot = fit.map_or(Some(slot), |fit| fit.map().nodes.slot_of(&id));
            if let Some(slot) = slot.filter(|_| put.is_ok()) {
                put = self.ownership.set_node_health(slot, id, &health);
            }
        });
        put
    }

    fn tended(&mut self, state: &ClientState, report: TendReport) {
        self.ownership.set(OwnerWord::TendedMs, boottime_ms());
        self.ownership.add(OwnerWord::Tends, 1);
        self.account.pass(&report, false);
        self.account.found(Condition::Refused, report.refused as u64, false);
        self.count(report);
        self.backoff.reset();
        if let Some(since) = self.failing.take() {
            self.last_error = None;
            state.notify(Event::TendRecovered { after: since.elapsed() });
        }
        self.ownership.reclaim();
    }

    /// Counts the result of a pass, successful or not.
    fn count(&mut self, report: TendReport) {
        self.refused = report.refused;
        self.ownership.set(OwnerWord::Refused, report.refused as u64);
        self.ownership.set(OwnerWord::Failing, report.nodes_failed as u64);
        self.ownership.add(OwnerWord::BytesIn, report.bytes_in);
        self.ownership.add(OwnerWord::BadReplies, report.bad_replies as u64);
        let mute = report.nodes_failed.saturating_sub(report.bad_replies);
        self.ownership.add(OwnerWord::AskErrors, mute as u64);
    }

    fn failed(&mut self, state: &ClientState, error: &TendError) {
        self.backoff.failed();
        let since = *self.failing.get_or_insert_with(Instant::now);
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            self.last_error = Some(text.clone());
            state.notify(Event::TendFailed { error: text });
        }
        let failed_for = since.elapsed();
        if failed_for >= self.threshold && self.ownership.abdicate() {
            state.notify(Event::Abdicated { failed_for });
        }
    }

    fn publish(
        &mut self,
        state: &ClientState,
        source: &mut dyn ClusterSource,
    ) -> Result<(), OwnershipLost> {
        let map = source.map();
        // A map without nodes is not published as the first one: nothing is
        // known yet.
        if map.nodes.is_empty() && self.ownership.segment().head().sequence() == 0 {
            return Ok(());
        }
        if let Some(at) = self.published {
            // Publications are guaranteed to be at least 50 ms apart.
            let early = MIN_TEND_INTERVAL.saturating_sub(at.elapsed());
            std::thread::sleep(early);
        }
        let begun = Instant::now();
        let fitting = match self.fit {
            None => self.ownership.publish(map),
            // Slots that are too high remain so even if nodes leave.
            Some(_) => Ok(None),
        };
        let partly = match fitting {
            Err(PublishFailure::NoRoom(_)) => self.publish_partly(state, map)?,
            Ok(_) if self.fit.is_some() => self.publish_partly(state, map)?,
            outcome => {
                let (nodes, namespaces) = (map.nodes.len(), map.namespaces().len());
                PartialPublication { outcome, refused: 0, nodes, namespaces }
            }
        };
        let PartialPublication { outcome, refused, nodes, namespaces } = partly;
        match outcome {
            Ok(Some(sequence)) => {
                self.published = Some(Instant::now());
                state.notify(Event::Published { sequence, nodes, namespaces });
            }
            Ok(None) | Err(PublishFailure::NoRoom(_)) => {}
            Err(PublishFailure::Ended(ended)) => return Err(ended),
        }
        if let Some(took) = self.published.and_then(|at| at.checked_duration_since(begun)) {
            self.ownership.count_time(Timed::Publication, took);
        }
        if refused == 0 {
            self.no_room = None;
        }
        self.account.found(Condition::NoRoom, refused as u64, false);
        self.ownership.set(OwnerWord::Refused, (self.refused + refused) as u64);
        let segment = self.ownership.segment();
        if segment.head().sequence() > 0 && !state.has_map() {
            state.settle(state.config.check_cluster(segment), state.asked());
        }
        Ok(())
    }
}

/// The owner's side of a pass: it keeps the heartbeat going while the pass
/// waits for the network.
struct OwnerTurn<'a> {
    ownership: &'a mut Ownership,
    state: &'a ClientState,
    ended: Option<OwnershipLost>,
    /// Nodes that left the map, and why.
    left: Vec<(NodeId, &'static str)>,
}

impl Turn for OwnerTurn<'_> {
    fn beat(&mut self) -> ControlFlow<()> {
        self.state.step();
        if self.state.stopping() {
            return ControlFlow::Break(());
        }
        match self.ownership.beat() {
            Ok(()) => ControlFlow::Continue(()),
            Err(ended) => {
                self.ended = Some(ended);
                ControlFlow::Break(())
            }
        }
    }

    fn event(&mut self, event: TendEvent) {
        if let TendEvent::NodeRemoved { id, reason } = event {
            self.left.push((id, reason));
        }
        self.state.notify(Event::Tend(event));
    }
}
