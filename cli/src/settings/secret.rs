//! Hides passwords from the parser, which copies its input and shows it in errors.
//! The parser gets a mark instead.

use std::ffi::{OsStr, OsString};
use std::sync::{Mutex, PoisonError};

use tendmap::wire::login::SecretString;

use super::definition::variable;

/// The name of the flag.
const PASSWORD: &str = "password";
/// The start of a mark; a number follows.
const MARK: &str = "\u{1}password-";

/// The known passwords, each once; `None` = no longer needed.
static KNOWN: Mutex<Vec<Option<SecretString>>> = Mutex::new(Vec::new());
/// The mark of the password from a file.
static FILE: Mutex<Option<OsString>> = Mutex::new(None);
/// The mark of the password from the environment.
static TAKEN: Mutex<Option<OsString>> = Mutex::new(None);

/// The text for the parser: a mark for a password, the value itself for any other
/// flag. The same password always gets the same mark.
pub fn sealed(long: &str, value: OsString) -> OsString {
    match value.to_str().filter(|text| long == PASSWORD && opened(text).is_none()) {
        Some(text) => mark(text),
        None => value,
    }
}

/// The mark of a password.
fn mark(text: &str) -> OsString {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |secret: &Option<SecretString>| {
        secret.as_ref().is_some_and(|secret| secret.expose_secret() == text)
    };
    let at = known.iter().position(same).unwrap_or_else(|| {
        known.push(Some(text.into()));
        known.len() - 1
    });
    format!("{MARK}{at}").into()
}

/// Replaces the passwords in arguments by marks.
pub fn seal(arguments: &mut [OsString]) {
    let flag = format!("--{PASSWORD}");
    let mut is_value = false;
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        if is_value && !text.starts_with('-') {
            *argument = sealed(PASSWORD, core::mem::take(argument));
        } else if let Some(value) = text.strip_prefix(&flag).and_then(|rest| rest.strip_prefix('='))
        {
            let mut whole = OsString::from(format!("{flag}="));
            whole.push(sealed(PASSWORD, value.into()));
            *argument = whole;
        }
        is_value = *argument == *flag;
    }
}

/// The password of a mark.
fn opened(mark: &str) -> Option<SecretString> {
    let at: usize = mark.strip_prefix(MARK)?.parse().ok()?;
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(at)?.clone()
}

/// Takes the password of a file, which replaces that of the last one; returns its
/// mark.
pub fn seal_file(text: &str) -> OsString {
    let mark = mark(text);
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark.clone());
    mark
}

/// The password of the file that was read last.
pub fn of_file() -> Option<SecretString> {
    let mark = FILE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    opened_mark(&mark?)
}

/// The password of a mark.
pub fn opened_mark(mark: &OsStr) -> Option<SecretString> {
    opened(mark.to_str()?)
}

/// Forgets all passwords except the one in use, the one of a file, and the one from
/// the environment.
pub fn keep(mark: Option<&OsStr>) {
    let file = FILE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for (at, secret) in known.iter_mut().enumerate() {
        let own = OsString::from(format!("{MARK}{at}"));
        let used = Some(&*own) == mark || [&file, &*taken].contains(&&Some(own.clone()));
        if !used {
            *secret = None;
        }
    }
}

/// The parser of a password's value.
///
/// # Errors
/// Never. The parser's interface requires a `Result`.
pub fn password(text: &str) -> Result<SecretString, core::convert::Infallible> {
    Ok(opened(text).unwrap_or_else(|| text.into()))
}

/// The password from the environment, as a mark. The first call removes it from
/// the environment, so that neither `/proc/PID/environ` nor a core dump shows it.
pub fn of_environment(name: &str) -> Option<OsString> {
    if name != variable(PASSWORD) {
        return std::env::var_os(name);
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) {
        *taken = Some(sealed(PASSWORD, value));
        tendmap::internals::layout::wipe_variable(name);
    }
    taken.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_sees_no_password() {
        let given = ["tendmap", "tend", "--password=a", "--password", "b", "--user", "a", "--wait"];
        let mut arguments = given.map(OsString::from);
        seal(&mut arguments);
        let text = |at: usize| arguments[at].to_str().unwrap();
        assert_eq!(
            [text(1), text(3), text(5), text(6), text(7)],
            [given[1], given[3], given[5], "a", "--wait"]
        );
        let mark = text(2).strip_prefix("--password=").unwrap();
        assert_eq!(password(mark).unwrap().expose_secret(), "a");
        assert_eq!(password(text(4)).unwrap().expose_secret(), "b");
        assert_eq!(sealed(PASSWORD, mark.into()), mark, "sealed once");
        assert_eq!(sealed(PASSWORD, "a".into()), mark, "the same for the same");
        assert_eq!(sealed("user", "a".into()), "a");
        let mut missing = ["tendmap", "tend", "--password", "--wait"].map(OsString::from);
        seal(&mut missing);
        assert_eq!(missing[3], "--wait");
    }
}
