//! Text and arrays from the caller, and text for the caller.

use core::ffi::{CStr, c_char};
use core::ptr::NonNull;
use core::slice;
use std::ffi::CString;

use tendmap_bindings::{Failure, Kind, not_utf8};

/// Names longer than this are read twice.
const SHORT: usize = 64;

/// The error for an invalid argument.
#[cold]
pub fn bad(text: impl Into<String>) -> Failure {
    Failure::new(Kind::Argument, text)
}

/// A text that must be given.
///
/// # Safety
/// `text` is null or ends with a zero byte, and does not change during `'a`.
#[inline(always)]
pub unsafe fn text<'a>(what: &'static str, text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(bad(format!("null instead of {what}")));
    }
    // Most names are short and ASCII: one pass over the bytes finds the end and
    // validates the text.
    for length in 0..SHORT {
        // SAFETY: none of the bytes before it was the zero at the end.
        let byte = unsafe { text.add(length).cast::<u8>().read() };
        if byte == 0 {
            // SAFETY: this many bytes are readable, and all are ASCII.
            return Ok(unsafe {
                core::str::from_utf8_unchecked(slice::from_raw_parts(text.cast(), length))
            });
        }
        if !byte.is_ascii() {
            break;
        }
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map_err(|error| not_utf8(what.strip_prefix("a ").unwrap_or(what), error))
}

/// A text that may be omitted: null means the empty text.
///
/// # Safety
/// As [`text`].
#[inline(always)]
pub unsafe fn optional<'a>(what: &'static str, given: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    if given.is_null() { Ok("") } else { unsafe { text(what, given) } }
}

/// An array.
///
/// # Safety
/// `count` values are readable at `first` and do not change during `'a`. `first` may
/// be null if `count` is 0.
#[inline]
pub unsafe fn array<'a, T>(
    what: &'static str,
    first: *const T,
    count: usize,
) -> Result<&'a [T], Failure> {
    check(what, first, count)?;
    // SAFETY: `check` found it aligned and not too long; the rest is the caller's
    // promise.
    Ok(if count == 0 { &[] } else { unsafe { slice::from_raw_parts(first, count) } })
}

/// An array for output, initialised with zeros.
///
/// # Safety
/// As [`array`], and no other code uses it during `'a`.
#[inline]
pub unsafe fn array_out<'a>(
    what: &'static str,
    first: *mut u16,
    count: usize,
) -> Result<&'a mut [u16], Failure> {
    check(what, first, count)?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as in `array`; this initialises every number.
    unsafe { first.write_bytes(0, count) };
    // SAFETY: as in `array`.
    Ok(unsafe { slice::from_raw_parts_mut(first, count) })
}

#[inline]
fn check<T>(what: &'static str, first: *const T, count: usize) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    if first.is_null() {
        return Err(bad(format!("null instead of {what}")));
    }
    if !first.is_aligned() {
        return Err(bad(format!("{what} at {first:p}; wanted it at its type's alignment")));
    }
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(bad(format!("{count} of {what}; no memory is that large"))),
    }
}

/// Memory for one value that a function returns.
pub struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// The memory that `pointer` leads to.
    ///
    /// # Safety
    /// `pointer` is null or leads to memory for a `T`, which no other code uses until
    /// the [`Out`] is dropped.
    #[inline]
    pub unsafe fn at(what: &'static str, pointer: *mut T) -> Result<Out<T>, Failure> {
        match NonNull::new(pointer).filter(|pointer| pointer.is_aligned()) {
            Some(pointer) => Ok(Out(pointer)),
            None => Err(bad(format!("{pointer:p} instead of a place for {what}"))),
        }
    }

    /// Writes the value.
    #[inline]
    pub fn put(self, value: T) {
        // SAFETY: memory for one `T`, by the promise made to `at`.
        unsafe { self.0.write(value) }
    }
}

/// A text for the caller, which frees it with `tendmap_string_free`.
pub fn hand_out(text: String) -> Result<*mut c_char, Failure> {
    let text = CString::new(text);
    text.map(CString::into_raw).map_err(|_| bad("a text with a zero byte; it can't be handed out"))
}

/// Copies a text into an array and ends it with a zero byte. A text that is too long
/// is truncated.
pub fn copy_text(text: &str, into: &mut [c_char]) {
    into.fill(0);
    let room = into.len().saturating_sub(1);
    for (place, byte) in into[..room].iter_mut().zip(text.bytes()) {
        *place = byte as c_char;
    }
}

/// Frees a text that a tendmap function returned to be freed with this function. NULL
/// is allowed.
///
/// Threads: any. Fork: a child may free an inherited text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: a text from `hand_out`, as the documentation requires.
        drop(unsafe { CString::from_raw(text) });
    }
}
