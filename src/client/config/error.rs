//! Invalid settings.

use std::time::Duration;

use super::check::{MAX_TIME, MIN_TEND_INTERVAL};
#[cfg(feature = "c-client")]
use crate::c_client::MirrorConfigError;
use crate::map::{CapacityError, NameError};
use crate::segment::{GROUP_WRITE_ADVICE, GROUP_WRITE_RISK};
#[cfg(feature = "tls")]
use crate::tend::tls::TlsError;
use crate::wire::login::{AuthMode, CredentialsError};

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No hosts are configured.
    #[error("no hosts; give at least one server of the cluster as NAME:PORT")]
    NoHosts,
    /// A capacity is out of range.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The cluster name is invalid.
    #[error("cluster_name: {0}")]
    ClusterName(NameError),
    /// Invalid user or password.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A password or an `auth_mode` is set without a user.
    #[error("{found} is set but user is not; set user")]
    NoUser {
        /// The setting that is present.
        found: &'static str,
    },
    /// A password or a certificate would be sent unencrypted.
    #[error("auth_mode {mode} needs TLS; set tls{}", .mode.otherwise())]
    AuthNeedsTls {
        /// The configured mode.
        mode: AuthMode,
    },
    /// TLS can't be set up.
    #[cfg(feature = "tls")]
    #[error("tls: {0}")]
    Tls(TlsError),
    /// `ip_map` replaces a host by an invalid one.
    #[error("ip_map has {to:?} for {from:?}; wanted a host name or an IP address")]
    IpMap {
        /// The host that servers advertise.
        from: String,
        /// The invalid replacement.
        to: String,
    },
    /// The tend interval is shorter than `MIN_TEND_INTERVAL`, the shortest
    /// interval between publications.
    #[error("tend_interval is {found:?}; wanted at least {MIN_TEND_INTERVAL:?}")]
    TendInterval {
        /// The configured interval.
        found: Duration,
    },
    /// A time is longer than 365 days.
    #[error("{name} is {found:?}; wanted at most 365 days, {MAX_TIME:?}")]
    TooLong {
        /// The name of the setting.
        name: &'static str,
        /// The configured time.
        found: Duration,
    },
    /// The connect timeout is out of range.
    #[error("connect_timeout is {found:?}; wanted 1 ms to 60 s")]
    ConnectTimeout {
        /// The configured timeout.
        found: Duration,
    },
    /// The takeover threshold is so short that a slow owner would be taken for
    /// a hung one.
    #[error(
        "shm_takeover_threshold is {found:?}; wanted at least {wanted:?}, twice the sum of tend_interval and connect_timeout"
    )]
    Threshold {
        /// The configured threshold.
        found: Duration,
        /// The shortest valid threshold.
        wanted: Duration,
    },
    /// The mode is invalid, or lets every user write.
    #[error(
        "shm_mode is {found:04o}; wanted at most 0775, with read and write for the owner (0600) and without write for others (0002)"
    )]
    Mode {
        /// The configured mode.
        found: u32,
    },
    /// A mirror of the C client's segment is configured wrongly.
    #[cfg(feature = "c-client")]
    #[error(transparent)]
    Mirror(#[from] MirrorConfigError),
    /// The mode lets the group write the segment's file.
    #[error(
        "shm_mode is {found:04o}, which lets the group write the segment's file: {GROUP_WRITE_RISK}; {GROUP_WRITE_ADVICE}"
    )]
    GroupWrite {
        /// The configured mode.
        found: u32,
    },
}

/// The text holds that of TLS: it is not a source that would be printed again.
#[cfg(feature = "tls")]
impl From<TlsError> for ConfigError {
    fn from(error: TlsError) -> ConfigError {
        ConfigError::Tls(error)
    }
}
