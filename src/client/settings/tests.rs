//! Every row of the table, read and shown.

use std::time::Duration;

use super::*;
use crate::segment::Backend;
use crate::wire::login::AuthMode;

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
    #[cfg(feature = "c-client")]
    let mirrored = [
        ("c_client", "0xAC000000:7.6.1, 1:node-6.7"),
        ("c_client_max_nodes", "8"),
        ("c_client_max_namespaces", "9"),
        ("c_client_mode", "0660"),
        ("c_client_on_exit", "release"),
        ("c_client_owner", "always"),
    ];
    #[cfg(not(feature = "c-client"))]
    let mirrored = [];
    let values: Vec<(&str, &str)> = values.into_iter().chain(mirrored).collect();
    let names: Vec<&str> = values.iter().map(|&(name, _)| name).collect();
    assert_eq!(SETTINGS.iter().map(Setting::name).collect::<Vec<_>>(), names);
    for (name, value) in values {
        config.set(name, value).unwrap();
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
    #[cfg(feature = "c-client")]
    {
        use crate::c_client::{OnExit, OwnerMark};
        let mirrors = &config.c_client;
        let targets: Vec<String> = mirrors.targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["0xAC000000:7.6.1", "0x00000001:node-6.7"]);
        assert_eq!((mirrors.max_nodes, mirrors.max_namespaces, mirrors.mode), (8, 9, 0o660));
        assert_eq!((mirrors.on_exit, mirrors.owner), (OnExit::Release, OwnerMark::Always));
    }
}

#[test]
fn what_can_not_be_read_is_refused_and_named() {
    let mut config = Config::new(vec![]);
    config.set("tls_cafile", "ca.pem").unwrap();
    config.set("tls", "false").unwrap();
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
        let error = config.set(name, value).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is {value:?}")), "{error}");
        assert!(error.contains("; wanted "), "{error}");
    }
    for name in ["ip_map", "preferred_racks"] {
        config.set(name, "").unwrap();
    }
    assert!(config.ip_map.is_empty() && config.preferred_racks.is_empty());
    let error = config.set("shm_nodes", "1").unwrap_err().to_string();
    assert!(error.contains("no setting \"shm_nodes\"; there are hosts, "), "{error}");
}

#[test]
fn a_problem_is_named_where_what_is_wanted_does_not_say_it() {
    let mut config = Config::new(vec![]);
    let mut reason = |name, value| config.set(name, value).unwrap_err().reason();
    assert!(reason("hosts", "a:1,b:x").starts_with("\"b:x\": the port is not"));
    assert!(
        reason("shm_owner", "no-such-user").starts_with("unknown user \"no-such-user\"; wanted")
    );
    assert!(reason("ip_map", "a=b,a=c").starts_with("\"a\" is there twice; wanted"));
    assert!(reason("tend_interval", "1e30").starts_with("longer than can be counted; wanted"));
    assert!(reason("tend_interval", "1d").starts_with("wanted seconds, or a number with ms"));
}

#[test]
fn what_is_shown_is_read_as_the_same() {
    let mut config = Config::shared(vec!["[::1]:3000".parse().unwrap()], 7);
    for (name, text) in [
        ("cluster_name", "lab"),
        ("tls_cafile", "/etc/ca.pem"),
        ("tls_for_login_only", "true"),
        ("ip_map", "a=b,c=d"),
        ("shm_takeover_threshold", "2.5s"),
        ("shm_backend", "sysv"),
        ("shm_mode", "0640"),
        ("shm_owner", "0,5001"),
        ("preferred_racks", "7,-3"),
        ("tend_interval", "250ms"),
    ] {
        config.set(name, text).unwrap();
        assert_eq!(Setting::find(name).unwrap().get(&config), text);
    }
    let mut again = Config::new(vec![]);
    for (setting, text) in config.settings().filter(|(_, text)| !text.is_empty()) {
        again.set(setting.name(), &text).unwrap();
    }
    assert!(config.settings().eq(again.settings()));
}

impl PartialEq for Setting {
    fn eq(&self, other: &Setting) -> bool {
        self.name == other.name
    }
}

#[test]
fn h136_what_is_off_by_default_turns_no_tls_on() {
    let mut config = Config::new(vec![]);
    config.set("tls_for_login_only", "false").unwrap();
    assert!(config.tls.is_none());
    config.set("tls_for_login_only", "true").unwrap();
    assert!(config.tls.as_ref().unwrap().for_login_only);
    config.set("tls_for_login_only", "false").unwrap();
    assert!(!config.tls.unwrap().for_login_only);
}

#[test]
fn only_a_path_may_be_other_than_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;

    let foreign = OsStr::from_bytes(b"/dev/shm/\xff");
    for setting in SETTINGS {
        let set = Config::new(vec![]).set(setting.name(), foreign);
        let is_path = matches!(setting.kind(), SettingKind::File | SettingKind::Directory);
        assert_eq!(set.is_ok(), is_path, "{set:?}");
        assert!(set.err().is_none_or(|error| error.to_string().contains("it is not UTF-8")));
    }
}

#[test]
fn no_value_has_a_zero_byte() {
    for setting in SETTINGS {
        let error = Config::new(vec![]).set(setting.name(), "ses\0ame").unwrap_err();
        let text = format!("{} has a zero byte; wanted text without it", setting.name());
        assert_eq!(error.to_string(), text);
        assert!(!error.reason().contains("ses"), "{}", error.reason());
    }
}

#[test]
fn no_password_is_shown() {
    let mut config = Config::new(vec![]);
    config.set("password", "sesame").unwrap();
    assert!(config.settings().all(|(_, text)| !text.contains("sesame")));
}

#[test]
fn the_defaults_are_read_as_themselves() {
    for setting in SETTINGS {
        let mut config = Config::new(vec![]);
        let default = setting.default();
        if !default.is_empty() {
            config.set(setting.name(), &default).unwrap();
        }
        assert_eq!(setting.get(&config), default, "{}", setting.name());
        assert!(setting.help().len() <= 80 && !setting.help().ends_with('.'), "{setting:?}");
    }
    let live: Vec<&str> = SETTINGS.iter().filter(|s| s.is_live()).map(Setting::name).collect();
    assert_eq!(live, ["password", "preferred_racks", "tend_interval"]);
}
