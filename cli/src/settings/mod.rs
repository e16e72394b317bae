//! The sources of settings, in the order of precedence: flags, environment
//! variables, the configuration file, built-in defaults.
//!
//! The flags of a command define all names. The variable of a flag is `TENDMAP_`
//! and its name in capitals; its key in the file is its name. Settings from
//! variables and the file are inserted as flags before the given ones, unless the
//! same flag, or one that excludes it, was given. So all three sources are parsed
//! and checked alike.

mod definition;
mod file;
mod origins;
mod password_file;
mod secret;
mod usage;
mod value;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Id};
use tendmap::internals::layout::is_secure_execution;
use tendmap::internals::secret_file;
use tendmap::internals::text::Printable;

use crate::Cli;
use crate::failure::Failure;
use crate::invocation::arguments;
pub use definition::definition;
use definition::{command_first, is_called, is_setting, is_switch, longs, own_settings, variable};
use file::Entry;
pub use origins::Origins;
use origins::{Found, Origin};
pub use password_file::{PasswordFile, Version};
pub use secret::{of_file, password};
use value::{check_value, is_on};

/// The parsed settings.
pub struct Settings {
    /// The command and its flags.
    pub cli: Cli,
    /// The source of each setting.
    pub origins: Origins,
}

/// Why there are no settings.
pub enum Unsettled {
    /// The command line asks for help, or is invalid.
    Usage(Box<clap::Error>),
    /// The environment or the file is invalid.
    Failure(Failure),
    /// Either of them, in JSON because the file asks for it.
    InJson(Box<Unsettled>),
}

impl From<clap::Error> for Unsettled {
    fn from(error: clap::Error) -> Unsettled {
        Unsettled::Usage(Box::new(error))
    }
}

impl From<Failure> for Unsettled {
    fn from(failure: Failure) -> Unsettled {
        Unsettled::Failure(failure)
    }
}

impl core::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unsettled::Usage(error) => write!(f, "{}", error.to_string().trim_end()),
            Unsettled::Failure(failure) => write!(f, "{failure}"),
            Unsettled::InJson(error) => error.fmt(f),
        }
    }
}

/// The value of a variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads command line, environment and configuration file.
///
/// # Errors
/// [`Unsettled`].
pub fn load() -> Result<Settings, Unsettled> {
    let mut settings = resolve(arguments(), &of_environment)?;
    if let Some(path) = settings.origins.raw("password_file") {
        settings.origins.password_file = Some(PasswordFile::read(Path::new(path))?);
    }
    forget(&settings.origins);
    Ok(settings)
}

/// Forgets the passwords that are no longer in use.
pub fn forget(origins: &Origins) {
    secret::keep(origins.raw("password"));
}

/// A variable of the environment. A set-user-id program uses none, because the
/// user that starts it could choose what it trusts.
fn of_environment(name: &str) -> Option<OsString> {
    if is_secure_execution() { None } else { secret::of_environment(name) }
}

/// Removes secrets of this process from a child's environment, which /proc shows
/// while the child lives.
pub fn forget_secrets(command: &mut std::process::Command) {
    command.env_remove(variable("password"));
}

/// Whether errors must be JSON, if the settings could not be read.
pub fn wants_json() -> bool {
    let is_variable_on = || of_environment(&variable("json")).is_some_and(|value| is_on(&value));
    arguments().iter().any(|argument| argument == "--json") || is_variable_on()
}

fn resolve(arguments: Vec<OsString>, variables: Variables) -> Result<Settings, Unsettled> {
    let mut json = false;
    settle(arguments, variables, &mut json).map_err(|error| match json {
        true => Unsettled::InJson(Box::new(error)),
        false => error,
    })
}

/// Sets `json` if the file asks for JSON, also before an error.
fn settle(
    arguments: Vec<OsString>,
    variables: Variables,
    json: &mut bool,
) -> Result<Settings, Unsettled> {
    // An empty variable counts as unset.
    let variables: Variables = &|name| variables(name).filter(|value| !value.is_empty());
    let command = definition();
    let mut arguments = command_first(&command, arguments);
    secret::seal(&mut arguments);
    // Clap answers help and version here.
    let given = command.clone().ignore_errors(true).try_get_matches_from(&arguments);
    let given = given.map_err(|error| usage::printable(usage::help(error, &arguments)))?;
    let mut origins = Origins {
        matches: ArgMatches::default(),
        path: None,
        found: Vec::new(),
        password_file: None,
        warnings: Vec::new(),
    };
    if let Some((name, given)) = given.subcommand() {
        if let Some(sub) = command.find_subcommand(name) {
            let warnings = &mut origins.warnings;
            (origins.path, origins.found) = find(&command, sub, given, variables, warnings, json)?;
            let flags = origins.found.iter().flat_map(Found::flags);
            arguments.splice(2..2, flags.collect::<Vec<_>>());
        }
    }
    let matches = command.try_get_matches_from(&arguments);
    let matches = matches
        .map_err(|error| usage::printable(explained(error, &origins.found, &origins.path)))?;
    let cli = Cli::from_arg_matches(&matches)?;
    origins.matches = matches;
    Ok(Settings { cli, origins })
}

