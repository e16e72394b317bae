//! The common part of tendmap's bindings for other languages.
//!
//! A binding is thin: it converts arguments and results, and names things as its
//! language does. What all of them need is here.
//!
//! | a binding needs | it uses |
//! | --- | --- |
//! | a client or a reader that survives `fork` | [`Session`] |
//! | to wait in an event loop | [`Session::changes`]: a [`Changes`](tendmap::Changes), of which the loop polls the descriptor |
//! | to wait in a thread | [`Session::wait_for_change`], in stretches if the language must check for signals |
//! | routes | [`Session::router_with`]: one [`Router`](tendmap::Router) for each thread |
//! | policies by name | [`policy`], [`POLICIES`] |
//! | keys | [`Key`](tendmap::Key), the failures [`wrong_key`] and [`key_out_of_range`]; whole columns: [`Keys`](tendmap::route::Keys), [`indexes`] |
//! | the next try of a command | [`next_attempt`] |
//! | settings by name | [`Config::set`](tendmap::Config::set) with texts, [`SETTINGS`](tendmap::client::SETTINGS) |
//! | events | [`Session::next_event`], [`Session::events`]: JSON |
//! | errors of arguments | [`wrong_type`], [`not_utf8`], [`zero_byte`] and their like |
//! | errors | [`Failure`]: a [`Kind`] and a text, the same in every language. All errors of the library become one by `?` |
//!
//! # Rules that hold in every language
//!
//! - **One text for an error.** `tests/invalid.json` has invalid calls, with the kind and
//!   the text of their errors; the tests of each binding make them all. Show
//!   [`Failure::text`] unchanged, and make one class (or code) for each [`Kind`], named
//!   as in [`Kind::name`]. The text is escaped.
//! - **Closed.** A call with a closed session fails with [`Session::closed`], except
//!   what only reads, if the language has no other way (a router that outlives its
//!   client).
//! - **Fork.** A [`Session`] may be used in a child at once. A router may be used
//!   there, too; it makes its nodes' states again. A [`Changes`](tendmap::Changes)
//!   may not: its `take` fails with [`Kind::Forked`], and the binding makes another one.
//!   Ask [`Session::is_settled`] whether the next call starts a thread.
//! - **Threads.** A [`Session`] and a [`Changes`](tendmap::Changes) are `Sync`. A
//!   router belongs to one thread: keep one per thread, or refuse other threads with
//!   [`Kind::WrongThread`].
//! - **The event loop never waits.** Only [`Session::connect`] (not
//!   [`Session::start`]), `close`, and the first
//!   call of a child with a private map take long. Everything else takes microseconds.
//! - **No callback from a thread of the library.** The descriptor says that there is
//!   something, the host's own thread fetches it.
//! - **Panics** of the library are defects: catch them at the border, as
//!   [`Kind::Internal`].

#![forbid(unsafe_code)]

mod arguments;
mod attempt;
mod batch;
mod client;
mod events;
mod kind;
mod policy;
mod session;

pub use arguments::{
    changes_closed, comma, key_out_of_range, mapped_host, not_utf8, wrong_item, wrong_key,
    wrong_type, zero_byte,
};
pub use attempt::next_attempt;
pub use batch::{NO_NODE, indexes};
pub use events::{Events, one_event_of_each};
pub use kind::{Failure, Kind};
pub use policy::{POLICIES, policy};
pub use session::Session;
