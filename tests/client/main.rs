//! Clients of one process: connecting, status, health, closing.

mod auto_traits;
mod changes;
mod closing;
mod connecting;
mod first_map;
mod health;
mod login_trust;
mod node_status;
mod outage;
mod reading;
mod request_tend;
mod times;
