//! The settings of a client by name, with values as text: one table for the
//! command line, the bindings and the documents.
//!
//! A setting is a field of [`Config`] and a row of [`SETTINGS`]. Its default is
//! that of [`Config::new`]. Everything else is made from the table, or a test
//! compares it with the table.

mod duration;
mod kind;
mod table;
mod value;

use std::ffi::OsStr;

use super::config::{Config, ConfigError};
use super::connect::Client;
pub use duration::{DurationError, parse_duration};
pub use kind::SettingKind;
pub use table::SETTINGS;
use value::InvalidValue;

/// A setting: its name, and what is known about it.
///
/// ```
/// use tendmap::client::{SETTINGS, Setting};
///
/// let interval = Setting::find("tend_interval").expect("a setting");
/// assert_eq!((interval.default(), interval.is_live()), ("1s".to_owned(), true));
/// for setting in SETTINGS {
///     println!("{} [{}]: {}", setting.name(), setting.default(), setting.help());
/// }
/// ```
#[derive(Debug)]
pub struct Setting {
    name: &'static str,
    kind: SettingKind,
    group: SettingGroup,
    help: &'static str,
    set: fn(&mut Config, &OsStr) -> Result<(), InvalidValue>,
    get: fn(&Config) -> String,
    change: Option<Change>,
}

/// Changes a setting of a client that runs, to what a configuration says.
type Change = fn(&Client, &Config) -> Result<(), ConfigError>;

/// What a setting concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingGroup {
    /// How servers are reached.
    Cluster,
    /// Logins and TLS.
    Security,
    /// Which segment, and whose segments are trusted: also for processes that
    /// only read.
    Place,
    /// What a new segment is like, and how its ownership changes hands.
    Segment,
    /// The passes over the cluster.
    Tending,
    /// Which replica is asked.
    Routing,
    /// The segments of the Aerospike C client that are kept filled.
    #[cfg(feature = "c-client")]
    CClient,
}

/// A name that no setting has, or a value that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No setting of that name.
    #[error("no setting {name:?}; there are {}", all_names())]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// A value that can't be read.
    #[error("{name} is {found:?}{}; wanted {wanted}", after_colon(.problem))]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given.
        found: String,
        /// What is wrong with it, where `wanted` does not say it.
        problem: Option<String>,
        /// What a value is.
        wanted: String,
    },
    /// A value with a zero byte, which would end it for the system or a server.
    #[error("{name} has a zero byte; wanted text without it")]
    ZeroByte {
        /// The setting.
        name: &'static str,
    },
}

fn all_names() -> String {
    SETTINGS.iter().map(Setting::name).collect::<Vec<_>>().join(", ")
}

fn after_colon(problem: &Option<String>) -> String {
    problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"))
}

impl SettingError {
    /// What is wrong and what is wanted, for places that have said the name and
    /// the value.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            SettingError::Unknown { .. } => self.to_string(),
            SettingError::Value { problem: Some(problem), wanted, .. } => {
                format!("{problem}; wanted {wanted}")
            }
            SettingError::Value { wanted, .. } => format!("wanted {wanted}"),
            SettingError::ZeroByte { .. } => {
                "it has a zero byte; wanted text without it".to_owned()
            }
        }
    }
}

impl Setting {
    /// The setting of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its name, the same in every place.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    internal! {
        /// What its values are.
        fn kind(&self) -> SettingKind {
            self.kind
        }
    }

    internal! {
        /// What it concerns.
        fn group(&self) -> SettingGroup {
            self.group
        }
    }

    /// What it is for, in one line.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help
    }

    /// Its default as text; empty if it is unset.
    #[must_use]
    pub fn default(&self) -> String {
        (self.get)(&Config::new(Vec::new()))
    }

    /// Whether it can change while a client runs.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.change.is_some()
    }

    /// Its value as text; empty if it is unset, or a secret.
    #[must_use]
    pub fn get(&self, config: &Config) -> String {
        (self.get)(config)
    }

    /// Changes it for a client that runs, to what `config` says; `None` if that
    /// takes a new client.
    #[must_use]
    pub fn change(&self, client: &Client, config: &Config) -> Option<Result<(), ConfigError>> {
        self.change.map(|change| change(client, config))
    }
}

impl Config {
    /// Sets the setting `name` to what `text` says. Whether it fits the others
    /// is checked by [`Config::check`]. Only a path may be other than UTF-8.
    ///
    /// # Errors
    /// [`SettingError`], and nothing has changed.
    pub fn set(&mut self, name: &str, text: impl AsRef<OsStr>) -> Result<(), SettingError> {
        let Some(setting) = Setting::find(name) else {
            return Err(SettingError::Unknown { name: name.to_owned() });
        };
        let text = text.as_ref();
        if text.as_encoded_bytes().contains(&0) {
            return Err(SettingError::ZeroByte { name: setting.name });
        }
        // A password is taken as it is.
        let trimmed = match text.to_str() {
            Some(text) if setting.kind != SettingKind::Secret => text.trim().as_ref(),
            _ => text,
        };
        (setting.set)(self, trimmed).map_err(|InvalidValue(problem)| SettingError::Value {
            name: setting.name,
            found: text.to_string_lossy().into_owned(),
            problem,
            wanted: setting.kind.wanted(),
        })
    }

    /// All settings and their values as text, which is empty if they are unset,
    /// or secret.
    pub fn settings(&self) -> impl Iterator<Item = (&'static Setting, String)> {
        SETTINGS.iter().map(|setting| (setting, setting.get(self)))
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
