//! Prints, as JSON, where tendmap expects the fields of the C client's segment. The
//! sentinel `tests/official_client/sentinel.py` compares them with the debug
//! information of a client.
//!
//! The argument is a version (`7.6.1`, `python-19.3`), a layout (`F`) or a library
//! that contains the C client.

use std::fs::File;

use serde_json::{Map, Value, json};
use tendmap::internals::c_client::diagnosis::client_version;
use tendmap::internals::c_client::{Capacity, ClientVersion, HEADER_BYTES, Layout, Shape, header};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("wanted a version, a layout or a library")?;
    let layout = Layout::ALL.into_iter().find(|layout| layout.to_string() == argument);
    let (version, layout) = match (layout, File::open(&argument)) {
        (Some(layout), _) => (None, Ok(layout)),
        (None, Ok(file)) => {
            let version = client_version(&file).ok_or("the library contains no version")?;
            (Some(version.clone()), version.parse().map(ClientVersion::layout))
        }
        (None, Err(_)) => (None, argument.parse().map(ClientVersion::layout)),
    };
    let answer = match layout {
        Ok(layout) => json!({
            "version": version,
            "layout": layout.to_string(),
            "structs": structs(layout),
        }),
        Err(error) => json!({ "version": version, "error": error.to_string() }),
    };
    println!("{answer}");
    Ok(())
}

/// Each structure by its name in the C client, with its size and the offsets of its
/// members.
fn structs(layout: Layout) -> Value {
    let shape = Shape::new(layout, Capacity::DEFAULT);
    let mut head: Map<String, Value> =
        header::FIELDS.iter().map(|field| (field.name.to_owned(), json!(field.offset))).collect();
    head.insert("nodes".into(), json!(shape.node(0)));
    let at = |offset: usize| json!(offset - shape.node(0));
    let mut node = Map::new();
    for (name, offset) in [
        ("name", Some(shape.name(0))),
        ("lock", Some(shape.slot_lock(0))),
        ("addr", Some(shape.address(0))),
        ("tls_name", Some(shape.tls_name(0))),
        ("version", shape.version(0)),
        ("features", Some(shape.features(0))),
        ("rebalance_generation", Some(shape.rebalance_generation(0))),
        ("rack_id", Some(shape.rack(0))),
        ("active", Some(shape.active(0))),
    ] {
        node.extend(offset.map(|offset| (name.to_owned(), at(offset))));
    }
    let at = |offset: usize| json!(offset - shape.table(0));
    let mut table = Map::new();
    for (name, offset) in [
        ("ns", Some(shape.table(0))),
        ("replica_size", shape.replica_size(0)),
        ("sc_mode", Some(shape.sc_mode(0))),
        ("partitions", Some(shape.entry(0, 0))),
    ] {
        table.extend(offset.map(|offset| (name.to_owned(), at(offset))));
    }
    let at = |offset: usize| json!(offset - shape.entry(0, 0));
    let mut entry = Map::new();
    for replica in 0..layout.replicas() {
        entry.insert(format!("replica {replica}"), at(shape.holder(0, 0, replica)));
    }
    entry.insert("regime".into(), at(shape.regime(0, 0)));
    json!({
        "as_cluster_shm_s": { "bytes": HEADER_BYTES, "members": head },
        "as_node_shm_s": { "bytes": layout.node_bytes(), "members": node },
        "as_partition_table_shm_s": {
            "bytes": shape.entry(0, 0) - shape.table(0),
            "members": table,
        },
        "as_partition_shm_s": {
            "bytes": shape.entry(0, 1) - shape.entry(0, 0),
            "members": entry,
        },
    })
}
