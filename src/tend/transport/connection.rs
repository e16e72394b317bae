//! One connection to one server.

use std::os::fd::BorrowedFd;

use zeroize::{Zeroize, Zeroizing};

use super::AskError;
use super::logins::Proof;
use super::stream::Stream;
use crate::wire::HEADER_LEN;
use crate::wire::info::{InfoError, body_length, is_tls};
use crate::wire::login::{AuthOutcome, LoginError, LoginOutcome, Request};

/// The bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// A nonblocking connection with at most one request in progress.
pub(super) struct Connection {
    stream: Stream,
    /// A number that no earlier connection had.
    pub(super) id: u64,
    /// Whether the server has replied over it before. If such a connection breaks
    /// without a byte, the server had closed it in the meantime.
    pub(super) proven: bool,
    connected: bool,
    /// Whether its stream is for the login only: [`switch`](Self::switch)
    /// follows.
    pub(super) login_only: bool,
    /// How it authenticates, until the server has answered.
    proof: Option<Proof>,
    /// Whether a login began to go out since
    /// [`take_login_sent`](Self::take_login_sent) was last called.
    login_sent: bool,
    out: Zeroizing<Vec<u8>>,
    sent: usize,
    /// Requests that wait until the connection is authenticated.
    held: Vec<u8>,
    input: Vec<u8>,
    /// The number of replies to skip: those to the greeting.
    skip: usize,
}

/// The result of driving a connection.
pub(super) enum Progress {
    /// It waits for the server.
    Waiting,
    /// The server has taken a login.
    LoggedIn(LoginOutcome),
    /// The body of a reply.
    Reply(Vec<u8>),
}

impl Drop for Connection {
    /// Wipes the input, which may hold a part of the reply to a login.
    fn drop(&mut self) {
        if self.proof.is_some() {
            self.input.zeroize();
        }
    }
}

impl Connection {
    /// A connection over a stream that was just opened. The proof is sent
    /// first, then the greeting; the reply to the greeting, one message, is
    /// ignored.
    pub(super) fn new(
        stream: Stream,
        id: u64,
        proof: Option<Proof>,
        greeting: Option<&[u8]>,
    ) -> Connection {
        let mut connection = Connection {
            stream,
            id,
            proven: false,
            connected: false,
            login_only: false,
            proof: None,
            login_sent: false,
            out: Zeroizing::new(Vec::new()),
            sent: 0,
            held: Vec::new(),
            input: Vec::new(),
            skip: usize::from(greeting.is_some()),
        };
        if let Some(proof) = proof {
            connection.prove(proof);
        }
        connection.request(greeting.unwrap_or_default());
        connection
    }

    /// Continues over another stream, if this one was only for the login.
    pub(super) fn switch(&mut self, stream: Stream, proof: Option<Proof>) {
        self.stream = stream;
        self.connected = false;
        self.login_only = false;
        match proof {
            Some(proof) => self.prove(proof),
            None => self.out.extend(core::mem::take(&mut self.held)),
        }
    }

    /// Authenticates the connection before it continues.
    pub(super) fn prove(&mut self, mut proof: Proof) {
        let (Proof::Login(request) | Proof::Token(request)) = &mut proof;
        // Moved, not copied, so that it is wiped once.
        self.out = request.take();
        self.sent = 0;
        // Room for the longest reply, because growing would leave copies of the
        // token behind.
        self.input.reserve(HEADER_LEN + Request::MAX_REPLY);
        self.proof = Some(proof);
    }

    /// Queues a request.
    pub(super) fn request(&mut self, bytes: &[u8]) {
        match self.proof {
            Some(_) => self.held.extend(bytes),
            None => self.out.extend(bytes),
        }
    }

