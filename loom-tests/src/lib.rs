//! Model checks of the protocol: the very files of `src/protocol`, compiled
//! over loom's atomics, run through every schedule of a few actors.
//!
//! The models are in `tests/models`; this library is what they stand on:
//! - [`sync`] is what the protocol finds where the product has its own module
//!   of that name. One step of the protocol can be left out in it, and one
//!   actor can be killed before any of its stores.
//! - [`check`] runs a model, then each of its controls: the same model with
//!   one step left out, which must fail.
//! - [`segment`] is a segment on the heap and the actors on it, with the ledger
//!   that knows what each publication was meant to hold.
#![forbid(unsafe_code)]

#[path = "../../src/protocol/mod.rs"]
pub mod protocol;

pub mod check;
pub mod segment;
pub mod sync;
