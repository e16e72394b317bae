//! Requests of the admin protocol, and the fields that all its messages share.

use zeroize::Zeroizing;

use super::reply::{FIXED, Session};
use super::{AuthMode, Credentials};
use crate::wire::{HEADER_LEN, Header, Kind};

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

/// A request, including the header; wiped when it is dropped.
pub type Request = Zeroizing<Vec<u8>>;

/// The request that logs a user in.
#[must_use]
pub fn login(credentials: &Credentials) -> Request {
    let user = (field::USER, credentials.user().as_bytes());
    match credentials.mode() {
        AuthMode::Internal => {
            request(LOGIN, &[user, (field::CREDENTIAL, credentials.hash().as_bytes())])
        }
        AuthMode::External | AuthMode::ExternalInsecure => request(
            LOGIN,
            &[
                user,
                (field::CREDENTIAL, credentials.hash().as_bytes()),
                (field::CLEAR_PASSWORD, credentials.clear().as_bytes()),
            ],
        ),
        AuthMode::Pki => request(LOGIN, &[]),
    }
}

/// The request that authenticates a connection of a logged-in user.
#[must_use]
pub fn authenticate(credentials: &Credentials, session: &Session) -> Request {
    let token = (field::SESSION_TOKEN, session.token());
    match credentials.mode() {
        // The token alone identifies the user.
        AuthMode::Pki => request(AUTHENTICATE, &[token]),
        _ => request(AUTHENTICATE, &[(field::USER, credentials.user().as_bytes()), token]),
    }
}

fn request(command: u8, fields: &[(u8, &[u8])]) -> Request {
    let length = FIXED + fields.iter().map(|(_, data)| 5 + data.len()).sum::<usize>();
    // Allocated at full size, because a growing buffer would leave copies behind
    // that are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_LEN + length));
    bytes.extend(Header::new(Kind::Admin, length).encode());
    bytes.extend([0, 0, command, fields.len() as u8]);
    bytes.extend([0; FIXED - 4]);
    for (id, data) in fields {
        bytes.extend((data.len() as u32 + 1).to_be_bytes());
        bytes.push(*id);
        bytes.extend(*data);
    }
    bytes
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
        let internal = login(&credentials(AuthMode::Internal));
        assert_eq!(internal[..12], [2, 2, 0, 0, 0, 0, 0, 16 + 7 + 65, 0, 0, 20, 2]);
        assert_eq!(fields(&internal), [(0, b"ab".to_vec()), (3, hash.clone())]);
        let external = login(&credentials(AuthMode::External));
        let wanted = [(0, b"ab".to_vec()), (3, hash), (4, b"xyz".to_vec())];
        assert_eq!(fields(&external), wanted);
        let pki = login(&credentials(AuthMode::Pki));
        assert_eq!(pki[..], [&[2, 2, 0, 0, 0, 0, 0, 16, 0, 0, 20, 0][..], &[0; 12]].concat());
    }

    #[test]
    fn a_connection_authenticates_by_user_and_token() {
        let session = Session::new(b"tok", None);
        let request = authenticate(&credentials(AuthMode::Internal), &session);
        assert_eq!((request[10], request[11]), (0, 2));
        assert_eq!(fields(&request), [(0, b"ab".to_vec()), (5, b"tok".to_vec())]);
        let request = authenticate(&credentials(AuthMode::Pki), &session);
        assert_eq!(fields(&request), [(5, b"tok".to_vec())]);
    }

    #[test]
    fn the_memory_of_a_request_never_moved() {
        for mode in [AuthMode::Internal, AuthMode::External, AuthMode::Pki] {
            let request = login(&credentials(mode));
            assert_eq!(request.capacity(), request.len());
        }
    }
}
