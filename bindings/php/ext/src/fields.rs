//! Nodes as arrays of the arguments of `Tendmap\Node`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::ZendHashTable;
use tendmap::map::{Node, Slot};
use tendmap_bindings::{Failure, Kind};

use crate::failure::Outcome;

/// The fields of a node.
pub fn fields(slot: Slot, incarnation: u32, node: &Node) -> Outcome<ZBox<ZendHashTable>> {
    let mut fields = ZendHashTable::with_capacity(8);
    let filled = (|| {
        fields.insert("index", slot.index() as i64)?;
        fields.insert("incarnation", i64::from(incarnation))?;
        fields.insert("name", node.id.as_str())?;
        fields.insert("host", node.host())?;
        fields.insert("port", i64::from(node.address.port()))?;
        fields.insert("address", node.address.to_string())?;
        fields.insert("tlsName", node.tls_name.as_ref().map(|name| name.as_str().to_owned()))?;
        fields.insert("build", node.build.as_ref().map(ToString::to_string))
    })();
    filled.map_err(internal)?;
    Ok(fields)
}

/// A value that PHP does not take.
#[cold]
pub fn internal(error: ext_php_rs::error::Error) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}
