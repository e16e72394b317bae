//! Errors as exceptions of the package's classes.

use ext_php_rs::exception::PhpException;
use ext_php_rs::zend::{ClassEntry, ce};
use tendmap_bindings::{Failure, Kind};

/// A result for PHP.
pub type Outcome<T> = Result<T, Raised>;

/// A failure that becomes an exception.
pub struct Raised(Failure);

impl<E: Into<Failure>> From<E> for Raised {
    #[cold]
    fn from(error: E) -> Raised {
        Raised(error.into())
    }
}

/// An invalid argument.
#[cold]
pub fn bad(text: impl Into<String>) -> Raised {
    Raised(Failure::new(Kind::Argument, text))
}

impl From<Raised> for PhpException {
    #[cold]
    fn from(raised: Raised) -> PhpException {
        let Raised(Failure { kind, text }) = raised;
        // As `Tendmap\Error::of`. The text is escaped: it has no zero byte.
        let class = ClassEntry::try_find(&format!("Tendmap\\{kind:?}Error"));
        PhpException::new(text, kind as i32, class.unwrap_or_else(ce::exception))
    }
}
