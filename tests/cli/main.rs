//! The command line, run as its users run it.

mod answers;
mod codes;
mod consistency;
mod console;
mod lifecycle;
mod settings;
mod system_v;
mod tool;
