//! Replies of the admin protocol.

use core::fmt;
use std::time::Duration;

use super::LoginError;
use super::message::{Fields, field};
use super::secret::SecretBytes;

/// The fixed part of a message after its header, in bytes.
pub(super) const FIXED: usize = 16;

/// A token that represents a login. Debug output does not show it, core dumps do
/// not contain it, and it is wiped when dropped.
pub struct Session {
    token: SecretBytes,
    lifetime: Option<Duration>,
}

impl Session {
    /// The session with this token.
    #[must_use]
    pub fn new(token: &[u8], lifetime: Option<Duration>) -> Session {
        Session { token: SecretBytes::copy(token), lifetime }
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        self.token.expose()
    }

    /// The lifetime of the token from the login; `None` = unlimited.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The result of a login.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a caller must handle each outcome")]
pub enum LoginOutcome {
    /// Later connections authenticate with this session.
    Session(Session),
    /// Security is not enabled: no connection needs to authenticate.
    NotNeeded,
}

/// The result of an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a caller must handle each outcome")]
pub enum AuthOutcome {
    /// The server accepts the token.
    Yes,
    /// Security is no longer enabled.
    NotNeeded,
}

impl LoginOutcome {
    /// Parses what follows the header of the reply to a [login](super::Credentials::login).
    ///
    /// # Errors
    /// [`LoginError`]: what can't be parsed, or why the server refuses.
    pub fn parse(body: &[u8]) -> Result<LoginOutcome, LoginError> {
        let Some((count, fields)) = accepted(body)? else { return Ok(LoginOutcome::NotNeeded) };
        let (mut token, mut lifetime) = (None, None);
        let length = fields.len();
        let mut fields = Fields::new(fields);
        let broken = |fields: &Fields<'_>| LoginError::Fields {
            at: body.len() - fields.left(),
            length: FIXED + length,
        };
        for _ in 0..count {
            let (id, data) = fields.take().ok_or_else(|| broken(&fields))?;
            match id {
                field::SESSION_TOKEN => token = Some(data),
                field::SESSION_TTL => {
                    let seconds =
                        data.try_into().map_err(|_| LoginError::Lifetime { found: data.len() })?;
                    lifetime = Some(Duration::from_secs(u32::from_be_bytes(seconds).into()));
                }
                // Servers may add fields.
                _ => {}
            }
        }
        if fields.left() > 0 {
            return Err(broken(&fields));
        }
        let token = token.filter(|token| !token.is_empty()).ok_or(LoginError::NoToken)?;
        Ok(LoginOutcome::Session(Session::new(token, lifetime)))
    }
}

impl AuthOutcome {
    /// Parses what follows the header of the reply to an
    /// [authentication](super::Credentials::authenticate).
    ///
    /// # Errors
    /// [`LoginError`]: what can't be parsed, or why the server refuses.
    pub fn parse(body: &[u8]) -> Result<AuthOutcome, LoginError> {
        Ok(match accepted(body)? {
            Some(_) => AuthOutcome::Yes,
            None => AuthOutcome::NotNeeded,
        })
    }
}

/// The number of fields and their bytes; `None` if security is not enabled.
fn accepted(body: &[u8]) -> Result<Option<(u8, &[u8])>, LoginError> {
    let short = LoginError::Length { found: body.len() as u64 };
    let (fixed, fields) = body.split_at_checked(FIXED).ok_or(short)?;
    match fixed[1] {
        0 => Ok(Some((fixed[3], fields))),
        LoginError::NOT_ENABLED | LoginError::NOT_SUPPORTED => Ok(None),
        code => Err(LoginError::Refused { code }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::login::Request;

    fn body(code: u8, fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; FIXED];
        (body[1], body[3]) = (code, fields.len() as u8);
        for (id, data) in fields {
            body.extend((data.len() as u32 + 1).to_be_bytes());
            body.push(*id);
            body.extend(*data);
        }
        body
    }

    fn session(body: &[u8]) -> Option<(Vec<u8>, Option<u64>)> {
        match LoginOutcome::parse(body) {
            Ok(LoginOutcome::Session(session)) => {
                let lifetime = session.lifetime().map(|lifetime| lifetime.as_secs());
                Some((session.token().to_vec(), lifetime))
            }
            _ => None,
        }
    }

    #[test]
    fn the_result_decides() {
        assert!(matches!(LoginOutcome::parse(&body(52, &[])), Ok(LoginOutcome::NotNeeded)));
        assert_eq!(AuthOutcome::parse(&body(52, &[])), Ok(AuthOutcome::NotNeeded));
        assert_eq!(AuthOutcome::parse(&body(0, &[])), Ok(AuthOutcome::Yes));
        assert_eq!(LoginOutcome::parse(&body(0, &[])).unwrap_err(), LoginError::NoToken);
        assert_eq!(LoginOutcome::parse(&body(0, &[(5, b"")])).unwrap_err(), LoginError::NoToken);
        for (code, wanted) in [(60, "check user"), (62, "check password"), (66, "expired")] {
            let error = LoginOutcome::parse(&body(code, &[])).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            assert_eq!(error, AuthOutcome::parse(&body(code, &[])).unwrap_err());
        }
        assert!(LoginError::Refused { code: 66 }.is_of_the_session());
        assert!(!LoginError::Refused { code: 62 }.is_of_the_session());
    }

    #[test]
    fn a_lifetime_of_another_size_is_refused() {
        let error = LoginOutcome::parse(&body(0, &[(5, b"t"), (6, b"123")])).unwrap_err();
        assert_eq!(error, LoginError::Lifetime { found: 3 });
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        let reply = LoginOutcome::parse(&body(0, &[(5, b"t0ken")])).unwrap();
        let (text, bytes) = (format!("{reply:?}"), format!("{:?}", b"t0ken"));
        assert!(!text.contains("t0ken") && !text.contains(&bytes), "{text}");
    }

    proptest! {
        #[test]
        fn a_session_comes_back_whatever_stands_around_it(
            token in vec(any::<u8>(), 1..300),
            seconds in any::<u32>(),
            other in vec(any::<u8>(), 0..20),
            id in 7..=255u8,
        ) {
            let ttl = seconds.to_be_bytes();
            let all: [(u8, &[u8]); 3] = [(id, &other), (6, &ttl), (5, &token)];
            prop_assert_eq!(session(&body(0, &all)), Some((token.clone(), Some(seconds.into()))));
            prop_assert_eq!(session(&body(0, &all[2..])), Some((token, None)));
        }

        #[test]
        fn an_answer_cut_short_or_lengthened_gives_no_session(
            token in vec(any::<u8>(), 1..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut whole = body(0, &[(6, &[0, 0, 1, 0]), (5, &token)]);
            prop_assert!(LoginOutcome::parse(&whole[..cut.index(whole.len())]).is_err());
            whole.push(0);
            prop_assert!(LoginOutcome::parse(&whole).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), header: [u8; 8]) {
            let _ = (LoginOutcome::parse(&bytes), AuthOutcome::parse(&bytes), Request::reply_length(header));
        }
    }
}
