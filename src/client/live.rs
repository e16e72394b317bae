//! Settings that can change while a client runs, without connecting again.

use std::time::Duration;

use super::config::ConfigError;
use super::connect::Client;
use super::state::ThreadCommand;
use crate::wire::login::{Credentials, SecretString};

impl Client {
    /// How often this process polls the cluster as owner.
    #[must_use]
    pub fn tend_interval(&self) -> Duration {
        self.state().tend_interval()
    }

    /// Changes how often this process polls the cluster when it is the owner: from the next
    /// iteration on (a sleeping owner is woken), or else when it becomes the owner. All handles
    /// of the process share the setting; other processes use their own.
    ///
    /// # Errors
    /// [`ConfigError::TendInterval`] below 50 ms; [`ConfigError::TooLong`] above 365 days;
    /// [`ConfigError::Threshold`] if the others would take an owner with that interval for hung.
    /// After an error the setting is unchanged.
    pub fn set_tend_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        let state = self.state();
        state.config.check_tend_interval(interval)?;
        state.set_tend_interval(interval);
        Ok(())
    }

    /// Changes the racks that [`Policy::PreferRack`](crate::route::Policy)
    /// prefers, the best first, in all routers made by this client and its
    /// clones, from their next command on.
    pub fn set_preferred_racks(&self, racks: &[i32]) {
        self.reader.set_preferred_racks(racks);
    }

    /// Changes the password with which this process logs in, from the next login on. An owner
    /// makes a pass at once, however long its passes have failed. Existing sessions and
    /// connections remain.
    ///
    /// # Errors
    /// [`ConfigError::NoUser`] if the client was configured without a user;
    /// [`ConfigError::Credentials`] if the password is invalid. After an error the password is
    /// unchanged.
    pub fn set_password(&self, password: SecretString) -> Result<(), ConfigError> {
        let state = self.state();
        let Some(user) = state.config.user.as_deref() else {
            return Err(ConfigError::NoUser { found: "password" });
        };
        let mode = state.config.auth_mode;
        state.command(ThreadCommand::Credentials(Credentials::new(mode, user, password)?));
        Ok(())
    }
}
