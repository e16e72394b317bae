//! Memory that is wiped when it is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;

/// The system's allocator, but memory is wiped when it is freed.
///
/// Passwords and tokens pass through buffers of parsers, of TLS and of calling languages, which
/// free them without wiping. The command line and the libraries for C and Python use this as
/// their global allocator; a Rust program can do the same:
///
/// ```
/// #[global_allocator]
/// static WIPING: tendmap::WipingAllocator = tendmap::WipingAllocator;
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "named as a static")]
pub struct WipingAllocator;

// SAFETY: all memory is the system allocator's, with the layouts that the
// caller gives; it is written to only while it is the caller's. `realloc` is
// the trait's default: it allocates, copies, and frees the old block with
// `dealloc`, so that it is wiped too.
//
// Never in line: a program has thousands of places that allocate or free, and a lookup
// is none of them.
unsafe impl GlobalAlloc for WipingAllocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller frees what `alloc` returned for this layout, so
        // that this many bytes are there, and no longer uses it.
        unsafe {
            at.write_bytes(0, layout.size());
            // The compiler must not remove stores to memory that is not read
            // again.
            core::hint::black_box(at);
            System.dealloc(at, layout);
        }
    }
}

/// Wipes the value of a variable where the kernel and `/proc/PID/environ` show
/// it; the variable is then empty. Returns whether that was done: it is not
/// done in a process with several threads, one of which may be reading it.
pub fn wipe_variable(name: &str) -> bool {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    let Ok(name) = CString::new(name) else { return false };
    if !alone {
        return false;
    }
    // SAFETY: `name` is a text that ends in 0. The value, if there is one, ends
    // in 0 too and is writable: it lies on the process's own stack, or was
    // allocated by `setenv`. Nothing else reads it during the call: this is the
    // only thread.
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
