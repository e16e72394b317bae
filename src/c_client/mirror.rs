//! A mirror: one pass after the other over one segment.
//!
//! Each pass looks at everything again: whether this process is the active
//! mirror of the key, which segment has the key, who owns that, and whether its
//! content is what was meant. So nothing that other processes do to the segment
//! needs to be noticed at the moment when it happens.

use std::time::Duration;

use super::claim::{Claim, Claimed};
use super::config::{MirrorConfig, OnExit, OwnerMark, Target};
use super::event::MirrorEvent;
use super::foreign::{self, ForeignError, Unusable};
use super::header;
use super::layout::{Capacity, Shape};
use super::note::Note;
use super::owner::{self, ALWAYS, Evidence, LAG_MS, Owner, OwnerWords};
use super::plan::Planner;
use super::process::{self, Seen};
use super::repair::{self, Repair};
use super::store::Store;
use super::wanted::Wanted;
use crate::clock::monotonic_ms;
use crate::layout::ForeignSegment;
use crate::map::ClusterMap;
use crate::segment::{Place, ProcessExit};
use crate::text::Printable;

/// The longest pause between two passes: how long it takes to find that another
/// process took over, or that the segment was removed.
const PAUSE: Duration = Duration::from_millis(250);
/// The pause after something went wrong.
const RETRY: Duration = Duration::from_secs(1);

/// What is mirrored, and how.
#[derive(Clone, Copy, Debug)]
pub struct MirrorSettings<'a> {
    /// The segment and the layout of its clients.
    pub target: Target,
    /// The settings that all mirrors of the client have in common.
    pub config: &'a MirrorConfig,
    /// Where tendmap's own segment is, and which users it trusts: the lock file
    /// is there, too.
    pub place: &'a Place,
}

/// What a pass is given.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The last publication, and its number; `None` if there is none yet.
    pub map: Option<(u64, &'a ClusterMap)>,
    /// Whether the map is kept current.
    pub tended: bool,
}

/// Keeps one segment of the C client filled.
pub struct Mirror<'a> {
    settings: MirrorSettings<'a>,
    shape: Shape,
    tell: Box<dyn Fn(MirrorEvent) + 'a>,
    claim: Claim,
    segment: Option<Attached>,
    /// The owner that is waited for.
    watch: Option<Watch>,
    /// What the map of that publication means for the segment.
    wanted: Option<(u64, Wanted)>,
    /// The state that was reported last.
    reported: Option<MirrorEvent>,
    /// What is left out, as reported last.
    noted: Vec<Note>,
    /// The pid that it writes as the owner's.
    pid: u32,
    /// A copy of the segment, kept to be used again.
    copy: Vec<u8>,
}

/// A segment that this process has mapped.
struct Attached {
    segment: ForeignSegment,
    /// What it holds; `None` while it is another process's.
    planner: Option<Planner>,
    repair: Repair,
}

/// The process that a segment names as its owner, as it was seen.
struct Watch {
    shm_id: i32,
    pid: u32,
    /// Whether it was seen with the segment mapped.
    was_mapped: bool,
    exit: Option<ProcessExit>,
}

