//! Settings.

use core::ffi::{c_char, c_int};

use tendmap::client::{Config as Settings, Setting};

use crate::error::{guard, guard_pointer};
use crate::handle::{Body, Shell};
use crate::text::text;

/// Settings of a client, under construction.
pub struct Config(pub(crate) Settings);

impl Body for Config {
    const TAG: u32 = u32::from_be_bytes(*b"tmCF");
    const NAME: &'static str = "tendmap_config";
}

/// New settings: the defaults, with a shared segment (use_shm = true) and
/// these hosts, one or more NAME:PORT separated by commas; NULL = no hosts, which
/// is enough for tendmap_reader_open(). NULL on error.
///
/// Threads: any. Fork: settings may be created before a fork and used after it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_config_new(hosts: *const c_char) -> *mut Shell<Config> {
    guard_pointer(|| {
        let mut settings = Settings::new(Vec::new());
        settings.use_shm = true;
        if !hosts.is_null() {
            // SAFETY: a text, as the documentation requires.
            settings.set("hosts", unsafe { text("hosts", hosts)? })?;
        }
        Ok(Shell::open(Config(settings)))
    })
}

/// Sets the setting `name` to `value`. The defaults are in brackets; a setting without
/// one is unset. A duration is a number with ms, s, m or h (500ms, 1.5s, 2m, 1h); a number
/// alone means seconds.
///
///     hosts                   NAME:PORT,…: the servers to ask first; with TLS also
///                             NAME:TLS_NAME:PORT
///     cluster_name            refuse any other cluster
///     user                    the user that logs in
///     password                the user's password, kept as a secret
///     auth_mode               [INTERNAL] or EXTERNAL, EXTERNAL_INSECURE or PKI
///     tls                     [false] true: servers are reached over TLS
///     tls_cafile              the authorities' certificates, PEM; else the system's
///     tls_certfile            the client's own certificate, PEM
///     tls_keyfile             the private key of that certificate, PEM
///     tls_for_login_only      [false] true: everything else is plaintext
///     use_services_alternate  [false] true: use the servers' alternate addresses
///     ip_map                  TOLD=USED,…: hosts to use instead of those that
///                             servers advertise
///     use_shm                 [true] false: a map of this process alone
///     shm_key                 [0xA7000000] a number of 32 bits, decimal or 0x…: one
///                             for each cluster
///     shm_max_nodes           [16] nodes that a new segment has room for, 1 to 4096
///     shm_max_namespaces      [8] namespaces that a new segment has room for, 1 to
///                             4096
///     shm_max_replicas        [3] replicas that a new segment has room for, 1 to 255
///                             (it grows with the replication factor)
///     shm_node_ceiling        [4096] nodes that a segment may grow to
///     shm_namespace_ceiling   [256] namespaces that a segment may grow to
///     shm_takeover_threshold  [30s] how long a hung owner stays owner; at least
///                             twice the sum of tend_interval and connect_timeout, at
///                             most 365 days
///     shm_backend             [file] or sysv
///     shm_directory           [/dev/shm] the directory of the segments
///     shm_mode                [0600] octal mode bits of a new segment
///     shm_owner               users whose segments are trusted, too, by name or
///                             number, separated by commas
///     shm_allow_group_write   [false] true: files that their group may write (0020)
///                             are accepted; every member of the group can then
///                             truncate the file, and the kernel then kills every
///                             attached process with SIGBUS (not with sysv)
///     preferred_racks         numbers, the best first: 7,3; see
///                             TENDMAP_POLICY_PREFER_RACK
///     tend_interval           [1s] how often the owner polls, 50ms to 365 days
///     connect_timeout         [1s] how long a server may take to accept a connection
///                             or to answer
///     c_client                segments of the Aerospike C client that are kept
///                             filled, KEY:VERSION, separated by commas:
///                             0xAC000000:7.6.1 (see docs/C-CLIENT.md)
///     c_client_max_nodes      [16] nodes, as the clients' own shm_max_nodes
///     c_client_max_namespaces [8] namespaces, as the clients' own
///     c_client_mode           [0666] octal mode bits of a new one of these segments
///     c_client_on_exit        [hold] or release
///     c_client_owner          [pid] or always
///
/// Whether the values fit each other is checked by tendmap_connect().
/// TENDMAP_ERROR_CONFIG for an unknown name or an invalid value; then nothing has
/// changed.
///
/// Threads: one at a time. Fork: any process that has the settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_config_set(
    config: *mut Shell<Config>,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a text, as the documentation requires.
        let name = unsafe { text("the name of a setting", name)? };
        let what = match Setting::find(name) {
            Some(setting) if !value.is_null() => setting.name(),
            _ => "a value",
        };
        // SAFETY: a text, as the documentation requires.
        let value = unsafe { text(what, value)? };
        // SAFETY: a handle that one thread at a time uses,
        // as the documentation requires.
        let config = unsafe { &mut *Shell::body(config)? };
        Ok(config.0.set(name, value)?)
    })
}

/// Frees settings; clients that were created from them are not affected. NULL is
/// allowed.
///
/// Threads: one at a time. Fork: any process that has the settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_config_free(config: *mut Shell<Config>) {
    // SAFETY: a handle, as the documentation requires.
    guard(|| unsafe { Shell::close(config) });
}
