//! Errors as exceptions: `lib/errors.js` makes the classes, from the code and the text.

use tendmap_bindings::{Failure, Kind};

/// The `code` of a JavaScript error.
pub struct Code(&'static str);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<napi::Status> for Code {
    fn from(_: napi::Status) -> Code {
        Code(Kind::Internal.name())
    }
}

/// What a function for JavaScript returns.
pub type Result<T> = napi::Result<T, Code>;

/// The exception of a failure.
#[cold]
pub fn raise(failure: impl Into<Failure>) -> napi::Error<Code> {
    let failure = failure.into();
    napi::Error::new(Code(failure.kind.name()), failure.text)
}

/// A failure because of an argument.
#[cold]
pub fn argument(text: impl Into<String>) -> napi::Error<Code> {
    raise(Failure::new(Kind::Argument, text.into()))
}

/// A failure because no thread can be started.
#[cold]
pub fn no_thread(error: &std::io::Error) -> Failure {
    let text = format!("can't start a thread: {error}; check the limit of processes");
    Failure::new(Kind::Thread, text)
}
