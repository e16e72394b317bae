//! Users of this host, by name or by id.

use nix::unistd::User;

/// Why a user is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is no user of that name.
    #[error(
        "unknown user {found:?}; wanted names or numbers of users of this host, separated by commas (`getent passwd` lists them)"
    )]
    Unknown {
        /// The name that was given.
        found: String,
    },
    /// The system's user database can't be read.
    #[error("can't look up the user {found:?}: {problem}; give the user's number instead")]
    Failed {
        /// The name that was given.
        found: String,
        /// The error of the system call.
        problem: String,
    },
}

/// Parses a user id or name. A number is never taken for a name.
///
/// # Errors
/// `UserError`.
pub fn parse_user(text: &str) -> Result<u32, UserError> {
    let (text, found) = (text.trim(), text.trim().to_owned());
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The last id means no user.
        let number = text.parse().ok().filter(|&number| number != u32::MAX);
        return number.ok_or(UserError::Unknown { found });
    }
    if text.is_empty() || text.contains('\0') {
        return Err(UserError::Unknown { found });
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(UserError::Unknown { found }),
        Err(error) => {
            Err(UserError::Failed { found, problem: std::io::Error::from(error).to_string() })
        }
    }
}

/// Parses user ids or names, separated by commas; duplicates are removed. An empty text gives no
/// users.
///
/// # Errors
/// `UserError` for the first one that is not a user.
pub fn parse_users(text: &str) -> Result<Vec<u32>, UserError> {
    let mut users = Vec::new();
    if text.trim().is_empty() {
        return Ok(users);
    }
    for user in text.split(',') {
        let user = parse_user(user)?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_names() {
        assert_eq!(parse_users("root, 5001,0"), Ok(vec![0, 5001]));
        assert_eq!(parse_users(" "), Ok(vec![]));
        assert_eq!(parse_user("4294967294"), Ok(4_294_967_294));
    }

    #[test]
    fn an_unknown_user_is_named() {
        for text in ["no-such-user", "4294967295", "99999999999", "-1", "root,,0", "a\0b", "5001 "]
        {
            match parse_users(text) {
                Ok(users) => assert_eq!((text, users), ("5001 ", vec![5001])),
                Err(error) => assert!(error.to_string().contains("wanted names or numbers")),
            }
        }
    }
}
