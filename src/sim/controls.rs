//! Further controls of a simulated cluster: its namespaces and settings, and
//! nodes that misbehave.

use std::time::{Duration, Instant};

use super::config::{SimError, SimNamespace, SimUser, check_build, check_namespace};
use super::handle::Sim;

impl Sim {
    /// Adds a namespace. Its partitions have all their replicas at once.
    ///
    /// # Errors
    /// The name is in use, or the replication factor is out of range.
    pub fn add_namespace(&self, namespace: SimNamespace) -> Result<(), SimError> {
        self.try_call(move |engine| {
            check_namespace(&namespace)?;
            let namespaces = &mut engine.cluster.config.namespaces;
            if namespaces.iter().any(|known| known.name == namespace.name) {
                return Err(SimError::NamespaceExists { name: namespace.name });
            }
            namespaces.push(namespace);
            engine.cluster.namespaces_changed(Instant::now());
            Ok(())
        })
    }

    /// Removes a namespace from every node.
    ///
    /// # Errors
    /// No such namespace.
    pub fn remove_namespace(&self, name: &str) -> Result<(), SimError> {
        let name = name.to_owned();
        self.try_call(move |engine| {
            engine.cluster.namespace_mut(&name)?;
            engine.cluster.config.namespaces.retain(|known| known.name != name);
            engine.cluster.namespaces_changed(Instant::now());
            Ok(())
        })
    }

    /// Changes the number of replicas of a namespace's partitions. New replicas
    /// migrate.
    ///
    /// # Errors
    /// No such namespace, or the number is out of range.
    pub fn set_replication_factor(&self, name: &str, replicas: usize) -> Result<(), SimError> {
        let name = name.to_owned();
        self.try_call(move |engine| {
            check_namespace(&SimNamespace::new(name.as_str(), replicas))?;
            engine.cluster.namespace_mut(&name)?.replication_factor = replicas;
            engine.cluster.namespaces_changed(Instant::now());
            Ok(())
        })
    }

    /// Turns strong consistency of a namespace on or off.
    ///
    /// # Errors
    /// No such namespace.
    pub fn set_strong_consistency(&self, name: &str, strong: bool) -> Result<(), SimError> {
        let name = name.to_owned();
        self.try_call(move |engine| {
            engine.cluster.namespace_mut(&name)?.strong_consistency = strong;
            engine.cluster.set_regime(&name, u32::from(strong));
            Ok(())
        })
    }

    /// Sets the regime in replies for a namespace. A real one rises with changes
    /// of the membership, and falls when the namespace is rebuilt.
    ///
    /// # Errors
    /// No such namespace.
    pub fn set_regime(&self, name: &str, regime: u32) -> Result<(), SimError> {
        let name = name.to_owned();
        self.try_call(move |engine| {
            engine.cluster.namespace_mut(&name)?;
            engine.cluster.set_regime(&name, regime);
            Ok(())
        })
    }

    /// Rebuilds a strong-consistency namespace: its regimes start again.
    ///
    /// # Errors
    /// No such namespace.
    pub fn rebuild_namespace(&self, name: &str) -> Result<(), SimError> {
        self.set_regime(name, 1)
    }

