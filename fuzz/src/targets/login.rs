//! The reply of a server to a login: a header and a body.

use tendmap::wire::login::{AuthOutcome, LoginOutcome, Request};

pub fn run(bytes: &[u8]) {
    let Some((header, rest)) = bytes.split_first_chunk::<8>() else { return };
    // A body is parsed independently of its header.
    let length = Request::reply_length(*header);
    if let Ok(length) = length {
        assert!((16..=Request::MAX_REPLY).contains(&length));
    }
    let login = LoginOutcome::parse(rest);
    match &login {
        Ok(LoginOutcome::Session(session)) => {
            let token = session.token();
            assert!(!token.is_empty() && token.len() < rest.len());
            assert!(rest.windows(token.len()).any(|found| found == token));
        }
        Ok(LoginOutcome::NotNeeded) => assert!(rest.len() >= 16 && rest[1] != 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match AuthOutcome::parse(rest) {
        Ok(AuthOutcome::Yes) => assert_eq!(rest[1], 0),
        Ok(AuthOutcome::NotNeeded) => assert!(matches!(login, Ok(LoginOutcome::NotNeeded))),
        Err(_) => assert!(login.is_err(), "a reply that one refuses, the other refuses, too"),
    }
}
