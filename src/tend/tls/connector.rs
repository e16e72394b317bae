//! Begins TLS connections with the current certificates on disk.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::files::{self, FileStamp};
use super::roots::of_system;
use super::words::words;
use super::{TlsConfig, TlsError};
use crate::thread;

/// The TLS configuration, and the files that it was read from.
#[derive(Debug)]
pub(crate) struct Connector {
    files: TlsConfig,
    stamps: [Option<FileStamp>; 3],
    ready: Arc<ClientConfig>,
}

impl Connector {
    pub(crate) fn new(files: TlsConfig) -> Result<Connector, TlsError> {
        // Taken before the files are read: a change during the read causes
        // another one.
        let stamps = stamps(&files);
        let ready = load(&files)?;
        Ok(Connector { files, stamps, ready })
    }

    /// Begins a connection to a server whose certificate must have this name (or
    /// IP address). The error is the reason why the name can't be used.
    pub(crate) fn begin(&mut self, name: &str) -> Result<ClientConnection, String> {
        self.renew();
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            format!("{name:?} is not a valid server name for a certificate; set its TLS name")
        })?;
        ClientConnection::new(self.ready.clone(), server).map_err(|error| words(&error))
    }

    /// Reads the files again if one of them has changed. If the new ones are
    /// invalid, the earlier ones stay in use.
    fn renew(&mut self) {
        let found = stamps(&self.files);
        if found == self.stamps {
            return;
        }
        self.stamps = found;
        match load(&self.files) {
            Ok(ready) => {
                tracing::info!("TLS files have changed; loaded them again");
                self.ready = ready;
            }
            Err(error) => {
                tracing::warn!(%error, "TLS files have changed but are invalid; the earlier ones stay in use");
            }
        }
    }
}

fn stamps(files: &TlsConfig) -> [Option<FileStamp>; 3] {
    [&files.cafile, &files.certfile, &files.keyfile]
        .map(|path| path.as_deref().and_then(FileStamp::of))
}

fn load(files: &TlsConfig) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for every version")
        .with_root_certificates(roots(files.cafile.as_deref())?);
    let config = match (&files.certfile, &files.keyfile) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certfile), Some(keyfile)) => {
            let chain = files::certificates("certfile", certfile)?;
            let key = files::key("keyfile", keyfile)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Pair {
                certfile: certfile.clone(),
                keyfile: keyfile.clone(),
                problem: words(&error),
            })?
        }
        (Some(_), None) => return Err(TlsError::Half { found: "certfile", missing: "keyfile" }),
        (None, Some(_)) => return Err(TlsError::Half { found: "keyfile", missing: "certfile" }),
    };
    Ok(Arc::new(config))
}

fn roots(cafile: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match cafile {
        Some(path) => {
            for certificate in files::certificates("cafile", path)? {
                roots.add(certificate).map_err(|error| TlsError::Content {
                    what: "cafile",
                    path: path.into(),
                    problem: words(&error),
                    wanted: "certificates of authorities",
                })?;
            }
        }
        None => {
            let loaded =
                thread::apart("tendmap-roots", of_system).ok().and_then(|it| it.join().ok());
            let found = loaded.unwrap_or_else(of_system);
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let problem = found.errors.first().map(|error| format!(": {error}"));
                return Err(TlsError::NoRoots { problem: problem.unwrap_or_default() });
            }
        }
    }
    Ok(roots)
}
