//! Every interleaving of retire, link, unlink, list and `rm`, over a model of
//! the directory: however late a step comes, all end in one live segment.
//!
//! The steps are those of `segment::directory`, `segment::create` and the
//! client's `find_or_build` and `heal`, each system call a step of its own. The
//! control leaves healing away, and ends with two live segments.

use std::collections::{BTreeMap, BTreeSet, HashSet};

type Id = usize;

/// What the file system holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Disk {
    /// Retired or not, by file.
    retired: Vec<bool>,
    /// The generation of each file.
    generation: Vec<u64>,
    /// Names: generation to file.
    names: BTreeMap<u64, Id>,
}

impl Disk {
    fn new_file(&mut self, generation: u64) -> Id {
        self.retired.push(false);
        self.generation.push(generation);
        self.retired.len() - 1
    }

    fn live(&self, id: Id) -> bool {
        !self.retired[id]
    }

    /// Live files that somebody can find.
    fn found(&self) -> Vec<Id> {
        self.names.values().copied().filter(|&id| self.live(id)).collect()
    }
}

/// Where an actor is on its way. Each variant ends with one system call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// An owner before its turn's look at its name.
    Owner { file: Id },
    /// Having found its name good: before the look for a higher live one.
    OwnerLooksHigher { file: Id },
    /// Something was wrong: before it retires its segment.
    OwnerRetires { file: Id },
    /// An owner that will grow: before the list that tells the next number.
    Grows { file: Id },
    /// Its successor is built: before the retirement.
    GrowRetires { file: Id, next: u64 },
    /// Before the link of the successor.
    GrowLinks { file: Id, next: u64 },
    /// Before it looks whether an older name leads to a retired file.
    Sweeps { file: Id },
    /// It does: before the unlink, which may come late.
    SweepUnlinks { file: Id, generation: u64 },
    /// An owner that is killed after it has retired its segment.
    DiesRetiring { file: Id },
    /// A follower.
    Follows { file: Id },
    /// Before the list of the directory.
    Searches { least: u64 },
    /// With a list in hand: before the next attach, the newest first.
    Attaches { least: u64, list: Vec<u64>, newest: u64 },
    /// Nothing lives: before the link of a new segment.
    Links { next: u64 },
    /// `rm`, or the last one out: before the list.
    Removes,
    /// Before it opens the next name.
    RemoveOpens { list: Vec<u64> },
    /// Before it retires what it has opened.
    RemoveRetires { list: Vec<u64>, file: Id },
    /// Before it looks whether the name still leads to that file.
    RemoveChecks { list: Vec<u64>, file: Id },
    /// Before the unlink, which may come late.
    RemoveUnlinks { list: Vec<u64>, generation: u64 },
    /// Gone.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    disk: Disk,
    actors: Vec<At>,
}

