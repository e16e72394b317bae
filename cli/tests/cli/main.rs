//! The command line, run as its users run it.

mod answers;
mod c_client;
mod check;
mod codes;
mod consistency;
mod console;
mod identity;
mod lifecycle;
mod manual;
mod metrics;
mod onlookers;
mod ports;
mod racks;
mod recorded;
mod replay;
mod secrets;
mod secure;
mod seen;
mod settings;
mod shortage;
mod streams;
mod system_v;
mod terminal;
mod tool;
mod users;
mod verify;
