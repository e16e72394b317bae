//! The events that will happen in a simulated cluster, and when.

use std::collections::BTreeMap;
use std::time::Instant;

/// A future event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgendaEvent {
    /// The other nodes notice that a process has ended.
    Leave { number: u16, incarnation: u32 },
    /// The other nodes admit a process.
    Join { number: u16, incarnation: u32 },
    /// A process learns of the last change of the view.
    Adopt { number: u16, incarnation: u32 },
    /// The other nodes learn where a member listens.
    Readdress { number: u16 },
    /// Some replicas have migrated.
    Migrate,
}

impl AgendaEvent {
    /// The node that the event concerns.
    pub fn number(self) -> Option<u16> {
        match self {
            AgendaEvent::Leave { number, .. }
            | AgendaEvent::Join { number, .. }
            | AgendaEvent::Adopt { number, .. }
            | AgendaEvent::Readdress { number } => Some(number),
            AgendaEvent::Migrate => None,
        }
    }
}

/// Events in the order in which they are due; simultaneous events in the order
/// in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(Instant, u64), AgendaEvent>,
    scheduled: u64,
}

impl Agenda {
    pub fn schedule(&mut self, at: Instant, event: AgendaEvent) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    /// Takes the next event that is due.
    pub fn pop(&mut self, now: Instant) -> Option<AgendaEvent> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// When the next event is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((due, _), _)| *due)
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn has(&self, event: AgendaEvent) -> bool {
        self.events.values().any(|known| *known == event)
    }

    /// Removes all events that match.
    pub fn cancel(&mut self, which: impl Fn(AgendaEvent) -> bool) {
        self.events.retain(|_, event| !which(*event));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_come_when_due_in_order_unless_taken_back() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut agenda = Agenda::default();
        let readdress = |number| AgendaEvent::Readdress { number };
        agenda.schedule(now + second, readdress(1));
        agenda.schedule(now + second, readdress(2));
        agenda.schedule(now, AgendaEvent::Migrate);
        agenda.schedule(now + second, readdress(3));
        agenda.cancel(|event| event.number() == Some(2));
        assert_eq!(agenda.next_due(), Some(now));
        assert_eq!(agenda.pop(now), Some(AgendaEvent::Migrate));
        assert_eq!(agenda.pop(now), None, "not due yet");
        assert_eq!(agenda.pop(now + second), Some(readdress(1)));
        assert!(agenda.has(readdress(3)));
        assert_eq!(agenda.pop(now + second), Some(readdress(3)));
        assert!(agenda.is_empty());
    }
}
