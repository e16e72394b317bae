//! The ranges of the settings, and how they depend on each other.

use std::time::Duration;

use super::{Config, ConfigError};
#[cfg(feature = "c-client")]
use crate::c_client::MirrorConfigError;
use crate::map::CapacityError;
use crate::segment::Backend;
use crate::wire::Host;

/// The shortest interval between two tends, and between two publications.
pub const MIN_TEND_INTERVAL: Duration = Duration::from_millis(50);
/// The longest interval and threshold: no sum of times overflows.
pub const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

impl Config {
    /// Checks every setting, and reads the files that they name.
    ///
    /// # Errors
    /// [`ConfigError`] names the first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::NoHosts);
        }
        self.capacity().check()?;
        for (name, found) in [
            ("shm_node_ceiling", self.shm_node_ceiling),
            ("shm_namespace_ceiling", self.shm_namespace_ceiling),
        ] {
            if !(1..=4096).contains(&found) {
                return Err(CapacityError { name, found, wanted: "1 to 4096" }.into());
            }
        }
        self.wanted_cluster()?;
        self.credentials()?;
        for (from, to) in &self.ip_map {
            if Host::new(to, Host::DEFAULT_PORT).is_err() {
                return Err(ConfigError::IpMap { from: from.clone(), to: to.clone() });
            }
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        self.check_tend_interval(self.tend_interval)?;
        let timeouts = Duration::from_millis(1)..=Duration::from_secs(60);
        if !timeouts.contains(&self.connect_timeout) {
            return Err(ConfigError::ConnectTimeout { found: self.connect_timeout });
        }
        if self.shm_mode & 0o600 != 0o600 || self.shm_mode & !0o775 != 0 {
            return Err(ConfigError::Mode { found: self.shm_mode });
        }
        let in_files = self.use_shm && self.shm_backend == Backend::File;
        if in_files && self.shm_mode & 0o020 != 0 && !self.shm_allow_group_write {
            return Err(ConfigError::GroupWrite { found: self.shm_mode });
        }
        #[cfg(feature = "c-client")]
        self.check_mirrors()?;
        Ok(())
    }

    /// Checks the mirrors by themselves and against tendmap's own segment.
    #[cfg(feature = "c-client")]
    fn check_mirrors(&self) -> Result<(), ConfigError> {
        self.c_client.check()?;
        let own = self.use_shm && self.shm_backend == Backend::SystemV;
        let mut targets = self.c_client.targets.iter();
        match targets.find(|target| own && target.key == self.shm_key) {
            Some(target) => Err(MirrorConfigError::OwnKey { key: target.key }.into()),
            None => Ok(()),
        }
    }

    /// Checks an interval by itself and against the settings that depend on it.
    pub(in crate::client) fn check_tend_interval(
        &self,
        interval: Duration,
    ) -> Result<(), ConfigError> {
        if interval < MIN_TEND_INTERVAL {
            return Err(ConfigError::TendInterval { found: interval });
        }
        for (name, found) in
            [("tend_interval", interval), ("shm_takeover_threshold", self.shm_takeover_threshold)]
        {
            if found > MAX_TIME {
                return Err(ConfigError::TooLong { name, found });
            }
        }
        let wanted = interval.saturating_add(self.connect_timeout).saturating_mul(2);
        if self.use_shm && self.shm_takeover_threshold < wanted {
            let found = self.shm_takeover_threshold;
            return Err(ConfigError::Threshold { found, wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::login::AuthMode;

    fn valid() -> Config {
        Config::shared(vec!["localhost:3000".parse().unwrap()], 1)
    }

    #[test]
    fn the_defaults_are_valid() {
        valid().check().unwrap();
    }

    #[test]
    fn no_debug_output_shows_the_password() {
        let config =
            Config { user: Some("keeper".into()), password: Some("sesame".into()), ..valid() };
        let shown = format!("{config:?} {:?}", config.credentials());
        assert!(shown.contains("keeper") && !shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn h128_a_mode_with_group_write_needs_a_permission_where_files_can_be_cut_short() {
        for shm_mode in [0o660, 0o620, 0o664, 0o770, 0o775] {
            let refused = Config { shm_mode, ..valid() };
            let error = refused.check().unwrap_err().to_string();
            for wanted in ["SIGBUS", "0640", "shm_backend sysv", "shm_allow_group_write"] {
                assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
            }
            Config { shm_allow_group_write: true, ..refused.clone() }.check().unwrap();
            Config { shm_backend: Backend::SystemV, ..refused.clone() }.check().unwrap();
            Config { use_shm: false, ..refused }.check().unwrap();
        }
        for shm_mode in [0o600, 0o640, 0o644, 0o755] {
            Config { shm_mode, ..valid() }.check().unwrap();
        }
        // No setting allows all users to write.
        let open = Config { shm_mode: 0o662, shm_allow_group_write: true, ..valid() };
        assert!(matches!(open.check(), Err(ConfigError::Mode { found: 0o662 })));
    }

    #[test]
    fn every_setting_out_of_range_is_named() {
        let ms = Duration::from_millis;
        let cases: [(Config, &str); 15] = [
            (Config { hosts: vec![], ..valid() }, "no hosts"),
            (Config { shm_max_nodes: 0, ..valid() }, "shm_max_nodes is 0"),
            (Config { shm_max_nodes: 4097, ..valid() }, "shm_max_nodes is 4097"),
            (Config { shm_max_namespaces: 0, ..valid() }, "shm_max_namespaces is 0"),
            (Config { shm_max_replicas: 256, ..valid() }, "shm_max_replicas is 256"),
            (Config { tend_interval: ms(49), ..valid() }, "tend_interval is 49ms"),
            (Config { connect_timeout: ms(0), ..valid() }, "connect_timeout is 0ns"),
            (Config { shm_takeover_threshold: ms(3999), ..valid() }, "wanted at least 4s"),
            (Config { shm_mode: 0o666, ..valid() }, "shm_mode is 0666"),
            (Config { user: Some(String::new()), ..valid() }, "user is 0 bytes"),
            (Config { password: Some("a".into()), ..valid() }, "set user"),
            (Config { auth_mode: AuthMode::Pki, ..valid() }, "set tls with certfile"),
            (
                Config {
                    auth_mode: AuthMode::External,
                    user: Some("a".into()),
                    password: Some("b".into()),
                    ..valid()
                },
                "or use EXTERNAL_INSECURE",
            ),
            (Config { ip_map: [("a".into(), "b c".into())].into(), ..valid() }, "for \"a\""),
            (Config { cluster_name: Some(String::new()), ..valid() }, "cluster_name: empty"),
        ];
        for (config, wanted) in cases {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
        }
    }
}
