//! Settings.

use core::ffi::{c_char, c_int};

use tendmap::client::Config as Settings;

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

/// Sets the setting `name` to `value`:
///
///     hosts                   NAME:PORT,…
///     cluster_name            refuse any other cluster
///     user                    the user that logs in
///     password                the user's password, kept as a secret
///     auth_mode               INTERNAL (the default), EXTERNAL,
///                             EXTERNAL_INSECURE or PKI
///     tls                     true: servers are reached over TLS
///     tls_cafile              the authorities' certificates; else the system's
///     tls_certfile            the client's own certificate
///     tls_keyfile             the private key of that certificate
///     tls_for_login_only      true: everything else is plaintext
///     use_services_alternate  true: use the servers' alternate addresses
///     ip_map                  TOLD=USED,…: hosts to use instead of those that
///                             servers advertise
///     use_shm                 true (the default here) or false
///     shm_key                 a number of 32 bits, decimal or 0x…
///     shm_max_nodes           nodes that a new segment has room for
///     shm_max_namespaces      namespaces that a new segment has room for
///     shm_max_replicas        replicas that a new segment has room for (it grows
///                             with the replication factor, up to 255)
///     shm_node_ceiling        nodes that a segment may grow to
///     shm_namespace_ceiling   namespaces that a segment may grow to
///     shm_takeover_threshold  seconds, or with a unit: 30, 500ms, 1.5s, 2m, 1h
///     shm_backend             file (the default) or sysv
///     shm_directory           the directory of the segments
///     shm_mode                octal mode bits of a new segment
///     shm_owner               users whose segments are trusted, too, by name or
///                             number, separated by commas
///     shm_allow_group_write   true: files that their group may write (0020) are
///                             accepted; every member of the group can then
///                             truncate the file, and the kernel then kills every
///                             attached process with SIGBUS (not with sysv)
///     preferred_racks         numbers, the best first: 7,3; see
///                             TENDMAP_POLICY_PREFER_RACK
///     tend_interval           seconds, or with a unit
///     connect_timeout         seconds, or with a unit
///     c_client                segments of the Aerospike C client that are kept
///                             filled, KEY:VERSION, separated by commas:
///                             0xAC000000:7.6.1 (see docs/C-CLIENT.md)
///     c_client_max_nodes      nodes, as the clients' own shm_max_nodes
///     c_client_max_namespaces namespaces, as the clients' own
///     c_client_mode           octal mode bits of a new one of these segments
///     c_client_on_exit        hold (the default) or release
///     c_client_owner          pid (the default) or always
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
        // SAFETY: texts, as the documentation requires.
        let (name, value) = unsafe { (text("a name", name)?, text("a value", value)?) };
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
