//! Handles: opaque pointers that are recognised even after they have been closed.
//!
//! The pointer leads to a [`Shell`]. Closing drops its content. The shell itself is
//! kept for a while ([`REMEMBERED`]), so that a call with a closed handle gets an
//! error instead of another object's memory.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tendmap::internals::layout::ForkLocal;
use tendmap_bindings::{Failure, Kind};

/// How many closed shells are kept.
const REMEMBERED: usize = 256;

/// The content of a handle.
pub trait Body: Sized {
    /// Identifies open shells of this kind. Its complement identifies closed ones.
    const TAG: u32;
    /// The name of the kind in errors.
    const NAME: &'static str;
    /// What it is called once it is closed, as in other languages.
    fn called(&self) -> &'static str {
        Self::NAME
    }
    /// Ends the content's work while other calls may still use it.
    fn close(&self) {}
}

const CLOSED: u64 = 1 << 63;
const DROPPED: u64 = 1 << 62;

/// The memory behind a handle.
///
/// cbindgen:no-export
#[repr(C)]
pub struct Shell<T> {
    tag: AtomicU32,
    /// What it is called in the error of a call after the close.
    called: &'static str,
    /// `CLOSED | DROPPED |` the number of calls in progress.
    state: AtomicU64,
    /// Initialised until `DROPPED` is set.
    body: UnsafeCell<MaybeUninit<T>>,
}

/// A closed shell that is freed later.
struct Remembered {
    address: usize,
    free: fn(usize) -> bool,
}

/// Frees a closed shell unless a call with it is in progress.
fn free<T>(address: usize) -> bool {
    let shell = address as *mut Shell<T>;
    // SAFETY: the address is that of a shell of this type that `open` leaked. It was
    // closed, and leaves the list of closed shells only once. Acquire: pairs with the
    // exchange of the thread that dropped its content.
    let unused = unsafe { (*shell).state.load(Ordering::Acquire) } == CLOSED | DROPPED;
    if unused {
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(shell) });
    }
    unused
}

/// Keeps a closed shell and frees the oldest one or, if that is in use, the next. A
/// forked child starts with an empty list.
fn remember<T>(address: usize) {
    static CLOSED_ONES: ForkLocal<Mutex<VecDeque<Remembered>>> = ForkLocal::new();
    let mut kept =
        CLOSED_ONES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    kept.push_back(Remembered { address, free: free::<T> });
    // `free` runs no code of the caller: the shell's content is already dropped.
    for _ in REMEMBERED..kept.len() {
        let Some(oldest) = kept.pop_front() else { break };
        if (oldest.free)(oldest.address) {
            break;
        }
        kept.push_back(oldest);
    }
}

impl<T: Body> Shell<T> {
    /// A new handle.
    pub fn open(body: T) -> *mut Shell<T> {
        let (tag, state, called) = (AtomicU32::new(T::TAG), AtomicU64::new(0), body.called());
        Box::into_raw(Box::new(Shell {
            tag,
            called,
            state,
            body: UnsafeCell::new(MaybeUninit::new(body)),
        }))
    }

    /// The shell that a pointer leads to.
    ///
    /// # Safety
    /// The pointer is null, or it came from [`open`](Self::open) of any kind and was
    /// not closed long ago (see [`REMEMBERED`]).
    #[inline]
    unsafe fn find<'a>(pointer: *const Shell<T>) -> Result<&'a Shell<T>, Failure> {
        if pointer.is_null() {
            let text = format!("null instead of a {}", T::NAME);
            return Err(Failure::new(Kind::Argument, text));
        }
        // SAFETY: a shell of any kind begins with its tag.
        let tag = unsafe { (*pointer.cast::<AtomicU32>()).load(Ordering::Relaxed) };
        match tag {
            // SAFETY: by its tag it is a shell of this kind, and the caller keeps it
            // alive.
            tag if tag == T::TAG => Ok(unsafe { &*pointer }),
            // SAFETY: as above; its content is not used.
            tag if tag == !T::TAG => Err(closed(unsafe { (*pointer).called })),
            _ => Err(wrong::<T>()),
        }
    }

    /// Runs `f` with the content of the handle. Any thread may call it, several at
    /// once. If another thread closes the handle meanwhile, the last call drops the
    /// content.
    ///
    /// # Safety
    /// As [`find`](Self::find).
    pub unsafe fn with<R>(
        pointer: *const Shell<T>,
        f: impl FnOnce(&T) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        // SAFETY: the caller's promise.
        unsafe { Self::with_open(pointer, |body, _| f(body)) }
    }

