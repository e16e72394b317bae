//! Values of settings as text: how each type is read and shown.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::duration::{parse_duration, show_duration};
#[cfg(feature = "c-client")]
use crate::c_client::{OnExit, OwnerMark, Target, TargetError};
use crate::segment::{Backend, UserError, parse_users};
use crate::wire::Host;
use crate::wire::login::{AuthMode, SecretString};

/// Why a text is not a value: what is wrong with it, if more can be said than
/// what would be right.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", .0.as_deref().unwrap_or("not a value of this setting"))]
pub(super) struct InvalidValue(pub Option<String>);

/// What only paths need not be.
pub(super) fn utf8(text: &OsStr) -> Result<&str, InvalidValue> {
    text.to_str().ok_or_else(|| InvalidValue(Some("it is not UTF-8".to_owned())))
}

/// A type of values.
pub(super) trait SettingValue: Sized {
    /// Reads one.
    fn read(text: &str) -> Result<Self, InvalidValue>;

    /// Reads one of text of the system, which may be a path and not UTF-8.
    fn read_os(text: &OsStr) -> Result<Self, InvalidValue> {
        Self::read(utf8(text)?)
    }

    /// Shows one, so that it is read as the same; empty if it is unset.
    fn show(&self) -> String;
}

impl SettingValue for bool {
    fn read(text: &str) -> Result<bool, InvalidValue> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(InvalidValue(None)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for usize {
    fn read(text: &str) -> Result<usize, InvalidValue> {
        text.parse().map_err(|_| InvalidValue(None))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Duration {
    fn read(text: &str) -> Result<Duration, InvalidValue> {
        let problem = |too_long: bool| too_long.then(|| "longer than can be counted".to_owned());
        parse_duration(text).map_err(|error| InvalidValue(problem(error.too_long)))
    }

    fn show(&self) -> String {
        show_duration(*self)
    }
}

impl SettingValue for AuthMode {
    fn read(text: &str) -> Result<AuthMode, InvalidValue> {
        text.parse().map_err(|_| InvalidValue(None))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Backend {
    fn read(text: &str) -> Result<Backend, InvalidValue> {
        text.parse().map_err(|_| InvalidValue(None))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for PathBuf {
    fn read(text: &str) -> Result<PathBuf, InvalidValue> {
        Ok(text.into())
    }

    fn read_os(text: &OsStr) -> Result<PathBuf, InvalidValue> {
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl SettingValue for String {
    fn read(text: &str) -> Result<String, InvalidValue> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl SettingValue for SecretString {
    fn read(text: &str) -> Result<SecretString, InvalidValue> {
        Ok(text.into())
    }

    /// It is never shown.
    fn show(&self) -> String {
        String::new()
    }
}

/// Any text sets it, also an empty one.
impl<T: SettingValue> SettingValue for Option<T> {
    fn read(text: &str) -> Result<Option<T>, InvalidValue> {
        T::read(text).map(Some)
    }

    fn read_os(text: &OsStr) -> Result<Option<T>, InvalidValue> {
        T::read_os(text).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, SettingValue::show)
    }
}

impl SettingValue for Vec<Host> {
    fn read(text: &str) -> Result<Vec<Host>, InvalidValue> {
        let problem = |host: &str, error: crate::wire::HostError| {
            // Of several it is said which one.
            let which = if text.contains(',') { format!("{host:?}: ") } else { String::new() };
            InvalidValue(Some(format!("{which}{}", error.problem)))
        };
        let hosts = text.split(',').map(str::trim);
        hosts.map(|host| host.parse().map_err(|error| problem(host, error))).collect()
    }

    fn show(&self) -> String {
        joined(self)
    }
}

#[cfg(feature = "c-client")]
impl SettingValue for Vec<Target> {
    fn read(text: &str) -> Result<Vec<Target>, InvalidValue> {
        let read = |text: &str| {
            text.parse().map_err(|error: TargetError| InvalidValue(Some(error.to_string())))
        };
        listed(text).map(read).collect()
    }

    fn show(&self) -> String {
        joined(self)
    }
}

/// A word of a few.
#[cfg(feature = "c-client")]
macro_rules! word {
    ($($type:ty),+) => {$(
        impl SettingValue for $type {
            fn read(text: &str) -> Result<$type, InvalidValue> {
                text.parse().map_err(|()| InvalidValue(None))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

#[cfg(feature = "c-client")]
word!(OnExit, OwnerMark);

impl SettingValue for Vec<i32> {
    fn read(text: &str) -> Result<Vec<i32>, InvalidValue> {
        listed(text).map(|rack| rack.parse().map_err(|_| InvalidValue(None))).collect()
    }

    fn show(&self) -> String {
        joined(self)
    }
}

impl SettingValue for BTreeMap<String, String> {
    fn read(text: &str) -> Result<BTreeMap<String, String>, InvalidValue> {
        let mut pairs = BTreeMap::new();
        for pair in listed(text) {
            let (key, value) = pair.split_once('=').ok_or(InvalidValue(None))?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() || value.contains('=') {
                return Err(InvalidValue(None));
            }
            if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(InvalidValue(Some(format!("{key:?} is there twice"))));
            }
        }
        Ok(pairs)
    }

    fn show(&self) -> String {
        joined(self.iter().map(|(key, value)| format!("{key}={value}")))
    }
}

/// Reads users of this host.
pub(super) fn users(text: &str) -> Result<Vec<u32>, InvalidValue> {
    parse_users(text).map_err(|error| match error {
        UserError::Unknown { found } if found.is_empty() => InvalidValue(None),
        UserError::Unknown { found } => InvalidValue(Some(format!("unknown user {found:?}"))),
        UserError::Failed { found, problem } => {
            InvalidValue(Some(format!("can't look up the user {found:?}: {problem}")))
        }
    })
}

/// Reads octal mode bits, also with `0o` before them, as TOML writes them.
pub(super) fn mode(text: &str) -> Result<u32, InvalidValue> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let mode = valid.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    mode.ok_or(InvalidValue(None))
}

/// Values with commas between them.
pub(super) fn joined(values: impl IntoIterator<Item = impl Display>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.join(",")
}

/// What commas separate; of an empty text nothing.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(move |_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for text in ["0640", "640", "0o640"] {
            assert_eq!(mode(text).unwrap(), 0o640);
        }
        for text in ["", "8", "+6", "rw", "0o", "0x1", "-6"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
