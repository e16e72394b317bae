//! An authority that creates certificates for each test.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tendmap::sim::SimTls;
use tendmap::tend::tls::TlsConfig;

/// The name in the nodes' certificate.
pub const NAME: &str = "cluster-a";

/// An authority, its certificates and keys, in files.
pub struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority, with its certificate in `ca.pem`.
    pub fn new() -> Authority {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { directory, issuer }
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Issues a certificate for these names, in `FILE.pem` and `FILE.key`. The first
    /// name is the subject.
    pub fn issue(&self, file: &str, names: &[&str], expired: bool) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    /// Nodes with a certificate of this authority.
    pub fn nodes(&self) -> SimTls {
        self.issue("node", &[NAME], false);
        let mut tls = SimTls::new(self.path("node.pem"), self.path("node.key"));
        tls.name = Some(NAME.into());
        tls
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> TlsConfig {
        let mut tls = TlsConfig::default();
        tls.cafile = Some(self.path("ca.pem"));
        tls
    }
}
