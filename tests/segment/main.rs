//! Segments: their layout, which files are trusted, and how damaged bytes are
//! refused.

mod directory_model;
mod files;
mod hostile;
mod kill_points;
mod map;
mod publisher;
mod removers;
mod system_v_model;
mod words;
