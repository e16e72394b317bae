//! The table.

use super::value::{Refused, Value as _, joined, mode, users, utf8};
use super::{Group, Kind, Setting};
#[cfg(feature = "tls")]
use crate::client::config::Config;
use crate::segment::parse_key;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;

const AUTH_MODES: Kind = Kind::Choice(&["INTERNAL", "EXTERNAL", "EXTERNAL_INSECURE", "PKI"]);
const BACKENDS: Kind = Kind::Choice(&["file", "sysv"]);

/// The settings of TLS, which is on with the first of them.
#[cfg(feature = "tls")]
fn tls(config: &mut Config) -> &mut TlsConfig {
    config.tls.get_or_insert_default()
}

/// A row whose value is a field of [`Config`], read and shown by its type.
macro_rules! field {
    ($field:ident, $kind:expr, $group:expr, $help:expr $(,)?) => {
        field!($field, $kind, $group, $help, change: None)
    };
    ($field:ident, $kind:expr, $group:expr, $help:expr, change: $change:expr $(,)?) => {
        Setting {
            name: stringify!($field),
            kind: $kind,
            group: $group,
            help: $help,
            set: |config, text| {
                config.$field = super::value::Value::read_os(text)?;
                Ok(())
            },
            get: |config| config.$field.show(),
            change: $change,
        }
    };
}

