//! The credentials of a user, and the way in which it authenticates.

use core::fmt;
use core::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use zeroize::Zeroizing;

use super::SecretString;

/// The cost of the hash that servers store.
const COST: u32 = 10;
/// The salt that all Aerospike clients use, in bcrypt's own base64.
const SALT: &str = "7EqJtq98hPqEX7fNZaFWoO";

/// How a user authenticates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMode {
    /// The server keeps the password's hash; only the hash is sent.
    #[default]
    Internal,
    /// An external system (such as LDAP) checks the password, which is sent
    /// unhashed: only over TLS.
    External,
    /// Like [`External`](Self::External), but allowed without TLS: for tests.
    ExternalInsecure,
    /// The client's TLS certificate names the user.
    Pki,
}

impl AuthMode {
    /// The name of the mode in Aerospike clients.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AuthMode::Internal => "INTERNAL",
            AuthMode::External => "EXTERNAL",
            AuthMode::ExternalInsecure => "EXTERNAL_INSECURE",
            AuthMode::Pki => "PKI",
        }
    }
}

impl AuthMode {
    /// The alternative if there is no TLS, as text for an error.
    pub(crate) fn otherwise(self) -> &'static str {
        match self {
            AuthMode::Pki => " with certfile and keyfile",
            _ => ", or use EXTERNAL_INSECURE where the network to the servers can be trusted",
        }
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AuthMode {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<AuthMode, CredentialsError> {
        [AuthMode::Internal, AuthMode::External, AuthMode::ExternalInsecure, AuthMode::Pki]
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| CredentialsError::Mode { found: text.chars().take(32).collect() })
    }
}

/// Invalid credentials. The password is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The text is not an `auth_mode`.
    #[error("invalid auth_mode {found:?}; wanted INTERNAL, EXTERNAL, EXTERNAL_INSECURE or PKI")]
    Mode {
        /// The beginning of the text.
        found: String,
    },
    /// The user name is empty or too long.
    #[error("user is {found} bytes long; wanted 1 to 63")]
    User {
        /// The length of the name in bytes.
        found: usize,
    },
    /// The password is too long.
    #[error("password is {found} bytes long; wanted at most {wanted} with auth_mode {mode}")]
    Password {
        /// The length of the password in bytes.
        found: usize,
        /// The maximum length in bytes.
        wanted: usize,
        /// The configured mode.
        mode: AuthMode,
    },
    /// A text contains a zero byte, which ends the text for some servers.
    #[error("{what} has a zero byte; wanted text without it")]
    Nul {
        /// `user` or `password`.
        what: &'static str,
    },
}

/// A user and its proof of identity. Clones share one copy, which is wiped when
/// the last of them is dropped.
///
/// A program with connections of its own logs in over them as the tender does:
///
/// ```
/// use std::io::{self, Read, Write};
/// use tendmap::wire::login::{Credentials, LoginOutcome, Request};
///
/// /// Logs in over a new connection to a server.
/// fn login(stream: &mut (impl Read + Write), user: &Credentials) -> io::Result<LoginOutcome> {
///     stream.write_all(&user.login())?;
///     let mut header = [0; 8];
///     stream.read_exact(&mut header)?;
///     let mut body = vec![0; Request::reply_length(header).map_err(io::Error::other)?];
///     stream.read_exact(&mut body)?;
///     LoginOutcome::parse(&body).map_err(io::Error::other)
/// }
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    mode: AuthMode,
    user: String,
    password: SecretString,
    /// Computed at the first login, because it takes a tenth of a second.
    hash: OnceLock<SecretString>,
}

impl Credentials {
    /// The maximum length of a user name in bytes.
    pub const MAX_USER: usize = 63;
    /// The maximum length of a hashed password in bytes: bcrypt uses no more.
    pub const MAX_HASHED: usize = 72;
    /// The maximum length of a password that is sent unhashed, in bytes.
    pub const MAX_CLEAR: usize = 1023;

