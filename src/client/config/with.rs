//! The common settings, set one after the other.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use crate::client::event::{Event, Observer};
use crate::segment::Backend;
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;
use crate::wire::login::{AuthMode, SecretString};

impl Config {
    /// Sets [`cluster_name`](Self::cluster_name), the name that the cluster must
    /// have.
    #[must_use]
    pub fn with_cluster_name(mut self, name: impl Into<String>) -> Config {
        self.cluster_name = Some(name.into());
        self
    }

    /// Sets [`user`](Self::user) and [`password`](Self::password): the user that
    /// logs in.
    #[must_use]
    pub fn with_login(
        mut self,
        user: impl Into<String>,
        password: impl Into<SecretString>,
    ) -> Config {
        (self.user, self.password) = (Some(user.into()), Some(password.into()));
        self
    }

    /// Sets [`auth_mode`](Self::auth_mode): how the user authenticates.
    #[must_use]
    pub fn with_auth_mode(mut self, mode: AuthMode) -> Config {
        self.auth_mode = mode;
        self
    }

    /// Sets [`tls`](Self::tls): the servers are reached over TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: TlsConfig) -> Config {
        self.tls = Some(tls);
        self
    }

    /// Sets [`tend_interval`](Self::tend_interval): how often the owner polls the
    /// cluster.
    #[must_use]
    pub fn with_tend_interval(mut self, interval: Duration) -> Config {
        self.tend_interval = interval;
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout): how long a server may take
    /// to accept a connection or to answer.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Config {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`shm_takeover_threshold`](Self::shm_takeover_threshold): how long a
    /// hung owner keeps ownership.
    #[must_use]
    pub fn with_takeover_threshold(mut self, threshold: Duration) -> Config {
        self.shm_takeover_threshold = threshold;
        self
    }

    /// Sets [`shm_backend`](Self::shm_backend): the kind of shared memory.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Config {
        self.shm_backend = backend;
        self
    }

    /// Sets [`shm_directory`](Self::shm_directory), the directory of the segments.
    #[must_use]
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Config {
        self.shm_directory = directory.into();
        self
    }

    /// Sets [`shm_mode`](Self::shm_mode), the mode bits of a new segment.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Config {
        self.shm_mode = mode;
        self
    }

    /// Sets [`preferred_racks`](Self::preferred_racks), the best first.
    #[must_use]
    pub fn with_preferred_racks(mut self, racks: impl Into<Vec<i32>>) -> Config {
        self.preferred_racks = racks.into();
        self
    }

    /// Sets [`observer`](Self::observer): a function that receives all events. It
    /// runs on the client's thread and must not block; see [`Observer`].
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Config {
        self.observer = Some(Observer::new(observer));
        self
    }
}
