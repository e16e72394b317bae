//! Limits the bytes of replies that are held at the same time.
//!
//! All servers are asked at the same time, and each may send the longest
//! accepted reply. A reply of normal length is always accepted. Of long
//! replies, as many are accepted as there is room for.

use crate::tend::transport::{Answer, AskError};

/// Bytes of long answers that are held at the same time.
const LONG: usize = 32 << 20;
/// All servers have this much together, if each answers with its share.
const SHARED: usize = 64 << 20;
/// Every server has at least this much: a node of a cluster of 256 nodes and 16
/// namespaces answers with less.
const LEAST: usize = 64 << 10;

/// The room left for further replies.
#[derive(Debug)]
pub(super) struct Allowance {
    /// An answer of this length is always heard.
    share: usize,
    long: usize,
}

impl Allowance {
    /// For the replies of that many servers.
    pub(super) fn new(servers: usize) -> Allowance {
        Allowance { share: (SHARED / servers.max(1)).max(LEAST), long: LONG }
    }

    /// The reply, or the error that there is no room for it.
    pub(super) fn take(&mut self, answer: Result<Answer, AskError>) -> Result<Answer, AskError> {
        let answer = answer?;
        let length = answer.body.len();
        if length > self.share {
            self.long = self.long.checked_sub(length).ok_or_else(|| {
                let share = self.share;
                AskError::Broken(format!(
                    "a reply of {length} bytes while other servers answer at such length, too; \
                     wanted at most {share}"
                ))
            })?;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h133_what_is_held_of_answers_is_bounded_and_short_ones_are_always_heard() {
        let answer = |length| Ok(Answer { connection: 1, body: vec![0; length] });
        let mut allowance = Allowance::new(1);
        assert!(allowance.take(answer(4 << 20)).is_ok(), "one alone");
        let mut allowance = Allowance::new(4096);
        let heard = (0..100).filter(|_| allowance.take(answer(4 << 20)).is_ok()).count();
        assert_eq!(heard, 8);
        assert!(allowance.take(answer(LEAST)).is_ok());
        let error = allowance.take(answer(LEAST * 5)).unwrap_err().to_string();
        assert!(error.contains("a reply of 327680 bytes"), "{error}");
    }
}
