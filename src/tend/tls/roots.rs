//! The authorities that this system trusts.

use std::path::Path;

use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

use crate::layout::is_secure_execution;

/// Where systems keep all authorities in one file, the likelier paths first.
const BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL 7 and later
    "/etc/pki/tls/certs/ca-bundle.crt",   // RHEL 6
    "/etc/ssl/ca-bundle.pem",             // SUSE
    "/etc/pki/tls/cacert.pem",            // OpenELEC
    "/etc/ssl/cert.pem",                  // Alpine
    "/opt/etc/ssl/certs/ca-certificates.crt", // Entware
];

/// Where systems keep each authority in a file of its own.
const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Reads the system's certificates. `SSL_CERT_FILE` and `SSL_CERT_DIR` may name
/// others, but not for a set-user-id program: a user that starts one chooses
/// its environment, and could choose the servers to which it sends its
/// password.
pub(super) fn of_system() -> CertificateResult {
    match is_secure_execution() {
        true => built_in(),
        false => load_native_certs(),
    }
}

fn built_in() -> CertificateResult {
    let found = |path: &&&str| Path::new(path).exists();
    let bundle = BUNDLES.iter().find(found).map(Path::new);
    let directory = DIRECTORIES.iter().find(found).map(Path::new);
    load_certs_from_paths(bundle, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h114_the_system_s_places_lead_to_what_the_library_finds() {
        // No other test changes the environment of this process.
        let count = |found: CertificateResult| found.certs.len();
        let (own, library) = (count(built_in()), count(load_native_certs()));
        assert_eq!(own > 0, library > 0, "{own} certificates, {library} with the library's list");
    }
}
