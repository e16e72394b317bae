//! tendmap for Node.js: a thin layer over the Rust library, and functions of numbers,
//! texts and bytes only. `lib/*.js` makes classes of them; `index.d.ts` has the
//! documentation for users.

mod batch;
mod changes;
mod connect;
mod errors;
mod hub;
mod keys;
mod local;
mod lookup;
mod mailbox;
mod session;
mod settings;
mod sim;

/// The version of the addon, which must be that of the package.
#[napi_derive::napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Passwords pass through the memory of texts and of TLS.
#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::internals::layout::WipingAllocator;
