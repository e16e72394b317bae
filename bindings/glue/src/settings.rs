//! Settings by name, with values as text: one table for every language.

use std::collections::BTreeMap;
use std::time::Duration;

use tendmap::client::Config;
use tendmap::segment::{parse_key, parse_users};
use tendmap::tend::tls::TlsConfig;
use tendmap::wire::login::SecretString;

/// A setting that there is not, or a value that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No setting of that name.
    #[error("no setting {name:?}; there are {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// A value that can't be read.
    #[error("{name} is {found:?}; wanted {wanted}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
}

type Setter = fn(&mut Config, &str) -> Option<()>;

struct Setting {
    name: &'static str,
    wanted: &'static str,
    set: Setter,
}

const NUMBER: &str = "a whole number";
const SECONDS: &str = "seconds, such as 0.5, or a number with ms or s";
const YES_NO: &str = "true or false";

/// The settings of TLS, which is on with the first of them.
fn tls(config: &mut Config) -> &mut TlsConfig {
    config.tls.get_or_insert_default()
}

/// In the order of `Config`'s fields.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "hosts",
        wanted: "one or more NAME:PORT, separated by commas",
        set: |config, text| {
            let hosts = text.split(',').map(|host| host.trim().parse().ok());
            config.hosts = hosts.collect::<Option<_>>()?;
            Some(())
        },
    },
    Setting {
        name: "cluster_name",
        wanted: "the cluster's name",
        set: |config, text| {
            config.cluster_name = Some(text.to_owned());
            Some(())
        },
    },
    Setting {
        name: "user",
        wanted: "a user's name",
        set: |config, text| {
            config.user = Some(text.to_owned());
            Some(())
        },
    },
    Setting {
        name: "password",
        wanted: "the user's password",
        set: |config, text| {
            config.password = Some(SecretString::from(text));
            Some(())
        },
    },
    Setting {
        name: "auth_mode",
        wanted: "INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI",
        set: |config, text| text.parse().ok().map(|value| config.auth_mode = value),
    },
    Setting {
        name: "tls",
        wanted: YES_NO,
        set: |config, text| {
            config.tls = boolean(text)?.then(|| config.tls.take().unwrap_or_default());
            Some(())
        },
    },
    Setting {
        name: "tls_cafile",
        wanted: "a file",
        set: |config, text| {
            tls(config).cafile = Some(text.into());
            Some(())
        },
    },
    Setting {
        name: "tls_certfile",
        wanted: "a file",
        set: |config, text| {
            tls(config).certfile = Some(text.into());
            Some(())
        },
    },
    Setting {
        name: "tls_keyfile",
        wanted: "a file",
        set: |config, text| {
            tls(config).keyfile = Some(text.into());
            Some(())
        },
    },
    Setting {
        name: "tls_for_login_only",
        wanted: YES_NO,
        set: |config, text| boolean(text).map(|value| tls(config).for_login_only = value),
    },
    Setting {
        name: "use_services_alternate",
        wanted: YES_NO,
        set: |config, text| boolean(text).map(|value| config.use_services_alternate = value),
    },
    Setting {
        name: "ip_map",
        wanted: "TOLD=USED, several separated by commas, each TOLD once",
        set: |config, text| {
            config.ip_map = pairs(text)?;
            Some(())
        },
    },
    Setting {
        name: "use_shm",
        wanted: YES_NO,
        set: |config, text| boolean(text).map(|value| config.use_shm = value),
    },
    Setting {
        name: "shm_key",
        wanted: "a number of 32 bits, decimal or 0x…",
        set: |config, text| parse_key(text).ok().map(|value| config.shm_key = value),
    },
    Setting {
        name: "shm_max_nodes",
        wanted: NUMBER,
        set: |config, text| text.parse().ok().map(|value| config.shm_max_nodes = value),
    },
    Setting {
        name: "shm_max_namespaces",
        wanted: NUMBER,
        set: |config, text| text.parse().ok().map(|value| config.shm_max_namespaces = value),
    },
    Setting {
        name: "shm_max_replicas",
        wanted: NUMBER,
        set: |config, text| text.parse().ok().map(|value| config.shm_max_replicas = value),
    },
    Setting {
        name: "shm_node_ceiling",
        wanted: NUMBER,
        set: |config, text| text.parse().ok().map(|value| config.shm_node_ceiling = value),
    },
    Setting {
        name: "shm_namespace_ceiling",
        wanted: NUMBER,
        set: |config, text| text.parse().ok().map(|value| config.shm_namespace_ceiling = value),
    },
    Setting {
        name: "shm_takeover_threshold",
        wanted: SECONDS,
        set: |config, text| duration(text).map(|value| config.shm_takeover_threshold = value),
    },
    Setting {
        name: "shm_backend",
        wanted: "file or sysv",
        set: |config, text| text.parse().ok().map(|value| config.shm_backend = value),
    },
    Setting {
        name: "shm_directory",
        wanted: "a directory",
        set: |config, text| {
            config.shm_directory = text.into();
            Some(())
        },
    },
    Setting {
        name: "shm_mode",
        wanted: "octal mode bits, such as 0600",
        set: |config, text| u32::from_str_radix(text, 8).ok().map(|value| config.shm_mode = value),
    },
    Setting {
        name: "shm_owner",
        wanted: "names or numbers of users of this host, separated by commas",
        set: |config, text| parse_users(text).ok().map(|users| config.shm_owner = users),
    },
    Setting {
        name: "shm_allow_group_write",
        wanted: YES_NO,
        set: |config, text| boolean(text).map(|value| config.shm_allow_group_write = value),
    },
    Setting {
        name: "preferred_racks",
        wanted: "whole numbers of 32 bits, separated by commas, the best first",
        set: |config, text| {
            config.preferred_racks =
                listed(text).map(|rack| rack.parse().ok()).collect::<Option<_>>()?;
            Some(())
        },
    },
    Setting {
        name: "tend_interval",
        wanted: SECONDS,
        set: |config, text| duration(text).map(|value| config.tend_interval = value),
    },
    Setting {
        name: "connect_timeout",
        wanted: SECONDS,
        set: |config, text| duration(text).map(|value| config.connect_timeout = value),
    },
];

