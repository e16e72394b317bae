//! The words that are overwritten, and the values for them.

use core::ops::Range;

use fastrand::Rng;
use tendmap::internals::layout::{Geometry, Header, OwnerWord, frame};
use tendmap::internals::protocol::{Head, PAYLOAD_BITS, PAYLOAD_MASK};

const HEAD: usize = 256 / 8;
const EVENT: usize = 512 / 8;

/// Every kind of word, by its location.
pub fn regions(geometry: &Geometry) -> Vec<(&'static str, Range<usize>)> {
    let mut regions = vec![
        ("head", HEAD..HEAD + 1),
        ("event", EVENT..EVENT + 1),
        ("header", 0..size_of::<Header>() / 8),
        ("owner", owner()),
        ("histograms", 640 / 8..(640 + 256) / 8),
        ("heartbeat", one(OwnerWord::Heartbeat)),
        ("flags", one(OwnerWord::Flags)),
        ("interval", one(OwnerWord::TendIntervalMs)),
        ("trouble", geometry.node_health(0)..geometry.node_health(4)),
        ("notes", geometry.notes()..geometry.notes() + 600),
        ("anything", 0..geometry.total_bytes() / 8),
    ];
    for number in 0..2 {
        let start = geometry.frame_start(number);
        let at = |index: usize, words: usize| start + index..start + index + words;
        let capacity = geometry.capacity();
        let last = capacity.max_namespaces - 1;
        regions.extend([
            ("table generation", at(frame::TABLE_GENERATION, 1)),
            ("counts", at(frame::COUNTS, 1)),
            ("checksum", at(frame::CHECKSUM, 1)),
            ("cluster name", at(frame::CLUSTER_NAME, 12)),
            ("prefix", at(0, frame::PREFIX)),
            ("first node", at(geometry.node(0), frame::NODE_WORDS)),
            ("nodes", at(geometry.node(0), 4 * frame::NODE_WORDS)),
            ("all nodes", at(geometry.node(0), capacity.max_nodes * frame::NODE_WORDS)),
            ("namespace", at(geometry.namespace(0), frame::NAMESPACE_WORDS)),
            ("racks", at(geometry.rack(0, 0), 4)),
            ("last namespace", at(geometry.namespace(last), frame::NAMESPACE_WORDS)),
            ("routing", at(geometry.routing(0, 0), capacity.partitions)),
            ("regimes", at(geometry.regimes(0), capacity.partitions)),
            ("frame", at(0, geometry.frame_words())),
        ]);
    }
    let words = geometry.total_bytes() / 8;
    regions.iter_mut().for_each(|(_, range)| *range = range.start..range.end.min(words));
    regions
}

fn owner() -> Range<usize> {
    let first = OwnerWord::Heartbeat.index();
    first..first + OwnerWord::COUNT
}

fn one(word: OwnerWord) -> Range<usize> {
    word.index()..word.index() + 1
}

/// The way in which a value is chosen.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Random,
    Bit,
    Step,
    Zero,
    Ones,
    /// A payload at a limit, under a tag at a limit.
    Limit,
    /// The existing payload under another tag.
    Tag,
    /// Another payload under the existing tag.
    Payload,
    /// A small number, like a count or a length, under the existing tag.
    Small,
    /// A head near the end of its terms or its sequences.
    Head,
    /// Another word of the segment.
    Copy,
}

pub const KINDS: [Kind; 11] = [
    Kind::Random,
    Kind::Bit,
    Kind::Step,
    Kind::Zero,
    Kind::Ones,
    Kind::Limit,
    Kind::Tag,
    Kind::Payload,
    Kind::Small,
    Kind::Head,
    Kind::Copy,
];

/// A value for a word that holds `found`.
pub fn value(random: &mut Rng, kind: Kind, found: u64, other: u64) -> u64 {
    let tag_of = |bits: u64| bits >> PAYLOAD_BITS;
    let with = |tag: u64, payload: u64| tag << PAYLOAD_BITS | payload & PAYLOAD_MASK;
    match kind {
        Kind::Random => random.u64(..),
        Kind::Bit => found ^ 1 << random.u32(..64),
        Kind::Step => found.wrapping_add(if random.bool() { 1 } else { u64::MAX }),
        Kind::Zero => 0,
        Kind::Ones => u64::MAX,
        Kind::Limit => with(tag(random, tag_of(found)), limit(random)),
        Kind::Tag => with(tag(random, tag_of(found)), found),
        Kind::Payload => with(tag_of(found), random.u64(..)),
        Kind::Small => {
            with(tag_of(found), random.u64(..64) << random.choice([0, 8, 16, 32]).unwrap())
        }
        Kind::Head => {
            let last = Head::LAST_SEQUENCE;
            let near = [0, 1, 2, last, last - 1, last - 2, found & last, (found & last) + 1];
            let retired = u64::from(random.bool()) << 47;
            tag(random, tag_of(found)) << PAYLOAD_BITS
                | retired
                | random.choice(near).unwrap() & last
        }
        Kind::Copy => other,
    }
}

fn tag(random: &mut Rng, found: u64) -> u64 {
    let near = [0, 1, 0xffff, 0xfffe, found, found + 1, found + 2, found.wrapping_sub(1)];
    random.choice(near).unwrap() & 0xffff
}

fn limit(random: &mut Rng) -> u64 {
    let shift = random.u32(..49);
    let edge = if shift == 48 { PAYLOAD_MASK } else { 1 << shift };
    edge.wrapping_add(random.u64(..3)).wrapping_sub(1)
}
