//! The cluster itself: its nodes, what they believe and what is about to happen.
//!
//! Nothing here knows of sockets. Time comes from outside: [`Cluster::run`]
//! does what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balance::{Balance, Move};
use super::config::{SimConfig, SimError, SimNamespace, Timings};
use super::node::{Node, Outlook, Process};
use super::view::{Member, View};

/// What is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The others notice that a process is gone.
    Leave { number: u16, incarnation: u32 },
    /// The others take a process in.
    Join { number: u16, incarnation: u32 },
    /// A process learns of the last change of the view.
    Adopt { number: u16, incarnation: u32 },
    /// The others learn where a member listens.
    Readdress { number: u16 },
    /// Some replicas have migrated.
    Migrate,
}

impl Event {
    fn number(self) -> Option<u16> {
        match self {
            Event::Leave { number, .. }
            | Event::Join { number, .. }
            | Event::Adopt { number, .. }
            | Event::Readdress { number } => Some(number),
            Event::Migrate => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub config: SimConfig,
    /// By number.
    pub nodes: BTreeMap<u16, Node>,
    next_number: u16,
    view: Arc<View>,
    balance: Balance,
    moves: Vec<Move>,
    /// When the last of the moves should be done.
    moves_end: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    rng: fastrand::Rng,
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
            events: BTreeMap::new(),
            next_event: 0,
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

    pub fn node(&self, number: usize) -> Result<&Node, SimError> {
        let found = u16::try_from(number).ok().and_then(|number| self.nodes.get(&number));
        found.filter(|node| !node.retired).ok_or_else(|| self.no_such_node(number))
    }

    pub fn node_mut(&mut self, number: usize) -> Result<&mut Node, SimError> {
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
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The cluster as this node knows it; `None` while it starts.
    pub fn view_of<'a>(&'a self, node: &'a Node) -> Option<&'a View> {
        match &node.process.as_ref()?.outlook {
            Outlook::Starting => None,
            Outlook::Following => Some(&self.view),
            Outlook::Apart(view) => Some(view),
        }
    }

    /// Replicas that are still to migrate.
    pub fn migrations(&self) -> usize {
        self.moves.len()
    }

    /// Whether nothing will change any more by itself.
    pub fn is_settled(&self) -> bool {
        self.events.is_empty() && self.moves.is_empty()
    }

    /// When something will happen.
    pub fn next_due(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((due, _), _)| *due)
    }

    /// Adds a node that does not run yet.
    pub fn new_node(&mut self, port: u16) -> u16 {
        let number = self.next_number;
        self.next_number += 1;
        self.nodes.insert(number, Node::new(number, port));
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
        self.cancel(number, |event| matches!(event, Event::Join { .. } | Event::Adopt { .. }));
        self.leave_later(number, incarnation, delay, now);
    }

    /// How long a death goes unnoticed.
    pub fn notice(&mut self) -> Duration {
        self.between(self.config.timings.notice)
    }

    /// Takes a node out for good once the others have noticed that it is gone.
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
        self.cancel(number, |event| !matches!(event, Event::Readdress { .. }));
        if self.view.has(number, incarnation) {
            self.adopt(number, incarnation);
        } else {
            self.rejoin(number, now + self.config.timings.thaw);
        }
    }

    /// Spreads the namespaces anew after they were changed.
    pub fn namespaces_changed(&mut self, now: Instant) {
        self.change(self.view.members.clone(), None, now);
    }

    /// Raises the regime of a strong-consistency namespace to this one, or
    /// starts it anew there.
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

    /// Does all that is due.
    pub fn run(&mut self, now: Instant) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Event::Leave { number, incarnation } => self.leave(number, incarnation, now),
                Event::Join { number, incarnation } => self.join(number, incarnation, now),
                Event::Adopt { number, incarnation } => self.adopt(number, incarnation),
                Event::Readdress { number } => self.readdress(number),
                Event::Migrate => self.migrate(now),
            }
        }
    }

    fn leave(&mut self, number: u16, incarnation: u32, now: Instant) {
        if self.view.has(number, incarnation) {
            let mut members = self.view.members.clone();
            members.retain(|member| member.number != number);
            self.change(members, None, now);
        }
        if self.nodes.get(&number).is_some_and(|node| node.retired) {
            self.nodes.remove(&number);
        }
    }

    fn join(&mut self, number: u16, incarnation: u32, now: Instant) {
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
            self.schedule(now + spread / 2 + stale_address, Event::Readdress { number });
        }
    }

    fn readdress(&mut self, number: u16) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let port = node.port;
        node.listed_port = port;
        let view = Arc::make_mut(&mut self.view);
        for member in view.members.iter_mut().filter(|member| member.number == number) {
            member.port = port;
        }
        self.raise_peers_generations();
    }

    /// Makes this the membership. `fresh` has just joined and has no data.
    fn change(&mut self, members: Vec<Member>, fresh: Option<u16>, now: Instant) {
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
        let old = core::mem::replace(&mut self.view, Arc::new(View { members, tables, key }));
        self.everyone_learns(&old, fresh, now);
        self.moves = moves;
        self.rng.shuffle(&mut self.moves);
        // Namespaces migrate one after the other.
        self.moves.sort_by_key(|next| core::cmp::Reverse(next.namespace));
        self.events.retain(|_, event| *event != Event::Migrate);
        // Nothing migrates to a newcomer before it has learned of its part.
        let begin = if fresh.is_some() { now + self.config.timings.spread / 2 } else { now };
        self.moves_end = begin + self.config.timings.migration;
        self.migrate_later(begin);
    }

    /// Members learn of a change at different times, who joined as the last.
    fn everyone_learns(&mut self, old: &Arc<View>, fresh: Option<u16>, now: Instant) {
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
            learn.push((delay, Event::Adopt { number, incarnation }));
        }
        // The first one sets the time.
        let first = learn.iter().map(|(delay, _)| *delay).min().unwrap_or_default();
        for (delay, event) in learn {
            self.schedule(now + (delay - first), event);
        }
    }

    /// A process learns of the view as it is.
    fn adopt(&mut self, number: u16, incarnation: u32) {
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
            // Seen in real clusters: the others count a second change of their
            // peers when the newcomer is ready.
            let others = self.nodes.values_mut().filter(|node| node.number != number);
            for process in others.filter_map(|node| node.process.as_mut()) {
                process.peers_generation += i32::from(process.is_following());
            }
        }
    }

    fn migrate(&mut self, now: Instant) {
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
            self.schedule(now + self.migration_step(), Event::Migrate);
        }
    }

    fn migration_step(&self) -> Duration {
        (self.config.timings.migration / 100).max(Duration::from_millis(2))
    }

    fn leave_later(&mut self, number: u16, incarnation: u32, delay: Duration, now: Instant) {
        let event = Event::Leave { number, incarnation };
        let noticed = self.events.values().any(|known| *known == event);
        if self.view.has(number, incarnation) && !noticed {
            self.schedule(now + delay, event);
        }
    }

    fn rejoin(&mut self, number: u16, at: Instant) {
        let incarnation = self.nodes[&number].incarnation;
        self.schedule(at, Event::Join { number, incarnation });
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    fn cancel(&mut self, number: u16, which: impl Fn(Event) -> bool) {
        self.events.retain(|_, event| event.number() != Some(number) || !which(*event));
    }

    fn each_following(&mut self, change: impl Fn(&mut Process)) {
        let processes = self.nodes.values_mut().filter_map(|node| node.process.as_mut());
        processes.filter(|process| process.is_following()).for_each(change);
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.rng.f64())
    }
}

fn member(node: &Node) -> Member {
    Member { number: node.number, incarnation: node.incarnation, port: node.port }
}
