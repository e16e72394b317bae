//! Errors of logins.

use core::fmt;

use super::message::Request;
use super::reply::FIXED;

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The reply's header is not of the admin protocol.
    #[error("a header of version {version} and type {kind}; wanted version 2 and type 2 (admin)")]
    Header {
        /// The version that was found.
        version: u8,
        /// The type that was found.
        kind: u8,
    },
    /// The reply's header announces an excessive length.
    #[error("a login reply of {found} bytes; wanted {FIXED} to {}", Request::MAX_REPLY)]
    Length {
        /// The announced length.
        found: u64,
    },
    /// A field extends beyond the end of the reply, or bytes follow the last one.
    #[error("truncated login reply, or trailing bytes, at byte {at} of {length}")]
    Fields {
        /// The position of the error in bytes.
        at: usize,
        /// The length of the reply in bytes.
        length: usize,
    },
    /// The server accepted the login but sent no token.
    #[error("the server accepted the login but sent no session token; wanted one")]
    NoToken,
    /// The lifetime of the token is invalid.
    #[error("the session token's lifetime has {found} bytes; wanted 4")]
    Lifetime {
        /// The length of the field in bytes.
        found: usize,
    },
    /// Too many logins were sent to the server in a short time.
    #[error(
        "{count} logins at this server in a short time, none of which gave a lasting session; the next login is in {seconds} s"
    )]
    TooMany {
        /// The number of logins.
        count: u32,
        /// The time until the next one, in seconds.
        seconds: u64,
    },
    /// The server refuses the login.
    #[error("{}", Refusal(*.code))]
    Refused {
        /// The server's result code.
        code: u8,
    },
}

impl LoginError {
    /// Security is not enabled on the server.
    pub(super) const NOT_ENABLED: u8 = 52;
    /// The server does not support security.
    pub(super) const NOT_SUPPORTED: u8 = 51;

    /// Whether another login with the same credentials may succeed: the token
    /// has expired, or the server was restarted and does not know it.
    #[must_use]
    pub fn is_of_the_session(&self) -> bool {
        matches!(self, LoginError::Refused { code: 65 | 66 | 80 })
    }
}

struct Refusal(u8);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, todo) = match self.0 {
            53 => ("security scheme not supported", "use another auth_mode"),
            54 | 55 => ("no such login", "use another auth_mode, or upgrade the server"),
            56 => ("illegal state", "see the server's log"),
            60 => ("no such user", "check user"),
            62 => ("wrong password", "check password"),
            63 => ("the password has expired", "have it changed"),
            64 => ("a forbidden password", "have it changed"),
            65 => ("wrong user or password", "check user, password and auth_mode"),
            66 => ("the session has expired", "log in again"),
            80 => ("not logged in", "set user and password"),
            81 => ("the user has no right to it", "grant the user a role"),
            82 => ("this host's address is not on the user's list", "have it added"),
            83 => ("the user's quota is used up", "have it raised"),
            _ => ("an unknown reason", "see the server's log"),
        };
        write!(f, "the server refuses the login: {found} (code {}); {todo}", self.0)
    }
}
