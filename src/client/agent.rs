//! The client's thread: owner or follower, and the passages between the two.

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
    Carryover, Created, Ownership, Place, Search, Segment, SegmentError, WakeMask, next_generation,
    private, quick, retire_and_unlink_unused, search, sweep, wait,
};
use crate::tend::ClusterSource;

/// How the thread begins.
pub(super) enum Start {
    /// It made the segment.
    Owner(Box<Ownership>),
    /// It found the segment.
    Follower,
}

/// How long the others wait for the one that builds a successor.
const BUILD_PATIENCE: Duration = Duration::from_secs(1);

/// So many passages between owner, follower and segments are made at once, and
/// then one in so long: whoever damages segments as fast as they are made must not
/// have everybody make them as fast as they can.
const PASSAGES: u32 = 16;
const PASSAGE_EVERY: Duration = Duration::from_millis(100);
/// The same of turns: who writes to the event word ends every sleep.
const TURNS: u32 = 64;
const TURN_EVERY: Duration = Duration::from_millis(1);

/// The thread.
pub(super) struct Agent {
    shared: Arc<Shared>,
    source: Box<dyn ClusterSource>,
    start: Option<Start>,
    /// Why no successor could be built, as it was told last.
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
            // Loaded before anything is looked at, so that what happens
            // meanwhile cuts the sleep short.
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
                        // An event is no request, nor is what this process has
                        // to say to its own thread.
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
        // What the passes failed for may be over. The command may have come
        // during a pass, which woke nobody.
        match part {
            Part::Owner(own) => own.retry(),
            Part::Follower(follow) => follow.retry(),
        }
    }

    /// Begins to own what it followed, unless a map has appeared there meanwhile
    /// that is of another cluster.
    fn enter(&mut self, ownership: Ownership, takeover: bool) -> (Part, Duration) {
        if !self.shared.is_admitted() {
            let (asked, segment) = (self.shared.asked(), ownership.segment().clone());
            match self.check(&segment) {
                Err(error) if error.is_other_cluster() => {
                    ownership.release();
                    self.refuse(error, asked);
                    return (self.follow(), Duration::ZERO);
                }
                // Of no map, or a damaged one, its own passes make a new one.
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
                // Whoever is told of it finds it so.
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

    /// Whether the segment has a map of the cluster configured. What was shown once
    /// need not be shown again.
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

    /// What speaks against the segment. If it is of another cluster, this process
    /// must neither route from it nor ever own it.
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
                // It is tried again four times a second; its text has numbers that
                // change from one try to the next.
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

    /// The successor of a retired segment; else one is built from the last map
    /// of the newest that is retired: by its owner while that lives, then by
    /// whoever gets the next free byte of its lock file. The others wait for it.
    fn find_or_build(&mut self, old: &Arc<Segment>) -> Result<Option<Start>, SegmentError> {
        if !old.is_shared() {
            // Nothing but damage retires a private map under its owner, and nobody
            // but this process can have it: it begins with a new one.
            let capacity = old.geometry().capacity();
            let ownership = private(capacity, old.head().sequence())?;
            self.move_to(ownership.segment())?;
            return Ok(Some(Start::Owner(Box::new(ownership))));
        }
        let place = self.shared.config.place();
        let mut old = old.clone();
        let (mut since, mut by) = (Instant::now(), 1);
        while !self.shared.stopping() {
            // What can't be trusted is no successor, and stops nobody.
            if let Some(segment) = quick(&place, old.identity().generation) {
                self.move_to(&segment)?;
                return Ok(Some(Start::Follower));
            }
            let found = search(&place)?;
            if let Some(segment) = found.successor(&old) {
                self.move_to(segment)?;
                return Ok(Some(Start::Follower));
            }
            // The old one was succeeded by one that is retired, too.
            if let Some(newer) = newer_retired(&found, &old) {
                old = newer;
                (since, by) = (Instant::now(), 1);
            }
            let lock = old.lock().expect("a shared segment has a lock file");
            if !lock.is_writable() {
                // One that may only read builds nothing: its map is all that it has.
                self.settle_as_follower(&old, true);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if since.elapsed() >= BUILD_PATIENCE * u32::from(by) {
                by += 1;
            }
            // An owner that has retired it, and lives, is about to link the
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
        // Where there is no room for as much, the map goes on with less.
        rooms.extend(last.as_ref().map(|last| least(there, &last.map)));
        let prepared = build(&place, generation, &rooms, inherited)?;
        // Building takes its time, and another one may have come up meanwhile.
        if next_generation(&place, old.identity().generation)? != generation {
            return Ok(None);
        }
        match prepared.link()? {
            Created::Owner(ownership) => {
                // What could not be swept stays, as `ls` shows.
                let _ = sweep(&place);
                Ok(Some(ownership))
            }
            Created::Exists => Ok(None),
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
        // Its own mark is taken back before the others are counted, so that of
        // two that close at once at least one sees that nobody is left.
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

/// Removes the segment if nobody is attached any more.
///
/// # Errors
/// [`SegmentError`] if it can't be removed.
pub(super) fn leave(segment: &Arc<Segment>, place: &Place) -> Result<(), SegmentError> {
    let alone = segment.is_shared() && matches!(segment.attached(), Ok(0));
    // What it may not remove it leaves to the next.
    if !alone || !segment.is_found() || !segment.may_remove() {
        return Ok(());
    }
    // While this one lives, so that it is known which are older.
    let _ = sweep(place);
    let removed = retire_and_unlink_unused(segment).map(drop);
    let _ = sweep(place);
    removed
}

/// The newest retired segment, if it is newer than the one that is to be
/// succeeded.
fn newer_retired(found: &Search, old: &Segment) -> Option<Arc<Segment>> {
    let newer = |other: &&Arc<Segment>| other.identity().generation > old.identity().generation;
    found.retired.as_ref().filter(newer).cloned()
}
