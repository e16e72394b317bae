//! Random numbers that differ between processes.
//!
//! A fork copies a generator in memory: parent and child would draw the same
//! numbers, and so the same segment ids, marks and wake bits. Where numbers
//! must differ between processes, they come from a generator that the kernel
//! has just seeded.

use rustix::rand::{GetRandomFlags, getrandom};

/// A generator that differs from those of all other processes.
pub fn rng() -> fastrand::Rng {
    let mut seed = [0; 8];
    match getrandom(&mut seed[..], GetRandomFlags::empty()) {
        Ok(8) => fastrand::Rng::with_seed(u64::from_ne_bytes(seed)),
        // A kernel before 3.17, or a sandbox that forbids the call: use values
        // that differ between processes.
        _ => {
            let pid = u64::from(std::process::id());
            fastrand::Rng::with_seed(fastrand::u64(..) ^ pid.rotate_left(32))
        }
    }
}
