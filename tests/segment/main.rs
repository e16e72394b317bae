//! Segments: what lies where, who may be trusted, and what bad bytes get.

mod directory_model;
mod files;
mod hostile;
mod kill_points;
mod map;
mod publisher;
mod system_v_model;
mod words;
