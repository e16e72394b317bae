//! Every interleaving of retire, link, unlink, list and `rm`, over a model of the
//! directory. However late a step is, all actors end in one live segment. Where
//! nothing is removed, no actor receives an older map than it had, and no retired
//! segment keeps its name.
//!
//! The steps are those of `segment::directory`, `segment::create` and the client's
//! `open`, `find_or_build` and `heal`. Each system call is one step. Each control
//! leaves out one rule: without healing some interleavings end with two live
//! segments; without the rule of succession some go back to an older map; without
//! sweeping some leave a retired segment.

use std::collections::{BTreeMap, BTreeSet, HashSet};

type Id = usize;

/// The state of the file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Disk {
    /// Retired or not, by file.
    retired: Vec<bool>,
    /// The generation of each file.
    generation: Vec<u64>,
    /// How new the map of each file is; 0 = none.
    map: Vec<u64>,
    /// Names: generation to file.
    names: BTreeMap<u64, Id>,
}

impl Disk {
    fn new_file(&mut self, generation: u64, map: u64) -> Id {
        self.retired.push(false);
        self.generation.push(generation);
        self.map.push(map);
        self.retired.len() - 1
    }

    fn is_at_name(&self, id: Id) -> bool {
        self.names.get(&self.generation[id]) == Some(&id)
    }

    fn live(&self, id: Id) -> bool {
        !self.retired[id]
    }

    /// The live files that have a name.
    fn found(&self) -> Vec<Id> {
        self.names.values().copied().filter(|&id| self.live(id)).collect()
    }
}

/// The progress of an actor. Each variant ends with one system call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// An owner, before it checks its segment's name at the beginning of a turn.
    Owner { file: Id },
    /// Its name is good: before the look for a higher live segment.
    OwnerLooksHigher { file: Id },
    /// Its name is not good: before it retires its segment.
    OwnerRetires { file: Id },
    /// An owner that has to grow: before the list that gives the next number.
    Grows { file: Id },
    /// Its successor is built: before the retirement.
    GrowRetires { file: Id, next: u64 },
    /// Before the link of the successor.
    GrowLinks { file: Id, next: u64 },
    /// Before it checks whether an older name leads to a retired file.
    Sweeps { file: Id },
    /// An older name does: before the unlink, which may be late.
    SweepUnlinks { file: Id, generation: u64 },
    /// An owner that is killed after it has retired its segment.
    DiesRetiring { file: Id },
    /// A follower.
    Follows { file: Id },
    /// Before it lists the directory to succeed a retired segment. A new process has
    /// no such segment.
    Searches { of: Option<Id> },
    /// It has a list: before the next attach, newest first.
    Attaches { of: Option<Id>, list: Vec<u64>, newest: u64, retired: Option<Id> },
    /// No successor was found: before the link of a new one.
    Links { of: Option<Id>, next: u64 },
    /// `rm`, or the last attached process as it closes: before the list.
    Removes,
    /// Before it opens the next name.
    RemoveOpens { list: Vec<u64> },
    /// Before it retires the opened segment.
    RemoveRetires { list: Vec<u64>, file: Id },
    /// Before it checks whether the name still leads to that file.
    RemoveChecks { list: Vec<u64>, file: Id },
    /// Before the unlink, which may be late.
    RemoveUnlinks { list: Vec<u64>, generation: u64 },
    /// Finished.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    disk: Disk,
    actors: Vec<At>,
    /// The newest map that each actor has received.
    given: Vec<u64>,
    /// Whether an actor received an older map than it had.
    went_back: bool,
}

/// The rules that a control can leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rules {
    healing: bool,
    succession: bool,
    /// An owner that finds a higher segment unlinks its own.
    sweeping: bool,
}

const ALL: Rules = Rules { healing: true, succession: true, sweeping: true };

/// The actor's next step; the same world if it has nothing to do.
fn step(world: &World, who: usize, rules: Rules) -> World {
    let mut next = world.clone();
    next.actors[who] = act(&mut next.disk, world.actors[who].clone(), rules);
    if let At::Owner { file } | At::Follows { file } = next.actors[who] {
        let map = next.disk.map[file];
        next.went_back |= map < next.given[who];
        next.given[who] = map;
    }
    next
}