impl core::fmt::Debug for Mirror<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mirror").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<'a> Mirror<'a> {
    /// A mirror that has not looked at anything yet; it passes what happens to
    /// `tell`.
    pub fn new(settings: MirrorSettings<'a>, tell: impl Fn(MirrorEvent) + 'a) -> Mirror<'a> {
        // The configuration was checked.
        let capacity = settings.config.capacity().unwrap_or(Capacity::DEFAULT);
        Mirror {
            shape: Shape::new(settings.target.version.layout(), capacity),
            tell: Box::new(tell),
            claim: Claim::new(settings.place, settings.target.key),
            segment: None,
            watch: None,
            wanted: None,
            reported: None,
            noted: Vec::new(),
            pid: match settings.config.owner {
                OwnerMark::Pid => std::process::id(),
                OwnerMark::Always => ALWAYS,
            },
            copy: Vec::new(),
            settings,
        }
    }

    /// Does what there is to do now; returns how long to wait for the next
    /// publication before the next pass.
    pub fn pass(&mut self, feed: Feed<'_>) -> Duration {
        match self.try_pass(feed) {
            Ok(pause) => pause,
            // Looked at again at once.
            Err(ForeignError::Raced) => Duration::from_millis(1),
            Err(ForeignError::Unusable(why)) => {
                self.segment = None;
                self.report(MirrorEvent::Refused { reason: why.to_string() });
                RETRY
            }
            Err(error @ ForeignError::Io { .. }) => {
                self.segment = None;
                self.report(MirrorEvent::Trouble { error: error.to_string() });
                RETRY
            }
        }
    }

    /// The process whose end it waits for instead of a publication, if any.
    pub fn awaited(&self) -> Option<&ProcessExit> {
        let watched = self.watch.as_ref().and_then(|watch| watch.exit.as_ref());
        watched.or(self.claim.exit())
    }

    fn try_pass(&mut self, feed: Feed<'_>) -> Result<Duration, ForeignError> {
        let claimed = self.claim.ask().map_err(|source| {
            let path = Printable(self.claim.path().display());
            let source = std::io::Error::new(
                source.kind(),
                format!("{path}: {source}; run all mirrors of a key as one user"),
            );
            ForeignError::Io { action: "use the lock file of", source }
        })?;
        if let Claimed::Standby(pid) = claimed {
            (self.segment, self.watch) = (None, None);
            self.report(MirrorEvent::Standby { pid });
            return Ok(PAUSE);
        }
        let Some((sequence, map)) = feed.map else { return Ok(PAUSE) };
        if self.wanted.as_ref().is_none_or(|(known, _)| *known != sequence) {
            let wanted = Wanted::of(map, self.shape.layout).map_err(Unusable::from)?;
            self.wanted = Some((sequence, wanted));
        }
        self.locate()?;
        if self.segment.is_none() {
            self.create()?;
        } else if self.is_owner() {
            self.check_owner();
        }
        if !self.is_owner() && !self.contend()? {
            return Ok(PAUSE);
        }
        Ok(self.fill(feed.tended))
    }

    /// Whether the segment is this mirror's, as far as it knows.
    fn is_owner(&self) -> bool {
        self.segment.as_ref().is_some_and(|attached| attached.planner.is_some())
    }

    /// Attaches the segment that has the key now.
    fn locate(&mut self) -> Result<(), ForeignError> {
        let found = foreign::find(self.settings.target.key)?;
        let attached = self.segment.as_ref().map(|attached| attached.segment.id());
        if attached == found {
            return Ok(());
        }
        if let Some(shm_id) = attached {
            if self.is_owner() {
                self.report_new_state(MirrorEvent::Removed { shm_id });
            }
            (self.segment, self.watch) = (None, None);
        }
        if let Some(id) = found {
            let segment = foreign::attach(id, self.shape)?;
            self.segment = Some(Attached { segment, planner: None, repair: Repair::default() });
        }
        Ok(())
    }

    /// Creates the segment, with the whole map, in a few milliseconds.
    fn create(&mut self) -> Result<(), ForeignError> {
        let Some((_, wanted)) = &self.wanted else { return Ok(()) };
        let (key, mode) = (self.settings.target.key, self.settings.config.mode);
        let segment = foreign::create(key, self.shape, mode)?;
        if !segment.replace_u8(header::LOCK, 0, 1) {
            // A client was faster; it fills the segment.
            return Err(ForeignError::Raced);
        }
        let shm_id = segment.id();
        self.claim.note(shm_id, self.pid);
        let planner = fill_whole(&segment, self.shape, wanted, self.pid);
        let planner = Some(planner);
        self.segment = Some(Attached { segment, planner, repair: Repair::default() });
        self.report(MirrorEvent::Created { shm_id });
        Ok(())
    }

    /// Yields if another process has become owner.
    fn check_owner(&mut self) {
        let Some(attached) = &mut self.segment else { return };
        let words = OwnerWords::load(&attached.segment);
        if words.is_of(self.pid) {
            return;
        }
        attached.planner = None;
        self.claim.forget();
        self.report_new_state(MirrorEvent::Fenced { by: words.pid });
    }

    /// Tries to become owner of a segment that exists; returns whether this
    /// mirror is.
    fn contend(&mut self) -> Result<bool, ForeignError> {
        let Some(attached) = &self.segment else { return Ok(false) };
        foreign::check(&attached.segment, self.shape)?;
        let words = OwnerWords::load(&attached.segment);
        let shm_id = attached.segment.id();
        let evidence = self.evidence(shm_id, words);
        let owner = owner::judge(words, monotonic_ms(), evidence);
        if let Owner::Other { pid } = owner {
            self.report(MirrorEvent::Waiting { pid });
            return Ok(false);
        }
        self.check_cluster()?;
        let (Some(attached), Some((_, wanted))) = (&mut self.segment, &self.wanted) else {
            return Ok(false);
        };
        if !owner::take(&attached.segment, owner, words, self.pid) {
            return Err(ForeignError::Raced);
        }
        attached.segment.store_u64(header::TIMESTAMP, timestamp());
        self.claim.note(shm_id, self.pid);
        self.watch = None;
        // Its processes are dead, or it has none: their locks are nobody's.
        attached.segment.copy(usize::MAX, &mut self.copy);
        let freed = repair::free_all(&attached.segment, self.shape, &self.copy);
        let adopted = match words.ready {
            0 => None,
            _ => Planner::adopt(self.shape, &self.copy).ok(),
        };
        attached.planner = Some(match adopted {
            Some(planner) => planner,
            // It was never finished.
            None => fill_whole(&attached.segment, self.shape, wanted, self.pid),
        });
        let from = if words.lock == 0 { 0 } else { words.pid };
        self.report(MirrorEvent::TookOver { shm_id, from });
        if freed > 0 {
            (self.tell)(MirrorEvent::LocksFreed { locks: freed });
        }
        Ok(true)
    }

    /// Whether the segment is of this cluster: most of its active nodes are in
    /// the map. (Some may have left while nobody tended it.)
    fn check_cluster(&mut self) -> Result<(), ForeignError> {
        let (Some(attached), Some((_, wanted))) = (&self.segment, &self.wanted) else {
            return Ok(());
        };
        if attached.segment.load_u8(header::READY) == 0 {
            return Ok(());
        }
        attached.segment.copy(usize::MAX, &mut self.copy);
        let kinship = Planner::kinship(self.shape, &self.copy, wanted).map_err(Unusable::from)?;
        let (unknown, active) = (kinship.strangers.len(), kinship.known + kinship.strangers.len());
        match kinship.strangers.into_iter().next() {
            Some(example) if unknown >= kinship.known => {
                Err(Unusable::OtherCluster { active, unknown, example }.into())
            }
            _ => Ok(()),
        }
    }

    /// What is known of the process that the header names.
    fn evidence(&mut self, shm_id: i32, words: OwnerWords) -> Evidence {
        let pid = words.pid;
        // This process maps the segment itself, and may contain a client, too.
        let own = usize::from(pid == std::process::id());
        let seen = process::seen(pid, shm_id);
        let mapped = matches!(seen, Seen::Mapped(times) if times > own);
        if self.watch.as_ref().is_none_or(|watch| (watch.shm_id, watch.pid) != (shm_id, pid)) {
            self.watch = Some(Watch { shm_id, pid, was_mapped: false, exit: None });
        }
        let Some(watch) = &mut self.watch else { return Evidence::None };
        if mapped {
            if !watch.was_mapped && own == 0 {
                // The pid is not another process's if that one has it mapped.
                let is_it = || process::seen(pid, shm_id) != Seen::Mapped(0);
                watch.exit = i32::try_from(pid).ok().and_then(|pid| ProcessExit::watch(pid, is_it));
            }
            watch.was_mapped = true;
            return Evidence::Lives;
        }
        if self.claim.was_earlier(shm_id, pid) {
            return Evidence::EarlierMirror;
        }
        match (watch.was_mapped, seen) {
            (true, Seen::Absent | Seen::Mapped(_)) => {
                // There is nothing more to wait for: a pause would end at once.
                watch.exit = None;
                Evidence::Exited
            }
            _ => Evidence::None,
        }
    }

    /// Brings the segment to what is wanted; returns how long to wait.
    fn fill(&mut self, tended: bool) -> Duration {
        let (Some(attached), Some((_, wanted))) = (&mut self.segment, &self.wanted) else {
            return PAUSE;
        };
        let Attached { segment, planner: Some(planner), repair } = attached else { return PAUSE };
        let now = monotonic_ms();
        segment.copy(usize::MAX, &mut self.copy);
        let locks = repair.pass(segment, self.shape, &self.copy, now);
        let mended = planner.mend(&self.copy);
        let pass = planner.pass(wanted, now);
        let stores = mended.stores.iter().chain(&pass.stores);
        if !apply(segment, self.pid, stores) {
            // Planned, and not stored: what is there is read again.
            attached.planner = None;
            return Duration::ZERO;
        }
        if tended {
            segment.store_u64(header::TIMESTAMP, timestamp());
        }
        if locks > 0 {
            (self.tell)(MirrorEvent::LocksFreed { locks });
        }
        if mended.words > 0 {
            (self.tell)(MirrorEvent::Mended { words: mended.words });
        }
        self.note(pass.notes);
        let due = pass.due.map(|due| Duration::from_millis(due.saturating_sub(now)));
        due.map_or(PAUSE, |due| due.min(PAUSE))
    }

    /// Reports a state, once.
    fn report(&mut self, state: MirrorEvent) {
        if self.reported.as_ref() != Some(&state) {
            self.report_new_state(state);
        }
    }

    fn report_new_state(&mut self, state: MirrorEvent) {
        self.reported = Some(state.clone());
        (self.tell)(state);
    }

    /// Reports what was not left out before.
    fn note(&mut self, notes: Vec<Note>) {
        for note in notes.iter().filter(|note| !self.noted.contains(note)) {
            (self.tell)(match *note {
                Note::NodeLeftOut { node, capacity } => {
                    MirrorEvent::NodeLeftOut { id: node, capacity }
                }
                Note::NamespaceLeftOut { name, capacity } => {
                    MirrorEvent::NamespaceLeftOut { name, capacity }
                }
                Note::QuarantineShortened { node, slot, out_of_use_ms } => {
                    let out_of_use = Duration::from_millis(out_of_use_ms);
                    MirrorEvent::SlotReusedEarly { id: node, slot, out_of_use }
                }
            });
        }
        self.noted = notes;
    }

    /// Ends it: the segment is held for the next mirror, or released.
    pub fn close(mut self) {
        let Some(Attached { segment, planner: Some(_), .. }) = self.segment.take() else { return };
        if self.settings.config.on_exit == OnExit::Release {
            owner::release(&segment, self.pid);
            self.claim.forget();
            (self.tell)(MirrorEvent::Released);
        }
    }
}

/// The time that a mirror stores as that of its last pass.
fn timestamp() -> u64 {
    monotonic_ms().saturating_sub(LAG_MS).max(1)
}

/// Fills a segment that no client may use yet; its owner is this mirror.
fn fill_whole(segment: &ForeignSegment, shape: Shape, wanted: &Wanted, pid: u32) -> Planner {
    let now = monotonic_ms();
    let (planner, pass) = Planner::create(shape, wanted, pid, timestamp(), now);
    for store in &pass.stores {
        store.apply(segment);
    }
    planner
}

/// Makes the stores, unless another process is owner; returns whether all were
/// made.
fn apply<'s>(segment: &ForeignSegment, pid: u32, stores: impl Iterator<Item = &'s Store>) -> bool {
    let mut stores = stores.peekable();
    while stores.peek().is_some() {
        if !owner::is_held(segment, pid) {
            return false;
        }
        // This many take well under a millisecond.
        for store in stores.by_ref().take(4096) {
            store.apply(segment);
        }
    }
    true
}
