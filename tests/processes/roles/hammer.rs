//! An owner that publishes without a pause.

use serde_json::json;
use tendmap::internals::segment::{CreateOutcome, PublishFailure, create};
use tendmap::map::ClusterMap;

use super::say;
use crate::setup::Setup;

/// An owner without a cluster that publishes without a pause, every word
/// changed each time: whenever it is killed or stopped, it is in the middle of
/// a publication.
pub fn hammer(setup: &Setup) {
    let CreateOutcome::Owner(mut ownership) =
        create(&setup.place(), 1, setup.config().capacity(), None).unwrap()
    else {
        panic!("the directory was empty");
    };
    ownership.set_checksums(true);
    let mut maps = [hammered(0), hammered(1), hammered(2)];
    // After this report there is a map, even if this process gets no processor again.
    ownership.publish(&maps[2]).unwrap();
    say(json!({"event": "hammering"}));
    for turn in 0.. {
        let map: &mut ClusterMap = &mut maps[turn % 3];
        match ownership.publish(map) {
            Ok(_) => {}
            Err(PublishFailure::Ended(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    ownership.fenced();
    say(json!({"event": "fenced"}));
    let _ = std::io::stdin().lines().next();
}

/// Eight namespaces on twelve nodes; two maps of different turns differ in
/// every word.
pub fn hammered(turn: usize) -> ClusterMap {
    let mut map = ClusterMap::new(tendmap::map::Capacity::DEFAULT);
    for number in 0..12 {
        map.nodes.insert(tendmap_testkit::node(number)).unwrap();
    }
    for index in 0..8 {
        tendmap_testkit::add_namespace(&mut map, &format!("ns{index}"), 3);
        let namespace = &mut map.namespaces_mut()[index];
        for partition in 0..4096 {
            for replica in 0..3 {
                let slot = tendmap::map::Slot::new((partition + 4 * turn + replica) % 12);
                namespace.partitions.set_holder(partition, replica, slot);
            }
            namespace.partitions.set_regime(partition, turn as u32 + 1);
        }
    }
    map
}