fn act(disk: &mut Disk, at: At, rules: Rules) -> At {
    let search = |file: Id| At::Searches { of: Some(file) };
    match at {
        At::Owner { file } if !disk.live(file) => search(file),
        At::Owner { file } if !rules.healing => At::Owner { file },
        At::Owner { file } => match disk.names.get(&disk.generation[file]) {
            Some(&id) if id == file => At::OwnerLooksHigher { file },
            _ => At::OwnerRetires { file },
        },
        At::OwnerLooksHigher { file } => {
            let own = disk.generation[file];
            let higher = disk.names.keys().any(|&generation| generation > own);
            if higher { At::OwnerRetires { file } } else { At::Owner { file } }
        }
        At::OwnerRetires { file } => {
            disk.retired[file] = true;
            if rules.sweeping { At::Sweeps { file } } else { search(file) }
        }
        At::Grows { file } => {
            let newest = disk.names.keys().max().copied().unwrap_or(0);
            At::GrowRetires { file, next: newest.max(disk.generation[file]) + 1 }
        }
        // The exchange of the head fails if the segment is already retired.
        At::GrowRetires { file, .. } if !disk.live(file) => search(file),
        At::GrowRetires { file, next } => {
            disk.retired[file] = true;
            At::GrowLinks { file, next }
        }
        At::GrowLinks { file, next } if disk.names.contains_key(&next) => search(file),
        At::GrowLinks { file, next } => {
            let file = disk.new_file(next, disk.map[file] + 1);
            disk.names.insert(next, file);
            At::Sweeps { file }
        }
        At::Sweeps { file } => {
            let newest = disk.names.keys().max().copied().unwrap_or(0);
            let stale = disk.names.iter().find(|&(&at, &id)| at < newest && !disk.live(id));
            match stale {
                Some((&generation, _)) => At::SweepUnlinks { file, generation },
                None => At::Owner { file },
            }
        }
        At::SweepUnlinks { file, generation } => {
            disk.names.remove(&generation);
            At::Owner { file }
        }
        At::DiesRetiring { file } => {
            disk.retired[file] = true;
            At::Done
        }
        At::Follows { file } if !disk.live(file) => search(file),
        At::Follows { file } => At::Follows { file },
        At::Searches { of } => {
            let list: Vec<u64> = disk.names.keys().rev().copied().collect();
            let newest = list.first().copied().unwrap_or(0);
            At::Attaches { of, list, newest, retired: None }
        }
        At::Attaches { of, mut list, newest, retired } => {
            let found = if list.is_empty() { None } else { Some(list.remove(0)) };
            let file = found.and_then(|generation| disk.names.get(&generation).copied());
            match file {
                Some(file) if disk.live(file) && succeeds(disk, file, of, retired, rules) => {
                    At::Follows { file }
                }
                // The search ends at the first live one.
                Some(file) if disk.live(file) => builds(disk, of, newest, retired, rules),
                _ if found.is_none() => builds(disk, of, newest, retired, rules),
                _ => At::Attaches { of, list, newest, retired: retired.or(file) },
            }
        }
        At::Links { of, next } if disk.names.contains_key(&next) => At::Searches { of },
        At::Links { of, next } => {
            let file = disk.new_file(next, of.map_or(0, |of| disk.map[of]));
            disk.names.insert(next, file);
            At::Sweeps { file }
        }
        At::Removes => At::RemoveOpens { list: disk.names.keys().copied().collect() },
        At::RemoveOpens { mut list } => {
            if list.is_empty() {
                At::Done
            } else {
                match disk.names.get(&list.remove(0)) {
                    Some(&file) => At::RemoveRetires { list, file },
                    None => At::RemoveOpens { list },
                }
            }
        }
        At::RemoveRetires { list, file } => {
            disk.retired[file] = true;
            At::RemoveChecks { list, file }
        }
        At::RemoveChecks { list, file } => {
            let generation = disk.generation[file];
            if disk.names.get(&generation) == Some(&file) {
                At::RemoveUnlinks { list, generation }
            } else {
                At::RemoveOpens { list }
            }
        }
        At::RemoveUnlinks { list, generation } => {
            disk.names.remove(&generation);
            At::RemoveOpens { list }
        }
        At::Done => At::Done,
    }
}

/// Whether a live file is a successor of `of`.
fn succeeds(disk: &Disk, file: Id, of: Option<Id>, retired: Option<Id>, rules: Rules) -> bool {
    let Some(of) = of.filter(|_| rules.succession) else { return true };
    let higher = |other: Id| disk.generation[other] > disk.generation[of];
    higher(file) || (!disk.is_at_name(of) && !retired.is_some_and(higher))
}

/// No successor: the segment that a new one is built from.
fn builds(disk: &Disk, of: Option<Id>, newest: u64, retired: Option<Id>, rules: Rules) -> At {
    let own = of.map_or(0, |of| disk.generation[of]);
    match retired.filter(|&newer| disk.generation[newer] > own && rules.succession) {
        Some(newer) => At::Searches { of: Some(newer) },
        None => At::Links { of, next: newest.max(own) + 1 },
    }
}

/// Whether no actor has work left: a whole turn of each changes nothing.
fn at_rest(world: &World, rules: Rules) -> bool {
    (0..world.actors.len()).all(|who| {
        let first = step(world, who, rules);
        first == *world || {
            matches!(world.actors[who], At::Owner { .. })
                && matches!(first.actors[who], At::OwnerLooksHigher { .. })
                && step(&first, who, rules) == *world
        }
    })
}

