//! A thread that is started without the standard library.
//!
//! In a Rust program a thread of the standard library registers, as it starts and
//! as it ends, in a table for the report of a stack overflow, under a lock. A
//! forked child may inherit that lock locked, and then no such thread ever starts
//! in it. A thread of the C library alone takes no lock that a fork can leave
//! locked.

use std::ffi::{CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Result;

use nix::libc;

/// The size of a thread's stack in bytes, as in the standard library.
const STACK: usize = 2 << 20;

/// A started thread. Dropping it lets the thread go on alone.
#[derive(Debug)]
pub(crate) struct NativeThread<T> {
    id: ThreadId,
    /// From then on `id` is invalid.
    joined: bool,
    /// Held by the thread, too, until it has put its result there.
    outcome: Arc<Mutex<Option<Result<T>>>>,
}

/// The C library's name of a thread. (A number, or a pointer in musl.)
#[derive(Clone, Copy, Debug)]
struct ThreadId(libc::pthread_t);

// SAFETY: every thread of the process may pass the name of any other one to the
// C library; this one is never used to reach memory.
unsafe impl Send for ThreadId {}
// SAFETY: as above; it never changes.
unsafe impl Sync for ThreadId {}

/// What a new thread gets.
struct Begin<T, F> {
    name: CString,
    work: F,
    outcome: Arc<Mutex<Option<Result<T>>>>,
}

impl<T: Send + 'static> NativeThread<T> {
    /// Starts a thread. The kernel shows the first 15 bytes of its name.
    ///
    /// # Errors
    /// The error of the C library, if no further thread can be started.
    pub fn spawn<F: FnOnce() -> T + Send + 'static>(
        name: &str,
        work: F,
    ) -> io::Result<NativeThread<T>> {
        let outcome = Arc::new(Mutex::new(None));
        let name = CString::new(name)?;
        let begin = Box::new(Begin { name, work, outcome: outcome.clone() });
        let begin = Box::into_raw(begin).cast::<c_void>();
        let mut id = MaybeUninit::uninit();
        // SAFETY: `run` gets the box that it expects, of the same types, and all
        // that is in it may go to another thread and lives as long as is needed.
        let error = with_attributes(|attributes| unsafe {
            libc::pthread_create(id.as_mut_ptr(), attributes, run::<T, F>, begin)
        });
        if error != 0 {
            // SAFETY: it is the box from above, and no thread has got it.
            drop(unsafe { Box::from_raw(begin.cast::<Begin<T, F>>()) });
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: the call has set it.
        Ok(NativeThread { id: ThreadId(unsafe { id.assume_init() }), joined: false, outcome })
    }
}

#[cfg_attr(
    not(feature = "c-client"),
    allow(
        dead_code,
        reason = "a reader waits for no thread, and only mirrors ask whether one ended"
    )
)]
impl<T> NativeThread<T> {
    /// Whether its work has ended.
    pub fn is_finished(&self) -> bool {
        let finished = Arc::strong_count(&self.outcome) == 1;
        // Acquire: pairs with the release by which the thread drops its `Arc`.
        fence(Ordering::Acquire);
        finished
    }

    /// Waits for the thread's end, and returns its result.
    ///
    /// # Errors
    /// The payload of its panic.
    pub fn join(mut self) -> Result<T> {
        // SAFETY: the thread was neither joined nor detached.
        let error = unsafe { libc::pthread_join(self.id.0, std::ptr::null_mut()) };
        assert_eq!(error, 0, "a thread can't be joined: it would wait for itself");
        self.joined = true;
        let result = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.expect("a thread that has ended has left its result")
    }
}

impl<T> Drop for NativeThread<T> {
    fn drop(&mut self) {
        if !self.joined {
            // SAFETY: the thread was neither joined nor detached.
            unsafe { libc::pthread_detach(self.id.0) };
        }
    }
}

/// Calls it with the attributes of a new thread.
fn with_attributes(create: impl FnOnce(*const libc::pthread_attr_t) -> i32) -> i32 {
    // Miri has no such call; its stacks are its own.
    if cfg!(miri) {
        return create(std::ptr::null());
    }
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: the first call initializes the attributes, and only then are they used.
    unsafe {
        match libc::pthread_attr_init(attributes.as_mut_ptr()) {
            0 => {}
            error => return error,
        }
        let error = match libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) {
            0 => create(attributes.as_ptr()),
            error => error,
        };
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    }
}

/// The start of a thread.
extern "C" fn run<T, F: FnOnce() -> T>(begin: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` passes this box, of these types, to this thread only.
    let Begin { name, work, outcome } = *unsafe { Box::from_raw(begin.cast::<Begin<T, F>>()) };
    // Nothing depends on it: tools such as `top` show it. Miri has no such call.
    if !cfg!(miri) {
        let _ = rustix::thread::set_name(&name);
    }
    // What the work owns is dropped before its end can be seen.
    let result = catch_unwind(AssertUnwindSafe(work));
    *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn its_result_and_its_panic_are_returned() {
        let thread = NativeThread::spawn("tendmap-test", || vec![1, 2, 3]).unwrap();
        assert_eq!(thread.join().unwrap(), [1, 2, 3]);
        let thread = NativeThread::spawn("tendmap-test", || panic!("mine")).unwrap();
        let payload = thread.join().unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "mine");
    }

    #[test]
    fn a_joined_one_leaves_nothing_behind() {
        let thread = NativeThread::spawn("tendmap-test", || ()).unwrap();
        let outcome = Arc::downgrade(&thread.outcome);
        thread.join().unwrap();
        assert_eq!(outcome.strong_count(), 0);
    }

    #[test]
    fn it_is_finished_when_its_work_and_what_that_owned_are_gone() {
        let (end, ends) = channel::<()>();
        let owned = Arc::new(());
        let held = owned.clone();
        let thread = NativeThread::spawn("tendmap-test", move || {
            let _held = held;
            let _ = ends.recv();
        })
        .unwrap();
        assert!(!thread.is_finished() && Arc::strong_count(&owned) == 2);
        drop(end);
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&owned), 1);
        thread.join().unwrap();
    }

    #[test]
    fn a_dropped_one_goes_on_alone() {
        let (send, receive) = channel();
        let (go, goes) = channel::<()>();
        let work = move || {
            goes.recv().unwrap();
            send.send(std::thread::current().name().map(str::to_owned)).unwrap();
        };
        drop(NativeThread::spawn("tendmap-test", work).unwrap());
        go.send(()).unwrap();
        receive.recv().unwrap();
    }

    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn its_name_is_shown_and_a_zero_byte_in_it_is_refused() {
        let name = || std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let thread = NativeThread::spawn("tendmap-test", name).unwrap();
        assert_eq!(thread.join().unwrap(), "tendmap-test\n");
        assert!(NativeThread::spawn("a\0b", || ()).is_err());
    }
}
