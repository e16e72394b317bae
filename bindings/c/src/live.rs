//! Settings that change while a client runs.

use core::ffi::{c_char, c_int};
use std::time::Duration;

use tendmap::wire::login::SecretString;

use crate::client::Client;
use crate::error::guard;
use crate::handle::Shell;
use crate::text::{array, text};

/// Changes the racks that TENDMAP_POLICY_PREFER_RACK prefers: `count` numbers,
/// the best first; 0 of them (`racks` may be NULL then) = none. All routers of
/// this client use them from their next call; other clients have their own.
///
/// Threads: any. Fork: as tendmap_client_role(); in a child it applies to routers
/// that the child creates, an inherited one keeps its racks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_set_preferred_racks(
    client: *const Shell<Client>,
    racks: *const i32,
    count: usize,
) -> c_int {
    guard(|| {
        // SAFETY: an array, as the documentation requires.
        let racks = unsafe { array("racks", racks, count)? };
        // SAFETY: a handle, as the documentation requires.
        unsafe { Shell::with(client, |client| client.0.set_preferred_racks(racks)) }
    })
}

/// Changes how often this process polls the cluster as owner, in milliseconds
/// (at least 50, at most 365 days): from now on, or from when it becomes owner.
/// All clients of the process under this key share it.
///
/// TENDMAP_ERROR_CONFIG if it is too short, or too long for shm_takeover_threshold:
/// other processes would consider the owner hung. The setting is then unchanged.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_set_tend_interval(
    client: *const Shell<Client>,
    interval_ms: u64,
) -> c_int {
    guard(|| {
        let interval = Duration::from_millis(interval_ms);
        // SAFETY: a handle, as the documentation requires.
        unsafe { Shell::with(client, |client| client.0.set_tend_interval(interval)) }
    })
}

/// Changes the password of the user that this process logs in as. It applies from
/// the next login; connections are not changed. The text is copied, and the copy
/// is wiped when it is no longer needed.
///
/// TENDMAP_ERROR_CONFIG if the client has no user, or no server accepts such a
/// password; then nothing has changed.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_set_password(
    client: *const Shell<Client>,
    password: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a text, as the documentation requires.
        let password = SecretString::from(unsafe { text("a password", password)? });
        // SAFETY: a handle, as the documentation requires.
        unsafe { Shell::with(client, |client| client.0.set_password(password)) }
    })
}
