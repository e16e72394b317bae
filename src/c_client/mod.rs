//! The shared memory of Aerospike's C client, kept filled from tendmap's map.
//!
//! The C client (and the Python, Node.js and other clients that have it inside) can keep
//! its cluster in a System V segment: one process tends, the others follow. A mirror
//! fills such a segment in the place of the tending process.
//!
//! These files are its pure part: no memory, no clock, no system calls. Times are
//! milliseconds of any clock that does not go back.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `version` | client versions, and the layout that each expects |
//! | `layout` | where each field of nodes and tables lies |
//! | `header` | the header, and the check of a segment that exists |

pub mod header;
mod layout;
pub mod process;
mod version;
mod words;

pub use header::{HEADER_BYTES, Header, ShapeError};
pub use layout::{Capacity, CapacityError, Layout, PARTITIONS, Shape};
pub use version::{Client, ClientVersion, VersionError};