/// All settings, in the order of [`Config`]'s fields.
pub const SETTINGS: &[Setting] = &[
    field!(
        hosts,
        Kind::Hosts,
        Group::Cluster,
        "Servers to ask first; any one that answers leads to all others",
    ),
    field!(cluster_name, Kind::Text, Group::Cluster, "The name that the cluster must have",),
    field!(user, Kind::Text, Group::Security, "The user that logs in; unset = no login",),
    field!(
        password,
        Kind::Secret,
        Group::Security,
        "The user's password",
        change: Some(|client, config| client.set_password(config.password.clone().unwrap_or_default())),
    ),
    field!(
        auth_mode,
        AUTH_MODES,
        Group::Security,
        "How the user logs in: INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI",
    ),
    #[cfg(feature = "tls")]
    Setting {
        name: "tls",
        kind: Kind::Switch,
        group: Group::Security,
        help: "Speak TLS with the servers",
        set: |config, text| {
            config.tls = bool::read_os(text)?.then(|| config.tls.take().unwrap_or_default());
            Ok(())
        },
        get: |config| config.tls.is_some().show(),
        change: None,
    },
    #[cfg(feature = "tls")]
    Setting {
        name: "tls_cafile",
        kind: Kind::File,
        group: Group::Security,
        help: "Certificates of the trusted authorities, PEM; unset = the system's",
        set: |config, text| {
            tls(config).cafile = Some(text.into());
            Ok(())
        },
        get: |config| config.tls.as_ref().map_or_else(String::new, |tls| tls.cafile.show()),
        change: None,
    },
    #[cfg(feature = "tls")]
    Setting {
        name: "tls_certfile",
        kind: Kind::File,
        group: Group::Security,
        help: "The client's own certificate, PEM",
        set: |config, text| {
            tls(config).certfile = Some(text.into());
            Ok(())
        },
        get: |config| config.tls.as_ref().map_or_else(String::new, |tls| tls.certfile.show()),
        change: None,
    },
    #[cfg(feature = "tls")]
    Setting {
        name: "tls_keyfile",
        kind: Kind::File,
        group: Group::Security,
        help: "The private key of the client's certificate, PEM",
        set: |config, text| {
            tls(config).keyfile = Some(text.into());
            Ok(())
        },
        get: |config| config.tls.as_ref().map_or_else(String::new, |tls| tls.keyfile.show()),
        change: None,
    },
    #[cfg(feature = "tls")]
    Setting {
        name: "tls_for_login_only",
        kind: Kind::Switch,
        group: Group::Security,
        help: "Speak TLS for logins only",
        set: |config, text| {
            let value = bool::read_os(text)?;
            // What is off as by default does not ask for TLS.
            if value || config.tls.is_some() {
                tls(config).for_login_only = value;
            }
            Ok(())
        },
        get: |config| config.tls.as_ref().is_some_and(|tls| tls.for_login_only).show(),
        change: None,
    },
    field!(
        use_services_alternate,
        Kind::Switch,
        Group::Cluster,
        "Use the alternate addresses that servers advertise",
    ),
    field!(
        ip_map,
        Kind::Pairs,
        Group::Cluster,
        "Use another host than an address that servers advertise",
    ),
    field!(
        use_shm,
        Kind::Switch,
        Group::Segment,
        "Whether the map is shared; false keeps it private to this process",
    ),
    Setting {
        name: "shm_key",
        kind: Kind::Key,
        group: Group::Place,
        help: "Key of the segment, decimal or 0x…",
        set: |config, text| {
            config.shm_key = parse_key(utf8(text)?).map_err(|_| Refused(None))?;
            Ok(())
        },
        get: |config| format!("0x{:08X}", config.shm_key),
        change: None,
    },
    field!(
        shm_max_nodes,
        Kind::Number { unit: "nodes" },
        Group::Segment,
        "Nodes that a new segment has room for, 1 to 4096",
    ),
    field!(
        shm_max_namespaces,
        Kind::Number { unit: "namespaces" },
        Group::Segment,
        "Namespaces that a new segment has room for, 1 to 4096",
    ),
    field!(
        shm_max_replicas,
        Kind::Number { unit: "replicas" },
        Group::Segment,
        "Replicas that a new segment has room for, 1 to 255",
    ),
    field!(
        shm_node_ceiling,
        Kind::Number { unit: "nodes" },
        Group::Segment,
        "Nodes that the segment may grow to, 1 to 4096",
    ),
    field!(
        shm_namespace_ceiling,
        Kind::Number { unit: "namespaces" },
        Group::Segment,
        "Namespaces that the segment may grow to, 1 to 4096",
    ),
    field!(
        shm_takeover_threshold,
        Kind::Duration,
        Group::Segment,
        "How long a hung owner, or one whose tends fail, keeps ownership",
    ),
    field!(shm_backend, BACKENDS, Group::Place, "The kind of shared memory: file or sysv",),
    field!(
        shm_directory,
        Kind::Directory,
        Group::Place,
        "Directory of the segments, and of the lock files of those in sysv",
    ),
    Setting {
        name: "shm_mode",
        kind: Kind::Mode,
        group: Group::Segment,
        help: "Mode of a new segment, octal",
        set: |config, text| {
            config.shm_mode = mode(utf8(text)?)?;
            Ok(())
        },
        get: |config| format!("{:04o}", config.shm_mode),
        change: None,
    },
    Setting {
        name: "shm_owner",
        kind: Kind::Users,
        group: Group::Place,
        help: "Users besides yourself and root whose segments are trusted",
        set: |config, text| {
            config.shm_owner = users(utf8(text)?)?;
            Ok(())
        },
        get: |config| joined(&config.shm_owner),
        change: None,
    },
    field!(
        shm_allow_group_write,
        Kind::Switch,
        Group::Place,
        "Accept a segment's file that its group may write (0020)",
    ),
    field!(
        preferred_racks,
        Kind::Racks,
        Group::Routing,
        "Racks to read from where they have a replica, the best first",
        change: Some(|client, config| {
            client.set_preferred_racks(&config.preferred_racks);
            Ok(())
        }),
    ),
    field!(
        tend_interval,
        Kind::Duration,
        Group::Tending,
        "How often the owner polls the cluster, at least 50ms",
        change: Some(|client, config| client.set_tend_interval(config.tend_interval)),
    ),
    field!(
        connect_timeout,
        Kind::Duration,
        Group::Cluster,
        "How long a server may take to accept a connection or to answer",
    ),
];
