//! Distributes keys to lanes and collects the digests.

use super::Digest;
use super::block::{HashInput, Prefix};
use super::compress::Words;
use super::lanes::{Blocks, Compress, Lanes, States, Width, initial};

/// The digests of any records, in their order. If there is a prefix, all
/// messages start with it.
pub(super) fn messages<'a>(
    lanes: Lanes,
    prefix: Option<&Prefix>,
    messages: impl Iterator<Item = HashInput<'a>> + Clone,
    digests: &mut [Digest],
) {
    match lanes.compress() {
        Width::Four(compress) => messages_in(compress, prefix, messages, digests),
        #[cfg(target_arch = "x86_64")]
        Width::Eight(compress) => messages_in(compress, prefix, messages, digests),
        #[cfg(target_arch = "x86_64")]
        Width::Sixteen(compress) => messages_in(compress, prefix, messages, digests),
    }
}

fn messages_in<'a, const W: usize>(
    compress: Compress<W>,
    prefix: Option<&Prefix>,
    messages: impl Iterator<Item = HashInput<'a>> + Clone,
    digests: &mut [Digest],
) {
    let all = messages.clone().enumerate();
    let short = match prefix {
        Some(prefix) => short_in(compress, &prefix.words, all.clone(), digests, |message, put| {
            prefix.put_rest(message, put);
        }),
        None => short_in(compress, &[0; 16], all.clone(), digests, |message, put| {
            message.put_one(put);
        }),
    };
    if short < digests.len() {
        long_in(compress, all.filter(|(_, message)| message.blocks() > 1), digests);
    }
}

/// The digests of all one-block messages at the start; returns how many there
/// are. `put` stores the rest of a message into words that hold the `common`
/// part.
#[inline(always)]
fn short_in<'a, const W: usize>(
    compress: Compress<W>,
    common: &Words,
    messages: impl Iterator<Item = (usize, HashInput<'a>)>,
    digests: &mut [Digest],
    put: impl Fn(&HashInput<'a>, &mut dyn FnMut(usize, u32)),
) -> usize {
    let common: Blocks<W> = core::array::from_fn(|word| [common[word]; W]);
    let mut blocks = common;
    let mut places = [0; W];
    let (mut lane, mut done) = (0, 0);
    let mut flush = |places: &[usize], blocks: &mut Blocks<W>| {
        let mut states = initial::<W>();
        compress(&mut states, blocks);
        *blocks = common;
        for (lane, place) in places.iter().enumerate() {
            digests[*place] = digest(&states, lane);
        }
    };
    for (place, message) in messages {
        if message.blocks() > 1 {
            continue;
        }
        put(&message, &mut |at, word| blocks[at % 16][lane] = word);
        places[lane] = place;
        lane += 1;
        if lane == W {
            flush(&places, &mut blocks);
            (lane, done) = (0, done + W);
        }
    }
    if lane > 0 {
        flush(&places[..lane], &mut blocks);
    }
    done + lane
}

/// A message that a lane is processing.
struct Job<'a> {
    place: usize,
    message: HashInput<'a>,
    /// The next block, and the number of blocks.
    next: usize,
    blocks: usize,
}

/// The digests of messages of any length. A lane starts the next message as
/// soon as it has finished one, so that long messages do not delay the others.
#[inline(never)]
fn long_in<'a, const W: usize>(
    compress: Compress<W>,
    messages: impl Iterator<Item = (usize, HashInput<'a>)>,
    digests: &mut [Digest],
) {
    let mut messages = messages.fuse();
    let mut jobs: [Option<Job>; W] = [const { None }; W];
    let mut states = initial::<W>();
    let mut blocks = [[0; W]; 16];
    loop {
        for (lane, job) in jobs.iter_mut().enumerate() {
            if job.is_none() {
                let Some((place, message)) = messages.next() else { continue };
                *job = Some(Job { place, message, next: 0, blocks: message.blocks() });
                for (states, first) in states.iter_mut().zip(initial::<1>()) {
                    states[lane] = first[0];
                }
            }
            if let Some(job) = job {
                job.message.put(job.next, |at, word| blocks[at][lane] = word);
                job.next += 1;
            }
        }
        if jobs.iter().all(Option::is_none) {
            return;
        }
        compress(&mut states, &blocks);
        for (lane, slot) in jobs.iter_mut().enumerate() {
            if let Some(job) = slot.take_if(|job| job.next == job.blocks) {
                digests[job.place] = digest(&states, lane);
            }
        }
    }
}

/// The digests of numbers, given as bits. `begin` is the one-block message of
/// the number 0; only the words that hold the number differ from it.
pub(super) fn numbers(
    lanes: Lanes,
    begin: &HashInput<'_>,
    numbers: impl Iterator<Item = u64>,
    digests: &mut [Digest],
) {
    match lanes.compress() {
        Width::Four(compress) => numbers_in(compress, begin, numbers, digests),
        #[cfg(target_arch = "x86_64")]
        Width::Eight(compress) => numbers_in(compress, begin, numbers, digests),
        #[cfg(target_arch = "x86_64")]
        Width::Sixteen(compress) => numbers_in(compress, begin, numbers, digests),
    }
}

fn numbers_in<const W: usize>(
    compress: Compress<W>,
    begin: &HashInput<'_>,
    mut numbers: impl Iterator<Item = u64>,
    digests: &mut [Digest],
) {
    let mut words = [0; 16];
    begin.put_one(|at, word| words[at] = word);
    let mut blocks: Blocks<W> = core::array::from_fn(|word| [words[word]; W]);
    let (first, shift) = (begin.value_at() / 4, begin.value_at() % 4 * 8);
    for digests in digests.chunks_mut(W) {
        let [one, two, three] = &mut blocks[first..first + 3] else { unreachable!("three") };
        for ((one, two), three) in one.iter_mut().zip(two).zip(three) {
            // Big-endian on the wire, but words are little-endian.
            let value = numbers.next().unwrap_or(0).swap_bytes();
            let low = value << shift;
            *one = words[first] | low as u32;
            *two = (low >> 32) as u32;
            *three = words[first + 2] | (value >> 32 >> (32 - shift)) as u32;
        }
        let mut states = initial::<W>();
        compress(&mut states, &blocks);
        for (lane, place) in digests.iter_mut().enumerate() {
            *place = digest(&states, lane);
        }
    }
}

#[inline(always)]
fn digest<const W: usize>(states: &States<W>, lane: usize) -> Digest {
    Digest::of_state(core::array::from_fn(|word| states[word][lane]))
}
