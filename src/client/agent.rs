//! The client's thread: owner or follower, and the transitions between the two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admit::admit;
use super::error::ConnectError;
use super::event::{Event, Role};
use super::follower::{Follower, PollOutcome, ProbeTurn};
use super::grow::{build, least};
use super::owner::{Owner, TurnOutcome};
use super::pace::Pace;
use super::state::{ClientState, RequestCount, ThreadCommand};
use crate::map::{Capacity, snapshot};
use crate::protocol::Term;
use crate::segment::{
    Carryover, CreateOutcome, Ownership, Place, Search, Segment, SegmentError, WakeMask,
    next_generation, private, quick, retire_and_unlink_unused, search, sweep, wait,
};
use crate::tend::ClusterSource;

pub(super) enum Start {
    /// It created the segment.
    Owner(Box<Ownership>),
    /// It found the segment.
    Follower,
}

/// How long the others wait for the one that builds a successor.
const BUILD_PATIENCE: Duration = Duration::from_secs(1);

/// This many transitions between owner, follower and segments are made without
/// delay, then one per interval. A process that damages segments quickly must
/// not make all others create them as quickly.
const PASSAGES: u32 = 16;
const PASSAGE_EVERY: Duration = Duration::from_millis(100);
/// The same limit for iterations of the loop: a process that writes to the
/// event word ends every sleep.
const TURNS: u32 = 64;
const TURN_EVERY: Duration = Duration::from_millis(1);

/// The state of the client's thread.
pub(super) struct Agent {
    state: Arc<ClientState>,
    source: Box<dyn ClusterSource>,
    start: Option<Start>,
    /// The kind of error for which no successor could be built, as last reported.
    unbuilt: Option<std::mem::Discriminant<SegmentError>>,
}

enum ActiveRole {
    Owner(Box<Owner>),
    Follower(Box<Follower>),
}

impl Agent {
    pub fn new(state: Arc<ClientState>, source: Box<dyn ClusterSource>, start: Start) -> Agent {
        Agent { state, source, start: Some(start), unbuilt: None }
    }

    /// Runs until the client closes.
    pub fn run(mut self) {
        #[cfg(feature = "tls")]
        if let Some((path, mode)) = self.state.config.tls.as_ref().and_then(|tls| tls.exposed_key())
        {
            self.state.notify(Event::SecretExposed { path: path.into(), mode });
        }
        let mut role = match self.start.take() {
            Some(Start::Owner(ownership)) => self.own(*ownership, false),
            _ => self.follow(),
        };
        let mut passages = Pace::new(PASSAGES, PASSAGE_EVERY);
        let mut turns = Pace::new(TURNS, TURN_EVERY);
        while !self.state.stopping() {
            self.state.step();
            self.state.take_poke();
            while let Some(command) = self.state.next_command() {
                self.obey(command, &mut role);
            }
            let segment = self.state.current.get();
            // Loaded before anything else is read, so that a later event cuts
            // the sleep short.
            let event = segment.mapping().event().load(crate::sync::Ordering::Relaxed);
            let (next, pause) = match role {
                ActiveRole::Owner(owner) => self.owner_turn(owner),
                ActiveRole::Follower(follower) => self.follower_turn(follower, &segment),
            };
            role = next;
            let early = if pause.is_zero() { passages.take() } else { turns.take() };
            if !early.is_zero() && !self.state.stopping() {
                std::thread::sleep(early);
            }
            if !pause.is_zero() && !self.state.stopping() {
                let personal = self.state.personal;
                match &mut role {
                    ActiveRole::Owner(owner) => {
                        let word = segment.mapping().event();
                        let woken = wait(word, event, WakeMask::owner(), pause);
                        // Neither an event nor a wake-up from this process is a
                        // request.
                        let same = word.load(crate::sync::Ordering::Relaxed) == event;
                        if woken && same && !self.state.take_poke() {
                            owner.hurry();
                        }
                    }
                    ActiveRole::Follower(follower) => {
                        follower.sleep(&segment, event, personal, pause)
                    }
                }
            }
        }
        self.close(role);
    }

