//! What is wrong with a segment, from what was seen of it.

use core::time::Duration;

use super::super::header::{Header, ShapeError};
use super::clients::{AttachedClient, ClientLayout};
use super::compare::differences;
use super::finding::{Note, Problem};
use super::picture::Picture;
use crate::map::ClusterMap;

/// When official clients take over by default.
const THRESHOLD: Duration = Duration::from_secs(30);
/// The bits of a slot's lock.
const WRITER: u32 = 1 << 31;
const LATCH: u32 = 1 << 30;
const READERS: u32 = LATCH - 1;

/// What became of the owner that the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// The header names none.
    Nobody,
    /// It lives and has the segment mapped.
    Alive,
    /// There is a process of that pid, which does not have the segment mapped.
    Unmapped,
    /// There is a process of that pid, which can't be examined.
    Hidden,
    /// There is no process of that pid in this pid namespace.
    Absent,
    /// It is the pid that counts as alive for every process.
    Always,
}

/// The owner that the header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its pid.
    pub pid: u32,
    /// What became of it.
    pub state: OwnerState,
    /// The name of the program that has the pid, if that can be seen.
    pub program: Option<String>,
}

/// A lock that was held at every look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldLock {
    /// The lock of takeovers.
    TakeOver,
    /// A slot's lock.
    Slot {
        /// The slot.
        slot: usize,
        /// Whether it is locked for writing.
        writer: bool,
        /// How many readers are in it at least.
        readers: u32,
    },
}

/// What was seen of a segment, of one or several looks.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The segment's key; 0 if it was removed.
    pub key: u32,
    /// Mappings of all other processes.
    pub mappings: u64,
    /// The last look.
    pub picture: Picture,
    /// The timestamps of all looks, oldest first.
    pub timestamps: Vec<u64>,
    /// The locks that were held at every look.
    pub held: Vec<HeldLock>,
    /// The clock after the last look, in milliseconds.
    pub now_ms: u64,
    /// The owner according to the header.
    pub owner: Owner,
    /// Whether a mirror of tendmap fills it; `None` = not known.
    pub mirror: Option<bool>,
    /// The processes that have it mapped.
    pub clients: Vec<AttachedClient>,
    /// What clients are configured with as `shm_max_nodes`.
    pub client_max_nodes: usize,
}

/// The locks that one look shows held.
pub fn held(picture: &Picture) -> Vec<HeldLock> {
    let take_over = (picture.header.take_over_lock != 0).then_some(HeldLock::TakeOver);
    let slots = picture.nodes.iter().enumerate().filter_map(|(slot, node)| {
        let (writer, readers) = (node.lock & (WRITER | LATCH) != 0, node.lock & READERS);
        (node.lock != 0).then_some(HeldLock::Slot { slot, writer, readers })
    });
    take_over.into_iter().chain(slots).collect()
}

/// The locks that were held at an earlier time and at a look after it.
pub fn still_held(before: &[HeldLock], now: &[HeldLock]) -> Vec<HeldLock> {
    let both = |a: &HeldLock, b: &HeldLock| match (*a, *b) {
        (HeldLock::TakeOver, HeldLock::TakeOver) => Some(HeldLock::TakeOver),
        (
            HeldLock::Slot { slot, writer, readers },
            HeldLock::Slot { slot: other, writer: still, readers: left },
        ) if slot == other => {
            let (writer, readers) = (writer && still, readers.min(left));
            (writer || readers != 0).then_some(HeldLock::Slot { slot, writer, readers })
        }
        _ => None,
    };
    before.iter().filter_map(|old| now.iter().find_map(|new| both(old, new))).collect()
}

impl Evidence {
    /// How long ago it was tended last; negative: the timestamp is ahead.
    fn age(&self, header: &Header) -> Result<Duration, Duration> {
        let ms = self.now_ms.checked_sub(header.timestamp);
        ms.map(Duration::from_millis)
            .ok_or_else(|| Duration::from_millis(header.timestamp.saturating_sub(self.now_ms)))
    }

    /// Whether somebody tended between two looks.
    fn is_tended(&self) -> bool {
        self.timestamps.windows(2).any(|pair| pair[0] != pair[1])
    }

