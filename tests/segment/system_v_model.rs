//! Every interleaving of the steps by which System V segments succeed each other,
//! with a creator that may die after any of them. No attached process receives an
//! older map than it had, and all actors end in one live segment.
//!
//! A key belongs to one segment at a time, so the old segment gives it up before the
//! new one gets it. The steps are those of `segment::system_v` and of the client's
//! `open`, `find_or_build` and `heal`. Each system call is one step. Each control
//! leaves out one rule; some interleavings then go back to an older map, or never
//! finish.

use std::collections::{BTreeSet, HashMap};

type Id = usize;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Segment {
    generation: u64,
    /// The version of its map; 0 = none.
    map: u64,
    retired: bool,
    /// Whether its magic is stored.
    whole: bool,
    /// Whether its lock file is there.
    lock: bool,
}

/// The progress of an actor. Each variant ends with one system call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// An owner at the beginning of its turn.
    Owner { file: Id },
    /// An owner that has to grow, before it retires its segment.
    Grows { file: Id },
    /// A follower.
    Follows { file: Id },
    /// Before it asks which segment has the key. A new process has no segment yet.
    Searches { of: Option<Id> },
    /// Before it lists the segments without a key.
    Lists { of: Option<Id>, keyed: Option<Id> },
    /// Before the creation lock.
    Builds { of: Option<Id>, next: u64 },
    /// Under the creation lock, before it creates a segment with the key.
    Makes { of: Option<Id>, next: u64 },
    /// Another segment has the key: before the look at it.
    Clears { of: Option<Id>, next: u64 },
    /// Before it takes the key from a segment that is not valid.
    Removes { of: Option<Id>, next: u64, id: Id },
    /// It has the key: before it checks whether it is late.
    Checks { of: Option<Id>, made: Id },
    /// Before the magic.
    Fills { of: Option<Id>, made: Id },
    /// Before it removes the lock files of the segments that it has succeeded.
    Sweeps { file: Id },
    /// Finished.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    segments: Vec<Segment>,
    key: Option<Id>,
    /// The actor that holds the creation lock.
    creator: Option<usize>,
    actors: Vec<At>,
    /// The newest map that each actor has received.
    given: Vec<u64>,
    went_back: bool,
}

/// The rules that a control can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    /// Segments without a key are found by their lock files.
    keyless: bool,
    /// A creator that has the key looks for a newer segment without one.
    late: bool,
    /// The key is never taken from a newer segment.
    newer: bool,
    /// The lock file of a segment that is in use stays.
    used: bool,
}

const ALL: Rules = Rules { keyless: true, late: true, newer: true, used: true };

impl World {
    /// The segment whose memory an actor has mapped.
    fn mapped(&self, at: &At) -> Option<Id> {
        match *at {
            At::Owner { file } | At::Grows { file } | At::Follows { file } => Some(file),
            At::Sweeps { file } => Some(file),
            At::Searches { of } | At::Lists { of, .. } | At::Builds { of, .. } => of,
            At::Makes { of, .. } | At::Clears { of, .. } | At::Removes { of, .. } => of,
            At::Checks { of, .. } | At::Fills { of, .. } => of,
            At::Done => None,
        }
    }

    /// The segments without a key that can still be found.
    fn keyless(&self, rules: Rules) -> Vec<Id> {
        let mapped: BTreeSet<Id> = self.actors.iter().filter_map(|at| self.mapped(at)).collect();
        let there = |id: &Id| {
            let segment = &self.segments[*id];
            segment.whole && segment.lock && self.key != Some(*id) && mapped.contains(id)
        };
        (0..self.segments.len()).filter(|_| rules.keyless).filter(there).collect()
    }

    fn generation(&self, id: Option<Id>) -> u64 {
        id.map_or(0, |id| self.segments[id].generation)
    }

    fn owned(&self, id: Id) -> bool {
        let owns = |at: &At| match *at {
            At::Owner { file } | At::Grows { file } | At::Sweeps { file } => file == id,
            _ => false,
        };
        self.actors.iter().any(owns)
    }

    fn live(&self, id: Id) -> bool {
        let segment = &self.segments[id];
        segment.whole && !segment.retired
    }

    /// A step of one actor.
    fn step(&self, who: usize, rules: Rules) -> World {
        let mut next = self.clone();
        next.actors[who] = next.act(who, self.actors[who].clone(), rules);
        let creates = matches!(
            next.actors[who],
            At::Makes { .. }
                | At::Clears { .. }
                | At::Removes { .. }
                | At::Checks { .. }
                | At::Fills { .. }
        );
        next.creator = next.creator.filter(|&creator| creator != who || creates);
        let shown = match next.actors[who] {
            At::Owner { file } | At::Follows { file } => Some(file),
            _ => None,
        };
        if let Some(file) = shown {
            let map = next.segments[file].map;
            next.went_back |= map < next.given[who];
            next.given[who] = map;
        }
        next
    }

