//! Model checks of the protocol and of the descriptors for changes: the files of
//! `src/protocol` and `src/client/ringing.rs` themselves, compiled over loom's atomics
//! and locks, run through every schedule of a few actors.
//!
//! The models are in `tests/models`. This library supports them:
//! - [`sync`] replaces the product's module of the same name. It can leave out one
//!   step of the protocol, and kill one actor before any of its stores.
//! - [`check`] runs a model, then each of its controls: the same model with one step
//!   left out, which must fail.
//! - [`segment`] is a segment on the heap and the actors on it, with a ledger of the
//!   intended content of each publication.
#![forbid(unsafe_code)]

#[path = "../../src/protocol/mod.rs"]
pub mod protocol;
#[path = "../../src/client/ringing.rs"]
pub mod ringing;

pub mod check;
pub mod segment;
pub mod sync;