    fn obey(&mut self, command: ThreadCommand, role: &mut ActiveRole) {
        if let ThreadCommand::Credentials(credentials) = command {
            self.source.set_credentials(credentials);
        }
        // The cause of the failed passes may be gone. The command may have been
        // sent during a pass, which it does not interrupt.
        match role {
            ActiveRole::Owner(owner) => owner.retry(),
            ActiveRole::Follower(follower) => follower.retry(),
        }
    }

    /// Starts to own the segment that it followed, unless a map of another
    /// cluster has appeared in it.
    fn enter(&mut self, ownership: Ownership, takeover: bool) -> (ActiveRole, Duration) {
        if !self.state.is_admitted() {
            let (asked, segment) = (self.state.asked(), ownership.segment().clone());
            match self.check(&segment) {
                Err(error) if error.is_other_cluster() => {
                    ownership.release();
                    self.refuse(error, asked);
                    return (self.follow(), Duration::ZERO);
                }
                // The segment has no map, or a damaged one: this owner's passes
                // create a new one.
                _ => self.state.admit(),
            }
        }
        (self.own(ownership, takeover), Duration::ZERO)
    }

    fn own(&mut self, mut ownership: Ownership, takeover: bool) -> ActiveRole {
        self.state.set_role(Role::Owner);
        self.state.notify(Event::Owner {
            generation: ownership.segment().identity().generation,
            term: ownership.term().get(),
            takeover,
        });
        ownership.set_checksums(self.state.config.checksums);
        let mut map = ownership.last_map();
        self.state.config.raise(&mut map);
        self.source.start(map);
        ActiveRole::Owner(Box::new(Owner::new(ownership, &self.state)))
    }

    fn follow(&mut self) -> ActiveRole {
        self.state.set_role(Role::Follower);
        let segment = self.state.current.get();
        let (generation, term) = (segment.identity().generation, segment.head().term());
        self.state.notify(Event::Follower { generation, term });
        ActiveRole::Follower(Box::new(Follower::new(&segment, &self.state.config)))
    }

    fn owner_turn(&mut self, mut owner: Box<Owner>) -> (ActiveRole, Duration) {
        match owner.turn(&self.state, self.source.as_mut()) {
            TurnOutcome::Wait(pause) => (ActiveRole::Owner(owner), pause),
            TurnOutcome::Fenced => {
                self.source.stop();
                let term = owner.ownership.term().get();
                owner.ownership.fenced();
                // Set before the event: an observer that receives it sees this
                // role.
                self.state.set_role(Role::Follower);
                self.state.notify(Event::Fenced { term });
                (self.follow(), Duration::ZERO)
            }
            TurnOutcome::Retired => {
                self.source.stop();
                let segment = owner.ownership.segment().clone();
                owner.ownership.fenced();
                self.succeed(&segment)
            }
        }
    }

    fn follower_turn(
        &mut self,
        mut follower: Box<Follower>,
        segment: &Arc<Segment>,
    ) -> (ActiveRole, Duration) {
        match follower.look(segment, &self.state, self.source.as_mut()) {
            Ok(PollOutcome::Wait(pause)) => {
                self.settle_as_follower(segment, follower.is_settled());
                let pause =
                    if self.state.awaited() { pause.min(Duration::from_millis(5)) } else { pause };
                (ActiveRole::Follower(follower), pause)
            }
            Ok(PollOutcome::Owner(ownership)) => {
                follower.leave(segment);
                self.enter(*ownership, true)
            }
            Ok(PollOutcome::Retired) => {
                follower.leave(segment);
                self.succeed(segment)
            }
            Err(error) => {
                follower.trouble(&self.state, &error);
                (ActiveRole::Follower(follower), Duration::from_millis(250))
            }
        }
    }

    /// A follower's connect waits until an owner has published.
    fn settle_as_follower(&mut self, segment: &Arc<Segment>, settled: bool) {
        let known = self.state.has_map() && self.state.is_admitted();
        if known || !settled || segment.head().sequence() == 0 {
            return;
        }
        let asked = self.state.asked();
        match self.check(segment) {
            Ok(true) => self.state.settle(Ok(()), asked),
            Ok(false) => {}
            Err(error) => self.refuse(error, asked),
        }
    }

