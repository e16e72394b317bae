//! Each target is one parser, or several of one kind.

mod attach;
mod files;
mod frame;
mod info_reply;
mod login;
mod names;
mod node_health;
mod pass;
mod peers;
mod racks;
mod replicas;
mod scalars;
mod service;
mod settings;
mod text;

/// All targets by name.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("attach", attach::run),
    ("files", files::run),
    ("frame", frame::run),
    ("info_reply", info_reply::run),
    ("login", login::run),
    ("names", names::run),
    ("pass", pass::run),
    ("peers", peers::run),
    ("racks", racks::run),
    ("replicas", replicas::run),
    ("scalars", scalars::run),
    ("service", service::run),
    ("settings", settings::run),
    ("text", text::run),
    ("node_health", node_health::run),
];