    fn act(&mut self, who: usize, at: At, rules: Rules) -> At {
        let search = |file| At::Searches { of: Some(file) };
        match at {
            At::Owner { file } | At::Follows { file } | At::Grows { file } if !self.live(file) => {
                search(file)
            }
            At::Owner { file } => {
                let own = self.segments[file].generation;
                let higher = |&id: &Id| self.segments[id].generation > own;
                if self.key != Some(file) || self.keyless(rules).iter().any(higher) {
                    self.segments[file].retired = true;
                    return search(file);
                }
                At::Owner { file }
            }
            // It would take over, and finds that no name leads to the segment any
            // more.
            At::Follows { file } if self.key != Some(file) && !self.owned(file) => {
                self.segments[file].retired = true;
                search(file)
            }
            At::Follows { file } => At::Follows { file },
            At::Grows { file } => {
                self.segments[file].retired = true;
                At::Builds { of: Some(file), next: self.segments[file].generation + 1 }
            }
            At::Searches { of } => {
                At::Lists { of, keyed: self.key.filter(|&id| self.segments[id].whole) }
            }
            At::Lists { of, keyed } => self.decide(of, keyed, rules),
            At::Builds { of, next } => match self.creator {
                Some(_) => At::Builds { of, next },
                None => {
                    self.creator = Some(who);
                    At::Makes { of, next }
                }
            },
            At::Makes { of, next } => {
                if self.key.is_some() {
                    return At::Clears { of, next };
                }
                let map = of.map_or(0, |of| self.segments[of].map);
                self.segments.push(Segment {
                    generation: next,
                    map,
                    retired: false,
                    whole: false,
                    lock: true,
                });
                self.key = Some(self.segments.len() - 1);
                At::Checks { of, made: self.segments.len() - 1 }
            }
            At::Clears { of, next } => match self.key {
                None => At::Makes { of, next },
                Some(id) if !self.segments[id].whole => At::Removes { of, next, id },
                Some(id) if rules.newer && self.segments[id].generation >= next => {
                    At::Searches { of }
                }
                Some(id) if self.segments[id].retired => At::Removes { of, next, id },
                Some(id) if !self.owned(id) => {
                    self.segments[id].retired = true;
                    self.segments[id].lock = false;
                    At::Removes { of, next, id }
                }
                Some(_) => At::Searches { of },
            },
            At::Removes { of, next, id } => {
                self.key = self.key.filter(|&key| key != id);
                At::Makes { of, next }
            }
            At::Checks { of, made } => {
                let own = self.segments[made].generation;
                let newer = |&id: &Id| self.segments[id].generation >= own;
                if rules.late && self.keyless(rules).iter().any(newer) {
                    self.key = None;
                    self.segments[made].lock = false;
                    return At::Searches { of };
                }
                At::Fills { of, made }
            }
            At::Fills { made, .. } => {
                self.segments[made].whole = true;
                At::Sweeps { file: made }
            }
            At::Sweeps { file } => {
                let mapped: BTreeSet<Id> =
                    self.actors.iter().filter_map(|at| self.mapped(at)).collect();
                let used = |id| rules.used && mapped.contains(&id);
                for id in (0..self.segments.len()).filter(|&id| self.key != Some(id)) {
                    let lower = self.segments[id].generation < self.segments[file].generation;
                    self.segments[id].lock &= used(id) || !lower;
                }
                // Its first publication there.
                self.segments[file].map += 1;
                At::Owner { file }
            }
            At::Done => At::Done,
        }
    }

    /// It has seen every segment: the newest live one is followed; otherwise the
    /// newest retired one is succeeded.
    fn decide(&self, of: Option<Id>, keyed: Option<Id>, rules: Rules) -> At {
        let own = self.generation(of);
        let mut there = self.keyless(rules);
        // The segment that had the key at that time may be gone by now.
        there.extend(keyed.filter(|&id| self.key == Some(id)));
        there.sort_by_key(|&id| std::cmp::Reverse(self.segments[id].generation));
        let newest = there.first().map_or(0, |&id| self.segments[id].generation);
        let live = there.iter().copied().find(|&id| self.live(id) && Some(id) != of);
        let retired = there.iter().copied().find(|&id| !self.live(id));
        let higher = |id: Id| self.segments[id].generation > own;
        let found =
            of.is_none_or(|of| self.key == Some(of) || (rules.keyless && self.segments[of].lock));
        match (live, retired) {
            (Some(file), _) if of.is_none() || higher(file) => At::Follows { file },
            (Some(file), retired) if !found && !retired.is_some_and(higher) => At::Follows { file },
            (_, Some(newer)) if of.is_none() || higher(newer) => At::Searches { of: Some(newer) },
            _ => At::Builds { of, next: newest.max(own) + 1 },
        }
    }
}

/// Whether no actor has work left.
fn at_rest(world: &World, rules: Rules) -> bool {
    (0..world.actors.len()).all(|who| world.step(who, rules) == *world)
}

