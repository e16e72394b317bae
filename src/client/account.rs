//! What an owner notes of its passes, for any process that asks how the segment
//! stands.

use crate::layout::notes;
use crate::map::{Departure, Lasting, Matter, Matters, NodeId, Reason};
use crate::segment::{Ownership, OwnershipLost, Segment, boottime_ms};
use crate::tend::{Condition, TendReport};

/// The notes of one owner.
pub(super) struct Account {
    matters: Matters,
    /// The latest first.
    departures: Vec<Departure>,
    /// Texts that are not put down yet.
    reasons: Vec<(Reason, String)>,
    departed: bool,
}

impl Account {
    /// Goes on with what the owner before has noted, but for what is of its own
    /// process only.
    pub fn new(segment: &Segment) -> Account {
        let mut matters = Matters::last(segment.mapping());
        for own in [Matter::FailedPass, Matter::NoRoom, Matter::Shortage] {
            matters.set(own, Lasting::default());
        }
        let departures = Departure::read_all(segment.mapping());
        Account { matters, departures, reasons: Vec::new(), departed: false }
    }

    /// What it has noted of a matter.
    pub fn get(&self, matter: Matter) -> Lasting {
        self.matters.get(matter)
    }

    /// A node has left the map.
    pub fn left(&mut self, id: NodeId, reason: &str) {
        self.departures.retain(|known| known.id != id);
        let departure = Departure { id, at_ms: boottime_ms(), reason: reason.to_owned() };
        self.departures.insert(0, departure);
        self.departures.truncate(notes::DEPARTURES);
        self.departed = true;
    }

    /// Why something is as it is; an empty text = for no reason.
    pub fn explain(&mut self, reason: Reason, text: &str) {
        self.reasons.push((reason, text.to_owned()));
    }

    /// A pass has ended. One that failed has not looked at everything: what it
    /// did not find may be there all the same.
    pub fn pass(&mut self, report: &TendReport, failed: bool) {
        let mute = report.nodes_failed.saturating_sub(report.bad_replies);
        self.found(Matter::FailedPass, u64::from(failed), false);
        self.found(Matter::FailingNodes, mute as u64, failed);
        self.found(Matter::BadReplies, report.bad_replies as u64, failed);
        for condition in Condition::ALL {
            self.found(condition.into(), report.conditions.count(condition).into(), failed);
        }
    }

    /// In the pass that ended a matter was found so many times. `kept`: 0 says
    /// nothing.
    pub fn found(&mut self, matter: Matter, count: u64, kept: bool) {
        if count > 0 || !kept {
            self.matters.set(matter, self.matters.get(matter).next(count));
        }
    }

    /// Puts everything down again: the segment is another one.
    pub fn again(&mut self) {
        self.departed = true;
    }

    /// Puts it down.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn put(&mut self, ownership: &Ownership) -> Result<(), OwnershipLost> {
        ownership.set_matters(&self.matters)?;
        if core::mem::take(&mut self.departed) {
            ownership.set_departures(&self.departures)?;
        }
        for (reason, text) in core::mem::take(&mut self.reasons) {
            ownership.set_reason(reason, &text)?;
        }
        Ok(())
    }
}
