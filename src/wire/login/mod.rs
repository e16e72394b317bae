//! The part of the admin protocol that a tender uses: LOGIN and AUTHENTICATE.
//!
//! A login authenticates the user and returns a session: a token and its
//! lifetime. Every later connection authenticates with the token. A server's
//! reply is limited in length and parsed completely before it is used.
//!
//! A password, its hash and a token each exist in one copy. Its pages are
//! excluded from core dumps and wiped when it is dropped. No error and no debug
//! output shows them.

mod credentials;
mod error;
mod message;
mod reply;
mod secret;

pub use credentials::{AuthMode, Credentials, CredentialsError};
pub use error::LoginError;
pub use message::Request;
pub use secret::SecretString;

pub use reply::{AuthOutcome, LoginOutcome, Session};

#[cfg(feature = "sim")]
pub(crate) use message::{AUTHENTICATE, Fields, LOGIN, field};
