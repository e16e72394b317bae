//! Namespaces that are added, removed and changed.

use tendmap::sim::{Sim, SimConfig, SimError, SimNamespace};

use crate::client::{Client, claimed, owners, settle};

fn three() -> Sim {
    let mut config = SimConfig::fast(3);
    config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 3)];
    Sim::start(config).unwrap()
}

fn regime(sim: &Sim, namespace: &str) -> u32 {
    Client::of(sim, 1).replicas()[namespace].0
}

#[test]
fn a_namespace_comes_and_goes_everywhere() {
    let sim = three();
    sim.add_namespace(SimNamespace::new("late", 1)).unwrap();
    settle(&sim);
    assert_eq!(claimed(&sim, &[1, 2, 3], "late"), owners(&sim, "late"));
    assert_eq!(Client::of(&sim, 2).ask("namespaces"), "test;ledger;late");
    let again = sim.add_namespace(SimNamespace::new("late", 1));
    assert!(matches!(again, Err(SimError::NamespaceExists { .. })));
    sim.remove_namespace("test").unwrap();
    settle(&sim);
    assert!(!Client::of(&sim, 3).replicas().contains_key("test"));
    assert!(matches!(sim.owners("test"), Err(SimError::NoSuchNamespace { .. })));
    assert_eq!(claimed(&sim, &[1, 2, 3], "late"), owners(&sim, "late"));
}

#[test]
fn the_replication_factor_changes_at_run_time() {
    let sim = three();
    let before = Client::of(&sim, 1).number("partition-generation");
    sim.set_replication_factor("test", 3).unwrap();
    settle(&sim);
    assert!(Client::of(&sim, 1).number("partition-generation") > before);
    assert_eq!(claimed(&sim, &[1, 2, 3], "test"), owners(&sim, "test"));
    assert!(owners(&sim, "test").iter().all(|row| row.len() == 3));
    sim.set_replication_factor("test", 1).unwrap();
    settle(&sim);
    assert_eq!(Client::of(&sim, 1).replicas()["test"].1.len(), 1);
}

#[test]
fn regimes_rise_with_the_membership_and_restart_when_rebuilt() {
    let sim = three();
    assert_eq!(regime(&sim, "test"), 0);
    let first = regime(&sim, "ledger");
    assert!(first > 0);
    sim.kill(3).unwrap();
    settle(&sim);
    sim.start_node(3).unwrap();
    settle(&sim);
    assert!(regime(&sim, "ledger") > first);
    assert_eq!(regime(&sim, "test"), 0);
    let generation = Client::of(&sim, 1).number("partition-generation");
    sim.rebuild_namespace("ledger").unwrap();
    assert_eq!(regime(&sim, "ledger"), 1);
    assert!(Client::of(&sim, 1).number("partition-generation") > generation);
}

#[test]
fn strong_consistency_can_be_switched() {
    let sim = three();
    sim.set_strong_consistency("test", true).unwrap();
    assert_eq!(regime(&sim, "test"), 1);
    sim.set_strong_consistency("test", false).unwrap();
    assert_eq!(regime(&sim, "test"), 0);
}