    /// Whether the segment has a map of the configured cluster. Once
    /// established, this is not checked again.
    fn check(&mut self, segment: &Arc<Segment>) -> Result<bool, ConnectError> {
        let state = &self.state;
        if state.is_admitted() {
            return state.config.check_cluster(segment).map(|()| true);
        }
        let turn = &mut ProbeTurn { state };
        let there = admit(segment, &state.config, self.source.as_mut(), turn)?;
        if there {
            state.admit();
        }
        Ok(there)
    }

    /// Records why the segment is refused. If it is of another cluster, this
    /// process must neither route from it nor ever own it.
    fn refuse(&self, error: ConnectError, asked: RequestCount) {
        let refused = error.is_other_cluster();
        if refused {
            self.state.refuse(error.clone());
            self.state.notify(Event::Trouble { error: error.to_string() });
        }
        self.state.settle(Err(error), asked);
        if refused {
            self.state.stop();
        }
    }

    /// Moves to the successor of a retired segment, or builds it.
    fn succeed(&mut self, old: &Arc<Segment>) -> (ActiveRole, Duration) {
        let found = self.find_or_build(old);
        if found.is_ok() {
            self.unbuilt = None;
        }
        match found {
            Ok(Some(Start::Owner(ownership))) => {
                let segment = ownership.segment().clone();
                if let Err(error) = self.move_to(&segment) {
                    self.state.notify(Event::Trouble { error: error.to_string() });
                }
                self.enter(*ownership, false)
            }
            Ok(Some(Start::Follower)) => (self.follow(), Duration::ZERO),
            Ok(None) => (self.follow(), Duration::ZERO),
            Err(error) => {
                // The attempt is repeated four times a second, and the numbers
                // in its text change: compare the kind only.
                let kind = std::mem::discriminant(&error);
                if self.unbuilt.replace(kind) != Some(kind) {
                    self.state.notify(Event::Trouble { error: error.to_string() });
                }
                self.state.settle(Err(ConnectError::Segment(error)), self.state.asked());
                self.state.set_role(Role::Follower);
                let follower = Follower::new(&self.state.current.get(), &self.state.config);
                (ActiveRole::Follower(Box::new(follower)), Duration::from_millis(250))
            }
        }
    }

    fn move_to(&self, segment: &Arc<Segment>) -> Result<(), SegmentError> {
        self.state.current.replace(segment)?;
        let generation = segment.identity().generation;
        self.state.notify(Event::Moved { generation });
        Ok(())
    }

