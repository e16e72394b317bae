//! Nodes as C sees them.

use core::ffi::c_char;

use tendmap::map::{Build, Node as Known, NodeId, Slot, TlsName};

use crate::text::copy_text;

/// Room for a node's name and a zero byte.
pub const TENDMAP_NODE_NAME_SIZE: usize = 32;
/// Room for an address and a zero byte.
pub const TENDMAP_ADDRESS_SIZE: usize = 64;
/// Room for the name on a certificate and a zero byte.
pub const TENDMAP_TLS_NAME_SIZE: usize = 256;
/// Room for a build and a zero byte.
pub const TENDMAP_BUILD_SIZE: usize = 32;

const _: () = assert!(NodeId::MAX < TENDMAP_NODE_NAME_SIZE);
const _: () = assert!(TlsName::MAX < TENDMAP_TLS_NAME_SIZE);
const _: () = assert!("65535.65535.65535.65535".len() < TENDMAP_BUILD_SIZE);

/// A node of the cluster.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Node {
    /// The node's index, as in a route. Another node may have it later, under
    /// another incarnation.
    pub index: u16,
    /// The port.
    pub port: u16,
    /// How many times a node got this index.
    pub incarnation: u32,
    /// The node id.
    pub name: [c_char; TENDMAP_NODE_NAME_SIZE],
    /// The IP address alone, for getaddrinfo() and the like; a link-local one
    /// with its scope: fe80::1%2.
    pub host: [c_char; TENDMAP_ADDRESS_SIZE],
    /// Address and port: 10.0.0.1:3000, [::1]:3000.
    pub address: [c_char; TENDMAP_ADDRESS_SIZE],
    /// The name on its TLS certificate; empty if it has none.
    pub tls_name: [c_char; TENDMAP_TLS_NAME_SIZE],
    /// The build of its server: 8.1.2.0; empty if it is not known.
    pub build: [c_char; TENDMAP_BUILD_SIZE],
}

impl Node {
    pub(crate) fn of(slot: Slot, incarnation: u32, node: &Known) -> Node {
        let mut out = Node {
            index: slot.index() as u16,
            port: node.address.port(),
            incarnation,
            name: [0; TENDMAP_NODE_NAME_SIZE],
            host: [0; TENDMAP_ADDRESS_SIZE],
            address: [0; TENDMAP_ADDRESS_SIZE],
            tls_name: [0; TENDMAP_TLS_NAME_SIZE],
            build: [0; TENDMAP_BUILD_SIZE],
        };
        copy_text(node.id.as_str(), &mut out.name);
        copy_text(&node.host(), &mut out.host);
        copy_text(&node.address.to_string(), &mut out.address);
        copy_text(node.tls_name.as_ref().map_or("", TlsName::as_str), &mut out.tls_name);
        copy_text(&node.build.as_ref().map_or_else(String::new, Build::to_string), &mut out.build);
        out
    }
}
