//! Errors: a returned code, and a text that is kept for each thread.

use core::any::Any;
use core::cell::Cell;
use core::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tendmap_bindings::{Failure, Kind};

/// Success. Every other returned code is a `tendmap_error`.
pub const TENDMAP_OK: c_int = 0;

/// Room for the text of an error and a zero byte; a longer text is truncated.
const ROOM: usize = 1024;
const CUT: &[u8] = "…".as_bytes();

/// The last error of a thread. The text has the same address as long as the
/// thread lives: a caller that got the pointer before the call that fails (as
/// arguments of one printf() may) reads what that call wrote, and never freed
/// memory. It needs no destructor, so it is valid until the very end of the
/// thread.
struct Last {
    code: Cell<c_int>,
    text: [Cell<u8>; ROOM],
}

thread_local! {
    static LAST: Last = const {
        Last { code: Cell::new(TENDMAP_OK), text: [const { Cell::new(0) }; ROOM] }
    };
}

const _: () = assert!(!core::mem::needs_drop::<Last>());

#[cold]
fn note(failure: Failure) -> c_int {
    let code = failure.kind as c_int;
    LAST.with(|last| {
        last.code.set(code);
        write(&last.text, &failure.text);
    });
    code
}

/// Writes a text and a zero byte. Zero bytes in the text are left out. A text that is
/// too long is truncated at a character boundary.
fn write(place: &[Cell<u8>; ROOM], text: &str) {
    let length = text.bytes().filter(|&byte| byte != 0).count();
    let mut room = ROOM - 1;
    let cut = length > room;
    if cut {
        room -= CUT.len();
    }
    let mut at = 0;
    for character in text.chars().filter(|&character| character != '\0') {
        let end = at + character.len_utf8();
        if end > room {
            break;
        }
        let mut bytes = [0; 4];
        for &byte in character.encode_utf8(&mut bytes).as_bytes() {
            place[at].set(byte);
            at += 1;
        }
    }
    for &byte in if cut { CUT } else { b"" } {
        place[at].set(byte);
        at += 1;
    }
    place[at].set(0);
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let text = format!("a defect in tendmap, please report it: {said}");
    // The payload of the panic may panic again when it is dropped.
    core::mem::forget(panic);
    Failure::new(Kind::Internal, text)
}

/// Runs `f`, lets no panic escape, and records the error.
#[inline]
pub fn guard(f: impl FnOnce() -> Result<(), Failure>) -> c_int {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => TENDMAP_OK,
        Ok(Err(failure)) => note(failure),
        Err(panic) => note(panicked(panic)),
    }
}

/// As [`guard`], for functions that return a pointer: null on error.
pub fn guard_pointer<T>(f: impl FnOnce() -> Result<*mut T, Failure>) -> *mut T {
    let mut made = core::ptr::null_mut();
    guard(|| {
        made = f()?;
        Ok(())
    });
    made
}

/// The code of the calling thread's last error; TENDMAP_OK if there was none.
/// A successful call does not change it.
///
/// Threads: any. Fork: a child inherits the error of its thread.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_last_error_code() -> c_int {
    LAST.with(|last| last.code.get())
}

/// The text of the calling thread's last error, in UTF-8: what was found, what was
/// wanted, what to do. Empty if there was none; truncated to 1023 bytes.
///
/// Each thread has one buffer for it, valid until the thread ends: the pointer
/// is always the same, and the next failing call of the thread writes its text
/// there.
///
/// Threads: any. Fork: a child inherits the error of its thread.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_last_error() -> *const c_char {
    LAST.with(|last| last.text.as_ptr().cast())
}

/// The name of a code: "TENDMAP_OK", "TENDMAP_ERROR_CLOSED" and so on;
/// "TENDMAP_ERROR_UNKNOWN" for a number that is none. Never NULL; valid for ever.
///
/// Threads: any. Fork: any process.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_error_name(code: c_int) -> *const c_char {
    match (code, Kind::of(code)) {
        (TENDMAP_OK, _) => c"TENDMAP_OK",
        (_, Some(kind)) => kind.c_name(),
        (_, None) => c"TENDMAP_ERROR_UNKNOWN",
    }
    .as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    fn text() -> String {
        // SAFETY: a text of this thread, which writes no other text meanwhile.
        unsafe { CStr::from_ptr(tendmap_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!((tendmap_last_error_code(), text()), (TENDMAP_OK, String::new()));
        assert_eq!(guard(|| panic!("at the {}", "border")), Kind::Internal as c_int);
        assert!(text().ends_with("please report it: at the border"), "{}", text());
        assert_eq!(guard(|| Ok(())), TENDMAP_OK);
        assert_eq!(tendmap_last_error_code(), Kind::Internal as c_int);
    }

    #[test]
    fn h112_a_text_has_one_place_and_is_cut_at_a_whole_character() {
        let before = tendmap_last_error();
        let other = std::thread::spawn(|| tendmap_last_error() as usize).join().unwrap();
        assert_ne!(before as usize, other);
        for (wanted, ending) in [(ROOM - 1, "x"), (ROOM, "…"), (100 * ROOM, "…")] {
            guard(|| Err(Failure::new(Kind::Argument, "x".repeat(wanted))));
            assert!(text().ends_with(ending) && text().len() == ROOM - 1, "{}", text().len());
        }
        for offset in 0..4 {
            let long = "x".repeat(offset) + &"😀".repeat(ROOM);
            guard(|| Err(Failure::new(Kind::Argument, long)));
            assert!(text().ends_with("😀…") && text().len() < ROOM);
        }
        guard(|| Err(Failure::new(Kind::Closed, "short")));
        assert_eq!((text().as_str(), tendmap_last_error()), ("short", before));
    }

    #[test]
    fn h113_a_text_does_nothing_to_a_terminal() {
        guard(|| {
            Err(Failure::new(Kind::Tend, "ERROR:4:\u{1b}]0;x\u{7}\r\n\u{9b}\u{202e}\u{feff}ä"))
        });
        assert_eq!(text(), r"ERROR:4:\u{1b}]0;x\u{7}\r\n\u{9b}\u{202e}\u{feff}ä");
    }

    #[test]
    fn a_zero_byte_in_a_text_does_not_cut_it() {
        guard(|| Err(Failure::new(Kind::Argument, "a\0b")));
        assert_eq!(
            (tendmap_last_error_code(), text()),
            (Kind::Argument as c_int, r"a\u{0}b".into())
        );
    }
}