    /// The successor of a retired segment. If there is none, one is built from
    /// the last map of the newest retired segment: by its owner while that
    /// process lives, then by the process that gets the next free byte of its
    /// lock file. The others wait for it.
    fn find_or_build(&mut self, old: &Arc<Segment>) -> Result<Option<Start>, SegmentError> {
        if !old.is_shared() {
            // A private map is only retired under its owner because of damage,
            // and no other process can have it: start with a new one.
            let capacity = old.geometry().capacity();
            let ownership = private(capacity, old.head().sequence())?;
            self.move_to(ownership.segment())?;
            return Ok(Some(Start::Owner(Box::new(ownership))));
        }
        let place = self.state.config.place();
        let mut old = old.clone();
        let (mut since, mut by) = (Instant::now(), 1_u16);
        while !self.state.stopping() {
            self.state.step();
            // An untrusted segment is no successor, but does not stop the
            // search either.
            if let Some(segment) = quick(&place, old.identity().generation) {
                self.move_to(&segment)?;
                return Ok(Some(Start::Follower));
            }
            let found = search(&place)?;
            if let Some(segment) = found.successor(&old) {
                self.move_to(segment)?;
                return Ok(Some(Start::Follower));
            }
            // The successor of the old segment is retired, too.
            if let Some(newer) = newer_retired(&found, &old) {
                old = newer;
                (since, by) = (Instant::now(), 1);
            }
            let lock = old.lock().expect("a state segment has a lock file");
            if !lock.is_writable() {
                // A process that may only read builds nothing: it keeps the map
                // that it has.
                self.settle_as_follower(&old, true);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if since.elapsed() >= BUILD_PATIENCE * u32::from(by) {
                by = by.saturating_add(1);
            }
            // A living owner that has retired the segment is about to link the
            // successor that it has built.
            let owner = u64::from(old.head().term());
            let building = by == 1 && lock.held_by_other(owner).unwrap_or(false);
            let term = Term::new(old.head().term().saturating_add(by)).unwrap_or(Term::LAST);
            let byte = term.get().into();
            if !building && lock.try_lock(byte).unwrap_or(false) {
                let built = match search(&place) {
                    Ok(found) if found.successor(&old).is_some() => Ok(None),
                    Ok(found) if newer_retired(&found, &old).is_some() => Ok(None),
                    Ok(found) => self.build(&old, found.next(old.identity().generation)),
                    Err(error) => Err(error),
                };
                lock.unlock(byte);
                if let Some(ownership) = built? {
                    return Ok(Some(Start::Owner(ownership)));
                }
                continue;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }

    fn build(
        &self,
        old: &Arc<Segment>,
        generation: u64,
    ) -> Result<Option<Box<Ownership>>, SegmentError> {
        let config = &self.state.config;
        let place = config.place();
        let (there, wanted) = (old.geometry().capacity(), config.capacity());
        let capacity = Capacity {
            max_nodes: there.max_nodes.max(wanted.max_nodes),
            max_namespaces: there.max_namespaces.max(wanted.max_namespaces),
            max_replicas: there.max_replicas.max(wanted.max_replicas),
            partitions: there.partitions,
        };
        let last = snapshot(old.mapping()).ok();
        let inherited = last.as_ref().map(|last| Carryover {
            sequence: last.sequence,
            table_generation: last.table_generation,
            map: &last.map,
        });
        let mut rooms = vec![capacity, there];
        // Without room for the same capacity, the map continues in a smaller
        // segment.
        rooms.extend(last.as_ref().map(|last| least(there, &last.map)));
        let prepared = build(&place, generation, &rooms, inherited)?;
        // Building takes time, and another successor may have appeared in it.
        if next_generation(&place, old.identity().generation)? != generation {
            return Ok(None);
        }
        match prepared.link()? {
            CreateOutcome::Owner(ownership) => {
                // What could not be swept remains; `ls` shows it.
                let _ = sweep(&place, ownership.segment());
                Ok(Some(ownership))
            }
            CreateOutcome::Exists => Ok(None),
        }
    }

    /// Hands the ownership over; the last one out removes the segment.
    fn close(mut self, mut role: ActiveRole) {
        self.state.set_role(Role::Closed);
        self.source.stop();
        let segment = self.state.current.get();
        if let ActiveRole::Follower(follower) = &mut role {
            follower.leave(&segment);
        }
        // Its own mark is released before the others are counted. Of two
        // processes that close at once, at least one then sees that no other is
        // left.
        self.state.current.let_go();
        if let Err(error) = leave(&segment, &self.state.config.place()) {
            self.state.notify(Event::Trouble { error: error.to_string() });
        }
        match role {
            ActiveRole::Owner(owner) => owner.ownership.release(),
            ActiveRole::Follower(_) => {}
        }
    }
}

/// Removes the segment if no process is attached any more.
///
/// # Errors
/// [`SegmentError`] if it can't be removed.
pub(super) fn leave(segment: &Arc<Segment>, place: &Place) -> Result<(), SegmentError> {
    let alone = segment.is_shared() && matches!(segment.attached(), Ok(0));
    if alone && segment.is_gone() {
        // No other process can find it any more to remove it.
        segment.remove_lost_lock();
    }
    // A process that may not remove the segment leaves that to the next one.
    if !alone || !segment.is_found() || !segment.may_remove() {
        return Ok(());
    }
    // Sweeps while this segment exists, so that older ones can be recognized.
    let _ = sweep(place, segment);
    let removed = retire_and_unlink_unused(segment).map(drop);
    let _ = sweep(place, segment);
    removed
}

/// The newest retired segment, if it is newer than `old`.
fn newer_retired(found: &Search, old: &Segment) -> Option<Arc<Segment>> {
    let newer = |other: &&Arc<Segment>| other.identity().generation > old.identity().generation;
    found.retired.as_ref().filter(newer).cloned()
}
