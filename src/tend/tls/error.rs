//! Why TLS can't be set up.

use std::path::PathBuf;

/// Why there can be no TLS with these files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("{what} {}: {problem}; check its path and that it may be read", .path.display())]
    File {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// A file is not what it should be.
    #[error("{what} {}: {problem}; wanted {wanted} in PEM format", .path.display())]
    Content {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("{found} is set and {missing} is not; give both, or none")]
    Half {
        /// The setting that is there.
        found: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// The certificate and the key do not belong together.
    #[error("certfile {} and keyfile {}: {problem}; wanted a certificate and its key", .certfile.display(), .keyfile.display())]
    Pair {
        /// The certificate's file.
        certfile: PathBuf,
        /// The key's file.
        keyfile: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system trusts nobody.
    #[error("no certificate of an authority in the system's store{problem}; set cafile")]
    NoRoots {
        /// What went wrong in reading it.
        problem: String,
    },
}

/// What went wrong in a handshake, and what to do.
pub(crate) fn explain(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let todo = match error {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => "check cafile",
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "check the host's TLS name"
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "have the server's certificate renewed"
        }
        Error::AlertReceived(Alert::CertificateRequired) => "set certfile and keyfile",
        Error::AlertReceived(Alert::UnknownCA | Alert::BadCertificate) => "check certfile",
        Error::AlertReceived(Alert::CertificateExpired) => "renew certfile",
        Error::InvalidMessage(_) => "check that the server speaks TLS at this port",
        _ => return error.to_string(),
    };
    format!("{error}; {todo}")
}
