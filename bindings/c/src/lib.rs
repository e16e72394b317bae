//! The C ABI: thin functions over the Rust library. `include/tendmap.h` is
//! made from this crate by cbindgen; what C programmers read there is written
//! here.
//!
//! Every function catches panics ([`error`]), checks its handle ([`handle`])
//! and its pointers, and touches nothing if one of them is wrong. Handles are
//! opaque pointers; what is handed out is copied into memory of the caller's.

mod batch;
mod client;
mod config;
mod error;
mod event;
mod handle;
mod live;
mod node;
mod route;
mod router;
mod status;
mod text;
mod version;

/// Passwords go through the memory of texts and of TLS.
#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::WipingAllocator;
