//! The roles of worker processes.

mod client;
mod footprint;
mod hammer;
mod outsiders;
mod pool;
mod spin;

use std::io::Write;

use serde_json::{Value, json};
use tendmap::internals::segment::live;

use crate::setup::Setup;
pub use hammer::hammered;
use tendmap_testkit::Cluster;

/// The variable with the role and the setup of a worker.
pub const ROLE: &str = "TENDMAP_TEST_WORKER";
/// The variable with the trial that a process must run.
pub const TRIAL: &str = "TENDMAP_TEST_TRIAL";

/// If this process was started as a worker, runs its role and does not return.
pub fn work_if_asked() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, setup) = role.split_once(' ').expect("a role and a setup");
    let setup = Setup::from_json(&serde_json::from_str(setup).unwrap());
    match role {
        "client" => client::client(&setup, None),
        "switch" => client::client(&setup, Some(Cluster::new(5, 2))),
        "hammer" => hammer::hammer(&setup),
        "spin" => spin::spin(&setup),
        "hold" => hold(&setup),
        "keep" => pool::keep(&setup),
        "read" => pool::read(&setup),
        "footprint" => footprint::footprint(&setup),
        "hold-check" => {
            let segment = live(&setup.place()).unwrap().unwrap();
            let byte = segment.head().term().into();
            let held = segment.lock().unwrap().held_by_other(byte).unwrap();
            say(json!({"event": "owner_byte", "held": held}));
        }
        "trial" => crate::conformance::run(&std::env::var(TRIAL).unwrap()),
        "remove" => {
            let removed =
                tendmap::segment::remove(&setup.place(), true).map(|removed| removed.len());
            match removed {
                Ok(removed) => say(json!({"event": "removed", "count": removed})),
                Err(error) => say(json!({"event": "error", "text": error.to_string()})),
            }
            let _ = std::io::stdin().lines().next();
        }
        "churn" => outsiders::churn(&setup),
        "look" => outsiders::look(&setup),
        "half" => outsiders::half(&setup),
        "lock_all" => outsiders::lock_all(&setup),
        "outgrow" => outsiders::outgrow(&setup),
        other => panic!("no such role: {other}"),
    }
    std::process::exit(0);
}

/// The commands of the test, one per line.
pub fn commands() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}

pub fn say(value: Value) {
    let mut out = std::io::stdout().lock();
    // The test may have ended, which is not an error.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// Locks the bytes of the next two terms, like candidates that are stopped half-way.
fn hold(setup: &Setup) {
    let segment = live(&setup.place()).unwrap().unwrap();
    let lock = segment.lock().unwrap();
    let next = u64::from(segment.head().term()) + 1;
    assert!(lock.try_lock(next).unwrap() && lock.try_lock(next + 1).unwrap());
    say(json!({"event": "holding"}));
    let _ = std::io::stdin().lines().next();
}
