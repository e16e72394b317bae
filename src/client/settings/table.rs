//! The table.

use super::value::{InvalidValue, SettingValue as _, joined, mode, users, utf8};
use super::{Setting, SettingGroup, SettingKind};
#[cfg(feature = "tls")]
use crate::client::config::Config;
use crate::segment::parse_key;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;

const AUTH_MODES: SettingKind =
    SettingKind::Choice(&["INTERNAL", "EXTERNAL", "EXTERNAL_INSECURE", "PKI"]);
const BACKENDS: SettingKind = SettingKind::Choice(&["file", "sysv"]);

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
                config.$field = super::value::SettingValue::read_os(text)?;
                Ok(())
            },
            get: |config| config.$field.show(),
            change: $change,
        }
    };
}

/// A row whose value is a field of the mirrors' configuration.
#[cfg(feature = "c-client")]
macro_rules! nested {
    ($name:ident, $($field:ident).+, $kind:expr, $help:expr $(,)?) => {
        Setting {
            name: stringify!($name),
            kind: $kind,
            group: SettingGroup::CClient,
            help: $help,
            set: |config, text| {
                config.c_client.$($field).+ = super::value::SettingValue::read_os(text)?;
                Ok(())
            },
            get: |config| config.c_client.$($field).+.show(),
            change: None,
        }
    };
}

/// All settings, in the order of [`Config`]'s fields.
pub const SETTINGS: &[Setting] = &[
    field!(
        hosts,
        SettingKind::Hosts,
        SettingGroup::Cluster,
        "Servers to ask first; any one that answers leads to all others",
    ),
    field!(
        cluster_name,
        SettingKind::Text,
        SettingGroup::Cluster,
        "The name that the cluster must have",
    ),
    field!(
        user,
        SettingKind::Text,
        SettingGroup::Security,
        "The user that logs in; unset = no login",
    ),
    field!(
        password,
        SettingKind::Secret,
        SettingGroup::Security,
        "The user's password",
        change: Some(|client, config| client.set_password(config.password.clone().unwrap_or_default())),
    ),
    field!(
        auth_mode,
        AUTH_MODES,
        SettingGroup::Security,
        "How the user logs in: INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI",
    ),
    #[cfg(feature = "tls")]
    Setting {
        name: "tls",
        kind: SettingKind::Switch,
        group: SettingGroup::Security,
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
        kind: SettingKind::File,
        group: SettingGroup::Security,
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
        kind: SettingKind::File,
        group: SettingGroup::Security,
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
        kind: SettingKind::File,
        group: SettingGroup::Security,
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
        kind: SettingKind::Switch,
        group: SettingGroup::Security,
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
        SettingKind::Switch,
        SettingGroup::Cluster,
        "Use the alternate addresses that servers advertise",
    ),
    field!(
        ip_map,
        SettingKind::Pairs,
        SettingGroup::Cluster,
        "Use another host than an address that servers advertise",
    ),
    field!(
        use_shm,
        SettingKind::Switch,
        SettingGroup::Segment,
        "Whether the map is shared; false keeps it private to this process",
    ),
    Setting {
        name: "shm_key",
        kind: SettingKind::Key,
        group: SettingGroup::Place,
        help: "Key of the segment, decimal or 0x…",
        set: |config, text| {
            config.shm_key = parse_key(utf8(text)?).map_err(|_| InvalidValue(None))?;
            Ok(())
        },
        get: |config| format!("0x{:08X}", config.shm_key),
        change: None,
    },
    field!(
        shm_max_nodes,
        SettingKind::Number { unit: "nodes" },
        SettingGroup::Segment,
        "Nodes that a new segment has room for, 1 to 4096",
    ),
    field!(
        shm_max_namespaces,
        SettingKind::Number { unit: "namespaces" },
        SettingGroup::Segment,
        "Namespaces that a new segment has room for, 1 to 4096",
    ),
    field!(
        shm_max_replicas,
        SettingKind::Number { unit: "replicas" },
        SettingGroup::Segment,
        "Replicas that a new segment has room for, 1 to 255",
    ),
    field!(
        shm_node_ceiling,
        SettingKind::Number { unit: "nodes" },
        SettingGroup::Segment,
        "Nodes that the segment may grow to, 1 to 4096",
    ),
    field!(
        shm_namespace_ceiling,
        SettingKind::Number { unit: "namespaces" },
        SettingGroup::Segment,
        "Namespaces that the segment may grow to, 1 to 4096",
    ),
    field!(
        shm_takeover_threshold,
        SettingKind::Duration,
        SettingGroup::Segment,
        "How long a hung owner, or one whose tends fail, keeps ownership",
    ),
    field!(shm_backend, BACKENDS, SettingGroup::Place, "The kind of shared memory: file or sysv",),
    field!(
        shm_directory,
        SettingKind::Directory,
        SettingGroup::Place,
        "Directory of the segments, and of the lock files of those in sysv",
    ),
    Setting {
        name: "shm_mode",
        kind: SettingKind::Mode,
        group: SettingGroup::Segment,
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
        kind: SettingKind::Users,
        group: SettingGroup::Place,
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
        SettingKind::Switch,
        SettingGroup::Place,
        "Accept a segment's file that its group may write (0020)",
    ),
    field!(
        preferred_racks,
        SettingKind::Racks,
        SettingGroup::Routing,
        "Racks to read from where they have a replica, the best first",
        change: Some(|client, config| {
            client.set_preferred_racks(&config.preferred_racks);
            Ok(())
        }),
    ),
    field!(
        tend_interval,
        SettingKind::Duration,
        SettingGroup::Tending,
        "How often the owner polls the cluster, at least 50ms",
        change: Some(|client, config| client.set_tend_interval(config.tend_interval)),
    ),
    field!(
        connect_timeout,
        SettingKind::Duration,
        SettingGroup::Cluster,
        "How long a server may take to accept a connection or to answer",
    ),
    #[cfg(feature = "c-client")]
    nested!(
        c_client,
        targets,
        SettingKind::Targets,
        "Aerospike C client segments to keep filled, for official clients",
    ),
    #[cfg(feature = "c-client")]
    nested!(
        c_client_max_nodes,
        max_nodes,
        SettingKind::Number { unit: "nodes" },
        "The clients' own shm_max_nodes",
    ),
    #[cfg(feature = "c-client")]
    nested!(
        c_client_max_namespaces,
        max_namespaces,
        SettingKind::Number { unit: "namespaces" },
        "The clients' own shm_max_namespaces",
    ),
    #[cfg(feature = "c-client")]
    Setting {
        name: "c_client_mode",
        kind: SettingKind::Mode,
        group: SettingGroup::CClient,
        help: "Mode of a new C client segment, octal",
        set: |config, text| {
            config.c_client.mode = mode(utf8(text)?)?;
            Ok(())
        },
        get: |config| format!("{:04o}", config.c_client.mode),
        change: None,
    },
    #[cfg(feature = "c-client")]
    nested!(
        c_client_on_exit,
        on_exit,
        SettingKind::Choice(&["hold", "release"]),
        "At exit, hold the segment for the next mirror, or release it to a client",
    ),
    #[cfg(feature = "c-client")]
    nested!(
        c_client_owner,
        owner,
        SettingKind::Choice(&["pid", "always"]),
        "The owner that clients see: this process, or one that is always alive",
    ),
];
