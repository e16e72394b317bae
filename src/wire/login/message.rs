//! Requests of the admin protocol, and the fields that all its messages share.

use core::fmt;
use core::ops::Deref;

use zeroize::Zeroizing;

use super::reply::{FIXED, Session};
use super::{AuthMode, Credentials, LoginError};
use crate::wire::{HEADER_LEN, MessageHeader, MessageKind, VERSION};

/// Authenticates a connection with a session's token.
pub(crate) const AUTHENTICATE: u8 = 0;
/// Logs a user in.
pub(crate) const LOGIN: u8 = 20;

/// The numbers of fields.
pub(crate) mod field {
    /// The user's name.
    pub(crate) const USER: u8 = 0;
    /// The hash of the password.
    pub(crate) const CREDENTIAL: u8 = 3;
    /// The password, unhashed.
    pub(crate) const CLEAR_PASSWORD: u8 = 4;
    /// A session's token.
    pub(crate) const SESSION_TOKEN: u8 = 5;
    /// The lifetime of the session in seconds.
    pub(crate) const SESSION_TTL: u8 = 6;
}

/// The bytes of a request, including the header. They are wiped when it is
/// dropped, and debug output does not show them; code that copies them must wipe
/// the copy.
pub struct Request(Zeroizing<Vec<u8>>);

impl Request {
    /// The longest accepted reply, in bytes after the header. A session's token
    /// has some hundred bytes.
    pub const MAX_REPLY: usize = 16 << 10;

    /// The number of bytes that follow the header of the server's reply.
    ///
    /// # Errors
    /// [`LoginError::Header`] and [`LoginError::Length`].
    pub fn reply_length(header: [u8; 8]) -> Result<usize, LoginError> {
        let MessageHeader { version, kind, length } = MessageHeader::decode(header);
        if version != VERSION || kind != MessageKind::Admin as u8 {
            return Err(LoginError::Header { version, kind });
        }
        match usize::try_from(length) {
            Ok(length) if (FIXED..=Request::MAX_REPLY).contains(&length) => Ok(length),
            _ => Err(LoginError::Length { found: length }),
        }
    }

    /// Takes the bytes out; nothing is left.
    pub(crate) fn take(&mut self) -> Zeroizing<Vec<u8>> {
        core::mem::take(&mut self.0)
    }
}

impl Deref for Request {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Request {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("length", &self.0.len()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The request that logs the user in. The first one computes the password's
    /// hash, which takes a tenth of a second.
    #[must_use]
    pub fn login(&self) -> Request {
        let user = (field::USER, self.user().as_bytes());
        match self.mode() {
            AuthMode::Internal => {
                request(LOGIN, &[user, (field::CREDENTIAL, self.hash().as_bytes())])
            }
            AuthMode::External | AuthMode::ExternalInsecure => request(
                LOGIN,
                &[
                    user,
                    (field::CREDENTIAL, self.hash().as_bytes()),
                    (field::CLEAR_PASSWORD, self.clear().as_bytes()),
                ],
            ),
            AuthMode::Pki => request(LOGIN, &[]),
        }
    }

    /// The request that authenticates a further connection of the logged-in user.
    #[must_use]
    pub fn authenticate(&self, session: &Session) -> Request {
        let token = (field::SESSION_TOKEN, session.token());
        match self.mode() {
            // The token alone identifies the user.
            AuthMode::Pki => request(AUTHENTICATE, &[token]),
            _ => request(AUTHENTICATE, &[(field::USER, self.user().as_bytes()), token]),
        }
    }
}

fn request(command: u8, fields: &[(u8, &[u8])]) -> Request {
    let length = FIXED + fields.iter().map(|(_, data)| 5 + data.len()).sum::<usize>();
    // Allocated at full size, because a growing buffer would leave copies behind
    // that are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_LEN + length));
    bytes.extend(MessageHeader::new(MessageKind::Admin, length).encode());
    bytes.extend([0, 0, command, fields.len() as u8]);
    bytes.extend([0; FIXED - 4]);
    for (id, data) in fields {
        bytes.extend((data.len() as u32 + 1).to_be_bytes());
        bytes.push(*id);
        bytes.extend(*data);
    }
    Request(bytes)
}

/// The fields of a message, after its fixed part.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Fields<'a> {
        Fields { rest }
    }

    /// The number of bytes left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next field: its id and data; `None` if no complete field is left.
    pub(crate) fn take(&mut self) -> Option<(u8, &'a [u8])> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (&id, data) = field.split_first()?;
        self.rest = rest;
        Some((id, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(mode: AuthMode) -> Credentials {
        Credentials::new(mode, "ab", "xyz".into()).unwrap()
    }

    fn fields(request: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut fields = Fields::new(&request[HEADER_LEN + FIXED..]);
        let mut found = Vec::new();
        while let Some((id, data)) = fields.take() {
            found.push((id, data.to_vec()));
        }
        assert_eq!(fields.left(), 0);
        found
    }

    #[test]
    fn a_login_has_the_fields_of_its_mode() {
        let hash = credentials(AuthMode::Internal).hash().as_bytes().to_vec();
        let internal = credentials(AuthMode::Internal).login();
        assert_eq!(internal[..12], [2, 2, 0, 0, 0, 0, 0, 16 + 7 + 65, 0, 0, 20, 2]);
        assert_eq!(fields(&internal), [(0, b"ab".to_vec()), (3, hash.clone())]);
        let external = credentials(AuthMode::External).login();
        let wanted = [(0, b"ab".to_vec()), (3, hash), (4, b"xyz".to_vec())];
        assert_eq!(fields(&external), wanted);
        let pki = credentials(AuthMode::Pki).login();
        assert_eq!(pki[..], [&[2, 2, 0, 0, 0, 0, 0, 16, 0, 0, 20, 0][..], &[0; 12]].concat());
    }

    #[test]
    fn a_connection_authenticates_by_user_and_token() {
        let session = Session::new(b"tok", None);
        let request = credentials(AuthMode::Internal).authenticate(&session);
        assert_eq!((request[10], request[11]), (0, 2));
        assert_eq!(fields(&request), [(0, b"ab".to_vec()), (5, b"tok".to_vec())]);
        let request = credentials(AuthMode::Pki).authenticate(&session);
        assert_eq!(fields(&request), [(5, b"tok".to_vec())]);
    }

    #[test]
    fn the_memory_of_a_request_never_moved() {
        for mode in [AuthMode::Internal, AuthMode::External, AuthMode::Pki] {
            let request = credentials(mode).login();
            assert_eq!(request.0.capacity(), request.len());
        }
    }

    #[test]
    fn debug_output_does_not_show_a_request() {
        let request = credentials(AuthMode::External).login();
        assert!(request.windows(3).any(|found| found == b"xyz"));
        assert_eq!(format!("{request:?}"), format!("Request {{ length: {}, .. }}", request.len()));
    }

    #[test]
    fn lengths_and_headers_are_bounded() {
        let header = |kind, length| MessageHeader::new(kind, length).encode();
        assert_eq!(Request::reply_length(header(MessageKind::Admin, 16)), Ok(16));
        let longest = header(MessageKind::Admin, Request::MAX_REPLY);
        assert_eq!(Request::reply_length(longest), Ok(Request::MAX_REPLY));
        for length in [0, 15, Request::MAX_REPLY + 1, 0xffff_ffff_ffff] {
            assert!(Request::reply_length(header(MessageKind::Admin, length)).is_err(), "{length}");
        }
        assert!(Request::reply_length(header(MessageKind::Info, 16)).is_err());
    }
}
