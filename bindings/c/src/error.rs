//! Errors: a code that is returned, a text that is kept for each thread.

use core::any::Any;
use core::cell::RefCell;
use core::ffi::{c_char, c_int};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tendmap_bindings::{Failure, Kind};

/// It worked. Everything else that is returned as a code is a `tendmap_error`.
pub const TENDMAP_OK: c_int = 0;

struct Last {
    code: c_int,
    text: CString,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[cold]
fn note(failure: Failure) -> c_int {
    let code = failure.kind as c_int;
    let mut text = failure.text.into_bytes();
    text.retain(|&byte| byte != 0);
    let text = CString::new(text).unwrap_or_default();
    // At the end of a thread there may be no place left for it.
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some(Last { code, text }));
    code
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("nothing that is text");
    let text = format!("a defect in tendmap, please report it; it said: {said}");
    // What was thrown may throw again when it is dropped.
    core::mem::forget(panic);
    Failure::new(Kind::Internal, text)
}

/// Runs `f` so that no panic leaves it, and notes what went wrong.
#[inline]
pub fn guard(f: impl FnOnce() -> Result<(), Failure>) -> c_int {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => TENDMAP_OK,
        Ok(Err(failure)) => note(failure),
        Err(panic) => note(panicked(panic)),
    }
}

/// As [`guard`], for what returns a pointer: null if something went wrong.
pub fn guard_pointer<T>(f: impl FnOnce() -> Result<*mut T, Failure>) -> *mut T {
    let mut made = core::ptr::null_mut();
    guard(|| {
        made = f()?;
        Ok(())
    });
    made
}

/// The code of the calling thread's last error; TENDMAP_OK if there was none.
/// What succeeds leaves it as it is.
///
/// Threads: any. Fork: a child begins with what its thread had.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_last_error_code() -> c_int {
    LAST.try_with(|last| last.borrow().as_ref().map_or(TENDMAP_OK, |last| last.code))
        .unwrap_or(TENDMAP_OK)
}

/// The text of the calling thread's last error, UTF-8: what was found, what
/// was wanted, what to do. Empty if there was none.
///
/// The text is valid until the next call of the same thread that fails, and
/// until the thread ends.
///
/// Threads: any. Fork: a child begins with what its thread had.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ref().map_or(c"".as_ptr(), |last| last.text.as_ptr()))
        .unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    fn text() -> String {
        // SAFETY: the text stands until the next error of this thread.
        unsafe { CStr::from_ptr(tendmap_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!((tendmap_last_error_code(), text()), (TENDMAP_OK, String::new()));
        assert_eq!(guard(|| panic!("at the {}", "border")), Kind::Internal as c_int);
        assert!(text().ends_with("it said: at the border"), "{}", text());
        assert_eq!(guard(|| Ok(())), TENDMAP_OK);
        assert_eq!(tendmap_last_error_code(), Kind::Internal as c_int);
    }

    #[test]
    fn a_zero_byte_in_a_text_does_not_cut_it() {
        guard(|| Err(Failure::new(Kind::Argument, "a\0b")));
        assert_eq!((tendmap_last_error_code(), text()), (Kind::Argument as c_int, "ab".into()));
    }
}
