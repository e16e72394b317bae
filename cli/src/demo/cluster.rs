//! The demo's cluster, with the timing of a real one, scaled to the length of the
//! demo.

use std::time::Duration;

use tendmap::sim::{SimConfig, Timings};

/// The initial number of nodes.
const NODES: usize = 4;

/// The cluster for a demo of this length.
pub fn config(length: Duration) -> SimConfig {
    let mut config = SimConfig::new(NODES);
    config.cluster_name = Some("tendmap-demo".into());
    config.timings = timings((length.as_secs_f64() / 20.0).min(1.0));
    config
}

/// The timing of a real cluster, multiplied by `factor`.
fn timings(factor: f64) -> Timings {
    let mut timings = Timings::real();
    let Timings { notice, spread, stop_notice, join, stale_address, thaw, migration, .. } =
        &mut timings;
    let (first, last) = (notice, join);
    for time in [
        &mut first.0,
        &mut first.1,
        &mut last.0,
        &mut last.1,
        spread,
        stop_notice,
        stale_address,
        thaw,
        migration,
    ] {
        *time = time.mul_f64(factor);
    }
    timings
}
