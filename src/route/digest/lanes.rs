//! Several messages at once: the lanes of a vector unit, chosen at run time.
//!
//! The only `unsafe` here calls functions compiled for a unit that the
//! processor may lack; a [`Lanes`] of that unit exists only if the processor
//! has it.

use core::fmt;

use super::compress::{self, compress};

/// The states of `W` messages, word by word.
pub(super) type States<const W: usize> = [[u32; W]; 5];
/// A block of each of `W` messages, word by word.
pub(super) type Blocks<const W: usize> = [[u32; W]; 16];
/// Compresses one block of each of `W` messages.
pub(super) type Compress<const W: usize> = fn(&mut States<W>, &Blocks<W>);

/// [`compress::INITIAL`] in every lane.
pub(super) const fn initial<const W: usize>() -> States<W> {
    let [a, b, c, d, e] = compress::INITIAL;
    [[a; W], [b; W], [c; W], [d; W], [e; W]]
}

/// The number of digests that are computed at once, and the unit of the
/// processor that does so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lanes(Unit);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The compression function by its number of lanes.
pub(super) enum Width {
    Four(Compress<4>),
    #[cfg(target_arch = "x86_64")]
    Eight(Compress<8>),
    #[cfg(target_arch = "x86_64")]
    Sixteen(Compress<16>),
}

impl Lanes {
    /// Four lanes, in the vector unit that every processor of the architecture
    /// has (SSE2, NEON), or without one.
    pub const PORTABLE: Lanes = Lanes(Unit::Portable);

    /// The fastest lanes of this machine.
    pub fn best() -> Lanes {
        Lanes::available().last().expect("portable lanes are everywhere")
    }

    /// All lanes of this machine, the fastest last: portable (4 lanes), AVX2
    /// (8), AVX-512 (16).
    pub fn available() -> impl Iterator<Item = Lanes> {
        let portable = [(Unit::Portable, true)];
        #[cfg(target_arch = "x86_64")]
        let vectors = [(Unit::Avx2, has_avx2()), (Unit::Avx512, has_avx512())];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = [];
        let all = portable.into_iter().chain(vectors);
        all.filter_map(|(unit, there)| there.then_some(Lanes(unit)))
    }

    /// The number of digests that are computed at once.
    pub const fn width(self) -> usize {
        match self.0 {
            Unit::Portable => 4,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512 => 16,
        }
    }

    // In line, so that the crate that routes compiles it: the small C library optimises
    // this one for size.
    #[inline]
    pub(super) fn compress(self) -> Width {
        match self.0 {
            Unit::Portable => Width::Four(each),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: such lanes come only from `available`, which detected AVX2.
            Unit::Avx2 => Width::Eight(|states, blocks| unsafe { avx2(states, blocks) }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: such lanes come only from `available`, which detected all
            // four parts of AVX-512 that the function is compiled for.
            Unit::Avx512 => Width::Sixteen(|states, blocks| unsafe { avx512(states, blocks) }),
        }
    }
}

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Unit::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512 => "AVX-512",
        })
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lanes({self}, {})", self.width())
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn avx2(states: &mut States<8>, blocks: &Blocks<8>) {
    each(states, blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn avx512(states: &mut States<16>, blocks: &Blocks<16>) {
    each(states, blocks);
}

/// The source handles one lane after the other; the compiled code handles all
/// at once.
#[inline(always)]
fn each<const W: usize>(states: &mut States<W>, blocks: &Blocks<W>) {
    for lane in 0..W {
        let state = core::array::from_fn(|word| states[word][lane]);
        let words = core::array::from_fn(|word| blocks[word][lane]);
        for (word, next) in compress(state, &words).into_iter().enumerate() {
            states[word][lane] = next;
        }
    }
}
