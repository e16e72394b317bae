//! The compression function of RIPEMD-160, for one message block.
//!
//! Tables and steps are those of the specification (Dobbertin, Bosselaers,
//! Preneel: "RIPEMD-160, a strengthened version of RIPEMD", 1996). Nothing here
//! names a vector: a plain loop around [`compress`] over lanes becomes vector
//! code when it is compiled for a vector unit.

/// The five words that chain the blocks.
pub(super) type State = [u32; 5];
/// A message block as little-endian words.
pub(super) type Words = [u32; 16];

/// The state before the first block.
pub(super) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

const ROUNDS: usize = 5;

/// The permutation of words between two rounds.
const RHO: [usize; 16] = [7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8];

/// The word that each step uses, by round: the left line starts with the words
/// in order, the right line with every ninth word from the fifth on.
const LEFT_WORDS: [[usize; 16]; ROUNDS] = orders(1, 0);
const RIGHT_WORDS: [[usize; 16]; ROUNDS] = orders(9, 5);

/// The rotation of a step, by round and word; the same in both lines.
const ROTATIONS: [[u32; 16]; ROUNDS] = [
    [11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8],
    [12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7],
    [13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9],
    [14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6],
    [15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5],
];

const LEFT_CONSTANTS: [u32; ROUNDS] = [0, 0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xa953_fd4e];
const RIGHT_CONSTANTS: [u32; ROUNDS] = [0x50a2_8be6, 0x5c4d_d124, 0x6d70_3ef3, 0x7a6d_76e9, 0];

const fn orders(factor: usize, first: usize) -> [[usize; 16]; ROUNDS] {
    let mut orders = [[0; 16]; ROUNDS];
    let mut step = 0;
    while step < 16 {
        let mut word = (factor * step + first) % 16;
        let mut round = 0;
        while round < ROUNDS {
            orders[round][step] = word;
            word = RHO[word];
            round += 1;
        }
        step += 1;
    }
    orders
}

/// The state after one more block, for one of several lanes: short code that a
/// vector unit executes for all lanes at once.
#[inline(always)]
pub(super) fn compress(state: State, words: &Words) -> State {
    lines::<false>(state, words)
}

/// The state after one more block: `ALONE` for a single block, whose time is determined
/// by the longest dependency chain, which is then kept short.
#[inline(always)]
pub(super) fn lines<const ALONE: bool>(state: State, words: &Words) -> State {
    // The steps of the two lines are interleaved: they are independent of each
    // other, so a processor executes both at once.
    let (mut left, mut right) = (state, state);
    (left, right) = round::<0, ALONE>(left, right, words);
    (left, right) = round::<1, ALONE>(left, right, words);
    (left, right) = round::<2, ALONE>(left, right, words);
    (left, right) = round::<3, ALONE>(left, right, words);
    (left, right) = round::<4, ALONE>(left, right, words);
    let sum =
        |at: usize, l: usize, r: usize| state[at].wrapping_add(left[l]).wrapping_add(right[r]);
    [sum(1, 2, 3), sum(2, 3, 4), sum(3, 4, 0), sum(4, 0, 1), sum(0, 1, 2)]
}

#[inline(always)]
fn round<const ROUND: usize, const ALONE: bool>(
    mut left: State,
    mut right: State,
    words: &Words,
) -> (State, State) {
    macro_rules! steps {
        ($($step:literal)*) => {$(
            let word = const { LEFT_WORDS[ROUND][$step] };
            let constant = const { LEFT_CONSTANTS[ROUND] };
            let rotation = const { ROTATIONS[ROUND][LEFT_WORDS[ROUND][$step]] };
            let mixed = mix::<ROUND, ALONE>(left[1], left[2], left[3]);
            left = step::<ALONE>(left, mixed, words[word].wrapping_add(constant), rotation);

            let word = const { RIGHT_WORDS[ROUND][$step] };
            let constant = const { RIGHT_CONSTANTS[ROUND] };
            let rotation = const { ROTATIONS[ROUND][RIGHT_WORDS[ROUND][$step]] };
            let mixed = match ROUND {
                0 => mix::<4, ALONE>(right[1], right[2], right[3]),
                1 => mix::<3, ALONE>(right[1], right[2], right[3]),
                2 => mix::<2, ALONE>(right[1], right[2], right[3]),
                3 => mix::<1, ALONE>(right[1], right[2], right[3]),
                _ => mix::<0, ALONE>(right[1], right[2], right[3]),
            };
            right = step::<ALONE>(right, mixed, words[word].wrapping_add(constant), rotation);
        )*};
    }
    steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    (left, right)
}

/// One step. The dependency chain goes through `mixed.1`, which contains the
/// newest word: with `ALONE`, everything else is added before it.
#[inline(always)]
fn step<const ALONE: bool>(
    [a, b, c, d, e]: State,
    mixed: (u32, u32),
    word: u32,
    rotation: u32,
) -> State {
    let early = a.wrapping_add(word).wrapping_add(mixed.0);
    let early = if ALONE { by_itself(early) } else { early };
    let sum = early.wrapping_add(mixed.1);
    [e, sum.rotate_left(rotation).wrapping_add(e), b, c.rotate_left(10), d]
}

/// The boolean function of a round as the sum of two parts; only the second
/// depends on `x`, the newest word.
#[inline(always)]
fn mix<const ROUND: usize, const ALONE: bool>(x: u32, y: u32, z: u32) -> (u32, u32) {
    match ROUND {
        0 => (0, x ^ y ^ z),
        1 => (0, (x & (y ^ z)) ^ z),
        2 => (0, (x | !y) ^ z),
        // The two parts have no common bits: one operation after `x` instead of
        // three.
        3 if ALONE => (y & !z, x & z),
        3 => (0, (z & (x ^ y)) ^ y),
        _ => (0, x ^ (y | !z)),
    }
}

/// Returns its argument, but the compiler must treat it as a new value. It
/// therefore does not reorder sums or the interleaved steps of the two lines
/// across this call.
#[inline(always)]
fn by_itself(value: u32) -> u32 {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut value = value;
        // SAFETY: the assembly contains no instruction.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!("/* {0:e} */", inout(reg) value, options(nomem, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!("/* {0:w} */", inout(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    value
}