    /// Its descriptor, to wait for; `None` if the host has closed it.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.descriptor()
    }

    /// Whether it waits for room to send, or to be connected.
    pub(super) fn wants_write(&self) -> bool {
        !self.connected || self.sent < self.out.len() || self.stream.wants_write()
    }

    /// Whether a login began to go out since this was last asked.
    pub(super) fn take_login_sent(&mut self) -> bool {
        core::mem::take(&mut self.login_sent)
    }

    /// How many bytes were received since this was last asked.
    pub(super) fn take_received(&mut self) -> u64 {
        self.stream.take_received()
    }

    /// Whether bytes were received that are not used yet.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether it waits for the reply to a login.
    pub(super) fn logs_in(&self) -> bool {
        matches!(self.proof, Some(Proof::Login(_)))
    }

    /// Continues as far as possible without waiting.
    pub(super) fn drive(&mut self) -> Result<Progress, AskError> {
        if !self.connected {
            self.connected = self.stream.finish_connect()?;
            if !self.connected {
                return Ok(Progress::Waiting);
            }
        }
        loop {
            let handshaking = self.stream.is_handshaking();
            self.send()?;
            if let Some(step) = self.take_message()? {
                return Ok(step);
            }
            // The end of the handshake causes no event, so the waiting data is
            // sent here.
            let ended = |stream: &Stream| handshaking && !stream.is_handshaking();
            if !self.receive()? && !ended(&self.stream) {
                return Ok(Progress::Waiting);
            }
        }
    }

    fn send(&mut self) -> Result<(), AskError> {
        while self.sent < self.out.len() {
            match self.stream.send(&self.out[self.sent..])? {
                0 => return Ok(()),
                length => {
                    self.login_sent |= self.sent == 0 && self.logs_in();
                    self.sent += length;
                }
            }
        }
        if self.proof.is_some() {
            self.out.zeroize();
        }
        self.out.clear();
        self.sent = 0;
        self.stream.flush()
    }

    /// Reads once; returns whether anything was received.
    fn receive(&mut self) -> Result<bool, AskError> {
        let mut chunk = [0; CHUNK];
        let received = self.stream.receive(&mut chunk)?;
        if received == Some(0) {
            if is_tls(&self.input) {
                return Err(InfoError::Tls.into());
            }
            let bytes = self.input.len();
            let text = format!("the server closed the connection after {bytes} bytes of a reply");
            return Err(AskError::Broken(text));
        }
        self.input.extend(&chunk[..received.unwrap_or(0)]);
        if self.proof.is_some() {
            chunk.zeroize();
        }
        Ok(received.is_some())
    }

    fn take_message(&mut self) -> Result<Option<Progress>, AskError> {
        if self.proof.is_some()
            && let Some(logged_in) = self.take_answer()?
        {
            return Ok(Some(logged_in));
        }
        if self.proof.is_some() { Ok(None) } else { self.take_reply() }
    }

    /// Takes the reply to the proof once it is complete, and sends the requests
    /// that were held back.
    fn take_answer(&mut self) -> Result<Option<Progress>, AskError> {
        let Some((header, rest)) = self.input.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let length = Request::reply_length(*header)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let step = match self.proof {
            Some(Proof::Login(_)) => {
                LoginOutcome::parse(body).map(|answer| Some(Progress::LoggedIn(answer)))
            }
            _ => AuthOutcome::parse(body).map(|_| None),
        };
        let surplus = rest.len() - length;
        self.input.zeroize();
        if surplus > 0 {
            return Err(LoginError::Length { found: (length + surplus) as u64 }.into());
        }
        let step = step?;
        self.proof = None;
        if !self.login_only {
            self.out.extend(core::mem::take(&mut self.held));
            self.send()?;
        }
        Ok(step)
    }

    /// Takes the body of the reply once the header is accepted and the body is
    /// complete.
    fn take_reply(&mut self) -> Result<Option<Progress>, AskError> {
        loop {
            let Some((header, rest)) = self.input.split_first_chunk::<HEADER_LEN>() else {
                return Ok(None);
            };
            let length = body_length(*header)?;
            if rest.len() < length {
                return Ok(None);
            }
            let after = self.input.split_off(HEADER_LEN + length);
            let mut body = core::mem::replace(&mut self.input, after);
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            if !self.input.is_empty() {
                return Err(InfoError::Surplus { found: self.input.len() }.into());
            }
            body.drain(..HEADER_LEN);
            self.proven = true;
            return Ok(Some(Progress::Reply(body)));
        }
    }
}