    /// How many mappings belong to processes that can't be seen.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        let seen: usize = self.clients.iter().map(|client| client.mappings).sum();
        self.mappings.saturating_sub(seen as u64)
    }

    fn node(&self, slot: usize) -> String {
        self.picture.nodes.get(slot).map_or_else(String::new, |node| node.name.clone())
    }

    fn owner_problem(&self, notes: &mut Vec<Note>) -> Option<Problem> {
        let header = &self.picture.header;
        let Owner { pid, state, ref program } = self.owner;
        let age = match self.age(header) {
            Ok(age) => age,
            Err(_) if state == OwnerState::Nobody => Duration::ZERO,
            Err(ahead) => return Some(Problem::Ahead { ahead }),
        };
        // A mirror that lives tends whatever the pid is, as long as it can.
        let lives = self.mirror == Some(true);
        match state {
            OwnerState::Nobody if self.mappings == 0 => {
                notes.push(Note::Unused);
                None
            }
            OwnerState::Nobody => Some(Problem::NoOwner { age }),
            OwnerState::Always if !lives && self.mirror.is_some() => Some(Problem::MirrorGone),
            OwnerState::Absent | OwnerState::Unmapped if self.is_tended() => {
                notes.push(Note::OwnerElsewhere { pid });
                None
            }
            OwnerState::Hidden if self.unseen() != 0 || self.is_tended() => {
                notes.push(Note::OwnerElsewhere { pid });
                (age > THRESHOLD).then_some(Problem::Stale { pid, age })
            }
            OwnerState::Absent => Some(Problem::OwnerGone { pid, age }),
            // All mappings are those of others.
            OwnerState::Unmapped | OwnerState::Hidden => {
                let program = program.clone().unwrap_or_else(|| "unknown".to_owned());
                Some(Problem::OwnerReplaced { pid, program })
            }
            OwnerState::Alive | OwnerState::Always => {
                (age > THRESHOLD).then_some(Problem::Stale { pid, age })
            }
        }
    }

    fn client_problems(&self, problems: &mut Vec<Problem>, notes: &mut Vec<Note>) {
        let unseen = self.unseen();
        if unseen != 0 {
            notes.push(Note::Unseen { mappings: unseen });
        }
        let Some(found) = self.picture.layout else { return };
        for client in &self.clients {
            let described = || client.describe();
            match client.layout {
                ClientLayout::Known(wanted) => {
                    let fits = match self.picture.layout_is_certain {
                        true => wanted == found,
                        false => self.picture.layouts.contains(&wanted),
                    };
                    if !fits {
                        let client = described();
                        problems.push(Problem::WrongLayout { client, found, wanted });
                    }
                }
                ClientLayout::Newer => notes.push(Note::NewerClient { client: described() }),
                ClientLayout::Unknown => {}
            }
        }
        let says = |client: &AttachedClient| matches!(client.layout, ClientLayout::Known(_));
        if !self.picture.layout_is_certain && !self.clients.iter().any(says) {
            notes.push(Note::LayoutUncertain { read_as: found });
        }
    }

    fn lock_problem(&self, held: HeldLock) -> Problem {
        match held {
            HeldLock::TakeOver => Problem::TakeOverLock,
            HeldLock::Slot { slot, writer: true, .. } => {
                Problem::SlotWriter { slot, node: self.node(slot) }
            }
            HeldLock::Slot { slot, readers, .. } => {
                Problem::SlotReaders { slot, node: self.node(slot), readers }
            }
        }
    }

    fn content_problems(&self, problems: &mut Vec<Problem>) {
        let picture = &self.picture;
        let used = picture.nodes.len();
        if used > self.client_max_nodes {
            problems.push(Problem::TooManyNodes { used });
        }
        let active = || picture.nodes.iter().enumerate().filter(|(_, node)| node.active);
        for (slot, node) in active() {
            if node.address.is_none_or(|address| address.port() == 0) {
                problems.push(Problem::NoAddress { slot, node: node.name.clone() });
            }
            let second = active().find(|(other, twin)| *other > slot && twin.name == node.name);
            if let Some((second, _)) = second {
                problems.push(Problem::Twice { node: node.name.clone(), first: slot, second });
            }
        }
        for table in &picture.tables {
            let (faults, namespace) = (picture.faults(table), || table.name.clone());
            if faults.holes != 0 {
                problems.push(Problem::Holes { namespace: namespace(), holes: faults.holes });
            }
            if faults.inactive != 0 {
                let (namespace, partitions) = (namespace(), faults.inactive);
                problems.push(Problem::InactiveHolder { namespace, partitions });
            }
            if faults.nonexistent != 0 {
                let (namespace, partitions) = (namespace(), faults.nonexistent);
                problems.push(Problem::NonexistentHolder { namespace, partitions });
            }
        }
    }
}

