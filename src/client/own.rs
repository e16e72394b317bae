//! An owner's turn: still owner? tend, publish, sleep.

use core::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::config::{Config, MIN_TEND_INTERVAL};
use super::connect::check_cluster;
use super::error::ConnectError;
use super::event::Event;
use super::shared::Shared;
use crate::layout::OwnerWord;
use crate::segment::{Ended, NotPublished, Tenure, boottime_ms, generations};
use crate::tend::{ClusterSource, TendError, TendEvent, TendReport, Turn};

/// What a turn came to.
pub(super) enum Turned {
    /// Still owner; sleep so long.
    Wait(Duration),
    /// Another process owns the segment.
    Fenced,
    /// The segment is retired: a successor is wanted.
    Retired,
}

/// An owner.
pub(super) struct Own {
    pub tenure: Tenure,
    interval: Duration,
    threshold: Duration,
    due: Instant,
    published: Option<Instant>,
    failing: Option<Instant>,
    last_error: Option<String>,
    no_room: Option<String>,
}

impl Own {
    pub fn new(tenure: Tenure, config: &Config) -> Own {
        tenure.set(OwnerWord::TendIntervalMs, config.tend_interval.as_millis() as u64);
        Own {
            tenure,
            interval: config.tend_interval,
            threshold: config.shm_takeover_threshold,
            due: Instant::now(),
            published: None,
            failing: None,
            last_error: None,
            no_room: None,
        }
    }

    pub fn turn(&mut self, shared: &Shared, source: &mut dyn ClusterSource) -> Turned {
        match self.step(shared, source) {
            Ok(pause) => Turned::Wait(pause),
            Err(_) if self.tenure.segment().head().retired() => Turned::Retired,
            Err(_) => Turned::Fenced,
        }
    }

    fn step(&mut self, shared: &Shared, source: &mut dyn ClusterSource) -> Result<Duration, Ended> {
        self.tenure.turn()?;
        self.heal(shared)?;
        let begun = Instant::now();
        if begun >= self.due {
            self.tend(shared, source)?;
            // From the beginning of the pass, so that its length does not add
            // to the interval; but never without a pause.
            let now = Instant::now();
            self.due = (begun + self.interval).max(now + MIN_TEND_INTERVAL / 2);
        }
        Ok(self.due.saturating_duration_since(Instant::now()))
    }

    /// Whether this is still *the* segment of the key. `link` alone does not
    /// make it so: if its name leads elsewhere, if newcomers would refuse it, or
    /// if a higher generation is there, it is retired and everybody moves.
    fn heal(&mut self, shared: &Shared) -> Result<(), Ended> {
        let segment = self.tenure.segment().clone();
        if segment.path().is_none() {
            return Ok(());
        }
        let own = segment.identity().generation;
        let place = shared.config.place();
        let higher = match generations(&place) {
            Ok(found) => found.into_iter().filter(|&generation| generation > own).any(|newer| {
                crate::segment::Segment::attach(&place, newer)
                    .is_ok_and(|newer| !newer.head().retired())
            }),
            Err(_) => false,
        };
        if segment.is_sound() && !higher {
            return Ok(());
        }
        self.tenure.retire()?;
        Err(Ended::Fenced)
    }

    fn tend(&mut self, shared: &Shared, source: &mut dyn ClusterSource) -> Result<(), Ended> {
        let mut turn = OwnerTurn { tenure: &mut self.tenure, shared, ended: None };
        let result = source.tend(&mut turn);
        if let Some(ended) = turn.ended {
            return Err(ended);
        }
        match result {
            Ok(report) => self.tended(shared, report),
            Err(TendError::Interrupted) => return Ok(()),
            Err(error) => {
                self.tenure.add(OwnerWord::TendErrors, 1);
                self.failed(shared, &error);
                if shared.awaited() {
                    shared.settle(Err(ConnectError::Tend(error)));
                }
                return Ok(());
            }
        }
        self.publish(shared, source)
    }

    fn tended(&mut self, shared: &Shared, report: TendReport) {
        self.tenure.set(OwnerWord::TendedMs, boottime_ms());
        self.tenure.add(OwnerWord::Tends, 1);
        self.tenure.set(OwnerWord::Refused, report.refused as u64);
        if let Some(since) = self.failing.take() {
            self.last_error = None;
            shared.tell(Event::TendRecovered { after: since.elapsed() });
        }
        self.tenure.reclaim();
    }

    fn failed(&mut self, shared: &Shared, error: &TendError) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            self.last_error = Some(text.clone());
            shared.tell(Event::TendFailed { error: text });
        }
        let failed_for = since.elapsed();
        if failed_for >= self.threshold && !self.tenure.abdicated() {
            self.tenure.abdicate();
            if self.tenure.abdicated() {
                shared.tell(Event::Abdicated { failed_for });
            }
        }
    }

    fn publish(&mut self, shared: &Shared, source: &mut dyn ClusterSource) -> Result<(), Ended> {
        let map = source.map();
        // Nothing known yet is no map.
        if map.nodes.is_empty() && self.tenure.segment().head().sequence() == 0 {
            return Ok(());
        }
        if let Some(at) = self.published {
            // Readers are promised that publications are 50 ms apart.
            let early = MIN_TEND_INTERVAL.saturating_sub(at.elapsed());
            std::thread::sleep(early);
        }
        match self.tenure.publish(map) {
            Ok(Some(sequence)) => {
                self.published = Some(Instant::now());
                let (nodes, namespaces) = (map.nodes.len(), map.namespaces().len());
                shared.tell(Event::Published { sequence, nodes, namespaces });
            }
            Ok(None) => {}
            Err(NotPublished::Ended(ended)) => return Err(ended),
            Err(NotPublished::NoRoom(error)) => {
                let text = error.to_string();
                if self.no_room.as_ref() != Some(&text) {
                    self.no_room = Some(text.clone());
                    shared.tell(Event::NoRoom { error: text });
                }
            }
        }
        if shared.awaited() {
            shared.settle(check_cluster(self.tenure.segment(), &shared.config));
        }
        Ok(())
    }
}

/// The owner's side of a pass: its heart beats while the network is waited for.
struct OwnerTurn<'a> {
    tenure: &'a mut Tenure,
    shared: &'a Shared,
    ended: Option<Ended>,
}

impl Turn for OwnerTurn<'_> {
    fn beat(&mut self) -> ControlFlow<()> {
        if self.shared.stopping() {
            return ControlFlow::Break(());
        }
        match self.tenure.beat() {
            Ok(()) => ControlFlow::Continue(()),
            Err(ended) => {
                self.ended = Some(ended);
                ControlFlow::Break(())
            }
        }
    }

    fn event(&mut self, event: TendEvent) {
        self.shared.tell(Event::Tend(event));
    }
}
