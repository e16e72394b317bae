//! Connecting, status, waiting, closing.

use core::ffi::{c_char, c_int};
use std::time::{Duration, Instant};

use tendmap::client::Role as Part;
use tendmap_bindings::{Failure, Session};

use crate::config::Config;
use crate::error::{guard, guard_pointer};
use crate::handle::{Body, Shell};
use crate::node::Node;
use crate::status::Status;
use crate::text::{Out, bad, hand_out};

/// The time after which a wait checks whether its client is still open.
const STRETCH: Duration = Duration::from_millis(100);

/// A process's connection to a cluster's map, or a reader of it.
pub struct Client(pub(crate) Session);

impl Body for Client {
    const TAG: u32 = u32::from_be_bytes(*b"tmCL");
    const NAME: &'static str = "tendmap_client";
    fn called(&self) -> &'static str {
        self.0.name()
    }
    fn close(&self) {
        self.0.close();
    }
}

/// A process's role in its segment.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Role {
    /// The process tends the cluster and publishes the map.
    Owner = 0,
    /// It reads the map, and is the next to become owner.
    Standby = 1,
    /// It reads the map, and may become owner.
    Follower = 2,
    /// It has closed its connection.
    Closed = 3,
    /// It only reads: the handle is that of tendmap_reader_open().
    Reader = 4,
}

/// Connects to a cluster's map: attaches to the segment of the settings' key, or creates
/// it and tends. Returns as soon as there is a map to route from: with a live owner
/// that is at once, without contacting a server. NULL on error; then nothing is
/// left behind. The settings are copied.
///
/// Connections of one process under one key share one attachment and one
/// thread. Closing the last of them hands the ownership over.
///
/// Threads: any; the client may be used by all threads at once. Fork: a child
/// may continue to use it. The first call with the client in a child starts the
/// child's own thread, which follows and may become owner; the parent's state is
/// not touched. With use_shm = false that call waits for the child's first map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_connect(config: *const Shell<Config>) -> *mut Shell<Client> {
    guard_pointer(|| {
        // SAFETY: a handle, as the documentation requires.
        let settings = unsafe { Shell::with(config, |config| Ok(config.0.clone())) }?;
        Ok(Shell::open(Client(Session::connect(settings)?)))
    })
}

/// Attaches as a reader to the segment of the settings' key, whether it has an owner
/// or not: without a thread, without the network, and with permission to read alone.
/// Of the settings it uses shm_key, shm_backend, shm_directory, shm_owner,
/// shm_allow_group_write, preferred_racks and cluster_name; hosts are not needed. NULL
/// on error: TENDMAP_ERROR_SEGMENT if there is no segment yet.
///
/// The result is a client that only reads. Every function for a client accepts it;
/// those that need a thread or a login (tendmap_keep(), tendmap_client_next_event(),
/// tendmap_client_set_tend_interval() and tendmap_client_set_password()) return
/// TENDMAP_ERROR_READ_ONLY. It follows the segment's successors, sees later
/// publications, and is closed with tendmap_close().
///
/// Threads: any; the reader may be used by all threads at once. Fork: a child may
/// continue to use it; nothing is started there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_reader_open(config: *const Shell<Config>) -> *mut Shell<Client> {
    guard_pointer(|| {
        // SAFETY: a handle, as the documentation requires.
        let settings = unsafe { Shell::with(config, |config| Ok(config.0.clone())) }?;
        Ok(Shell::open(Client(Session::read(&settings)?)))
    })
}

/// Closes the client; its routers keep reading until they are freed. The last client
/// of the process under its key hands the ownership over, if this process has it, and
/// removes the segment if no other process is attached. NULL is allowed; a client
/// that is already closed gives TENDMAP_ERROR_CLOSED.
///
/// A closed handle is recognised until 256 others have been closed after it.
///
/// Threads: any. The client has closed when this returns, whatever other threads do
/// with it. Their calls in progress end as usual; a wait for a change ends at once
/// with TENDMAP_ERROR_CLOSED. Fork: a child closes only its own part; its parent's
/// part and segment are not changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_close(client: *mut Shell<Client>) -> c_int {
    // SAFETY: a handle, as the documentation requires.
    guard(|| unsafe { Shell::close(client) })
}

/// Keeps this process attached under the client's key until the process ends, even if
/// all clients are closed. It is for hosts that create and close clients repeatedly,
/// as PHP does with every request: connecting again then takes microseconds, and the
/// ownership does not move from process to process.
///
/// Threads: any. Fork: it applies to the calling process, not to its children.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_keep(client: *const Shell<Client>) -> c_int {
    // SAFETY: a handle, as the documentation requires.
    guard(|| unsafe { Shell::with(client, |client| client.0.keep()) })
}

