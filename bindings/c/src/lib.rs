//! The C ABI: thin functions over the Rust library. cbindgen generates
//! `include/tendmap.h` from this crate, so the doc comments here are written for C
//! programmers.
//!
//! Every function catches panics ([`error`]), checks its handle ([`handle`]) and its
//! pointers, and changes nothing if one of them is invalid. Handles are opaque
//! pointers. Results are copied into the caller's memory.

mod batch;
mod changes;
mod client;
mod config;
mod error;
mod event;
mod handle;
#[cfg(test)]
mod invalid;
mod live;
mod node;
mod route;
mod router;
mod status;
mod text;
mod version;

/// Passwords pass through the memory of texts and of TLS.
#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::WipingAllocator;
