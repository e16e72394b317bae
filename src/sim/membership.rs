//! Changes of the membership, when each node learns of them, and the migrations
//! that follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agenda::AgendaEvent;
use super::cluster::Cluster;
use super::config::Timings;
use super::node::Outlook;
use super::view::{ClusterView, Member};

impl Cluster {
    pub(super) fn leave(&mut self, number: u16, incarnation: u32, now: Instant) {
        if self.view.has(number, incarnation) {
            let mut members = self.view.members.clone();
            members.retain(|member| member.number != number);
            self.change(members, None, now);
        }
        if self.nodes.get(&number).is_some_and(|node| node.retired) {
            self.nodes.remove(&number);
        }
    }

    pub(super) fn join(&mut self, number: u16, incarnation: u32, now: Instant) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let (port, listed) = (node.port, node.listed_port);
        // A frozen node joins when it wakes.
        if node.process_of(incarnation).is_none_or(|process| process.frozen) {
            return;
        }
        let mut members = self.view.members.clone();
        members.retain(|member| member.number != number);
        members.push(Member { number, incarnation, port: listed });
        members.sort_by_key(|member| member.number);
        self.change(members, Some(number), now);
        if port != listed {
            let Timings { spread, stale_address, .. } = self.config.timings;
            self.agenda
                .schedule(now + spread / 2 + stale_address, AgendaEvent::Readdress { number });
        }
    }

    pub(super) fn readdress(&mut self, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let port = node.port;
        node.listed_port = port;
        let view = Arc::make_mut(&mut self.view);
        for member in view.members.iter_mut().filter(|member| member.number == number) {
            member.port = port;
        }
        self.raise_peers_generations();
    }

    /// Sets the membership. `fresh` has just joined and has no data.
    pub(super) fn change(&mut self, members: Vec<Member>, fresh: Option<u16>, now: Instant) {
        let (mut tables, moves) = self.balance.spread(&self.config.namespaces, &members, fresh);
        for table in &mut tables {
            let strong = self
                .config
                .namespaces
                .iter()
                .any(|namespace| namespace.name == table.name && namespace.strong_consistency);
            let before = self.view.table(&table.name).map_or(0, |old| old.regime);
            table.regime = if strong { before + 1 } else { 0 };
        }
        let same = members == self.view.members;
        let key = if same { self.view.key } else { self.rng.u64(1 << 40..1 << 44) };
        let old =
            core::mem::replace(&mut self.view, Arc::new(ClusterView { members, tables, key }));
        self.everyone_learns(&old, fresh, now);
        self.moves = moves;
        self.rng.shuffle(&mut self.moves);
        // Namespaces migrate one after the other.
        self.moves.sort_by_key(|next| core::cmp::Reverse(next.namespace));
        self.agenda.cancel(|event| event == AgendaEvent::Migrate);
        // Nothing migrates to a new member before it knows the view.
        let begin = if fresh.is_some() { now + self.config.timings.spread / 2 } else { now };
        self.moves_end = begin + self.config.timings.migration;
        self.migrate_later(begin);
    }

    /// Schedules when each member learns of a change. The node that joined learns
    /// of it last.
    fn everyone_learns(&mut self, old: &Arc<ClusterView>, fresh: Option<u16>, now: Instant) {
        let spread = self.config.timings.spread;
        let joined = fresh.is_some();
        let mut learn = Vec::new();
        for node in self.nodes.values_mut() {
            let (number, incarnation) = (node.number, node.incarnation);
            let Some(process) = node.process.as_mut() else { continue };
            if !self.view.has(number, incarnation) {
                continue;
            }
            let share = self.rng.f64();
            let delay = if fresh == Some(number) {
                spread.mul_f64(0.25 + share / 4.0)
            } else if process.is_following() {
                process.outlook = Outlook::Apart(old.clone());
                spread.mul_f64(if joined { share / 4.0 } else { share })
            } else {
                continue;
            };
            learn.push((delay, AgendaEvent::Adopt { number, incarnation }));
        }
        // The first one sets the time.
        let first = learn.iter().map(|(delay, _)| *delay).min().unwrap_or_default();
        for (delay, event) in learn {
            self.agenda.schedule(now + (delay - first), event);
        }
    }

    /// Gives a process the current view.
    pub(super) fn adopt(&mut self, number: u16, incarnation: u32) {
        let view = self.view.clone();
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let Some(process) = node.process_of(incarnation) else { return };
        if process.frozen {
            return;
        }
        let peers = view.members.len() as i32 - 1;
        let before = core::mem::replace(&mut process.outlook, Outlook::Following);
        process.partition_generation = process.partition_generation.max(0) + 1;
        let newcomer = match before {
            Outlook::Starting => {
                process.peers_generation = 2 * peers;
                process.rebalance_generation += 1;
                true
            }
            Outlook::Apart(old) if old.key != view.key || old.members != view.members => {
                process.peers_generation += 1;
                process.rebalance_generation += 1;
                false
            }
            Outlook::Apart(_) | Outlook::Following => false,
        };
        if newcomer {
            // Observed in real clusters: the other nodes raise their peers
            // generation a second time when the new member is ready.
            let others = self.nodes.values_mut().filter(|node| node.number != number);
            for process in others.filter_map(|node| node.process.as_mut()) {
                process.peers_generation += i32::from(process.is_following());
            }
        }
    }

    pub(super) fn migrate(&mut self, now: Instant) {
        let left = self.moves_end.saturating_duration_since(now);
        let step = self.migration_step();
        let share = step.as_secs_f64() / (left + step).as_secs_f64();
        let due = (self.moves.len() as f64 * share).ceil() as usize;
        let rest = self.moves.len() - due.min(self.moves.len());
        let view = Arc::make_mut(&mut self.view);
        for done in self.moves.drain(rest..) {
            self.balance.arrive(done);
            let new = self.balance.row(done.namespace, done.partition);
            let table = &mut view.tables[done.namespace];
            let claims = &mut table.claims[done.partition * table.replicas..][..table.replicas];
            for (claim, number) in claims.iter_mut().zip(new) {
                let before = core::mem::replace(claim, number);
                for number in [before, number].into_iter().filter(|_| before != number) {
                    let process =
                        self.nodes.get_mut(&number).and_then(|node| node.process.as_mut());
                    if let Some(process) = process.filter(|process| process.is_following()) {
                        process.partition_generation += 1;
                    }
                }
            }
        }
        self.migrate_later(now);
    }

    fn migrate_later(&mut self, now: Instant) {
        if !self.moves.is_empty() {
            self.agenda.schedule(now + self.migration_step(), AgendaEvent::Migrate);
        }
    }

    fn migration_step(&self) -> Duration {
        (self.config.timings.migration / 100).max(Duration::from_millis(2))
    }
}
