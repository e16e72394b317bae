//! The model of the cluster: its nodes, their views and the pending events.
//!
//! Nothing here knows of sockets. The caller passes the time in, and
//! [`Cluster::run`] applies the events that are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agenda::{Agenda, AgendaEvent};
use super::balance::{Balance, Move};
use super::config::{SimConfig, SimError, SimNamespace};
use super::node::{Outlook, Process, SimNode};
use super::view::{ClusterView, Member};

#[derive(Debug)]
pub(super) struct Cluster {
    pub config: SimConfig,
    /// By number.
    pub nodes: BTreeMap<u16, SimNode>,
    next_number: u16,
    pub(super) view: Arc<ClusterView>,
    pub(super) balance: Balance,
    pub(super) moves: Vec<Move>,
    /// When the last migration should be complete.
    pub(super) moves_end: Instant,
    pub(super) agenda: Agenda,
    pub(super) rng: fastrand::Rng,
}

impl Cluster {
    /// A cluster whose nodes have all joined, at these ports.
    pub fn new(config: SimConfig, ports: &[u16], now: Instant) -> Cluster {
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            next_number: 1,
            view: Arc::default(),
            balance: Balance::new(config.seed, config.partitions),
            moves: Vec::new(),
            moves_end: now,
            agenda: Agenda::default(),
            rng: fastrand::Rng::with_seed(config.seed),
            config,
        };
        for &port in ports {
            let number = cluster.new_node(port);
            cluster.start_process(number);
        }
        let members = cluster.nodes.values().map(member).collect();
        cluster.change(members, None, now);
        let peers = ports.len() as i32 - 1;
        for process in cluster.nodes.values_mut().filter_map(|node| node.process.as_mut()) {
            process.outlook = Outlook::Following;
            process.partition_generation = 0;
            process.peers_generation = 2 * peers;
            process.rebalance_generation = 1;
        }
        cluster
    }

    pub fn node(&self, number: usize) -> Result<&SimNode, SimError> {
        let found = u16::try_from(number).ok().and_then(|number| self.nodes.get(&number));
        found.filter(|node| !node.retired).ok_or_else(|| self.no_such_node(number))
    }

    pub fn node_mut(&mut self, number: usize) -> Result<&mut SimNode, SimError> {
        self.node(number)?;
        let key = number as u16;
        Ok(self.nodes.get_mut(&key).expect("a node that was just found"))
    }

    fn no_such_node(&self, number: usize) -> SimError {
        let nodes = self.nodes.values().filter(|node| !node.retired);
        let nodes: Vec<String> = nodes.map(|node| node.number.to_string()).collect();
        SimError::NoSuchNode { number, nodes: nodes.join(", ") }
    }

    pub fn namespace_mut(&mut self, name: &str) -> Result<&mut SimNamespace, SimError> {
        let error = self.no_such_namespace(name);
        self.config.namespaces.iter_mut().find(|known| known.name == name).ok_or(error)
    }

    pub fn no_such_namespace(&self, name: &str) -> SimError {
        let names: Vec<&str> = self.config.namespaces.iter().map(|ns| ns.name.as_str()).collect();
        SimError::NoSuchNamespace { name: name.into(), namespaces: names.join(", ") }
    }

    /// The number of the next node.
    pub fn peek_number(&self) -> u16 {
        self.next_number
    }

    /// The cluster as most nodes know it.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// The build that this node reports.
    pub fn build_of<'a>(&'a self, node: &'a SimNode) -> &'a str {
        node.build.as_deref().unwrap_or(&self.config.build)
    }

    /// The cluster as this node knows it; `None` while it starts.
    pub fn view_of<'a>(&'a self, node: &'a SimNode) -> Option<&'a ClusterView> {
        match &node.process.as_ref()?.outlook {
            Outlook::Starting => None,
            Outlook::Following => Some(&self.view),
            Outlook::Apart(view) => Some(view),
        }
    }

    /// The number of replicas that must still migrate.
    pub fn migrations(&self) -> usize {
        self.moves.len()
    }

    /// Whether nothing will change any more without a command.
    pub fn is_settled(&self) -> bool {
        self.agenda.is_empty() && self.moves.is_empty()
    }

    /// When the next event or migration is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.agenda.next_due()
    }

    /// Adds a node that does not run yet.
    pub fn new_node(&mut self, port: u16) -> u16 {
        let number = self.next_number;
        self.next_number += 1;
        self.nodes.insert(number, SimNode::new(number, port));
        number
    }

    fn start_process(&mut self, number: u16) {
        let node = self.nodes.get_mut(&number).expect("a node to start");
        node.incarnation += 1;
        node.process = Some(Process::new());
    }

    /// Starts a node, which joins later.
    pub fn start(&mut self, number: u16, now: Instant) {
        self.start_process(number);
        let delay = self.between(self.config.timings.join);
        self.rejoin(number, now + delay);
    }

    /// Ends a node's process; the others notice after `delay`.
    pub fn end(&mut self, number: u16, delay: Duration, now: Instant) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.process = None;
        let incarnation = node.incarnation;
        self.cancel(number, |event| {
            matches!(event, AgendaEvent::Join { .. } | AgendaEvent::Adopt { .. })
        });
        self.leave_later(number, incarnation, delay, now);
    }

    /// How long the others take to notice a death.
    pub fn notice(&mut self) -> Duration {
        self.between(self.config.timings.notice)
    }

    /// Removes a node permanently once the others have noticed that it is gone.
    pub fn retire(&mut self, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.retired = true;
        if self.view.member(number).is_none() {
            self.nodes.remove(&number);
        }
    }

    /// Stops a process without ending it.
    pub fn freeze(&mut self, number: u16, now: Instant) {
        let view = self.view.clone();
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let incarnation = node.incarnation;
        let Some(process) = &mut node.process else { return };
        process.frozen = true;
        if process.is_following() {
            process.outlook = Outlook::Apart(view);
        }
        let delay = self.notice();
        self.leave_later(number, incarnation, delay, now);
    }

    /// Makes a member believe that it is alone, and the others that it is gone.
    pub fn isolate(&mut self, number: u16, now: Instant) {
        let view = Arc::new(self.view.alone(number));
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let incarnation = node.incarnation;
        let Some(process) = &mut node.process else { return };
        process.isolated = true;
        process.outlook = Outlook::Apart(view);
        process.partition_generation += 1;
        process.peers_generation += 1;
        process.rebalance_generation += 1;
        self.cancel(number, |event| {
            matches!(event, AgendaEvent::Join { .. } | AgendaEvent::Adopt { .. })
        });
        let delay = self.notice();
        self.leave_later(number, incarnation, delay, now);
    }

    /// Ends a freeze or an isolation.
    pub fn wake(&mut self, number: u16, now: Instant) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let incarnation = node.incarnation;
        let Some(process) = &mut node.process else { return };
        process.frozen = false;
        process.isolated = false;
        self.cancel(number, |event| !matches!(event, AgendaEvent::Readdress { .. }));
        if self.view.has(number, incarnation) {
            self.adopt(number, incarnation);
        } else {
            self.rejoin(number, now + self.config.timings.thaw);
        }
    }

    /// Distributes the namespaces again after they were changed.
    pub fn namespaces_changed(&mut self, now: Instant) {
        self.change(self.view.members.clone(), None, now);
    }

    /// Raises the regime of a strong-consistency namespace to this one, or
    /// restarts it there.
    pub fn set_regime(&mut self, name: &str, regime: u32) {
        let view = Arc::make_mut(&mut self.view);
        for table in view.tables.iter_mut().filter(|table| table.name == name) {
            table.regime = regime;
        }
        self.raise_partition_generations();
    }

    /// Raises the partition generation of every member that is up to date.
    pub fn raise_partition_generations(&mut self) {
        self.each_following(|process| process.partition_generation += 1);
    }

    /// Raises the peers generation of every member that is up to date.
    pub fn raise_peers_generations(&mut self) {
        self.each_following(|process| process.peers_generation += 1);
    }

    /// Applies all events that are due.
    pub fn run(&mut self, now: Instant) {
        while let Some(event) = self.agenda.pop(now) {
            match event {
                AgendaEvent::Leave { number, incarnation } => self.leave(number, incarnation, now),
                AgendaEvent::Join { number, incarnation } => self.join(number, incarnation, now),
                AgendaEvent::Adopt { number, incarnation } => self.adopt(number, incarnation),
                AgendaEvent::Readdress { number } => self.readdress(number),
                AgendaEvent::Migrate => self.migrate(now),
            }
        }
    }

    fn leave_later(&mut self, number: u16, incarnation: u32, delay: Duration, now: Instant) {
        let event = AgendaEvent::Leave { number, incarnation };
        if self.view.has(number, incarnation) && !self.agenda.has(event) {
            self.agenda.schedule(now + delay, event);
        }
    }

    fn rejoin(&mut self, number: u16, at: Instant) {
        let incarnation = self.nodes[&number].incarnation;
        self.agenda.schedule(at, AgendaEvent::Join { number, incarnation });
    }

    fn cancel(&mut self, number: u16, which: impl Fn(AgendaEvent) -> bool) {
        self.agenda.cancel(|event| event.number() == Some(number) && which(event));
    }

    fn each_following(&mut self, change: impl Fn(&mut Process)) {
        let processes = self.nodes.values_mut().filter_map(|node| node.process.as_mut());
        processes.filter(|process| process.is_following()).for_each(change);
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.rng.f64())
    }
}

fn member(node: &SimNode) -> Member {
    Member { number: node.number, incarnation: node.incarnation, port: node.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies of all nodes while one node dies and returns, in steps of ten
    /// milliseconds.
    fn history(seed: u64) -> Vec<String> {
        let mut config = SimConfig::fast(3);
        config.seed = seed;
        let begin = Instant::now();
        let mut cluster = Cluster::new(config, &[4001, 4002, 4003], begin);
        let step = |step: u32| begin + Duration::from_millis(10) * step;
        let mut history = Vec::new();
        for round in 0..60 {
            match round {
                1 => cluster.end(2, Duration::from_millis(30), step(round)),
                20 => cluster.start(2, step(round)),
                _ => {}
            }
            cluster.run(step(round));
            let nodes = cluster.nodes.values();
            history.extend(nodes.map(|node| {
                let all = b"partition-generation\npeers-clear-std\nreplicas\n";
                String::from_utf8(crate::sim::info::answer(&cluster, node, all)).unwrap()
            }));
        }
        assert!(cluster.is_settled());
        history
    }

    #[test]
    fn the_same_seed_gives_the_same_history() {
        assert_eq!(history(5), history(5));
        assert_ne!(history(5), history(6));
    }
}
