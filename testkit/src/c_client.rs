//! Segments as Aerospike's C client makes them, written byte by byte: the offsets are
//! those of its debug information and not tendmap's own.

use tendmap::internals::layout::{ForeignSegment, shm_create, shm_remove};

/// The sizes and offsets of one layout.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    pub name: &'static str,
    /// A version of the C client that has it.
    pub version: &'static str,
    pub default_key: u32,
    node: usize,
    build: Option<usize>,
    rack: usize,
    active: usize,
    replica_size: Option<usize>,
    sc_mode: usize,
    nodes: usize,
    namespaces: usize,
}

pub const D: Raw = Raw {
    name: "D",
    version: "6.3.0",
    default_key: 0xa800_0000,
    node: 424,
    build: None,
    rack: 416,
    active: 420,
    replica_size: None,
    sc_mode: 32,
    nodes: 16,
    namespaces: 8,
};
pub const E: Raw = Raw {
    name: "E",
    version: "7.4.0",
    default_key: 0xa900_0000,
    replica_size: Some(32),
    sc_mode: 33,
    ..D
};
pub const F: Raw = Raw {
    name: "F",
    version: "7.6.1",
    default_key: 0xac00_0000,
    node: 432,
    build: Some(408),
    rack: 424,
    active: 428,
    ..E
};

const TABLE: usize = 40 + 4096 * 16;
pub const TIMESTAMP: usize = 0;
pub const OWNER_PID: usize = 8;
pub const NODES_SIZE: usize = 12;
pub const NODES_GEN: usize = 20;
pub const PARTITION_COUNT: usize = 24;
pub const TAKE_OVER_LOCK: usize = 44;
pub const LOCK: usize = 48;
pub const READY: usize = 49;

impl Raw {
    /// With room for this many nodes and namespaces.
    pub fn sized(self, nodes: usize, namespaces: usize) -> Raw {
        Raw { nodes, namespaces, ..self }
    }

    pub fn bytes(&self) -> usize {
        56 + self.nodes * self.node + self.namespaces * TABLE
    }

    fn node(&self, slot: usize) -> usize {
        56 + slot * self.node
    }

    pub fn node_name(&self, slot: usize) -> usize {
        self.node(slot)
    }

    pub fn slot_lock(&self, slot: usize) -> usize {
        self.node(slot) + 20
    }

    pub fn address(&self, slot: usize) -> usize {
        self.node(slot) + 24
    }

    pub fn build(&self, slot: usize) -> Option<usize> {
        self.build.map(|build| self.node(slot) + build)
    }

    pub fn rack(&self, slot: usize) -> usize {
        self.node(slot) + self.rack
    }

    pub fn active(&self, slot: usize) -> usize {
        self.node(slot) + self.active
    }

    pub fn table(&self, table: usize) -> usize {
        self.node(self.nodes) + table * TABLE
    }

    pub fn replica_size(&self, table: usize) -> Option<usize> {
        self.replica_size.map(|size| self.table(table) + size)
    }

    pub fn sc_mode(&self, table: usize) -> usize {
        self.table(table) + self.sc_mode
    }

    pub fn holder(&self, table: usize, partition: usize, replica: usize) -> usize {
        self.table(table) + 40 + 16 * partition + 4 * replica
    }