/// This process's current role: a tendmap_role, or -1 on error.
///
/// Threads: any. Fork: in a child it starts the child's own part, see
/// tendmap_connect().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_role(client: *const Shell<Client>) -> c_int {
    let mut role = -1;
    guard(|| {
        // SAFETY: a handle, as the documentation requires.
        let found = unsafe { Shell::with(client, |client| client.0.role()) }?;
        role = match found {
            None => Role::Reader as c_int,
            Some(Part::Owner) => Role::Owner as c_int,
            Some(Part::Standby) => Role::Standby as c_int,
            Some(Part::Closed) => Role::Closed as c_int,
            Some(_) => Role::Follower as c_int,
        };
        Ok(())
    });
    role
}

/// The state of the segment and its owner. The caller sets status->size to
/// sizeof(tendmap_status) before; at most this many bytes are written.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_status(
    client: *const Shell<Client>,
    status: *mut Status,
) -> c_int {
    guard(|| {
        if status.is_null() || !status.is_aligned() {
            return Err(bad(format!("{status:p} instead of a place for a status")));
        }
        // SAFETY: the caller has set it, as the documentation requires.
        let size = unsafe { (&raw const (*status).size).read() };
        if size < size_of::<usize>() || size > 1 << 16 {
            let wanted = size_of::<Status>();
            return Err(bad(format!(
                "status->size is {size}; wanted sizeof(tendmap_status), {wanted} in this version"
            )));
        }
        // SAFETY: a handle, as the documentation requires.
        let found = unsafe { Shell::with(client, |client| client.0.status()) }?;
        let mut found = Status::of(&found);
        found.size = size.min(size_of::<Status>());
        // SAFETY: the caller has `size` bytes there; what is copied is a whole
        // status or its beginning.
        unsafe {
            (&raw const found).cast::<u8>().copy_to_nonoverlapping(status.cast(), found.size);
        }
        Ok(())
    })
}

/// The state of the segment and its owner, as a JSON object with the fields of
/// `tendmap status --json`. The caller frees it with tendmap_string_free(). NULL
/// on error.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_status_json(client: *const Shell<Client>) -> *mut c_char {
    guard_pointer(|| {
        // SAFETY: a handle, as the documentation requires.
        let found = unsafe { Shell::with(client, |client| client.0.status()) }?;
        hand_out(found.to_json())
    })
}

/// The cluster's nodes: writes at most `capacity` of them to `nodes`, and their
/// total number to `count`. With capacity 0, `nodes` may be NULL.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_nodes(
    client: *const Shell<Client>,
    nodes: *mut Node,
    capacity: usize,
    count: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a place, as the documentation requires.
        let count = unsafe { Out::at("a count", count)? };
        if capacity > 0 {
            // SAFETY: `nodes` has at least one element; only its address is used.
            unsafe { Out::at("nodes", nodes)? };
        }
        // SAFETY: a handle, as the documentation requires.
        let map = unsafe { Shell::with(client, |client| Ok(client.0.map()?.map)) }?;
        let table = &map.nodes;
        for (number, (slot, node)) in table.iter().take(capacity).enumerate() {
            let node = Node::of(slot, table.incarnation(slot), node);
            // SAFETY: `number` is below the caller's capacity.
            unsafe { nodes.add(number).write(node) };
        }
        count.put(table.len());
        Ok(())
    })
}

/// Sleeps until a publication other than `sequence` is live, at most
/// `timeout_ms` milliseconds (UINT64_MAX = without limit), and writes the live
/// sequence to `now`. Every route and status contains a sequence; 0 waits for the
/// first map.
///
/// TENDMAP_OK after the timeout, too; `now` then equals `sequence`.
/// TENDMAP_ERROR_CLOSED if the client is closed meanwhile. Signals do not end the
/// wait.
///
/// Threads: any, several at once. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_wait_for_change(
    client: *const Shell<Client>,
    sequence: u64,
    timeout_ms: u64,
    now: *mut u64,
) -> c_int {
    guard(|| {
        // SAFETY: a place, as the documentation requires.
        let now = unsafe { Out::at("a sequence", now)? };
        // Without a limit the deadline is later than any clock reaches.
        let deadline = Instant::now().checked_add(Duration::from_millis(timeout_ms));
        let wait = |client: &Client, open: &dyn Fn() -> Result<(), Failure>| {
            let client = &client.0;
            loop {
                let left = deadline.map_or(STRETCH, |deadline| {
                    deadline.saturating_duration_since(Instant::now()).min(STRETCH)
                });
                let found = client.wait_for_change(sequence, left)?;
                if found != sequence {
                    return Ok(found);
                }
                open()?;
                if left < STRETCH {
                    return Ok(found);
                }
            }
        };
        // SAFETY: a handle, as the documentation requires.
        now.put(unsafe { Shell::with_open(client, wait) }?);
        Ok(())
    })
}

/// Asks the owner, whichever process that is, to tend soon: for callers that
/// see connections to a node fail. The owner tends at the earliest a quarter of
/// its interval after its last pass, whatever the number of requests. A request
/// may be lost. The call does not wait; tendmap_wait_for_change() does.
///
/// Threads: any. Fork: as tendmap_client_role().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_client_request_tend(client: *const Shell<Client>) -> c_int {
    guard(|| {
        // SAFETY: a handle, as the documentation requires.
        unsafe { Shell::with(client, |client| client.0.request_tend()) }
    })
}
