//! The client's thread: owner or follower, and the transitions between the two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admit::{admit, check_cluster};
use super::error::ConnectError;
use super::event::{Event, Role};
use super::follow::{Follow, Probe, Seen};
use super::grow::{build, least};
use super::own::{Own, Turned};
use super::pace::Pace;
use super::shared::{Asked, Command, Shared};
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
    shared: Arc<Shared>,
    source: Box<dyn ClusterSource>,
    start: Option<Start>,
    /// The kind of error for which no successor could be built, as last reported.
    unbuilt: Option<std::mem::Discriminant<SegmentError>>,
}

enum Part {
    Owner(Box<Own>),
    Follower(Box<Follow>),
}

impl Agent {
    pub fn new(shared: Arc<Shared>, source: Box<dyn ClusterSource>, start: Start) -> Agent {
        Agent { shared, source, start: Some(start), unbuilt: None }
    }

    /// Runs until the client closes.
    pub fn run(mut self) {
        #[cfg(feature = "tls")]
        if let Some((path, mode)) =
            self.shared.config.tls.as_ref().and_then(|tls| tls.exposed_key())
        {
            self.shared.tell(Event::SecretExposed { path: path.into(), mode });
        }
        let mut part = match self.start.take() {
            Some(Start::Owner(ownership)) => self.own(*ownership, false),
            _ => self.follow(),
        };
        let mut passages = Pace::new(PASSAGES, PASSAGE_EVERY);
        let mut turns = Pace::new(TURNS, TURN_EVERY);
        while !self.shared.stopping() {
            self.shared.take_poke();
            while let Some(command) = self.shared.next_command() {
                self.obey(command, &mut part);
            }
            let segment = self.shared.current.get();
            // Loaded before anything else is read, so that a later event cuts
            // the sleep short.
            let event = segment.mapping().event().load(crate::sync::Ordering::Relaxed);
            let (next, pause) = match part {
                Part::Owner(own) => self.owner_turn(own),
                Part::Follower(follow) => self.follower_turn(follow, &segment),
            };
            part = next;
            let early = if pause.is_zero() { passages.take() } else { turns.take() };
            if !early.is_zero() && !self.shared.stopping() {
                std::thread::sleep(early);
            }
            if !pause.is_zero() && !self.shared.stopping() {
                let personal = self.shared.personal;
                match &mut part {
                    Part::Owner(own) => {
                        let word = segment.mapping().event();
                        let woken = wait(word, event, WakeMask::owner(), pause);
                        // Neither an event nor a wake-up from this process is a
                        // request.
                        let same = word.load(crate::sync::Ordering::Relaxed) == event;
                        if woken && same && !self.shared.take_poke() {
                            own.hurry();
                        }
                    }
                    Part::Follower(follow) => follow.sleep(&segment, event, personal, pause),
                }
            }
        }
        self.close(part);
    }

    fn obey(&mut self, command: Command, part: &mut Part) {
        if let Command::Credentials(credentials) = command {
            self.source.set_credentials(credentials);
        }
        // The cause of the failed passes may be gone. The command may have been
        // sent during a pass, which it does not interrupt.
        match part {
            Part::Owner(own) => own.retry(),
            Part::Follower(follow) => follow.retry(),
        }
    }

    /// Starts to own the segment that it followed, unless a map of another
    /// cluster has appeared in it.
    fn enter(&mut self, ownership: Ownership, takeover: bool) -> (Part, Duration) {
        if !self.shared.is_admitted() {
            let (asked, segment) = (self.shared.asked(), ownership.segment().clone());
            match self.check(&segment) {
                Err(error) if error.is_other_cluster() => {
                    ownership.release();
                    self.refuse(error, asked);
                    return (self.follow(), Duration::ZERO);
                }
                // The segment has no map, or a damaged one: this owner's passes
                // create a new one.
                _ => self.shared.admit(),
            }
        }
        (self.own(ownership, takeover), Duration::ZERO)
    }

    fn own(&mut self, mut ownership: Ownership, takeover: bool) -> Part {
        self.shared.set_role(Role::Owner);
        self.shared.tell(Event::Owner {
            generation: ownership.segment().identity().generation,
            term: ownership.term().get(),
            takeover,
        });
        ownership.set_checksums(self.shared.config.checksums);
        let mut map = ownership.last_map();
        self.shared.config.raise(&mut map);
        self.source.start(map);
        Part::Owner(Box::new(Own::new(ownership, &self.shared)))
    }

    fn follow(&mut self) -> Part {
        self.shared.set_role(Role::Follower);
        let segment = self.shared.current.get();
        let (generation, term) = (segment.identity().generation, segment.head().term());
        self.shared.tell(Event::Follower { generation, term });
        Part::Follower(Box::new(Follow::new(&segment, &self.shared.config)))
    }

    fn owner_turn(&mut self, mut own: Box<Own>) -> (Part, Duration) {
        match own.turn(&self.shared, self.source.as_mut()) {
            Turned::Wait(pause) => (Part::Owner(own), pause),
            Turned::Fenced => {
                self.source.stop();
                let term = own.ownership.term().get();
                own.ownership.fenced();
                // Set before the event: an observer that receives it sees this
                // role.
                self.shared.set_role(Role::Follower);
                self.shared.tell(Event::Fenced { term });
                (self.follow(), Duration::ZERO)
            }
            Turned::Retired => {
                self.source.stop();
                let segment = own.ownership.segment().clone();
                own.ownership.fenced();
                self.succeed(&segment)
            }
        }
    }

