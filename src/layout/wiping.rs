//! Memory that is wiped when it is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;

/// The system's allocator, which wipes all that is given back to it.
///
/// Passwords and tokens go through the buffers of parsers, of TLS and of the
/// languages that call, which free them as they are. The command line and the
/// libraries for C and Python have this for their global allocator; a Rust program
/// that wants the same does so:
///
/// ```
/// #[global_allocator]
/// static WIPING: tendmap::layout::WipingAllocator = tendmap::layout::WipingAllocator;
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "named as a static")]
pub struct WipingAllocator;

// SAFETY: all memory is the system allocator's, with the layouts that the caller
// gives; it is written to only as long as it is the caller's. `realloc` is the
// trait's own: another piece, a copy, and the old one given back by `dealloc`, so
// that it is wiped too.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back what `alloc` gave with this layout, so that
        // so many bytes are there, and uses it no more.
        unsafe {
            at.write_bytes(0, layout.size());
            // The compiler must not leave out what nobody reads any more.
            core::hint::black_box(at);
            System.dealloc(at, layout);
        }
    }
}

/// Wipes the value of a variable where the kernel and `/proc/PID/environ` have it;
/// the variable is empty then. Whether that was done: not in a process with
/// several threads, of which one may be reading it.
pub fn wipe_variable(name: &str) -> bool {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    let Ok(name) = CString::new(name) else { return false };
    if !alone {
        return false;
    }
    // SAFETY: `name` is a text that ends in 0. The value, if there is one, ends in
    // 0 too and is writable: it is the process's own stack, or what it has put
    // there by `setenv`. Nothing else reads it meanwhile: this is the only thread.
    unsafe {
        let value = nix::libc::getenv(name.as_ptr());
        if value.is_null() {
            return false;
        }
        let length = nix::libc::strlen(value);
        value.write_bytes(0, length);
        core::hint::black_box(value);
    }
    true
}
