//! TLS to the servers, with rustls.
//!
//! Certificates and keys are files in PEM format. They are read when a source is
//! created, and again when one of them changes on disk, so renewed certificates
//! need no restart.

mod connector;
mod error;
mod files;
mod probe;
mod roots;
mod words;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::secret_file;

pub(crate) use connector::Connector;
pub use error::TlsError;
pub(crate) use error::explain;
#[cfg(feature = "sim")]
pub(crate) use files::{certificates, key};
pub(crate) use probe::speaks_tls;

/// TLS settings for the connections to servers.
///
/// ```
/// use tendmap::{Config, TlsConfig};
///
/// let mut tls = TlsConfig::default();
/// tls.cafile = Some("/etc/tendmap/ca.pem".into());
/// let config = Config::new(vec!["db1.example:db.example:4333".parse()?]).with_tls(tls);
/// // The file is read only by a check or a connect.
/// assert!(config.check().unwrap_err().to_string().contains("/etc/tendmap/ca.pem"));
/// # Ok::<(), tendmap::wire::HostError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificates (PEM) of the trusted authorities; `None` = those that
    /// the system trusts. Default: `None`.
    pub cafile: Option<PathBuf>,
    /// The client's own certificate (PEM), followed by its intermediate
    /// certificates, for servers that require one. Default: `None`.
    pub certfile: Option<PathBuf>,
    /// The private key (PEM) of the client's own certificate. Default: `None`.
    pub keyfile: Option<PathBuf>,
    /// Whether only logins use TLS; everything else then goes to the servers'
    /// plaintext addresses, authenticated by the session's token. Default: `false`.
    pub for_login_only: bool,
}

impl TlsConfig {
    /// Reads all files once.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn check(&self) -> Result<(), TlsError> {
        Connector::new(self.clone()).map(drop)
    }

    /// The client's private key file, if other users may read it, and its mode:
    /// with the certificate it lets them log in as this client.
    #[must_use]
    pub fn exposed_key(&self) -> Option<(&Path, u32)> {
        let path = self.keyfile.as_deref()?;
        // Follows symbolic links to the file itself.
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & secret_file::readers(path) != 0).then_some((path, mode))
    }
}