/// What is wrong, and what else is worth knowing. `map` is tendmap's own map, if it
/// has one.
#[must_use]
pub fn judge(evidence: &Evidence, map: Option<&ClusterMap>) -> (Vec<Problem>, Vec<Note>) {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let Evidence { key, mappings, ref picture, .. } = *evidence;
    let pid = evidence.owner.pid;
    match picture.error {
        Some(ShapeError::Empty) => problems.push(Problem::NotReady { pid }),
        Some(error) => problems.push(Problem::Shape { error }),
        None if picture.header.ready == 0 => problems.push(Problem::NotReady { pid }),
        None => {}
    }
    if key == 0 && mappings != 0 {
        problems.push(Problem::Removed { mappings });
    }
    if picture.layout.is_some() && picture.header.ready != 0 {
        problems.extend(evidence.owner_problem(&mut notes));
        problems.extend(evidence.held.iter().map(|&held| evidence.lock_problem(held)));
        evidence.content_problems(&mut problems);
        if let Some(map) = map {
            match differences(picture, map) {
                Some(found) => problems.extend(found.into_iter().map(Problem::Differs)),
                None => notes.push(Note::OtherCluster),
            }
        }
    }
    evidence.client_problems(&mut problems, &mut notes);
    (problems, notes)
}

#[cfg(test)]
mod tests {
    use super::super::super::layout::{Layout, Shape};
    use super::super::compare::tests::map;
    use super::super::picture::tests::{healthy, put};
    use super::*;
    use crate::c_client::header;
    use proptest::prelude::*;

    fn evidence(bytes: &[u8]) -> Evidence {
        let picture = Picture::of(bytes, bytes.len());
        Evidence {
            key: 0xa900_0000,
            mappings: 1,
            timestamps: vec![picture.header.timestamp; 2],
            held: still_held(&held(&picture), &held(&picture)),
            now_ms: 101_000,
            owner: Owner { pid: 77, state: OwnerState::Alive, program: Some("python3".into()) },
            mirror: None,
            clients: vec![client("7.4.0", ClientLayout::Known(Layout::E))],
            client_max_nodes: 16,
            picture,
        }
    }

    fn client(version: &str, layout: ClientLayout) -> AttachedClient {
        AttachedClient {
            pid: 77,
            mappings: 1,
            program: Some("python3".into()),
            library: None,
            version: Some(version.into()),
            layout,
        }
    }

