//! What `watch` knows: the last look, what changed lately, and what the user chose.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tendmap::map::NodeId;

use super::change::{self, Event, Weight};
use super::look::{Absent, Target};
use crate::grid::{Change, Grid, Roster};
use crate::seen::State;

/// The most events that are kept.
const KEPT: usize = 1000;
/// How long a change is marked as new.
const NEW: Duration = Duration::from_millis(1500);
/// How long it is marked at all.
const RECENT: Duration = Duration::from_secs(5);
/// Among how many of the last lines one of the same kind is added to.
const MERGED: usize = 8;

/// An event with the time of day at which it was seen.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Hours, minutes and seconds of UTC.
    pub time: String,
    /// What happened.
    pub event: Event,
    /// When it was seen, or last added to.
    at: Instant,
}

/// What happened to the partitions of a namespace, and when.
type Trail = Vec<Option<(Change, Instant)>>;

/// The state behind the screen.
#[derive(Debug)]
pub struct App {
    /// The segment that is watched.
    pub target: Target,
    /// The last state that was read.
    pub state: Option<State>,
    /// Why there is none now.
    pub absent: Option<Absent>,
    /// The colours of the nodes.
    pub roster: Roster,
    /// The namespaces in the order of their names.
    pub grids: Vec<Grid>,
    /// The namespace that is shown.
    pub namespace: Option<String>,
    /// The node that is marked.
    pub node: Option<NodeId>,
    /// The events, the latest last.
    pub log: VecDeque<Entry>,
    /// How many lines back the log is shown.
    pub back: usize,
    /// Whether looks are suspended.
    pub paused: bool,
    /// Whether the help is shown.
    pub help: bool,
    /// Whether cells show symbols; `None` = if the colours do not suffice.
    pub letters: Option<bool>,
    /// The number of the segment among those of the host, if there are others.
    pub among: Option<(usize, usize)>,
    trails: BTreeMap<String, Trail>,
}

impl App {
    /// Nothing seen yet.
    pub fn new() -> App {
        App {
            target: Target::Given,
            state: None,
            absent: None,
            roster: Roster::default(),
            grids: Vec::new(),
            namespace: None,
            node: None,
            log: VecDeque::new(),
            back: 0,
            paused: false,
            help: false,
            letters: None,
            among: None,
            trails: BTreeMap::new(),
        }
    }

    /// Takes what a look found, at a time, with the time of day.
    pub fn take(&mut self, found: Result<State, Absent>, now: Instant, time: &str) {
        match found {
            Ok(state) => self.seen(state, now, time),
            Err(absent) => self.unseen(absent, now, time),
        }
    }

    fn unseen(&mut self, absent: Absent, now: Instant, time: &str) {
        let kind = core::mem::discriminant::<Absent>;
        if self.absent.as_ref().map(kind) != Some(kind(&absent)) {
            let (weight, text) = match &absent {
                Absent::None(_) if self.state.is_none() => {
                    (Weight::Plain, "no segment yet".to_owned())
                }
                Absent::None(_) => (Weight::Bad, "the segment is gone".to_owned()),
                Absent::Unread(why) => (Weight::Bad, format!("the segment can't be read: {why}")),
            };
            self.note(now, time, Event::new(weight, text));
        }
        self.absent = Some(absent);
    }

    fn seen(&mut self, state: State, now: Instant, time: &str) {
        if let Some(map) = &state.map {
            self.roster.admit(&map.map);
        }
        let back = self.absent.take().is_some();
        let mut events = Vec::new();
        match &self.state {
            Some(old) => {
                if back {
                    events.push(Event::new(Weight::Good, "the segment is back"));
                }
                events.extend(change::between(old, &state));
            }
            None => events.push(first(&state)),
        }
        let same = |old: &State| {
            let sequence = |state: &State| state.map.as_ref().map(|map| map.sequence);
            sequence(old) == sequence(&state)
        };
        if !self.state.as_ref().is_some_and(same) {
            self.follow(&state, now);
        }
        self.state = Some(state);
        events.into_iter().for_each(|event| self.note(now, time, event));
        self.refresh(now);
    }

    /// Draws the grids again, and remembers what changed since the last map.
    fn follow(&mut self, state: &State, now: Instant) {
        let Some(new) = &state.map else { return self.grids.clear() };
        let old = self.state.as_ref().and_then(|old| old.map.as_ref());
        let grids = new.map.namespaces().iter().map(|own| Grid::of(&new.map, own, &self.roster));
        self.grids = grids.collect();
        self.grids.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        let mut trails = core::mem::take(&mut self.trails);
        for namespace in new.map.namespaces() {
            let changes = old.map_or(Vec::new(), |old| change::partitions(old, new, namespace));
            let trail = trails.entry(namespace.name.to_string()).or_default();
            trail.resize(namespace.partitions.len(), None);
            for (past, change) in trail.iter_mut().zip(changes) {
                // A master's move stays visible when its replicas follow.
                let fades = past.is_some_and(|(past, at)| past > change && now - at < RECENT);
                if change != Change::None && !fades {
                    *past = Some((change, now));
                }
            }
        }
        self.trails = trails;
    }