/// The result of all interleavings.
#[derive(Clone, Copy, Debug)]
struct Ends {
    worlds: usize,
    /// Whether actors ended in several segments, or in a retired one, or can never
    /// finish.
    apart: bool,
    /// Whether an actor received an older map than it had.
    went_back: bool,
}

/// The possible next worlds. The mortal actor may die, and, with few actors, grow a
/// second time.
fn nexts(world: &World, rules: Rules) -> Vec<World> {
    let mut nexts: Vec<World> = (0..world.actors.len()).map(|who| world.step(who, rules)).collect();
    let mortal = &world.actors[MORTAL];
    if *mortal != At::Done {
        let mut dead = world.clone();
        dead.actors[MORTAL] = At::Done;
        dead.creator = dead.creator.filter(|&creator| creator != MORTAL);
        nexts.push(dead);
    }
    if let At::Owner { file } = *mortal {
        if world.segments[file].generation == 2 && world.actors.len() < 4 {
            let mut again = world.clone();
            again.actors[MORTAL] = At::Grows { file };
            nexts.push(again);
        }
    }
    nexts
}

/// Every interleaving.
fn explore(actors: Vec<At>, rules: Rules) -> Ends {
    let first = Segment { generation: 1, map: 5, retired: false, whole: true, lock: true };
    let given = vec![0; actors.len()];
    let (key, creator, segments) = (Some(OLD), None, vec![first]);
    let begin = World { segments, key, creator, actors, given, went_back: false };
    let mut numbers = HashMap::from([(begin.clone(), 0)]);
    let (mut open, mut before) = (vec![(0, begin)], vec![Vec::new()]);
    let (mut rests, mut apart, mut went_back) = (Vec::new(), false, false);
    while let Some((number, world)) = open.pop() {
        assert!(world.segments.len() < 12, "the actors never finish: {world:?}");
        went_back |= world.went_back;
        if at_rest(&world, rules) {
            rests.push(number);
            let placed: BTreeSet<Id> =
                world.actors.iter().filter_map(|at| world.mapped(at)).collect();
            apart |= placed.len() > 1 || placed.iter().any(|&id| !world.live(id));
        }
        for next in nexts(&world, rules) {
            let fresh = before.len();
            let at = *numbers.entry(next.clone()).or_insert(fresh);
            if at == fresh {
                before.push(Vec::new());
                open.push((at, next));
            }
            before[at].push(number);
        }
    }
    // The worlds from which a final state can be reached.
    let mut ends = vec![false; before.len()];
    while let Some(number) = rests.pop() {
        if !std::mem::replace(&mut ends[number], true) {
            rests.extend(&before[number]);
        }
    }
    apart |= ends.contains(&false);
    Ends { worlds: before.len(), apart, went_back }
}

/// The actor that may die.
const MORTAL: usize = 0;
const OLD: Id = 0;

/// The first of each may die after any of its steps, and, with few actors, grow a
/// second time.
fn scenarios() -> Vec<(&'static str, Vec<At>)> {
    let newcomer = || At::Searches { of: None };
    let follower = || At::Follows { file: OLD };
    let grows = || At::Grows { file: OLD };
    vec![
        ("growth beside a follower and a newcomer", vec![grows(), follower(), newcomer()]),
        (
            "growth beside a follower and two newcomers",
            vec![grows(), follower(), newcomer(), newcomer()],
        ),
        (
            "growth beside two followers and a newcomer",
            vec![grows(), follower(), follower(), newcomer()],
        ),
        (
            "a newcomer that may die beside growth and a follower",
            vec![newcomer(), grows(), follower()],
        ),
        (
            "a follower that builds late beside growth",
            vec![grows(), At::Builds { of: Some(OLD), next: 2 }, follower()],
        ),
        (
            "a newcomer that makes late beside growth and a follower",
            vec![grows(), At::Builds { of: None, next: 1 }, follower()],
        ),
    ]
}

#[test]
fn h83_every_interleaving_ends_in_one_segment_and_nobody_goes_back() {
    for (name, actors) in scenarios() {
        let ends = explore(actors, ALL);
        println!("{name}: {ends:?}");
        assert!(ends.worlds > 100, "{name}: too few worlds: {ends:?}");
        assert!(!ends.went_back && !ends.apart, "{name}: {ends:?}");
    }
}

#[test]
fn h83_without_any_of_the_rules_some_go_back_or_stay_apart() {
    for rules in [
        Rules { keyless: false, ..ALL },
        Rules { late: false, ..ALL },
        Rules { newer: false, late: false, ..ALL },
        Rules { used: false, ..ALL },
    ] {
        let badly = |(name, actors): (_, Vec<At>)| {
            let ends = explore(actors, rules);
            (ends.went_back || ends.apart).then(|| println!("{rules:?}: {name}: {ends:?}"))
        };
        let few = |(_, actors): &(_, Vec<At>)| actors.len() < 4;
        let bad = scenarios().into_iter().filter(few).filter_map(badly).count();
        assert!(bad > 0, "{rules:?}: without the rule the model must fail");
    }
}
