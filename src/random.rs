//! Random numbers of a process's own.
//!
//! A generator in memory is copied by a fork: parent and children would draw the
//! same numbers, and so the same segment ids, marks and turns. Where numbers
//! must differ between processes they come from a generator that the kernel has
//! just seeded.

use rustix::rand::{GetRandomFlags, getrandom};

/// A generator unlike any other, in whatever process.
pub fn rng() -> fastrand::Rng {
    let mut seed = [0; 8];
    match getrandom(&mut seed[..], GetRandomFlags::empty()) {
        Ok(8) => fastrand::Rng::with_seed(u64::from_ne_bytes(seed)),
        // A kernel before 3.17, or a sandbox that forbids the call: what differs
        // between processes must do.
        _ => {
            let pid = u64::from(std::process::id());
            fastrand::Rng::with_seed(fastrand::u64(..) ^ pid.rotate_left(32))
        }
    }
}