    /// Lets the marks of changes fade.
    pub fn refresh(&mut self, now: Instant) {
        for grid in &mut self.grids {
            let Some(trail) = self.trails.get(&grid.namespace) else { continue };
            for (change, past) in grid.changes.iter_mut().zip(trail) {
                *change = match past {
                    Some((_, at)) if now.duration_since(*at) >= RECENT => Change::None,
                    Some((Change::NewMaster, at)) if now.duration_since(*at) >= NEW => {
                        Change::Master
                    }
                    Some((change, _)) => *change,
                    None => Change::None,
                };
            }
        }
    }

    /// Whether marks are about to fade.
    pub fn is_fading(&self) -> bool {
        let mut changes = self.grids.iter().flat_map(|grid| &grid.changes);
        changes.any(|change| *change != Change::None)
    }

    /// Adds a line to the log, or to a line of the same kind that is a few seconds old:
    /// migrations are many small steps.
    pub fn note(&mut self, now: Instant, time: &str, event: Event) {
        let recent = |entry: &&mut Entry| now.saturating_duration_since(entry.at) < RECENT;
        for entry in self.log.iter_mut().rev().take(MERGED).filter(recent) {
            if entry.event.merge(&event) {
                entry.at = now;
                return;
            }
        }
        if self.log.len() == KEPT {
            self.log.pop_front();
        }
        self.log.push_back(Entry { time: time.to_owned(), event, at: now });
        // If the operator has scrolled back, the same lines stay in view.
        if self.back > 0 {
            self.back = (self.back + 1).min(self.log.len() - 1);
        }
    }

    /// The index of the namespace that is shown.
    pub fn shown(&self) -> usize {
        let named = |grid: &Grid| Some(&grid.namespace) == self.namespace.as_ref();
        self.grids.iter().position(named).unwrap_or(0)
    }

    /// Shows the next namespace, or the one before.
    pub fn turn_namespace(&mut self, forward: bool) {
        if !self.grids.is_empty() {
            let at = turned(Some(self.shown()), self.grids.len(), forward);
            self.namespace = Some(self.grids[at].namespace.clone());
        }
    }

    /// The nodes of the map in the order of their seats.
    pub fn nodes(&self) -> Vec<(usize, NodeId)> {
        let map = self.state.as_ref().and_then(|state| state.map.as_ref());
        let nodes = map.into_iter().flat_map(|map| map.map.nodes.iter());
        let mut nodes: Vec<(usize, NodeId)> =
            nodes.filter_map(|(_, node)| Some((self.roster.seat(&node.id)?, node.id))).collect();
        nodes.sort_unstable();
        nodes
    }

    /// The seat of the node that is marked, if it is in the map.
    pub fn marked(&self) -> Option<usize> {
        let node = self.node?;
        self.nodes().iter().find(|(_, id)| *id == node).map(|(seat, _)| *seat)
    }

    /// Marks the next node, or the one before; none beyond the ends.
    pub fn turn_node(&mut self, forward: bool) {
        let nodes = self.nodes();
        let at = nodes.iter().position(|(_, id)| Some(*id) == self.node);
        let to = match (at, forward) {
            (None, true) => Some(0),
            (None, false) => nodes.len().checked_sub(1),
            (Some(at), true) => Some(at + 1),
            (Some(at), false) => at.checked_sub(1),
        };
        self.node = to.and_then(|at| nodes.get(at)).map(|(_, id)| *id);
    }

    /// Marks the first or the last node.
    pub fn mark_end(&mut self, last: bool) {
        self.node = None;
        self.turn_node(!last);
    }

    /// Forgets what was seen of the segment before.
    pub fn turn_to(&mut self, target: Target, now: Instant, time: &str) {
        let log = core::mem::take(&mut self.log);
        *self = App { target, log, letters: self.letters, ..App::new() };
        let text = match target {
            Target::Given => "watching the segment of the flags".to_owned(),
            Target::Listed { key, backend, .. } => format!("watching {key:#010x} ({backend})"),
        };
        self.note(now, time, Event::new(Weight::Plain, text));
    }
}

/// The first look, as an event.
fn first(state: &State) -> Event {
    let status = &state.status;
    let owner = match (status.owner_pid, status.owner_alive) {
        (Some(pid), true) => format!("owner {pid}"),
        (None, true) => "an owner".to_owned(),
        (_, false) => "no live owner".to_owned(),
    };
    let (generation, term, sequence) = (status.generation, status.term, status.sequence);
    let text = format!("generation {generation}: {owner}, term {term}, sequence {sequence}");
    Event::new(Weight::Plain, text)
}

/// The next index, or the one before, around the ends.
pub fn turned(at: Option<usize>, count: usize, forward: bool) -> usize {
    match (at, forward) {
        (None, _) => 0,
        (Some(at), true) => (at + 1) % count,
        (Some(at), false) => (at + count - 1) % count,
    }
}
