//! Waiting in an event loop.

use core::ffi::c_int;
use std::os::fd::AsRawFd;

use tendmap::Changes as Known;

use crate::client::Client;
use crate::error::{guard, guard_pointer};
use crate::handle::{Body, Shell};
use crate::text::Out;

/// A descriptor that becomes readable when the map changes.
pub struct Changes(Known);

impl Body for Changes {
    const TAG: u32 = u32::from_be_bytes(*b"tmCH");
    const NAME: &'static str = "tendmap_changes";
    fn called(&self) -> &'static str {
        "handle for changes"
    }
}

/// A descriptor for event loops (poll, epoll, libuv's uv_poll_t, libevent's
/// event_new()): it becomes readable at each publication, and when the client or
/// reader is closed. Any number of them for one client; they are independent. NULL on
/// error: TENDMAP_ERROR_DESCRIPTOR or TENDMAP_ERROR_THREAD if a limit is reached.
///
///     tendmap_changes *changes = tendmap_changes_new(client);
///     int fd = tendmap_changes_fd(changes);
///     ... add fd to the loop, for reading; when it is readable:
///     uint64_t sequence;
///     if (tendmap_changes_take(changes, &sequence) == TENDMAP_OK)
///         ... the map has changed
///     ... at the end: remove fd from the loop, then
///     tendmap_changes_free(changes);
///
/// The first one of a client or reader starts a thread that only waits for
/// publications; the last one to be freed ends it.
///
/// Threads: any. Fork: a child makes its own; those that it has inherited return
/// TENDMAP_ERROR_FORKED, and change nothing of the parent's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_changes_new(client: *const Shell<Client>) -> *mut Shell<Changes> {
    guard_pointer(|| {
        // SAFETY: a handle, as the documentation requires.
        let changes = unsafe { Shell::with(client, |client| client.0.changes()) }?;
        Ok(Shell::open(Changes(changes)))
    })
}

/// The descriptor, always the same one; -1 on error. It belongs to `changes`: do not
/// read from it and do not close it. It is closed by exec.
///
/// Threads: any. Fork: in a child the inherited descriptor is not to be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_changes_fd(changes: *const Shell<Changes>) -> c_int {
    let mut descriptor = -1;
    guard(|| {
        // SAFETY: a handle, as the documentation requires.
        descriptor = unsafe { Shell::with(changes, |changes| Ok(changes.0.as_raw_fd())) }?;
        Ok(())
    });
    descriptor
}

/// Makes the descriptor unreadable until the next change, and writes the live
/// sequence to `sequence` (may be NULL). Does not wait, and may be called at any time.
/// No change is lost: one that happens after the call began either is in its result,
/// or makes the descriptor readable again, level- or edge-triggered. The sequence may
/// be the one that was seen last.
///
/// TENDMAP_ERROR_CLOSED if the client or reader is closed; the descriptor does not
/// become readable again then.
///
/// Threads: any. Fork: TENDMAP_ERROR_FORKED in a child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_changes_take(
    changes: *const Shell<Changes>,
    sequence: *mut u64,
) -> c_int {
    guard(|| {
        // SAFETY: null, or a place, as the documentation requires.
        let place = unsafe { (!sequence.is_null()).then(|| Out::at("a sequence", sequence)) };
        let place = place.transpose()?;
        // SAFETY: a handle, as the documentation requires.
        let now = unsafe { Shell::with(changes, |changes| Ok(changes.0.take()?)) }?;
        if let Some(place) = place {
            place.put(now);
        }
        Ok(())
    })
}

/// Frees it and closes the descriptor, which must have been removed from the event
/// loop. NULL is allowed. The client may be closed before or after.
///
/// Threads: any. Fork: a child may free inherited ones; its parent's stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_changes_free(changes: *mut Shell<Changes>) -> c_int {
    // SAFETY: a handle, as the documentation requires.
    guard(|| unsafe { Shell::close(changes) })
}
