//! The mirror that fills the segment of Aerospike's C client: its pure part.

mod damage;
mod kill_points;
mod plans;
mod world;
