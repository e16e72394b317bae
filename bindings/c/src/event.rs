//! Events of a client, for C.

use core::ffi::{c_char, c_int};
use core::ptr::null_mut;

use crate::client::Client;
use crate::error::guard;
use crate::handle::Shell;
use crate::text::{Out, hand_out};

/// The oldest event that was not returned yet: a node that joined, left or
/// fails, a takeover, a pass that fails or succeeds again. Writes a JSON object
/// to `event`, which the caller frees with tendmap_string_free(), or NULL if
/// there is no event. The call never waits: make it from time to time.
///
/// The object has the fields of a line of `tendmap tend --json`, with the name as
/// `event`, and also `level` ("debug", "info" or "warning") and `time` (seconds
/// since 1970). The last 256 events are kept; if there were more, the first is
/// "events_lost" with their `count`. Clients of one process under one key share
/// their events: the one that connected first has them.
///
/// There is no callback, because it would run on a thread of the library that an
/// interpreter does not know.
///
/// Threads: any. Fork: as tendmap_client_role(); a child has its own events,
/// and none of its parent's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_next_event(
    client: *const Shell<Client>,
    event: *mut *mut c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a place, as the documentation requires.
        let place = unsafe { Out::at("an event", event)? };
        // SAFETY: a handle, as the documentation requires.
        let next = unsafe { Shell::with(client, |client| client.0.next_event()) }?;
        place.put(match next {
            Some(next) => hand_out(next.to_string())?,
            None => null_mut(),
        });
        Ok(())
    })
}
