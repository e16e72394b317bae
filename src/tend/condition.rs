//! What a pass of a source found that is not in order.

use crate::map::Condition;

/// For each [`Condition`], the number of nodes, entries or partitions to which it
/// applied in one pass; 0 = it did not occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions([u32; Condition::COUNT]);

impl Conditions {
    /// The number of occurrences of `condition`.
    #[must_use]
    pub fn count(&self, condition: Condition) -> u32 {
        self.0[condition as usize]
    }

    /// Adds `by` occurrences of `condition`.
    pub fn add(&mut self, condition: Condition, by: usize) {
        let count = &mut self.0[condition as usize];
        *count = count.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_count_each_kind_by_itself() {
        let mut found = Conditions::default();
        for (by, condition) in Condition::ALL.into_iter().enumerate() {
            found.add(condition, by);
            found.add(condition, by);
        }
        for (by, condition) in Condition::ALL.into_iter().enumerate() {
            assert_eq!(found.count(condition), 2 * by as u32, "{condition:?}");
        }
    }
}
