//! tendmap for PHP: what the classes of the Composer package call, instead of the C
//! library through FFI. Those classes check all types; this crate converts.
//!
//! Its classes have the methods of `Tendmap\Internal\FfiSession` and `FfiChanges`.

mod changes;
mod failure;
mod fields;
mod keys;
mod session;

use ext_php_rs::prelude::*;

/// The module `tendmap`.
#[php_module]
pub fn get_module(module: ModuleBuilder) -> ModuleBuilder {
    module
        .name("tendmap")
        .version(env!("CARGO_PKG_VERSION"))
        .class::<session::Session>()
        .class::<changes::Changes>()
}
