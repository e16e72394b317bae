//! What an owner records of its passes, for any process that asks for the state
//! of the segment.

use crate::layout::notes;
use crate::map::{Condition, ConditionRecords, Departure, NodeId, Reason, Streak};
use crate::segment::{Ownership, OwnershipLost, Segment, boottime_ms};
use crate::tend::TendReport;

pub(super) struct Account {
    conditions: ConditionRecords,
    /// Latest first.
    departures: Vec<Departure>,
    /// Texts that are not written to the segment yet.
    reasons: Vec<(Reason, String)>,
    departed: bool,
}

impl Account {
    /// Continues with the records of the previous owner, except those that
    /// concern its own process.
    pub fn new(segment: &Segment) -> Account {
        let mut conditions = ConditionRecords::last(segment.mapping());
        for own in [Condition::FailedPass, Condition::NoRoom, Condition::Shortage] {
            conditions.set(own, Streak::default());
        }
        let departures = Departure::read_all(segment.mapping());
        Account { conditions, departures, reasons: Vec::new(), departed: false }
    }

    /// What is recorded of a condition.
    pub fn get(&self, condition: Condition) -> Streak {
        self.conditions.get(condition)
    }

    /// Records that a node has left the map.
    pub fn left(&mut self, id: NodeId, reason: &str) {
        self.departures.retain(|known| known.id != id);
        let departure = Departure { id, at_ms: boottime_ms(), reason: reason.to_owned() };
        self.departures.insert(0, departure);
        self.departures.truncate(notes::DEPARTURES);
        self.departed = true;
    }

    /// Records the reason for something; an empty text clears it.
    pub fn explain(&mut self, reason: Reason, text: &str) {
        self.reasons.push((reason, text.to_owned()));
    }

    /// Records the end of a pass. A failed pass has not looked at everything:
    /// what it did not find may still exist.
    pub fn pass(&mut self, report: &TendReport, failed: bool) {
        let mute = report.nodes_failed.saturating_sub(report.bad_replies);
        self.found(Condition::FailedPass, u64::from(failed), false);
        self.found(Condition::FailingNodes, mute as u64, failed);
        self.found(Condition::BadReplies, report.bad_replies as u64, failed);
        for condition in Condition::ALL.into_iter().filter(|found| found.is_reported_by_source()) {
            self.found(condition, report.conditions.count(condition).into(), failed);
        }
    }

    /// Records how often the pass that just ended found a condition. `kept`: a
    /// count of 0 leaves the record unchanged.
    pub fn found(&mut self, condition: Condition, count: u64, kept: bool) {
        if count > 0 || !kept {
            self.conditions.set(condition, self.conditions.get(condition).next(count));
        }
    }

    /// Writes everything again, because the segment is another one.
    pub fn again(&mut self) {
        self.departed = true;
    }

    /// Writes the records to the segment.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn put(&mut self, ownership: &Ownership) -> Result<(), OwnershipLost> {
        ownership.set_conditions(&self.conditions)?;
        if core::mem::take(&mut self.departed) {
            ownership.set_departures(&self.departures)?;
        }
        for (reason, text) in core::mem::take(&mut self.reasons) {
            ownership.set_reason(reason, &text)?;
        }
        Ok(())
    }
}
