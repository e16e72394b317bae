//! The shape of the lookup in the `aerospike` crate (3.0): an atomically
//! replaced map from the namespace's name to the replicas of each partition,
//! which are shared nodes. The crate offers no lookup without a connected cluster, so
//! only its data structure is measured.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Contender, Lookup, Reader, Table};
use crate::rig::{NAMESPACE, NODES, state};

struct Node {
    state: u64,
}

#[derive(Clone)]
struct Partitions {
    replicas: Vec<Vec<Option<Arc<Node>>>>,
}

type Partitioned = HashMap<String, Partitions>;

pub struct ClientShape {
    map: Arc<ArcSwap<Partitioned>>,
    nodes: Vec<Arc<Node>>,
    table: Table,
}

impl ClientShape {
    pub fn new() -> ClientShape {
        let nodes: Vec<_> = (0..NODES).map(|slot| Arc::new(Node { state: state(slot) })).collect();
        let table = Table::new();
        let map = Arc::new(ArcSwap::from_pointee(Self::partitioned(&table, &nodes)));
        ClientShape { map, nodes, table }
    }

    fn partitioned(table: &Table, nodes: &[Arc<Node>]) -> Partitioned {
        let masters = table.owners.iter().map(|&slot| Some(nodes[slot].clone())).collect();
        HashMap::from([(NAMESPACE.to_owned(), Partitions { replicas: vec![masters] })])
    }
}

struct ClientReader(Arc<ArcSwap<Partitioned>>);

impl Lookup for ClientReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        let map = self.0.load();
        let namespace = map.get(core::hint::black_box(NAMESPACE)).expect("it is there");
        let node: Arc<Node> = namespace.replicas[0][partition].clone().expect("owned");
        node.state
    }
}

impl Contender for ClientShape {
    fn name(&self) -> &'static str {
        "aerospike crate's shape"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ClientReader(self.map.clone()))
    }
    fn publish(&mut self) {
        self.table.change();
        self.map.store(Arc::new(Self::partitioned(&self.table, &self.nodes)));
    }
}