    /// Changes the name of the cluster.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn set_cluster_name(&self, name: Option<&str>) -> Result<(), SimError> {
        let name = name.map(str::to_owned);
        self.call(move |engine| engine.cluster.config.cluster_name = name)
    }

    /// Changes the build of all servers. Those before 8.1 don't know
    /// `user-agent-set`.
    ///
    /// # Errors
    /// It is not a build.
    pub fn set_build(&self, build: &str) -> Result<(), SimError> {
        let build = build.to_owned();
        self.try_call(move |engine| {
            check_build(&build)?;
            engine.cluster.config.build = build;
            engine.cluster.nodes.values_mut().for_each(|node| node.build = None);
            Ok(())
        })
    }

    /// Changes the build of one server, at once. A real upgrade replaces its
    /// process, too: [`kill`](Self::kill) the node, or stop it, before, and
    /// start it afterwards.
    ///
    /// # Errors
    /// No such node, or it is not a build.
    pub fn set_node_build(&self, number: usize, build: &str) -> Result<(), SimError> {
        let build = build.to_owned();
        self.try_call(move |engine| {
            check_build(&build)?;
            engine.cluster.node_mut(number)?.build = Some(build);
            Ok(())
        })
    }

    /// Changes the default port, which peers lists omit.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn set_default_port(&self, port: u16) -> Result<(), SimError> {
        self.call(move |engine| {
            engine.cluster.config.default_port = port;
            engine.cluster.raise_peers_generations();
        })
    }

    /// Puts a node into a rack, for one namespace. Only the enterprise edition reports it.
    ///
    /// # Errors
    /// No such node or namespace.
    pub fn set_rack(&self, number: usize, namespace: &str, rack: i32) -> Result<(), SimError> {
        let namespace = namespace.to_owned();
        self.try_call(move |engine| {
            engine.cluster.namespace_mut(&namespace)?;
            let node = engine.cluster.node_mut(number)?;
            node.racks.insert(namespace, rack);
            if let Some(process) = &mut node.process {
                process.rebalance_generation += 1;
            }
            Ok(())
        })
    }

    /// Has a node answer one command with this text instead of the truth, until this is called
    /// with `None`. The command is given as sent, without newlines (`peers-clear-std`). This does
    /// not change generations: [`set_generations`](Self::set_generations) does that.
    ///
    /// # Errors
    /// No such node.
    pub fn set_reply(
        &self,
        number: usize,
        command: &str,
        reply: Option<&str>,
    ) -> Result<(), SimError> {
        let (command, reply) = (command.to_owned(), reply.map(str::to_owned));
        self.try_call(move |engine| {
            let overrides = &mut engine.cluster.node_mut(number)?.overrides;
            match reply {
                Some(reply) => drop(overrides.insert(command, reply)),
                None => drop(overrides.remove(&command)),
            }
            Ok(())
        })
    }

    /// Has a node send these bytes, including the header, instead of every info reply, until this
    /// is called with `None`.
    ///
    /// # Errors
    /// No such node.
    pub fn set_raw_reply(&self, number: usize, bytes: Option<&[u8]>) -> Result<(), SimError> {
        let bytes = bytes.map(<[u8]>::to_vec);
        self.try_call(move |engine| {
            engine.cluster.node_mut(number)?.raw_reply = bytes;
            Ok(())
        })
    }

    /// Adds further hosts (`host:port`, `[ipv6]:port`) to a node's advertised ones, before its
    /// true address, in its own list and in those of its peers.
    ///
    /// # Errors
    /// No such node.
    pub fn set_extra_hosts(&self, number: usize, hosts: &[&str]) -> Result<(), SimError> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.try_call(move |engine| {
            engine.cluster.node_mut(number)?.extra_hosts = hosts;
            engine.cluster.raise_peers_generations();
            Ok(())
        })
    }

    /// Sets the generations of a node: partition, peers and rebalance. They
    /// continue from there.
    ///
    /// # Errors
    /// No such node, or it is stopped.
    pub fn set_generations(
        &self,
        number: usize,
        partition: i32,
        peers: i32,
        rebalance: i32,
    ) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let stopped = SimError::WrongState { number, found: "stopped", wanted: "running" };
            let process = engine.cluster.node_mut(number)?.process.as_mut().ok_or(stopped)?;
            process.partition_generation = partition;
            process.peers_generation = peers;
            process.rebalance_generation = rebalance;
            Ok(())
        })
    }

    /// Switches security on or off. Connections without a login are unauthenticated from then on.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn set_security(&self, enabled: bool) -> Result<(), SimError> {
        self.call(move |engine| engine.security.enabled = enabled)
    }

    /// Adds a user, or changes its password and rights.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn set_user(&self, user: SimUser) -> Result<(), SimError> {
        self.call(move |engine| engine.security.set_user(user))
    }

    /// Removes a user and its sessions, if it exists.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn remove_user(&self, name: &str) -> Result<(), SimError> {
        let name = name.to_owned();
        self.call(move |engine| engine.security.remove_user(&name))
    }

    /// Sets how long future sessions are valid, in whole seconds; `None` =
    /// without limit.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn set_session_lifetime(&self, lifetime: Option<Duration>) -> Result<(), SimError> {
        self.call(move |engine| engine.security.lifetime = lifetime)
    }

    /// Ends all sessions. Connections that are authenticated already remain so.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn expire_sessions(&self) -> Result<(), SimError> {
        self.call(|engine| engine.security.expire(Instant::now()))
    }

    /// Closes every connection of a node. The node keeps running.
    ///
    /// # Errors
    /// No such node.
    pub fn drop_connections(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let node = engine.cluster.node(number)?.number;
            engine.drop_connections(node);
            Ok(())
        })
    }

    /// Changes the nodes' certificates for future connections.
    ///
    /// # Errors
    /// The files are invalid, or the nodes do not use TLS.
    #[cfg(feature = "tls")]
    pub fn set_tls(&self, tls: super::SimTls) -> Result<(), SimError> {
        self.try_call(move |engine| {
            if engine.tls.is_none() {
                return Err(SimError::Tls {
                    problem: "they were started without TLS; start a new simulated cluster".into(),
                });
            }
            engine.tls = Some(tls.load()?);
            engine.cluster.config.tls = Some(tls);
            Ok(())
        })
    }
}