    /// As [`with`](Self::with), for calls that take long: `f` can ask whether the
    /// handle is still open.
    ///
    /// # Safety
    /// As [`find`](Self::find).
    pub unsafe fn with_open<R>(
        pointer: *const Shell<T>,
        f: impl FnOnce(&T, &dyn Fn() -> Result<(), Failure>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        // SAFETY: the caller's promise.
        let shell = unsafe { Self::find(pointer)? };
        let user = Using::begin(shell)?;
        let open = || match shell.state.load(Ordering::Relaxed) & CLOSED {
            0 => Ok(()),
            _ => Err(closed(shell.called)),
        };
        // SAFETY: the body is dropped only when the handle is closed and no call is
        // in progress. `begin` found it open. The body is not changed before it is
        // dropped.
        f(unsafe { (*user.0.body.get()).assume_init_ref() }, &open)
    }

    /// The address of an open handle's content. Other users of it are not excluded.
    ///
    /// # Safety
    /// As [`find`](Self::find).
    #[inline]
    pub unsafe fn body(pointer: *const Shell<T>) -> Result<*mut T, Failure> {
        // SAFETY: the caller's promise.
        Ok(unsafe { Self::find(pointer)? }.body.get().cast())
    }

    /// Closes the handle; a null pointer is allowed.
    ///
    /// # Safety
    /// As [`find`](Self::find).
    pub unsafe fn close(pointer: *mut Shell<T>) -> Result<(), Failure> {
        if pointer.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        let shell = unsafe { Self::find(pointer)? };
        let user = Using::begin(shell)?;
        // AcqRel: the calls before it happen before the content is dropped.
        if shell.state.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED != 0 {
            return Err(closed(shell.called));
        }
        shell.tag.store(!T::TAG, Ordering::Relaxed);
        // SAFETY: the body is dropped when no call is in progress any more, and this
        // one is.
        unsafe { (*user.0.body.get()).assume_init_ref() }.close();
        drop(user);
        remember::<T>(pointer as usize);
        Ok(())
    }

    fn drop_if_unused(&self) {
        let gone = CLOSED | DROPPED;
        let last = self.state.compare_exchange(CLOSED, gone, Ordering::AcqRel, Ordering::Relaxed);
        if last.is_ok() {
            // SAFETY: the handle is closed and unused, and only one thread exchanges
            // the state, so no other thread accesses the body any more.
            unsafe { (*self.body.get()).assume_init_drop() };
        }
    }
}

/// A call in progress.
struct Using<'a, T: Body>(&'a Shell<T>);

impl<'a, T: Body> Using<'a, T> {
    fn begin(shell: &'a Shell<T>) -> Result<Using<'a, T>, Failure> {
        // Acquire: pairs with the Release of the previous user.
        let before = shell.state.fetch_add(1, Ordering::Acquire);
        let user = Using(shell);
        if before & CLOSED != 0 { Err(closed(shell.called)) } else { Ok(user) }
    }
}

impl<T: Body> Drop for Using<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the exchange of the thread that drops the content.
        self.0.state.fetch_sub(1, Ordering::Release);
        self.0.drop_if_unused();
    }
}

#[cold]
fn wrong<T: Body>() -> Failure {
    Failure::new(Kind::Argument, format!("the handle is not a {}", T::NAME))
}

#[cold]
fn closed(called: &str) -> Failure {
    Failure::new(Kind::Closed, format!("the {called} is closed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct A(Arc<()>);
    impl Body for A {
        const TAG: u32 = 1;
        const NAME: &'static str = "a";
    }
    struct B;
    impl Body for B {
        const TAG: u32 = 2;
        const NAME: &'static str = "b";
    }

    #[test]
    fn null_foreign_and_closed_handles_are_told_apart() {
        let (a, b) = (Shell::open(A(Arc::default())), Shell::open(B));
        let kind = |pointer| {
            // SAFETY: shells that `open` made, and null.
            let result = unsafe { Shell::<A>::with(pointer, |_| Ok(())) };
            result.map_err(|failure| failure.kind)
        };
        assert_eq!(kind(a), Ok(()));
        assert_eq!(kind(core::ptr::null()), Err(Kind::Argument));
        assert_eq!(kind(b.cast()), Err(Kind::Argument));
        // SAFETY: as above; this test closes twice.
        unsafe {
            Shell::close(a).unwrap();
            assert_eq!(kind(a), Err(Kind::Closed));
            assert_eq!(Shell::close(a).unwrap_err().kind, Kind::Closed);
            assert_eq!(Shell::<A>::body(a).unwrap_err().kind, Kind::Closed);
            Shell::close(b).unwrap();
            Shell::<B>::close(core::ptr::null_mut()).unwrap();
        }
    }

    #[test]
    fn a_handle_closed_under_a_call_is_dropped_after_it() {
        let held = Arc::new(());
        let a = Shell::open(A(held.clone()));
        // SAFETY: a shell that `open` made.
        let result = unsafe {
            Shell::with(a, |body| {
                Shell::close(a).unwrap();
                assert_eq!(Arc::strong_count(&body.0), 2, "it lives while it is used");
                Ok(())
            })
        };
        result.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_call_outlives_however_many_closed_handles() {
        let held = Arc::new(());
        let a = Shell::open(A(held.clone()));
        // SAFETY: shells that `open` made.
        let result = unsafe {
            Shell::with(a, |_| {
                Shell::close(a).unwrap();
                for _ in 0..2 * REMEMBERED {
                    Shell::close(Shell::open(B)).unwrap();
                }
                Ok(())
            })
        };
        result.unwrap();
        assert_eq!(Arc::strong_count(&held), 1, "dropped when the call ended");
    }

    #[test]
    fn closed_shells_are_freed_in_the_end() {
        for _ in 0..2 * REMEMBERED {
            let b = Shell::open(B);
            // SAFETY: a shell that `open` made.
            unsafe { Shell::close(b) }.unwrap();
        }
    }
}
