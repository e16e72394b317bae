//! Settings that change while a client runs, without connecting anew.

use std::time::Duration;

use super::config::ConfigError;
use super::connect::Client;
use super::shared::Command;
use crate::wire::login::{Credentials, SecretString};

impl Client {
    /// How often this process polls the cluster as owner.
    #[must_use]
    pub fn tend_interval(&self) -> Duration {
        self.shared().tend_interval()
    }

    /// Changes how often this process polls the cluster: from its next turn on
    /// as owner (a sleeping one is woken), else from when it becomes one. All
    /// handles of the process share it; other processes go by their own.
    ///
    /// # Errors
    /// [`ConfigError::TendInterval`] below 50 ms; [`ConfigError::TooLong`] above
    /// 365 days; [`ConfigError::Threshold`] if
    /// the others would take an owner of that interval for hung. Nothing has
    /// changed then.
    pub fn set_tend_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        let shared = self.shared();
        shared.config.check_tend_interval(interval)?;
        shared.set_tend_interval(interval);
        Ok(())
    }

    /// Changes the racks that [`Policy::PreferRack`](crate::route::Policy)
    /// prefers, the best first, in all routers made by this client and its
    /// clones, from their next command on.
    pub fn set_preferred_racks(&self, racks: &[i32]) {
        self.reader.set_preferred_racks(racks);
    }

    /// Changes the password of the user that this process logs in as, from the
    /// next login on. As owner it tends at once, however long its passes have
    /// failed. Sessions and connections stay as they are.
    ///
    /// # Errors
    /// [`ConfigError::NoUser`] if the client was configured without a user;
    /// [`ConfigError::Credentials`] if no server takes such a password. Nothing
    /// has changed then.
    pub fn set_password(&self, password: SecretString) -> Result<(), ConfigError> {
        let shared = self.shared();
        let Some(user) = shared.config.user.as_deref() else {
            return Err(ConfigError::NoUser { found: "password" });
        };
        let mode = shared.config.auth_mode;
        shared.command(Command::Credentials(Credentials::new(mode, user, password)?));
        Ok(())
    }
}
