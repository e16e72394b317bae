//! Whether a server speaks TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::wire::info::is_tls;

/// Whether the server at that address answers a TLS hello with TLS. Nothing is
/// verified and nothing else is sent. It blocks for at most twice that time.
pub(crate) fn speaks_tls(address: SocketAddr, timeout: Duration) -> bool {
    let begins = |hello: &[u8]| {
        let mut socket = TcpStream::connect_timeout(&address, timeout)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        socket.write_all(hello)?;
        let mut first = [0; 2];
        socket.read_exact(&mut first)?;
        Ok::<_, std::io::Error>(is_tls(&first))
    };
    hello(address).is_some_and(|hello| begins(&hello).unwrap_or(false))
}

fn hello(address: SocketAddr) -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let mut session = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut hello = Vec::new();
    session.write_tls(&mut hello).ok()?;
    Some(hello)
}
