//! Why TLS can't be set up.

use std::path::PathBuf;

use super::words::words;
use crate::text::Printable;

/// Why these files can't be used for TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("{what} {}: {}; check its path and that it may be read", Printable(.path.display()), Printable(.problem))]
    File {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        problem: String,
    },
    /// A file has the wrong content.
    #[error("{what} {}: {}; wanted {wanted} in PEM format", Printable(.path.display()), Printable(.problem))]
    Content {
        /// The setting that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
        /// The expected content.
        wanted: &'static str,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("{found} is set but {missing} is not; set both, or neither")]
    Half {
        /// The setting that is set.
        found: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// The certificate and the key do not belong together.
    #[error("certfile {} and keyfile {}: {}; wanted a certificate and its key", Printable(.certfile.display()), Printable(.keyfile.display()), Printable(.problem))]
    Pair {
        /// The certificate's file.
        certfile: PathBuf,
        /// The key's file.
        keyfile: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system's store has no trusted authorities.
    #[error("no certificate of an authority in the system's store{}; set cafile", Printable(.problem))]
    NoRoots {
        /// The error of reading it.
        problem: String,
    },
}

/// The reason for a failed handshake, and what to do.
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
        _ => return words(error),
    };
    format!("{}; {todo}", words(error))
}