/// The settings of a command from the environment and the file, with the file's
/// path.
fn find(
    command: &Command,
    sub: &Command,
    given: &ArgMatches,
    variables: Variables,
    warnings: &mut Vec<String>,
    json: &mut bool,
) -> Result<(Option<PathBuf>, Vec<Found>), Unsettled> {
    let is_given = |id: &Id| {
        given.try_contains_id(id.as_str()).is_ok()
            && given.value_source(id.as_str()) == Some(ValueSource::CommandLine)
    };
    let mut taken: Vec<Id> =
        sub.get_arguments().map(Arg::get_id).filter(|id| is_given(id)).cloned().collect();
    if taken.iter().any(|id| id == "password") {
        warnings.push(
            "`ps` shows --password to every user of this host; give it as TENDMAP_PASSWORD, or in \
             a file that --password-file or --config names and only you may read"
                .to_owned(),
        );
    }
    let path = match given.try_get_one::<PathBuf>("config").ok().flatten() {
        Some(path) => Some(path.clone()),
        // A worker gets all settings, except those of the log, from the process
        // that starts it.
        None if sub.is_hide_set() => None,
        None => variables(&variable("config")).map(PathBuf::from),
    };
    let entries = match &path {
        Some(path) => {
            let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
            let sections: Vec<&str> = shown.map(Command::get_name).collect();
            let (entries, mode) = file::read(path, &sections)?;
            *json =
                variables(&variable("json")).is_none() && asks_for_json(&entries, sub.get_name());
            if mode & 0o002 != 0 {
                let shown = Printable(path.display());
                warnings.push(format!(
                    "the mode {mode:04o} of {shown} lets every user change the settings; `chmod \
                     o-w {shown}`"
                ));
            }
            checked((path, mode), entries, command, sub, warnings)?
        }
        None => Vec::new(),
    };
    let settings: Vec<&Arg> = own_settings(sub).collect();
    let named = |section: Option<&str>, arg: &Arg| {
        let mut entries = entries.iter().filter(|entry| entry.section.as_deref() == section);
        entries.find(|entry| is_called(arg, &entry.name))
    };
    let of_entry = |entry: &Entry| {
        let value = |value| secret::sealed(&entry.name, OsString::from(value));
        let values = entry.values.iter().map(value).collect();
        Ok(Some((values, Origin::Line(entry.line))))
    };
    let mut found = Vec::new();
    for layer in [Layer::Variable, Layer::Section, Layer::Top] {
        let before = found.len();
        for arg in &settings {
            let Some(long) = arg.get_long() else { continue };
            if taken.contains(arg.get_id()) || is_excluded(sub, arg, &taken) {
                continue;
            }
            let set = match layer {
                Layer::Variable => from_variable(sub, arg, long, variables),
                Layer::Section => named(Some(sub.get_name()), arg).map_or(Ok(None), of_entry),
                Layer::Top => named(None, arg).map_or(Ok(None), of_entry),
            };
            if let Some((values, origin)) = set? {
                let switch = is_switch(arg);
                let (id, long) = (arg.get_id().clone(), long.to_owned());
                found.push(Found { id, long, values, switch, origin });
            }
        }
        taken.extend(found[before..].iter().map(|found: &Found| found.id.clone()));
    }
    Ok((path, found))
}

/// The sources besides the command line, in the order of precedence.
#[derive(Clone, Copy)]
enum Layer {
    Variable,
    Section,
    Top,
}

/// The setting of a variable.
fn from_variable(
    sub: &Command,
    arg: &Arg,
    long: &str,
    variables: Variables,
) -> Result<Option<(Vec<OsString>, Origin)>, Failure> {
    if sub.is_hide_set() && !long.starts_with("log") {
        return Ok(None);
    }
    let set = |name: String| Some((variables(&name)?, name));
    let Some((value, name)) = longs(arg).map(variable).find_map(set) else { return Ok(None) };
    let values = match (arg.get_action(), value.to_str()) {
        (ArgAction::Append, Some(text)) => {
            text.split(',').map(|part| OsString::from(part.trim())).collect()
        }
        _ => vec![secret::sealed(long, value)],
    };
    for value in &values {
        check_value(arg, value).map_err(|problem| {
            Failure::Usage(format!(
                "the environment variable {name} is {value:?}: {problem}; correct it or unset it"
            ))
        })?;
    }
    Ok(Some((values, Origin::Variable(name))))
}

/// Whether a flag conflicts with one of those that are set.
fn is_excluded(sub: &Command, arg: &Arg, taken: &[Id]) -> bool {
    let conflicts = |one: &Arg, with: &Id| {
        sub.get_arg_conflicts_with(one).iter().any(|other| other.get_id() == with)
    };
    let in_one_group = |with: &Id| {
        sub.get_groups().any(|group| {
            let mut group = group.clone();
            let has = |id: &Id| sub_group_has(&group, id);
            has(arg.get_id()) && has(with) && !group.is_multiple()
        })
    };
    taken.iter().any(|with| {
        let other = sub.get_arguments().find(|other| other.get_id() == with);
        conflicts(arg, with)
            || other.is_some_and(|other| conflicts(other, arg.get_id()))
            || in_one_group(with)
    })
}