/// A possible final state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    /// The number of live segments.
    live: usize,
    /// Whether all remaining actors use one segment that has a name.
    together: bool,
    /// Whether an actor received an older map than it had.
    went_back: bool,
    /// The number of names that lead to retired segments.
    astray: usize,
}

/// Every final state, and the number of worlds visited.
fn ends(actors: Vec<At>, rules: Rules) -> (usize, BTreeSet<End>) {
    let mut disk = Disk::default();
    let first = disk.new_file(1, 1);
    disk.names.insert(1, first);
    let given = vec![0; actors.len()];
    let begin = World { disk, actors, given, went_back: false };
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![begin], BTreeSet::new());
    while let Some(world) = open.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        assert!(world.disk.retired.len() < 12, "the actors never finish: {world:?}");
        if at_rest(&world, rules) {
            let living: Vec<Id> =
                (0..world.disk.retired.len()).filter(|&id| world.disk.live(id)).collect();
            let placed = world.actors.iter().filter_map(|at| match at {
                At::Owner { file } | At::Follows { file } => Some(*file),
                _ => None,
            });
            let together = placed.collect::<BTreeSet<_>>().len() <= 1;
            let reachable = world.disk.found() == living;
            let (live, together) = (living.len(), together && reachable);
            let retired = world.disk.names.values().filter(|&&id| !world.disk.live(id));
            ends.insert(End {
                live,
                together,
                went_back: world.went_back,
                astray: retired.count(),
            });
            continue;
        }
        open.extend((0..world.actors.len()).map(|who| step(&world, who, rules)));
    }
    (seen.len(), ends)
}

const OLD: Id = 0;

fn scenarios() -> Vec<(&'static str, Vec<At>)> {
    let newcomer = || At::Searches { of: None };
    let follower = || At::Follows { file: OLD };
    vec![
        ("growth beside rm and a newcomer", vec![At::Grows { file: OLD }, At::Removes, newcomer()]),
        ("growth beside rm and a follower", vec![At::Grows { file: OLD }, At::Removes, follower()]),
        (
            "an owner killed while it grows, two followers, a newcomer",
            vec![At::DiesRetiring { file: OLD }, follower(), follower(), newcomer()],
        ),
        (
            "an owner under rm beside a follower and a newcomer",
            vec![At::Owner { file: OLD }, At::Removes, follower(), newcomer()],
        ),
        (
            "two removals beside an owner and a newcomer",
            vec![At::Owner { file: OLD }, At::Removes, At::Removes, newcomer()],
        ),
        (
            "growth beside two followers and a newcomer",
            vec![At::Grows { file: OLD }, follower(), follower(), newcomer()],
        ),
    ]
}

#[test]
fn h45_every_interleaving_ends_in_one_live_segment() {
    for (name, actors) in scenarios() {
        let removed = actors.contains(&At::Removes);
        let (worlds, ends) = ends(actors, ALL);
        println!("{name}: {worlds} worlds, ends {ends:?}");
        assert!(worlds > 100, "{name}: only {worlds} worlds");
        // No segment lives where the last one was removed and no actor is left.
        assert!(ends.iter().all(|end| end.live <= 1 && end.together), "{name}: {ends:?}");
        assert!(ends.iter().all(|end| end.astray == 0), "{name}: {ends:?}");
        // After a removal a new process may start with an empty map.
        assert!(removed || ends.iter().all(|end| !end.went_back), "{name}: {ends:?}");
    }
}

#[test]
fn h45_without_healing_some_end_in_two() {
    let bad = scenarios().into_iter().filter(|(_, actors)| {
        let (_, ends) = ends(actors.clone(), Rules { healing: false, ..ALL });
        ends.iter().any(|end| end.live > 1 || !end.together)
    });
    assert!(bad.count() > 0, "without healing the model must fail");
}

#[test]
fn h45_without_sweeping_some_leave_a_retired_segment() {
    let bad = scenarios().into_iter().filter(|(_, actors)| {
        let (_, ends) = ends(actors.clone(), Rules { sweeping: false, ..ALL });
        ends.iter().any(|end| end.astray > 0)
    });
    assert!(bad.count() > 0, "without sweeping the model must fail");
}

#[test]
fn h45_without_the_rule_of_succession_some_go_back() {
    let kept = scenarios().into_iter().filter(|(_, actors)| !actors.contains(&At::Removes));
    let bad = kept.filter(|(_, actors)| {
        let (_, ends) = ends(actors.clone(), Rules { succession: false, ..ALL });
        ends.iter().any(|end| end.went_back)
    });
    assert!(bad.count() > 0, "without the rule the model must fail");
}
