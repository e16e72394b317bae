//! The admin protocol, as far as a tender speaks it: LOGIN and AUTHENTICATE.
//!
//! A login authenticates the user and returns a session: a token and its
//! lifetime. Every later connection authenticates with the token. A server's
//! reply is limited in length and parsed completely before it is used.
//!
//! Of a password, its hash and a token there is one copy each, in pages that
//! are in no core dump and are wiped when it is dropped; they show in no error
//! and no debug output.

mod credentials;
mod error;
mod message;
mod reply;
mod secret;

pub use credentials::{AuthMode, AuthModeError, Credentials, CredentialsError};
pub use error::LoginError;
pub use message::{Request, authenticate, login};
pub use secret::SecretString;

pub use reply::{
    Authenticated, LoggedIn, MAX_LOGIN_REPLY, Session, login_body_length, parse_authenticate,
    parse_login,
};

#[cfg(feature = "sim")]
pub(crate) use message::{AUTHENTICATE, Fields, LOGIN, field};