fn sub_group_has(group: &clap::ArgGroup, id: &Id) -> bool {
    group.get_args().any(|member| member == id)
}

/// An error of the parser, with the sources of the settings in it.
fn explained(mut error: clap::Error, found: &[Found], path: &Option<PathBuf>) -> clap::Error {
    let text = error.to_string();
    let is_in = |found: &&Found| text.contains(&format!("--{}", found.long));
    let tip = |found: &Found| {
        format!("--{} is set by {}", found.long, found.origin.text(path.as_deref())).into()
    };
    let tips: Vec<_> = found.iter().filter(is_in).map(tip).collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// Checks that the file's keys are settings of some command, and that their values
/// are valid: for the command that runs or, if it has no such setting, for one
/// that has.
fn checked(
    (path, mode): (&Path, u32),
    entries: Vec<Entry>,
    command: &Command,
    sub: &Command,
    warnings: &mut Vec<String>,
) -> Result<Vec<Entry>, Failure> {
    let shown = Printable(path.display());
    let commands = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for entry in &entries {
        let Entry { section, name, line, .. } = entry;
        let fail = |problem: String| Err(Failure::Usage(format!("{shown}:{line}: {problem}")));
        let of = |sub: &Command| own_settings(sub).find(|arg| is_called(arg, name)).cloned();
        let named = |sub: &Command| of(sub).map(|arg| (sub.get_name().to_owned(), arg));
        let (runs, others): (_, Vec<_>) = match section {
            Some(section) => {
                let sub = commands().find(|sub| sub.get_name() == section);
                (sub.and_then(named), Vec::new())
            }
            None => {
                let rest = commands().filter(|other| other.get_name() != sub.get_name());
                (named(sub), rest.filter_map(named).collect())
            }
        };
        if name == "password" {
            if mode & 0o004 != 0 {
                return fail(format!(
                    "it holds a password, but its mode {mode:04o} lets other users read it; `chmod 600 {shown}`"
                ));
            }
            if mode & 0o040 != 0 && !secret_file::is_of_container(path) {
                warnings.push(format!(
                    "{shown}:{line}: there is a password, and the mode {mode:04o} lets the file's \
                     group read it; `chmod 600 {shown}`, unless the group is to know it"
                ));
            }
        }
        let arg = runs.as_ref().or(others.first()).map(|(_, arg)| arg);
        let is_same = |other: &&Entry| {
            let called = arg.is_some_and(|arg| is_called(arg, &other.name));
            called && other.section == *section && other.name != *name && other.line < *line
        };
        if let Some(Entry { name: other, line, .. }) = entries.iter().find(is_same) {
            return fail(format!("{name} is set in line {line} already, as {other}; remove one"));
        }
        let good = others.iter().find(|(_, arg)| entry.problem(arg).is_none());
        let problem = match (&runs, others.first()) {
            (Some((_, arg)), _) => entry.problem(arg).map(|problem| match good {
                Some((other, _)) => {
                    format!("{problem} (`{other}` takes it: put it under [{other}])")
                }
                None => problem,
            }),
            (None, Some(_)) if good.is_some() => None,
            (None, Some((_, arg))) => entry.problem(arg),
            (None, None) => return fail(unknown(name, section.as_deref(), command)),
        };
        if let Some(problem) = problem {
            return fail(problem);
        }
    }
    Ok(entries)
}

impl Entry {
    /// The problem of the entry as a value of a flag.
    fn problem(&self, arg: &Arg) -> Option<String> {
        let Entry { name, values, is_list, .. } = self;
        if *is_list && !matches!(arg.get_action(), ArgAction::Append) {
            return Some(format!("{name} takes one value, not a list; remove the brackets"));
        }
        values.iter().find_map(|value| {
            let problem = check_value(arg, OsStr::new(value)).err()?;
            Some(format!("{name} is {value:?}: {problem}; correct it or remove the line"))
        })
    }
}

fn unknown(name: &str, section: Option<&str>, command: &Command) -> String {
    let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let commands = commands.filter(|sub| section.is_none_or(|section| section == sub.get_name()));
    let names = commands.flat_map(Command::get_arguments).filter(|arg| is_setting(arg));
    let near = names
        .filter_map(Arg::get_long)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    let of = section.unwrap_or("COMMAND");
    match near {
        Some((_, known)) => format!("unknown key {name}; did you mean {known}?"),
        None => format!("unknown key {name}; the keys are the long flags of `tendmap {of} --help`"),
    }
}

/// Whether the file has `json = true` for this command.
fn asks_for_json(entries: &[Entry], command: &str) -> bool {
    let of = |section: Option<&str>| {
        entries.iter().find(|entry| entry.name == "json" && entry.section.as_deref() == section)
    };
    let entry = of(Some(command)).or_else(|| of(None));
    entry.is_some_and(|entry| entry.values.iter().all(|value| is_on(OsStr::new(value))))
}

#[cfg(test)]
mod tests;