    /// A header of a segment without nodes, tended now by a process.
    pub fn empty(&self, pid: u32, now_ms: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes()];
        bytes[..8].copy_from_slice(&now_ms.to_ne_bytes());
        for (at, value) in [
            (OWNER_PID, pid as usize),
            (16, self.nodes),
            (PARTITION_COUNT, 4096),
            (32, self.namespaces),
            (36, self.table(0)),
            (40, TABLE),
        ] {
            put(&mut bytes, at, value as u32);
        }
        (bytes[LOCK], bytes[READY]) = (1, 1);
        bytes
    }

    /// A healthy segment of these nodes (name, port on 127.0.0.1) and one namespace, whose
    /// masters are the nodes in turn and whose second replica is the next node.
    pub fn healthy(
        &self,
        pid: u32,
        now_ms: u64,
        nodes: &[(String, u16)],
        namespace: &str,
    ) -> Vec<u8> {
        let mut bytes = self.empty(pid, now_ms);
        put(&mut bytes, NODES_SIZE, nodes.len() as u32);
        put(&mut bytes, 28, 1);
        for (slot, (name, port)) in nodes.iter().enumerate() {
            bytes[self.node_name(slot)..][..name.len()].copy_from_slice(name.as_bytes());
            bytes[self.address(slot)..][..2].copy_from_slice(&2u16.to_ne_bytes());
            bytes[self.address(slot) + 2..][..2].copy_from_slice(&port.to_be_bytes());
            bytes[self.address(slot) + 4..][..4].copy_from_slice(&[127, 0, 0, 1]);
            if let Some(build) = self.build(slot) {
                for (index, number) in [8u16, 1, 2, 0].into_iter().enumerate() {
                    bytes[build + 2 * index..][..2].copy_from_slice(&number.to_ne_bytes());
                }
            }
            bytes[self.active(slot)] = 1;
        }
        bytes[self.table(0)..][..namespace.len()].copy_from_slice(namespace.as_bytes());
        if let Some(size) = self.replica_size(0) {
            bytes[size] = 2;
        }
        for partition in 0..4096 {
            for replica in 0..2 {
                let slot = (partition + replica) % nodes.len();
                put(&mut bytes, self.holder(0, partition, replica), slot as u32 + 1);
            }
        }
        bytes
    }
}

/// Stores four bytes, as the machine has them.
pub fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// A segment with a key; removed when it is dropped.
pub struct RawSegment {
    pub key: u32,
    pub id: i32,
}

impl RawSegment {
    /// Makes one with that content and key (0: with none).
    ///
    /// # Errors
    /// The kernel's error.
    pub fn create(key: u32, bytes: &[u8], mode: u32) -> std::io::Result<RawSegment> {
        let segment = RawSegment { key, id: shm_create(key, bytes.len(), mode)? };
        segment.store(bytes);
        Ok(segment)
    }

    /// This process's own mapping of it.
    pub fn attach(&self) -> ForeignSegment {
        ForeignSegment::attach(self.id, true).unwrap()
    }

    /// Replaces its content.
    pub fn store(&self, bytes: &[u8]) {
        let segment = self.attach();
        for (index, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
            segment.store_u32(4 * index, u32::from_ne_bytes(*word));
        }
    }

    /// Its content.
    pub fn content(&self) -> Vec<u8> {
        let mut copy = Vec::new();
        self.attach().copy(usize::MAX, &mut copy);
        copy
    }
}

impl Drop for RawSegment {
    fn drop(&mut self) {
        let _ = shm_remove(self.id);
    }
}

/// A library of 64-bit ELF that says to be a C client of that version: one segment at
/// address 0, one table with one symbol.
pub fn library(version: &str) -> Vec<u8> {
    const NAMES: &[u8] = b"\0aerospike_client_version\0";
    let mut bytes = vec![0; 4096];
    let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    set(0, b"\x7fELF\x02\x01\x01");
    set(32, &64u64.to_le_bytes());
    set(40, &120u64.to_le_bytes());
    for (at, value) in [(54, 56u16), (56, 1), (58, 64), (60, 3)] {
        set(at, &value.to_le_bytes());
    }
    set(64, &1u32.to_le_bytes());
    set(64 + 32, &4096u64.to_le_bytes());
    let names = NAMES.len() as u64;
    for (at, kind, offset, size) in [(184, 11u32, 0x200u64, 24), (248, 3, 0x300, names)] {
        set(at + 4, &kind.to_le_bytes());
        set(at + 24, &offset.to_le_bytes());
        set(at + 32, &size.to_le_bytes());
        set(at + 40, &2u32.to_le_bytes());
    }
    set(0x200, &1u32.to_le_bytes());
    set(0x206, &1u16.to_le_bytes());
    set(0x208, &0x400u64.to_le_bytes());
    set(0x300, NAMES);
    set(0x400, version.as_bytes());
    bytes
}