/// The actor's next step; the same world if it has nothing to do.
fn step(world: &World, who: usize, healing: bool) -> World {
    let mut next = world.clone();
    let disk = &mut next.disk;
    let search = |disk: &Disk, file: Id| At::Searches { least: disk.generation[file] };
    next.actors[who] = match world.actors[who].clone() {
        At::Owner { file } if !disk.live(file) => search(disk, file),
        At::Owner { file } if !healing => At::Owner { file },
        At::Owner { file } => match disk.names.get(&disk.generation[file]) {
            Some(&id) if id == file => At::OwnerLooksHigher { file },
            _ => At::OwnerRetires { file },
        },
        At::OwnerLooksHigher { file } => {
            let own = disk.generation[file];
            let higher =
                disk.names.iter().any(|(&generation, &id)| generation > own && disk.live(id));
            if higher { At::OwnerRetires { file } } else { At::Owner { file } }
        }
        At::OwnerRetires { file } => {
            disk.retired[file] = true;
            search(disk, file)
        }
        At::Grows { file } => {
            let newest = disk.names.keys().max().copied().unwrap_or(0);
            At::GrowRetires { file, next: newest.max(disk.generation[file]) + 1 }
        }
        // The exchange of the head fails if it is retired already.
        At::GrowRetires { file, .. } if !disk.live(file) => search(disk, file),
        At::GrowRetires { file, next } => {
            disk.retired[file] = true;
            At::GrowLinks { file, next }
        }
        At::GrowLinks { file, next } if disk.names.contains_key(&next) => search(disk, file),
        At::GrowLinks { next, .. } => {
            let file = disk.new_file(next);
            disk.names.insert(next, file);
            At::Sweeps { file }
        }
        At::Sweeps { file } => {
            let own = disk.generation[file];
            let stale = disk.names.iter().find(|&(&at, &id)| at < own && !disk.live(id));
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
        At::Follows { file } if !disk.live(file) => search(disk, file),
        At::Follows { file } => At::Follows { file },
        At::Searches { least } => {
            let list: Vec<u64> = disk.names.keys().rev().copied().collect();
            let newest = list.first().copied().unwrap_or(0);
            At::Attaches { least, list, newest }
        }
        At::Attaches { least, mut list, newest } => {
            if list.is_empty() {
                At::Links { next: newest.max(least) + 1 }
            } else {
                let generation = list.remove(0);
                match disk.names.get(&generation) {
                    Some(&file) if disk.live(file) => At::Follows { file },
                    _ => At::Attaches { least, list, newest },
                }
            }
        }
        At::Links { next } if disk.names.contains_key(&next) => At::Searches { least: next - 1 },
        At::Links { next } => {
            let file = disk.new_file(next);
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
    };
    next
}

/// Whether nobody has anything left to do: a whole turn of each changes
/// nothing.
fn at_rest(world: &World, healing: bool) -> bool {
    (0..world.actors.len()).all(|who| {
        let first = step(world, who, healing);
        first == *world || {
            matches!(world.actors[who], At::Owner { .. })
                && matches!(first.actors[who], At::OwnerLooksHigher { .. })
                && step(&first, who, healing) == *world
        }
    })
}

/// Every end that the actors can come to: how many segments live, and whether
/// all that are left are in one of them.
fn ends(actors: Vec<At>, healing: bool) -> (usize, BTreeSet<(usize, bool)>) {
    let mut disk = Disk::default();
    let first = disk.new_file(1);
    disk.names.insert(1, first);
    let begin = World { disk, actors };
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![begin], BTreeSet::new());
    while let Some(world) = open.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        assert!(world.disk.retired.len() < 12, "they chase each other for ever: {world:?}");
        if at_rest(&world, healing) {
            let living: Vec<Id> =
                (0..world.disk.retired.len()).filter(|&id| world.disk.live(id)).collect();
            let placed = world.actors.iter().filter_map(|at| match at {
                At::Owner { file } | At::Follows { file } => Some(*file),
                _ => None,
            });
            let together = placed.collect::<BTreeSet<_>>().len() <= 1;
            let reachable = world.disk.found() == living;
            ends.insert((living.len(), together && reachable));
            continue;
        }
        open.extend((0..world.actors.len()).map(|who| step(&world, who, healing)));
    }
    (seen.len(), ends)
}

const OLD: Id = 0;

fn scenarios() -> Vec<(&'static str, Vec<At>)> {
    let newcomer = || At::Searches { least: 0 };
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
            "two that remove beside an owner and a newcomer",
            vec![At::Owner { file: OLD }, At::Removes, At::Removes, newcomer()],
        ),
    ]
}

#[test]
fn h45_every_interleaving_ends_in_one_live_segment() {
    for (name, actors) in scenarios() {
        let (worlds, ends) = ends(actors, true);
        println!("{name}: {worlds} worlds, ends {ends:?}");
        assert!(worlds > 100, "{name}: {worlds} worlds are no test");
        // None lives where the last one was removed and nobody is left.
        assert!(ends.iter().all(|&(live, together)| live <= 1 && together), "{name}: {ends:?}");
    }
}

#[test]
fn h45_without_healing_some_end_in_two() {
    let bad = scenarios().into_iter().filter(|(_, actors)| {
        let (_, ends) = ends(actors.clone(), false);
        ends.iter().any(|&(live, together)| live > 1 || !together)
    });
    assert!(bad.count() > 0, "the model must be able to show what healing is for");
}
