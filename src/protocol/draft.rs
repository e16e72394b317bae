//! The content of the next publication, and which words of the two frames may
//! differ from it.

use core::ops::Range;

/// The number of words that one word of marks covers.
const CHUNK: usize = 64;

/// The payloads of a frame, and for each of the two frames the words that may
/// differ from them or have another tag than the publisher's.
///
/// The cost of a publication depends on how much changed in it and in the
/// previous one, which went to the other frame, not on the size of the map.
#[derive(Debug, Default)]
pub(super) struct Draft {
    payloads: Vec<u64>,
    /// One bit per word: the word must be checked.
    due: [Vec<u64>; 2],
}

impl Draft {
    /// Stores payloads in the draft; returns whether any of them changed. Words
    /// that were never set are 0.
    pub fn set(&mut self, first: usize, payloads: &[u64]) -> bool {
        self.reach(first + payloads.len());
        let (mut at, mut rest, mut any) = (first, payloads, false);
        while !rest.is_empty() {
            let (new, later) = rest.split_at(rest.len().min(CHUNK - at % CHUNK));
            let old = &mut self.payloads[at..][..new.len()];
            if old != new {
                let changed = differing(old, new) << (at % CHUNK);
                old.copy_from_slice(new);
                self.due.iter_mut().for_each(|due| due[at / CHUNK] |= changed);
                any = true;
            }
            (at, rest) = (at + new.len(), later);
        }
        any
    }

    /// The payloads of these words.
    pub fn get(&self, words: Range<usize>) -> &[u64] {
        &self.payloads[words]
    }

    /// Marks every word of both frames as to be checked.
    pub fn forget(&mut self) {
        self.due.iter_mut().flatten().for_each(|due| *due = !0);
    }

    /// Calls `write` for those words of `reach` in `frame` that may not hold
    /// their payloads; if one can't be written, returns its index.
    pub fn write_due<E>(
        &mut self,
        frame: usize,
        reach: Range<usize>,
        mut write: impl FnMut(usize, u64) -> Result<(), E>,
    ) -> Result<(), (usize, E)> {
        self.reach(reach.end);
        let (mut first, due) = (reach.start, &mut self.due[frame]);
        while first < reach.end {
            let (chunk, start) = (first / CHUNK, first - first % CHUNK);
            let end = reach.end.min(start + CHUNK);
            let within = (!0 >> (CHUNK - (end - first))) << (first - start);
            let mut left = due[chunk] & within;
            let payloads = &self.payloads[start..end];
            while left != 0 {
                let word = left.trailing_zeros() as usize;
                write(start + word, payloads[word]).map_err(|error| (start + word, error))?;
                left &= left - 1;
            }
            due[chunk] &= !within;
            first = end;
        }
        Ok(())
    }

    fn reach(&mut self, words: usize) {
        if words > self.payloads.len() {
            self.payloads.resize(words, 0);
            self.due.iter_mut().for_each(|due| due.resize(words.div_ceil(CHUNK), !0));
        }
    }
}

/// A bit for each word that differs, of at most [`CHUNK`].
fn differing(old: &[u64], new: &[u64]) -> u64 {
    let words = old.iter().zip(new).enumerate();
    words.fold(0, |bits, (at, (old, new))| bits | u64::from(old != new) << at)
}