    fn follower_turn(
        &mut self,
        mut follow: Box<Follow>,
        segment: &Arc<Segment>,
    ) -> (Part, Duration) {
        match follow.look(segment, &self.shared, self.source.as_mut()) {
            Ok(Seen::Wait(pause)) => {
                self.settle_as_follower(segment, follow.is_settled());
                let pause =
                    if self.shared.awaited() { pause.min(Duration::from_millis(5)) } else { pause };
                (Part::Follower(follow), pause)
            }
            Ok(Seen::Owner(ownership)) => {
                follow.leave(segment);
                self.enter(*ownership, true)
            }
            Ok(Seen::Retired) => {
                follow.leave(segment);
                self.succeed(segment)
            }
            Err(error) => {
                follow.trouble(&self.shared, &error);
                (Part::Follower(follow), Duration::from_millis(250))
            }
        }
    }

    /// A follower's connect waits until an owner has published.
    fn settle_as_follower(&mut self, segment: &Arc<Segment>, settled: bool) {
        let known = self.shared.has_map() && self.shared.is_admitted();
        if known || !settled || segment.head().sequence() == 0 {
            return;
        }
        let asked = self.shared.asked();
        match self.check(segment) {
            Ok(true) => self.shared.settle(Ok(()), asked),
            Ok(false) => {}
            Err(error) => self.refuse(error, asked),
        }
    }

    /// Whether the segment has a map of the configured cluster. Once
    /// established, this is not checked again.
    fn check(&mut self, segment: &Arc<Segment>) -> Result<bool, ConnectError> {
        let shared = &self.shared;
        if shared.is_admitted() {
            return check_cluster(segment, &shared.config).map(|()| true);
        }
        let turn = &mut Probe { shared };
        let there = admit(segment, &shared.config, self.source.as_mut(), turn)?;
        if there {
            shared.admit();
        }
        Ok(there)
    }

    /// Records why the segment is refused. If it is of another cluster, this
    /// process must neither route from it nor ever own it.
    fn refuse(&self, error: ConnectError, asked: Asked) {
        let refused = error.is_other_cluster();
        if refused {
            self.shared.refuse(error.clone());
            self.shared.tell(Event::Trouble { error: error.to_string() });
        }
        self.shared.settle(Err(error), asked);
        if refused {
            self.shared.stop();
        }
    }

    /// Moves to the successor of a retired segment, or builds it.
    fn succeed(&mut self, old: &Arc<Segment>) -> (Part, Duration) {
        let found = self.find_or_build(old);
        if found.is_ok() {
            self.unbuilt = None;
        }
        match found {
            Ok(Some(Start::Owner(ownership))) => {
                let segment = ownership.segment().clone();
                if let Err(error) = self.move_to(&segment) {
                    self.shared.tell(Event::Trouble { error: error.to_string() });
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
                    self.shared.tell(Event::Trouble { error: error.to_string() });
                }
                self.shared.settle(Err(ConnectError::Segment(error)), self.shared.asked());
                self.shared.set_role(Role::Follower);
                let follow = Follow::new(&self.shared.current.get(), &self.shared.config);
                (Part::Follower(Box::new(follow)), Duration::from_millis(250))
            }
        }
    }

    fn move_to(&self, segment: &Arc<Segment>) -> Result<(), SegmentError> {
        self.shared.current.replace(segment)?;
        let generation = segment.identity().generation;
        self.shared.tell(Event::Moved { generation });
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
        let place = self.shared.config.place();
        let mut old = old.clone();
        let (mut since, mut by) = (Instant::now(), 1);
        while !self.shared.stopping() {
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
            let lock = old.lock().expect("a shared segment has a lock file");
            if !lock.is_writable() {
                // A process that may only read builds nothing: it keeps the map
                // that it has.
                self.settle_as_follower(&old, true);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if since.elapsed() >= BUILD_PATIENCE * u32::from(by) {
                by += 1;
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
        let config = &self.shared.config;
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
                let _ = sweep(&place);
                Ok(Some(ownership))
            }
            CreateOutcome::Exists => Ok(None),
        }
    }

    /// Hands the ownership over; the last one out removes the segment.
    fn close(mut self, mut part: Part) {
        self.shared.set_role(Role::Closed);
        self.source.stop();
        let segment = self.shared.current.get();
        if let Part::Follower(follow) = &mut part {
            follow.leave(&segment);
        }
        // Its own mark is released before the others are counted. Of two
        // processes that close at once, at least one then sees that no other is
        // left.
        self.shared.current.let_go();
        if let Err(error) = leave(&segment, &self.shared.config.place()) {
            self.shared.tell(Event::Trouble { error: error.to_string() });
        }
        match part {
            Part::Owner(own) => own.ownership.release(),
            Part::Follower(_) => {}
        }
    }
}

/// Removes the segment if no process is attached any more.
///
/// # Errors
/// [`SegmentError`] if it can't be removed.
pub(super) fn leave(segment: &Arc<Segment>, place: &Place) -> Result<(), SegmentError> {
    let alone = segment.is_shared() && matches!(segment.attached(), Ok(0));
    // A process that may not remove the segment leaves that to the next one.
    if !alone || !segment.is_found() || !segment.may_remove() {
        return Ok(());
    }
    // Sweeps while this segment exists, so that older ones can be recognized.
    let _ = sweep(place);
    let removed = retire_and_unlink_unused(segment).map(drop);
    let _ = sweep(place);
    removed
}

/// The newest retired segment, if it is newer than `old`.
fn newer_retired(found: &Search, old: &Segment) -> Option<Arc<Segment>> {
    let newer = |other: &&Arc<Segment>| other.identity().generation > old.identity().generation;
    found.retired.as_ref().filter(newer).cloned()
}
