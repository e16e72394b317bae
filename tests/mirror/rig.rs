//! A cluster without a network, a client that mirrors it, and the segment.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tendmap::c_client::{MirrorEvent, Target};
use tendmap::client::{Client, Config, Event, Observer};
use tendmap::internals::c_client::{Capacity, Header, Layout, Planner, Shape, Wanted, header};
use tendmap::internals::layout::{ForeignSegment, shm_create, shm_find, shm_remove};
use tendmap::map::ClusterMap;
use tendmap_testkit::{Cluster, config, directory, wait_until};

pub const SHAPE: Shape = Shape::new(Layout::F, Capacity::DEFAULT);

/// A mirror's surroundings. The segment is removed at the end.
pub struct Rig {
    pub directory: TempDir,
    pub key: u32,
    pub cluster: Cluster,
    events: Arc<Mutex<Vec<MirrorEvent>>>,
}

impl Rig {
    /// With that many nodes in the cluster, and a key of its own.
    pub fn new(nodes: u16) -> Rig {
        // Without a sign, and never tendmap's own or a client's default.
        let key = fastrand::u32(0x0100_0000..0x7000_0000);
        let events = Arc::default();
        Rig { directory: directory(), key, cluster: Cluster::new(nodes, 2), events }
    }

    pub fn config(&self) -> Config {
        let mut config = config(&self.directory);
        let version = "7.6.1".parse().unwrap();
        config.c_client.targets = vec![Target { key: self.key, version }];
        let events = self.events.clone();
        config.observer = Some(Observer::new(move |event| {
            if let Event::CClient { event, .. } = event {
                events.lock().unwrap().push(event.clone());
            }
        }));
        config
    }

    /// Connects, and waits for an event of the mirror.
    pub fn connect(&self, config: Config, wanted: impl Fn(&MirrorEvent) -> bool) -> Client {
        self.forget_events();
        let client = Client::connect_with(config, self.cluster.source()).unwrap();
        self.wait_for(wanted);
        client
    }

    /// Connects, and waits until the mirror has created the segment.
    pub fn create(&self, config: Config) -> Client {
        self.connect(config, |event| matches!(event, MirrorEvent::Created { .. }))
    }

    pub fn forget_events(&self) {
        self.events.lock().unwrap().clear();
    }

    pub fn events(&self) -> Vec<MirrorEvent> {
        self.events.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&MirrorEvent) -> bool) {
        wait_until("an event of the mirror", || self.events.lock().unwrap().iter().any(&wanted));
    }

    /// The segment that has the key; `None` if there is none.
    pub fn find(&self) -> Option<ForeignSegment> {
        let id = shm_find(self.key).unwrap()?;
        ForeignSegment::attach(id, true).ok()
    }

    pub fn segment(&self) -> ForeignSegment {
        self.find().expect("there is a segment")
    }

    pub fn header(&self) -> Header {
        Header::read(copy(&self.segment()).first_chunk().unwrap())
    }

    /// A segment as a client that is its owner leaves it, for a cluster of its
    /// own of that many nodes.
    pub fn of_a_client(&self, pid: u32, timestamp: u64) -> ForeignSegment {
        let segment = self.empty(SHAPE.bytes());
        let mut map = None;
        self.cluster.change(|now| map = Some(now.clone()));
        write(&segment, &map.unwrap(), pid, timestamp);
        segment
    }

    /// A segment of that size, all zero.
    pub fn empty(&self, bytes: usize) -> ForeignSegment {
        let id = shm_create(self.key, bytes, 0o666).unwrap();
        ForeignSegment::attach(id, true).unwrap()
    }

    /// Waits until the segment holds the cluster as it is now.
    #[track_caller]
    pub fn wait_content(&self) {
        let mut map = None;
        self.cluster.change(|now| map = Some(now.clone()));
        let map = map.unwrap();
        wait_until("the segment holds the map", || {
            self.find().is_some_and(|segment| holds(&copy(&segment), &map))
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Ok(Some(id)) = shm_find(self.key) {
            let _ = shm_remove(id);
        }
    }
}

pub fn copy(segment: &ForeignSegment) -> Vec<u8> {
    let mut copy = Vec::new();
    segment.copy(usize::MAX, &mut copy);
    copy
}

/// Fills a segment with a map.
pub fn write(segment: &ForeignSegment, map: &ClusterMap, pid: u32, timestamp: u64) {
    let wanted = wanted(map);
    segment.store_u8(header::LOCK, 1);
    let (_, pass) = Planner::create(SHAPE, &wanted, pid, timestamp, 0);
    for store in &pass.stores {
        store.apply(segment);
    }
}

pub fn wanted(map: &ClusterMap) -> Wanted {
    Wanted::of(map, SHAPE.layout).unwrap()
}

fn u32_at(image: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(image[offset..offset + 4].try_into().unwrap())
}

/// The name in an active slot.
pub fn name(image: &[u8], slot: usize) -> Option<String> {
    let name = &image[SHAPE.name(slot)..][..20];
    let end = name.iter().position(|&byte| byte == 0)?;
    (image[SHAPE.active(slot)] == 1).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

/// Whether followers of the segment route as the map says.
fn holds(image: &[u8], map: &ClusterMap) -> bool {
    let slots = u32_at(image, header::NODES_SIZE) as usize;
    let names: Vec<_> = (0..slots).map(|slot| name(image, slot)).collect();
    if names.iter().flatten().count() != map.nodes.len() {
        return false;
    }
    let tables = u32_at(image, header::TABLES_SIZE) as usize;
    map.namespaces().iter().all(|namespace| {
        let is_it = |table: &usize| {
            let name = &image[SHAPE.table(*table)..][..32];
            name.starts_with(namespace.name.as_bytes())
                && name[namespace.name.as_bytes().len()] == 0
        };
        let Some(table) = (0..tables).find(is_it) else { return false };
        let replicas = usize::from(namespace.replication_factor).min(3);
        usize::from(image[SHAPE.replica_size(table).unwrap()]) == replicas
            && (image[SHAPE.sc_mode(table)] == 1) == namespace.strong_consistency
            && (0..4096).all(|partition| {
                let regime = u32_at(image, SHAPE.regime(table, partition));
                regime == namespace.partitions.regime(partition)
                    && (0..replicas).all(|replica| {
                        let slot = u32_at(image, SHAPE.holder(table, partition, replica));
                        let found =
                            (slot as usize).checked_sub(1).and_then(|slot| names[slot].clone());
                        let holder = namespace.partitions.holder(partition, replica);
                        let wanted = holder.and_then(|slot| map.nodes.get(slot));
                        found == wanted.map(|node| node.id.to_string())
                    })
            })
    })
}
