//! What a secured cluster adds to a connection: TLS and a login.
//!
//! The map has the address of a node and the name on its certificate. Each process
//! has its own sessions, and so has the tender: logins are not shared.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tendmap::client::Config;
use tendmap::map::Node;
use tendmap::tend::tls::TlsConfig;
use tendmap::wire::login::{AuthOutcome, Credentials, LoginOutcome, Request, Session};

use crate::pool::left;
use crate::wire::HEADER;

/// A session is renewed this long before it ends; a short one at half of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// A refused login is not tried again for this long, because servers may lock an
/// account for repeated failures.
const HOLD_BACK: Duration = Duration::from_secs(1);

/// The reason why connections can't be secured as configured.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// How connections are secured and which user logs in, for all threads.
#[derive(Clone, Default)]
pub struct Access(Arc<Inner>);

#[derive(Default)]
struct Inner {
    credentials: Option<Credentials>,
    tls: Option<Arc<ClientConfig>>,
    /// The sessions by the node's address: a session belongs to one node.
    logins: Mutex<BTreeMap<SocketAddr, Login>>,
}

/// The result of the last login at a node.
enum Login {
    Session { session: Arc<Session>, due: Option<Instant> },
    Refused { error: String, until: Instant },
}

impl Access {
    /// By the same settings as the tender.
    pub fn new(config: &Config) -> Result<Access, Unfit> {
        let unfit = |error: &dyn std::error::Error| Unfit(error.to_string());
        let tls = match &config.tls {
            // The map then has the plaintext addresses, which accept no logins.
            Some(tls) if tls.for_login_only => {
                return Err(Unfit("this example does not support TLS for logins only".into()));
            }
            Some(tls) => Some(client_config(tls).map_err(|error| unfit(&*error))?),
            None => None,
        };
        let credentials = config.credentials().map_err(|error| unfit(&error))?;
        // The hash takes a tenth of a second, so it is computed before any deadline
        // is set.
        drop(credentials.as_ref().map(Credentials::login));
        Ok(Access(Arc::new(Inner { credentials, tls, logins: Mutex::default() })))
    }

    /// A connection that is ready for commands.
    pub fn connect(&self, node: &Node, until: Instant) -> io::Result<Stream> {
        let mut stream = self.open(node, until)?;
        let Some(credentials) = &self.0.credentials else { return Ok(stream) };
        if let Some(session) = self.session(node.address)? {
            let answer = exchange(&mut stream, &credentials.authenticate(&session), until)?;
            match AuthOutcome::parse(&answer) {
                Ok(AuthOutcome::Yes | AuthOutcome::NotNeeded) => return Ok(stream),
                // The session has ended, or the node was restarted.
                Err(_) => {
                    self.forget(node.address);
                    stream = self.open(node, until)?;
                }
            }
        }
        let answer = exchange(&mut stream, &credentials.login(), until)?;
        let outcome = LoginOutcome::parse(&answer);
        let now = Instant::now();
        match &outcome {
            Ok(LoginOutcome::NotNeeded) => return Ok(stream),
            Ok(LoginOutcome::Session(_)) => {}
            Err(error) => {
                let refused = Login::Refused { error: error.to_string(), until: now + HOLD_BACK };
                self.logins().insert(node.address, refused);
            }
        }
        if let LoginOutcome::Session(session) = outcome.map_err(io::Error::other)? {
            let life = session.lifetime();
            let due = life.map(|life| now + life.saturating_sub(MARGIN.min(life / 2)));
            let login = Login::Session { session: Arc::new(session), due };
            self.logins().insert(node.address, login);
        }
        Ok(stream)
    }

    /// The server no longer knows our session: the next connection logs in again.
    /// Returns whether that is possible.
    pub fn forget(&self, node: SocketAddr) -> bool {
        self.logins().remove(&node);
        self.0.credentials.is_some()
    }

    /// The session with that node, if it is valid for a while.
    fn session(&self, node: SocketAddr) -> io::Result<Option<Arc<Session>>> {
        let now = Instant::now();
        match self.logins().get(&node) {
            Some(Login::Session { session, due }) if due.is_none_or(|due| now < due) => {
                Ok(Some(session.clone()))
            }
            Some(Login::Refused { error, until }) if now < *until => {
                Err(io::Error::other(error.clone()))
            }
            _ => Ok(None),
        }
    }

    fn logins(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Login>> {
        self.0.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, node: &Node, until: Instant) -> io::Result<Stream> {
        let mut socket = TcpStream::connect_timeout(&node.address, left(until)?)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(left(until)?))?;
        socket.set_write_timeout(Some(left(until)?))?;
        let Some(tls) = &self.0.tls else { return Ok(Stream::Clear(socket)) };
        // Without a TLS name the certificate must contain the address.
        let name = node.tls_name.map_or(node.address.ip().to_string(), |name| name.to_string());
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        // Handshake now and not with the first command: as long as only the handshake
        // was sent, no command is in doubt.
        session.complete_io(&mut socket)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

fn client_config(files: &TlsConfig) -> Result<Arc<ClientConfig>, Box<dyn std::error::Error>> {
    // The error names the bad file and the reason.
    files.check()?;
    let mut roots = RootCertStore::empty();
    match &files.cafile {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match (&files.certfile, &files.keyfile) {
        (Some(certfile), Some(keyfile)) => {
            let chain = CertificateDer::pem_file_iter(certfile)?.collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(keyfile)?)?
        }
        _ => builder.with_no_client_auth(),
    }))
}

/// Sends a request of the admin protocol; the body of the answer.
fn exchange(stream: &mut Stream, request: &[u8], until: Instant) -> io::Result<Vec<u8>> {
    stream.socket().set_write_timeout(Some(left(until)?))?;
    stream.write_all(request)?;
    stream.socket().set_read_timeout(Some(left(until)?))?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let length = Request::reply_length(header).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// The stream of a connection, plaintext or TLS. Dropping it closes the socket and
/// sends nothing: a forked child must not send a TLS goodbye on the parent's
/// connection.
#[derive(Debug)]
pub enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The socket on which timeouts are set.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(socket) => socket.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Clear(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
