//! Errors as exceptions: the classes are Ruby's (`lib/tendmap/errors.rb`), the texts
//! those of the Rust library.

use std::panic::{AssertUnwindSafe, catch_unwind};

use magnus::{Error, Exception, RClass, RModule, Ruby, Value, prelude::*};
use tendmap_bindings::{Failure, Kind};

/// The exception of a failure.
#[cold]
pub fn raise(ruby: &Ruby, failure: impl Into<Failure>) -> Error {
    let failure = failure.into();
    let made = ruby
        .class_object()
        .const_get::<_, RModule>("Tendmap")
        .and_then(|module| module.const_get::<_, RClass>("Error"))
        .and_then(|class| {
            class.funcall::<_, _, Exception>("of", (failure.kind as i32, failure.text))
        });
    made.map_or_else(|error| error, Error::from)
}

/// An invalid argument.
#[cold]
pub fn invalid(ruby: &Ruby, text: impl Into<String>) -> Error {
    raise(ruby, Failure::new(Kind::Argument, text))
}

/// The result of `work`, which calls nothing of Ruby's. A panic is a defect, and becomes
/// an exception.
#[inline(always)]
pub fn guard<R>(ruby: &Ruby, work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(failure)) => Err(raise(ruby, failure)),
        Err(_) => Err(panicked(ruby)),
    }
}

#[cold]
fn panicked(ruby: &Ruby) -> Error {
    let text = "a defect in tendmap, caught before it could do harm; please report what it \
                wrote to stderr";
    raise(ruby, Failure::new(Kind::Internal, text))
}

/// The name of an object's class; also for an object without methods.
#[cold]
pub fn class_of(value: Value) -> String {
    value.class().to_string()
}
