//! What the next publication is to hold, and which words of the two frames do
//! not hold it yet.

use core::ops::Range;

/// Words that one word of marks stands for.
const CHUNK: usize = 64;

/// The payloads of a frame, and for each of the two frames the words that may
/// differ from them or carry another tag than the publisher's.
///
/// A publication costs as much as was changed by it and by the one before,
/// which went to the other frame, not as much as the map is large.
#[derive(Debug, Default)]
pub(super) struct Draft {
    payloads: Vec<u64>,
    /// A bit a word: it is to be looked at.
    due: [Vec<u64>; 2],
}

impl Draft {
    /// Puts payloads into the draft; whether one of them is another than was
    /// there. Words never put before are 0.
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

    /// Marks every word of both frames as to be looked at.
    pub fn forget(&mut self) {
        self.due.iter_mut().flatten().for_each(|due| *due = !0);
    }

    /// Has `bring` bring those words of `reach` in `frame` to their payloads
    /// that may have others; the index of the word at which it could not.
    pub fn bring<E>(
        &mut self,
        frame: usize,
        reach: Range<usize>,
        mut bring: impl FnMut(usize, u64) -> Result<(), E>,
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
                bring(start + word, payloads[word]).map_err(|error| (start + word, error))?;
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
