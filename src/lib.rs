//! tendmap: one process tends a partitioned database cluster, all others on the
//! host route from shared memory.

pub mod client;
pub mod layout;
pub mod map;
pub mod protocol;
pub mod route;
pub mod segment;
#[cfg(feature = "sim")]
pub mod sim;
mod sync;
#[cfg(feature = "tend")]
pub mod tend;
