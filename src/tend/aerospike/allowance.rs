//! Limits the bytes of replies that are held at the same time.
//!
//! All servers are asked at the same time, and each may send the longest
//! accepted reply. A reply of normal length is always accepted. Of long
//! replies, as many are accepted as there is room for.

use crate::tend::transport::{Answer, AskError};

/// The most bytes of long replies that are held at the same time.
const LONG: usize = 32 << 20;
/// The bytes that all servers together may send if each sends its share.
const SHARED: usize = 64 << 20;
/// The smallest share of a server. A node of a cluster of 256 nodes and 16
/// namespaces sends less.
const LEAST: usize = 64 << 10;

/// The room left for further replies.
#[derive(Debug)]
pub(super) struct Allowance {
    /// A reply of this length is always accepted.
    share: usize,
    long: usize,
}

impl Allowance {
    /// The allowance for the replies of this number of servers.
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
