//! The source of each setting.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Id};
use tendmap::internals::text::Printable;

use super::definition::{definition, own_settings};
use super::password_file::PasswordFile;
use super::value::is_on;

/// A source other than the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The environment variable with this name.
    Variable(String),
    /// This line of the configuration file.
    Line(usize),
}

impl Origin {
    /// The source as text for people.
    pub fn text(&self, path: Option<&Path>) -> String {
        match (self, path) {
            (Origin::Variable(name), _) => name.clone(),
            (Origin::Line(line), Some(path)) => format!("{}:{line}", Printable(path.display())),
            (Origin::Line(line), None) => format!("line {line}"),
        }
    }
}

/// A setting that does not come from the command line.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub id: Id,
    pub long: String,
    pub values: Vec<OsString>,
    pub switch: bool,
    pub origin: Origin,
}

impl Found {
    /// The setting as flags; none for a switch that is off.
    pub fn flags(&self) -> impl Iterator<Item = OsString> + '_ {
        let on = !self.switch || self.values.iter().all(|value| is_on(value));
        self.values.iter().filter(move |_| on).map(|value| {
            let mut flag = OsString::from(format!("--{}", self.long));
            if !self.switch {
                flag.push("=");
                flag.push(value);
            }
            flag
        })
    }
}

/// The source of each setting.
pub struct Origins {
    pub(super) matches: ArgMatches,
    pub(super) path: Option<PathBuf>,
    pub(super) found: Vec<Found>,
    /// The password, if a file holds it.
    pub password_file: Option<PasswordFile>,
    /// Warnings about settings that are valid but unwise, in sentences.
    pub warnings: Vec<String>,
}

impl Origins {
    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The password's file and its mode, if other users may read it.
    pub fn exposed_password(&self) -> Option<(&PasswordFile, u32)> {
        let file = self.password_file.as_ref()?;
        Some((file, file.exposed?))
    }

    /// The value of a flag as the parser has it.
    pub(super) fn raw(&self, id: &str) -> Option<&OsStr> {
        let matches = self.matches();
        matches.try_contains_id(id).ok()?;
        matches.get_raw(id)?.next()
    }

    /// The settings that differ from `other`, as flags without dashes.
    pub fn changed(&self, other: &Origins) -> Vec<String> {
        let raw = |origins: &Origins, id: &str| -> Option<Vec<OsString>> {
            let matches = origins.matches();
            matches.try_contains_id(id).ok()?;
            Some(matches.get_raw(id)?.map(Into::into).collect())
        };
        let settings = self.settings().into_iter();
        let differs = settings.filter(|arg| {
            let id = arg.get_id().as_str();
            raw(self, id) != raw(other, id)
        });
        let mut changed: Vec<String> =
            differs.filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        // The same file may hold another password.
        let name = "password-file";
        if let (Some(old), Some(new)) = (&self.password_file, &other.password_file) {
            if old.differs(new) && changed.iter().all(|other| other != name) {
                changed.push(name.to_owned());
            }
        }
        changed
    }

    /// The settings of the command that was given.
    fn settings(&self) -> Vec<Arg> {
        let command = definition();
        let sub = self.matches.subcommand_name().and_then(|name| command.find_subcommand(name));
        sub.map_or(Vec::new(), |sub| own_settings(sub).cloned().collect())
    }

    /// The matches of the command that was given.
    fn matches(&self) -> &ArgMatches {
        self.matches.subcommand().map_or(&self.matches, |(_, matches)| matches)
    }

    /// The problem of a setting, with its source. `problem` begins with the name
    /// of the setting (`tend_interval is …`).
    pub fn explain(&self, problem: &str) -> String {
        let name: String =
            problem.chars().take_while(|&c| c.is_ascii_lowercase() || c == '_').collect();
        match self.of(&name) {
            Some(origin) => format!("{problem} (set by {origin})"),
            None => problem.to_owned(),
        }
    }

    /// The source of a setting; `None` for a default, or an unknown setting.
    fn of(&self, name: &str) -> Option<String> {
        let long = name.replace('_', "-");
        // The TLS settings are named after their files.
        let named = |arg: &Arg| {
            let found = arg.get_long().unwrap_or_default();
            found == long || found.strip_prefix("tls-") == Some(&long)
        };
        let arg = self.settings().into_iter().find(named)?;
        if let Some(found) = self.found.iter().find(|found| found.id == *arg.get_id()) {
            return Some(found.origin.text(self.file()));
        }
        let (id, long) = (arg.get_id().as_str(), arg.get_long()?);
        // Clap panics for ids that the command does not have.
        self.matches().try_contains_id(id).ok()?;
        let given = self.matches().value_source(id)? == ValueSource::CommandLine;
        given.then(|| format!("--{long}"))
    }
}