    fn kinds(evidence: &Evidence) -> Vec<&'static str> {
        judge(evidence, None).0.iter().map(Problem::kind).collect()
    }

    #[test]
    fn a_healthy_segment_has_no_problem() {
        let (_, bytes) = healthy(Layout::E);
        assert_eq!(judge(&evidence(&bytes), Some(&map())), (Vec::new(), Vec::new()));
    }

    #[test]
    fn each_state_of_the_owner_is_judged() {
        let (_, bytes) = healthy(Layout::E);
        let with = |state, mirror, later: u64, tended: bool| {
            let mut evidence = evidence(&bytes);
            (evidence.owner.state, evidence.mirror) = (state, mirror);
            evidence.now_ms += later;
            evidence.timestamps[0] -= u64::from(tended);
            kinds(&evidence)
        };
        use OwnerState::*;
        let none: [&str; 0] = [];
        assert_eq!(with(Alive, None, 20_000, false), none);
        assert_eq!(with(Alive, None, 40_000, false), ["stale"]);
        assert_eq!(with(Hidden, None, 0, true), none);
        assert_eq!(with(Hidden, None, 0, false), ["owner_replaced"], "no mapping is left for it");
        let mut hidden = evidence(&bytes);
        (hidden.owner.state, hidden.mappings) = (Hidden, 2);
        let notes = vec![Note::OwnerElsewhere { pid: 77 }, Note::Unseen { mappings: 1 }];
        assert_eq!(judge(&hidden, None), (vec![], notes));
        assert_eq!(with(Absent, None, 0, false), ["owner_gone"]);
        assert_eq!(with(Absent, None, 0, true), none);
        assert_eq!(with(Unmapped, None, 0, false), ["owner_replaced"]);
        assert_eq!(with(Unmapped, None, 0, true), none);
        assert_eq!(with(Always, Some(true), 0, false), none);
        assert_eq!(with(Always, Some(false), 0, false), ["mirror_gone"]);
        assert_eq!(with(Always, None, 0, false), none);
        assert_eq!(with(Nobody, None, 0, false), ["no_owner"]);
        let mut unused = evidence(&bytes);
        (unused.owner.state, unused.mappings, unused.clients) = (Nobody, 0, vec![]);
        assert_eq!(judge(&unused, None), (vec![], vec![Note::Unused]));
        let mut ahead = evidence(&bytes);
        ahead.now_ms = 99_000;
        assert_eq!(kinds(&ahead), ["ahead"]);
    }

    #[test]
    fn a_client_of_another_layout_is_reported() {
        let (_, bytes) = healthy(Layout::E);
        let with = |version, layout| {
            let mut evidence = evidence(&bytes);
            evidence.clients = vec![client(version, layout)];
            judge(&evidence, None)
        };
        let (problems, _) = with("7.6.1", ClientLayout::Known(Layout::F));
        let text = problems[0].to_string();
        assert!(
            text.starts_with("has layout E, and process 77 (python3, C client 7.6.1)"),
            "{text}"
        );
        let (problems, _) = with("6.3.0", ClientLayout::Known(Layout::D));
        assert_eq!(problems[0].kind(), "wrong_layout");
        let (problems, notes) = with("9.0.0", ClientLayout::Newer);
        assert!(problems.is_empty() && matches!(notes[0], Note::NewerClient { .. }), "{notes:?}");
        // With one replica, D and E look the same.
        let (shape, mut bytes) = healthy(Layout::E);
        bytes[shape.replica_size(0).unwrap()] = 1;
        let mut uncertain = evidence(&bytes);
        uncertain.clients = vec![client("6.3.0", ClientLayout::Known(Layout::D))];
        assert_eq!(kinds(&uncertain), [""; 0]);
        (uncertain.clients, uncertain.mappings) = (Vec::new(), 3);
        let notes = judge(&uncertain, None).1;
        let wanted = [Note::Unseen { mappings: 3 }, Note::LayoutUncertain { read_as: Layout::E }];
        assert_eq!(notes, wanted);
    }

    #[test]
    fn only_locks_that_stay_held_are_reported() {
        let (shape, mut bytes) = healthy(Layout::E);
        put(&mut bytes, header::TAKE_OVER_LOCK, 1);
        put(&mut bytes, shape.slot_lock(0), WRITER | LATCH);
        put(&mut bytes, shape.slot_lock(1), 3);
        let before = held(&Picture::of(&bytes, bytes.len()));
        assert_eq!(before.len(), 3);
        assert_eq!(kinds(&evidence(&bytes)), ["take_over_lock", "slot_writer", "slot_readers"]);
        put(&mut bytes, header::TAKE_OVER_LOCK, 0);
        put(&mut bytes, shape.slot_lock(0), 1);
        put(&mut bytes, shape.slot_lock(1), 2);
        let now = held(&Picture::of(&bytes, bytes.len()));
        let left = [HeldLock::Slot { slot: 1, writer: false, readers: 2 }];
        assert_eq!(still_held(&before, &now), left);
        assert_eq!(still_held(&now, &[]), []);
    }

    #[test]
    fn each_fault_of_the_content_is_reported_in_one_line() {
        type Change = fn(Shape, &mut Vec<u8>);
        let faults: [(&str, Change); 10] = [
            ("not_ready", |_, bytes| bytes[header::READY] = 0),
            ("not_ready", |_, bytes| bytes[8..48].fill(0)),
            ("shape", |_, bytes| put(bytes, header::PARTITION_COUNT, 4097)),
            ("holes", |shape, bytes| put(bytes, shape.holder(0, 9, 0), 0)),
            ("inactive_holder", |shape, bytes| bytes[shape.active(0)] = 0),
            ("nonexistent_holder", |shape, bytes| put(bytes, shape.holder(0, 9, 2), 3)),
            ("no_address", |shape, bytes| bytes[shape.address(0)] = 0),
            ("no_address", |shape, bytes| bytes[shape.address(0) + 2..][..2].fill(0)),
            ("twice", |shape, bytes| bytes[shape.name(1) + 14] = b'0'),
            ("differs", |shape, bytes| put(bytes, shape.holder(0, 9, 0), 1)),
        ];
        for (kind, change) in faults {
            let (shape, mut bytes) = healthy(Layout::E);
            change(shape, &mut bytes);
            let map = (kind == "differs").then(map);
            let (problems, _) = judge(&evidence(&bytes), map.as_ref());
            let found: Vec<_> = problems.iter().map(Problem::kind).collect();
            assert_eq!(found, [kind]);
            let text = problems[0].to_string();
            assert!(!text.contains('\n') && text.len() > 60, "{text}");
        }
        let (_, bytes) = healthy(Layout::E);
        let mut small = evidence(&bytes);
        small.client_max_nodes = 1;
        assert_eq!(kinds(&small), ["too_many_nodes"]);
        let mut removed = evidence(&bytes);
        removed.key = 0;
        assert_eq!(kinds(&removed), ["removed"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_bytes_are_judged(
            seed in any::<u64>(),
            layout in proptest::sample::select(&Layout::ALL[..]),
            kept in 0usize..header::HEADER_BYTES + 1,
            now_ms in any::<u64>(),
        ) {
            let (_, mut bytes) = healthy(layout);
            let mut random = fastrand::Rng::with_seed(seed);
            bytes[kept..].iter_mut().for_each(|byte| *byte = random.u8(..));
            let mut evidence = evidence(&bytes);
            evidence.now_ms = now_ms;
            let (problems, notes) = judge(&evidence, Some(&map()));
            prop_assert!(!problems.is_empty());
            let texts = problems.iter().map(ToString::to_string);
            for text in texts.chain(notes.iter().map(ToString::to_string)) {
                prop_assert!(text.chars().all(crate::text::is_printable), "{text:?}");
            }
        }
    }
}
