//! Why nobody is logged in.

use core::fmt;

use super::reply::{FIXED, MAX_LOGIN_REPLY};

/// Why a server's answer gives no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The answer's header is not one of the admin protocol.
    #[error("a header of version {version} and type {kind}; wanted version 2 and type 2 (admin)")]
    Header {
        /// The version found.
        version: u8,
        /// The type found.
        kind: u8,
    },
    /// The answer's header announces more than a session is.
    #[error("a login reply of {found} bytes; wanted {FIXED} to {MAX_LOGIN_REPLY}")]
    Length {
        /// The length announced.
        found: u64,
    },
    /// A field of the answer goes past its end, or bytes follow the last.
    #[error("truncated login reply, or trailing bytes, at byte {at} of {length}")]
    Fields {
        /// Where it goes wrong.
        at: usize,
        /// The answer's length.
        length: usize,
    },
    /// The server takes the user but gives no token.
    #[error("the server accepted the login but sent no session token; wanted one")]
    NoToken,
    /// The lifetime of the token is none.
    #[error("the session token's lifetime has {found} bytes; wanted 4")]
    Lifetime {
        /// Its length.
        found: usize,
    },
    /// Too many logins went to the server in a short time.
    #[error(
        "{count} logins at this server in a short time, none of which gave a lasting session; the next login is in {seconds} s"
    )]
    TooMany {
        /// How many.
        count: u32,
        /// When the next one is due, in seconds.
        seconds: u64,
    },
    /// The server refuses.
    #[error("{}", Refusal(*.code))]
    Refused {
        /// Its result code.
        code: u8,
    },
}

impl LoginError {
    /// Security is not enabled on the server.
    pub(super) const NOT_ENABLED: u8 = 52;
    /// The server has no security at all.
    pub(super) const NOT_SUPPORTED: u8 = 51;

    /// Whether another login with the same credentials may fare better: a token
    /// has expired, or is unknown to a server that was started anew.
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