    /// The credentials of a user. With [`AuthMode::Pki`] user and password are ignored.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn new(
        mode: AuthMode,
        user: &str,
        password: SecretString,
    ) -> Result<Credentials, CredentialsError> {
        let clear = password.expose_secret();
        if mode != AuthMode::Pki {
            if user.is_empty() || user.len() > Credentials::MAX_USER {
                return Err(CredentialsError::User { found: user.len() });
            }
            let wanted = match mode {
                AuthMode::Internal => Credentials::MAX_HASHED,
                _ => Credentials::MAX_CLEAR,
            };
            if clear.len() > wanted {
                return Err(CredentialsError::Password { found: clear.len(), wanted, mode });
            }
            for (what, text) in [("user", user), ("password", clear)] {
                if text.contains('\0') {
                    return Err(CredentialsError::Nul { what });
                }
            }
        }
        let (user, hash) = (user.to_owned(), OnceLock::new());
        Ok(Credentials(Arc::new(Inner { mode, user, password, hash })))
    }

    /// How the user authenticates.
    #[must_use]
    pub fn mode(&self) -> AuthMode {
        self.0.mode
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The password, unhashed.
    pub(super) fn clear(&self) -> &str {
        self.0.password.expose_secret()
    }

    /// The password's hash, the same for every client and server.
    pub(crate) fn hash(&self) -> &str {
        // Not within `get_or_init`: a child that is forked meanwhile would wait
        // for a thread that it does not have.
        if self.0.hash.get().is_none() {
            let _ = self.0.hash.set(hash(self.clear()));
        }
        self.0.hash.get().map_or("", SecretString::expose_secret)
    }
}

fn hash(password: &str) -> SecretString {
    let salt = GeneralPurpose::new(&BCRYPT, NO_PAD).decode(SALT).expect("a constant of 22 digits");
    let salt: [u8; 16] = salt.try_into().expect("22 digits are 16 bytes");
    let parts = bcrypt::hash_with_salt(password, COST, salt).expect("a cost in range");
    let mut text = Zeroizing::new(String::with_capacity(60));
    parts.write_for_version(bcrypt::Version::TwoA, &mut *text).expect("a string takes all");
    text.as_str().into()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { mode, user, .. } = &*self.0;
        f.debug_struct("Credentials")
            .field("mode", mode)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

/// Whether logins with the two are equivalent.
impl PartialEq for Credentials {
    fn eq(&self, other: &Credentials) -> bool {
        let what = |of: &Credentials| (of.0.mode, of.0.user.clone());
        what(self) == what(other) && self.clear() == other.clear()
    }
}

impl Eq for Credentials {}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Result<Credentials, CredentialsError> {
        Credentials::new(AuthMode::Internal, user, password.into())
    }

    #[test]
    fn the_hash_is_the_one_that_servers_compare_with() {
        // Computed with crypt(3) of the C library, from the same salt.
        for (password, hash) in [
            ("admin", "$2a$10$7EqJtq98hPqEX7fNZaFWoO1mVO/4MLpGzsqojz6E9Gef6iXDjXdDa"),
            ("pässwörd", "$2a$10$7EqJtq98hPqEX7fNZaFWoOteZHET5XbgArChDJutG6xOnAY19WzN."),
        ] {
            assert_eq!(credentials("admin", password).unwrap().hash(), hash);
        }
    }

    #[test]
    fn no_debug_output_shows_the_password_or_its_hash() {
        let known = credentials("keeper", "open sesame").unwrap();
        let hash = known.hash().to_owned();
        let shown = format!("{known:?}");
        assert!(shown.contains("keeper"), "{shown}");
        assert!(!shown.contains("sesame") && !shown.contains(&hash), "{shown}");
    }

    #[test]
    fn credentials_that_no_server_takes_are_refused_without_showing_them() {
        let long = "s3cret".repeat(20);
        for (user, password, wanted) in [
            ("", "a", "user is 0 bytes"),
            (&*"x".repeat(64), "a", "user is 64 bytes"),
            ("a", &long, "password is 120 bytes"),
            ("a", "s3cret\0", "password has a zero byte"),
        ] {
            let error = credentials(user, password).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("s3cret"), "{error}");
        }
        assert!(Credentials::new(AuthMode::External, "a", long.into()).is_ok());
        assert!(Credentials::new(AuthMode::Pki, "", "".into()).is_ok());
    }

    #[test]
    fn modes_are_known_by_their_names() {
        for mode in ["INTERNAL", "EXTERNAL", "EXTERNAL_INSECURE", "PKI"] {
            assert_eq!(mode.parse::<AuthMode>().unwrap().to_string(), mode);
            assert_eq!(mode.to_lowercase().parse::<AuthMode>().unwrap().as_str(), mode);
        }
        assert!("LDAP".parse::<AuthMode>().unwrap_err().to_string().contains("PKI"));
    }
}