/// The settings that take any text: a number or a flag that a language makes
/// into one would not be refused here.
pub const TEXTS: [&str; 7] = [
    "cluster_name",
    "user",
    "password",
    "tls_cafile",
    "tls_certfile",
    "tls_keyfile",
    "shm_directory",
];

/// The names of all settings.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name)
}

/// Sets the setting `name` to what `value` says. Whether it fits the others is
/// told by [`Config::check`].
///
/// # Errors
/// [`SettingError`], and nothing has changed.
pub fn set(config: &mut Config, name: &str, value: &str) -> Result<(), SettingError> {
    let known = SETTINGS.iter().find(|setting| setting.name == name);
    let Some(Setting { name, wanted, set }) = known else {
        return Err(SettingError::Unknown { name: name.to_owned() });
    };
    // A password is taken as it is.
    let text = if *name == "password" { value } else { value.trim() };
    let refused = || SettingError::Value { name, found: value.to_owned(), wanted };
    set(config, text).ok_or_else(refused)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// What commas separate; of an empty text nothing.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(move |_| !text.is_empty())
}

fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for pair in listed(text) {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || value.is_empty() || value.contains('=') {
            return None;
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return None;
        }
    }
    Some(pairs)
}

fn duration(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds(text)?).ok()
}

/// The seconds that a text says: `0.5`, `2s`, `500ms`, `2m`, `1h`. It may also
/// say a negative or infinite number, or none (NaN).
pub fn seconds(text: &str) -> Option<f64> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = units.iter().find_map(|(unit, worth)| Some((text.strip_suffix(unit)?, *worth)));
    let (number, worth) = unit.unwrap_or((text, 1.0));
    Some(number.trim_end().parse::<f64>().ok()? * worth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tendmap::segment::Backend;
    use tendmap::wire::login::AuthMode;

    #[test]
    fn every_setting_is_set_by_its_name() {
        let mut config = Config::new(vec![]);
        let values = [
            ("hosts", "a:1, [::1]:2"),
            ("cluster_name", "lab"),
            ("user", "ann"),
            ("password", " secret "),
            ("auth_mode", "external"),
            ("tls", "true"),
            ("tls_cafile", "ca.pem"),
            ("tls_certfile", "cert.pem"),
            ("tls_keyfile", "key.pem"),
            ("tls_for_login_only", "true"),
            ("use_services_alternate", "true"),
            ("ip_map", "10.0.0.1=db1, 10.0.0.2 = ::1"),
            ("use_shm", "true"),
            ("shm_key", "0xA7000001"),
            ("shm_max_nodes", "1"),
            ("shm_max_namespaces", "2"),
            ("shm_max_replicas", "4"),
            ("shm_node_ceiling", "5"),
            ("shm_namespace_ceiling", "6"),
            ("shm_takeover_threshold", "7.5"),
            ("shm_backend", "sysv"),
            ("shm_directory", "/tmp"),
            ("shm_mode", "0640"),
            ("shm_owner", "root,1000"),
            ("shm_allow_group_write", "true"),
            ("preferred_racks", "7, -1,0"),
            ("tend_interval", "250ms"),
            ("connect_timeout", "2s"),
        ];
        assert!(names().eq(values.map(|(name, _)| name)));
        for (name, value) in values {
            set(&mut config, name, value).unwrap();
        }
        let hosts: Vec<String> = config.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["a:1", "[::1]:2"]);
        assert_eq!(config.cluster_name.as_deref(), Some("lab"));
        assert_eq!(config.user.as_deref(), Some("ann"));
        assert_eq!(config.password.as_ref().unwrap().expose_secret(), " secret ");
        assert_eq!(config.auth_mode, AuthMode::External);
        let tls = config.tls.as_ref().unwrap();
        let files = [&tls.cafile, &tls.certfile, &tls.keyfile];
        let files = files.map(|file| file.as_ref().unwrap().to_str().unwrap());
        assert_eq!(files, ["ca.pem", "cert.pem", "key.pem"]);
        assert!(tls.for_login_only && config.use_services_alternate);
        let mapped: Vec<_> = config.ip_map.iter().map(|(told, used)| (&**told, &**used)).collect();
        assert_eq!(mapped, [("10.0.0.1", "db1"), ("10.0.0.2", "::1")]);
        assert_eq!(config.preferred_racks, [7, -1, 0]);
        assert_eq!((config.use_shm, config.shm_key), (true, 0xA700_0001));
        assert_eq!((config.shm_max_nodes, config.shm_max_namespaces), (1, 2));
        assert_eq!((config.shm_max_replicas, config.shm_node_ceiling), (4, 5));
        assert_eq!(config.shm_namespace_ceiling, 6);
        assert_eq!(config.shm_takeover_threshold, Duration::from_millis(7500));
        assert_eq!(config.shm_backend, Backend::SystemV);
        assert_eq!(config.shm_directory.to_str(), Some("/tmp"));
        assert_eq!((config.shm_mode, config.shm_owner), (0o640, vec![0, 1000]));
        assert!(config.shm_allow_group_write);
        assert_eq!(config.tend_interval, Duration::from_millis(250));
        assert_eq!(config.connect_timeout, Duration::from_secs(2));
    }

    #[test]
    fn what_can_not_be_read_is_refused_and_named() {
        let mut config = Config::new(vec![]);
        set(&mut config, "tls_cafile", "ca.pem").unwrap();
        set(&mut config, "tls", "false").unwrap();
        assert!(config.tls.is_none());
        for (name, value) in [
            ("auth_mode", "LDAP"),
            ("tls", "on"),
            ("hosts", "a:x"),
            ("hosts", ""),
            ("use_shm", "yes"),
            ("shm_allow_group_write", "yes"),
            ("ip_map", "10.0.0.1"),
            ("ip_map", "10.0.0.1="),
            ("ip_map", "a=b,"),
            ("ip_map", "a=b=c"),
            ("ip_map", "a=b,a=c"),
            ("preferred_racks", "1,"),
            ("preferred_racks", "2147483648"),
            ("preferred_racks", "left"),
            ("shm_key", "-1"),
            ("shm_max_nodes", "1.5"),
            ("shm_max_nodes", ""),
            ("shm_mode", "0680"),
            ("tend_interval", "-1"),
            ("tend_interval", "nan"),
            ("tend_interval", "1d"),
        ] {
            let error = set(&mut config, name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is {value:?}; wanted ")), "{error}");
        }
        for name in ["ip_map", "preferred_racks"] {
            set(&mut config, name, "").unwrap();
        }
        assert!(config.ip_map.is_empty() && config.preferred_racks.is_empty());
        let error = set(&mut config, "shm_nodes", "1").unwrap_err().to_string();
        assert!(error.contains("no setting \"shm_nodes\"; there are hosts, "), "{error}");
    }
}
