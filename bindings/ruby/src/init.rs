//! Defines the classes and the methods of the extension. (Those whose names begin with an
//! underscore are private in Ruby.)

use magnus::{Error, Ruby, function, method, prelude::*};

use crate::{batch, changes, handle, keys, look, lookup, pending, sim, takes_text};

#[magnus::init(name = "tendmap_ruby")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let module = ruby.define_module("Tendmap")?;
    module.const_set("NO_NODE", tendmap_bindings::NO_NODE)?;
    module.const_set(
        "POLICIES",
        ruby.ary_from_iter(tendmap_bindings::POLICIES.iter().map(|(name, _)| ruby.to_symbol(name))),
    )?;
    module.define_singleton_method("_takes_text?", function!(takes_text, 1))?;
    module.define_singleton_method("_look", function!(look, 1))?;
    module.define_singleton_method("_digest", function!(keys::digest_bytes, 2))?;
    module.const_set("VERSION_OF_EXTENSION", env!("CARGO_PKG_VERSION"))?;
    let handle = module.define_class("Handle", ruby.class_object())?;
    handle.define_alloc_func::<handle::Handle>();
    handle.define_method("route", method!(lookup::route, -1))?;
    handle.define_singleton_method("_close_all", function!(handle::close_all, 0))?;
    handle.define_method("_configure", method!(handle::configure, 3))?;
    handle.define_method("_connect", method!(handle::connect, 0))?;
    handle.define_method("_close", method!(handle::close, 0))?;
    handle.define_method("_settled?", method!(handle::is_settled, 0))?;
    handle.define_method("closed?", method!(handle::is_closed, 0))?;
    handle.define_method("_locate", method!(lookup::locate, 4))?;
    handle.define_method("_retry", method!(lookup::retry, 5))?;
    handle.define_method("_route_batch", method!(batch::route_batch, 4))?;
    handle.define_method("_nodes", method!(lookup::nodes, 0))?;
    handle.define_method("_namespaces", method!(handle::namespaces, 0))?;
    handle.define_method("_status", method!(handle::status, 0))?;
    handle.define_method("_role", method!(handle::role, 0))?;
    handle.define_method("_sequence", method!(handle::sequence, 0))?;
    handle.define_method("_events", method!(handle::events, 0))?;
    handle.define_method("_changes", method!(handle::changes, 0))?;
    handle.define_method("_request_tend", method!(handle::request_tend, 0))?;
    handle.define_method("_set", method!(handle::set, 2))?;
    let pending = module.define_class("Pending", ruby.class_object())?;
    pending.undef_default_alloc_func();
    pending.define_method("descriptor", method!(pending::Pending::descriptor, 0))?;
    pending.define_method("take", method!(pending::take, 1))?;
    pending.define_method("abandon", method!(pending::Pending::abandon, 0))?;
    let changes = module.define_class("Changes", ruby.class_object())?;
    changes.undef_default_alloc_func();
    changes.define_method("_descriptor", method!(changes::descriptor, 0))?;
    changes.define_method("_take", method!(changes::take, 0))?;
    changes.define_method("sequence", method!(changes::sequence, 0))?;
    changes.define_method("_close", method!(changes::Handles::close, 0))?;
    changes.define_method("closed?", method!(changes::Handles::is_closed, 0))?;
    sim::define(ruby, module)
}
