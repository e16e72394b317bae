//! Where settings come from: flags, before environment variables, before the
//! configuration file, before what is built in.
//!
//! The flags are the one list of names. The variable of a flag is `TENDMAP_`
//! and its name in capitals; its key in the file is its name. Both are checked
//! by the very parser of the flag.

mod file;

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::error::ContextKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory, FromArgMatches};

use crate::Cli;
use crate::args::Common;
use crate::failure::Failure;
use crate::{route, tend};
use file::Entry;

/// The commands whose own flags are settings; those of [`Common`] are so
/// everywhere but in the workers that this tool starts itself.
const COMMANDS: [&str; 2] = ["tend", "check"];
const WORKER: &str = "worker";
/// The one setting of `route`.
const PREFER_RACK: &str = "prefer-rack";
/// These say what to do with the settings.
const NO_KEYS: [&str; 2] = ["config", "json"];

/// The command line as it was understood.
pub struct Settings {
    /// What to do.
    pub cli: Cli,
    /// Where that is from.
    pub origins: Origins,
}

/// Why there are no settings.
pub enum Unsettled {
    /// The command line asks for help, or can't be.
    Usage(clap::Error),
    /// The environment or the file can't be.
    Failure(Failure),
}

impl core::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unsettled::Usage(error) => write!(f, "{}", error.to_string().trim_end()),
            Unsettled::Failure(failure) => write!(f, "{failure}"),
        }
    }
}

/// Reads command line, environment and configuration file.
///
/// # Errors
/// [`Unsettled`].
pub fn load() -> Result<Settings, Unsettled> {
    let arguments: Vec<OsString> = env::args_os().collect();
    let command = with_environment(Cli::command(), &arguments);
    let path = file_of(&command, &arguments);
    let entries = match &path {
        Some(path) => file::read(path)
            .and_then(|entries| checked(path, entries))
            .map_err(Unsettled::Failure)?,
        None => Vec::new(),
    };
    let command = with_defaults(command, &entries);
    let matches =
        command.try_get_matches_from(&arguments).map_err(|error| match bad_variable(&error) {
            Some(failure) => Unsettled::Failure(failure),
            None => Unsettled::Usage(error),
        })?;
    let cli = Cli::from_arg_matches(&matches).map_err(Unsettled::Usage)?;
    Ok(Settings { cli, origins: Origins { matches, path, entries } })
}

/// Every setting there is.
fn settings() -> Vec<Arg> {
    let common = Common::augment_args(Command::new("common"));
    let tend = tend::Args::augment_args(Command::new("tend"));
    let route = route::Args::augment_args(Command::new("route")).mut_args(|arg| {
        // The others say what to route.
        if arg.get_long() == Some(PREFER_RACK) { arg } else { arg.long(None) }
    });
    let mut settings: Vec<Arg> = Vec::new();
    for arg in [common, tend, route].iter().flat_map(Command::get_arguments) {
        let known = settings.iter().any(|known| known.get_long() == arg.get_long());
        if arg.get_long().is_some() && !known {
            settings.push(arg.clone());
        }
    }
    settings
}

fn variable(long: &str) -> String {
    format!("TENDMAP_{}", long.to_uppercase().replace('-', "_"))
}

/// Changes every argument that is a setting.
fn each_setting(command: Command, change: impl Fn(Arg) -> Arg + Copy) -> Command {
    command.mut_args(change).mut_subcommands(|sub| match sub.get_name() {
        "route" => sub.mut_arg("prefer_rack", change),
        name if COMMANDS.contains(&name) => sub.mut_args(change),
        _ => sub,
    })
}

fn with_environment(command: Command, arguments: &[OsString]) -> Command {
    // A worker gets all that it needs, but what to log, from who starts it.
    let is_worker = arguments.get(1).is_some_and(|first| first == WORKER);
    each_setting(command, |arg| {
        // A flag outdoes its variable, however bad that is. (clap looks at the
        // variables of global flags before it sees those after the command.)
        let outdone = |long: &str| arguments.iter().any(|argument| is_flag(argument, long));
        let long = arg.get_long().filter(|long| !is_worker || *long == "log");
        let long = long.filter(|long| !outdone(long));
        let Some(variable) = long.map(variable) else { return arg };
        let arg = if is_switch(&arg) { arg.value_parser(BoolishValueParser::new()) } else { arg };
        arg.env(variable).hide_env_values(true)
    })
}

/// Whether an argument is that flag.
fn is_flag(argument: &OsString, long: &str) -> bool {
    let argument = argument.to_string_lossy();
    let rest = argument.strip_prefix("--").and_then(|flag| flag.strip_prefix(long));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Whether it is a flag without a value.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// The configuration file that flags or environment name.
fn file_of(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    let within = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    within.try_get_one::<PathBuf>("config").ok().flatten().cloned()
}

fn with_defaults(command: Command, entries: &[Entry]) -> Command {
    each_setting(command, |arg| {
        let entry = entries.iter().find(|entry| Some(&*entry.name) == arg.get_long());
        match entry {
            Some(entry) => {
                // Not shown in the help: it may be a password.
                let hidden = !is_switch(&arg);
                let values = entry.values.clone();
                arg.default_values(values).hide_default_value(hidden).required(false)
            }
            None => arg,
        }
    })
}

/// Checks that the file's keys are settings and that their values can be.
fn checked(path: &Path, entries: Vec<Entry>) -> Result<Vec<Entry>, Failure> {
    let settings = settings();
    for entry in &entries {
        let Entry { name, line, values, is_list } = entry;
        let fail =
            |problem: String| Err(Failure::Usage(format!("{}:{line}: {problem}", path.display())));
        let known = |arg: &&Arg| arg.get_long() == Some(name) && !NO_KEYS.contains(&&**name);
        let Some(arg) = settings.iter().find(known) else {
            return fail(unknown(name, &settings));
        };
        if name == "password" {
            if let Some(mode) = readable_by_others(path) {
                let path = path.display();
                return fail(format!(
                    "there is a password, but its mode {mode:04o} lets other users read it; `chmod 600 {path}`"
                ));
            }
        }
        if *is_list && !matches!(arg.get_action(), ArgAction::Append) {
            return fail(format!("{name} takes one value, not a list; remove the brackets"));
        }
        for value in values {
            if let Err(problem) = check_value(arg, value) {
                return fail(format!(
                    "{name} is {value:?}: {problem}; correct it or remove the line"
                ));
            }
        }
    }
    Ok(entries)
}

/// The mode of a file that not only its user may read.
fn readable_by_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o044 != 0).then_some(mode)
}

fn unknown(name: &str, settings: &[Arg]) -> String {
    let names = settings.iter().filter_map(Arg::get_long).filter(|name| !NO_KEYS.contains(name));
    let near = names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    match near {
        Some((_, known)) => format!("unknown key {name}; did you mean {known}?"),
        None => format!("unknown key {name}; the keys are the long flags of `tendmap tend --help`"),
    }
}

/// Asks the flag's own parser.
fn check_value(arg: &Arg, value: &str) -> Result<(), String> {
    let parser = match is_switch(arg) {
        true => BoolishValueParser::new().into(),
        false => arg.get_value_parser().clone(),
    };
    let alone = Arg::new("value").long("value").action(ArgAction::Set).value_parser(parser);
    let command = Command::new("tendmap").no_binary_name(true).disable_help_flag(true).arg(alone);
    match command.try_get_matches_from([format!("--value={value}")]) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// What a parser had to say, without the usage around it.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(valid) => format!("wanted one of {valid}"),
        None => "not a value that it takes".to_owned(),
    }
}

/// The variable that a usage error is about, if it is about one.
fn bad_variable(error: &clap::Error) -> Option<Failure> {
    let about = error.get(ContextKind::InvalidArg)?.to_string();
    let arg = settings().into_iter().find(|arg| {
        let long = arg.get_long().unwrap_or_default();
        about.strip_prefix("--").and_then(|about| about.split([' ', '=']).next()) == Some(long)
    })?;
    let long = arg.get_long()?;
    let value = env::var(variable(long)).ok()?;
    let problem = check_value(&arg, &value).err()?;
    let variable = variable(long);
    Some(Failure::Usage(format!(
        "the environment variable {variable} is {value:?}: {problem}; correct it or unset it"
    )))
}

/// Where each setting is from.
pub struct Origins {
    matches: ArgMatches,
    path: Option<PathBuf>,
    entries: Vec<Entry>,
}

impl Origins {
    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The settings that differ from other ones, as flags without dashes.
    pub fn changed(&self, other: &Origins) -> Vec<String> {
        let raw = |origins: &Origins, id: &str| -> Option<Vec<OsString>> {
            let matches = origins.matches();
            matches.try_contains_id(id).ok()?;
            Some(matches.get_raw(id)?.map(Into::into).collect())
        };
        let settings = settings().into_iter();
        let differs = settings.filter(|arg| {
            let id = arg.get_id().as_str();
            raw(self, id) != raw(other, id)
        });
        differs.filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
    }

    /// The matches of the command that was given.
    fn matches(&self) -> &ArgMatches {
        self.matches.subcommand().map_or(&self.matches, |(_, matches)| matches)
    }

    /// What is wrong with a setting, with where it was set. `problem` begins
    /// with the name of the setting (`tend_interval is …`).
    pub fn explain(&self, problem: &str) -> String {
        let name: String =
            problem.chars().take_while(|&c| c.is_ascii_lowercase() || c == '_').collect();
        match self.of(&name) {
            Some(origin) => format!("{problem} (set by {origin})"),
            None => problem.to_owned(),
        }
    }

    /// Where a setting was set; `None` if it is as built in, or none.
    fn of(&self, name: &str) -> Option<String> {
        let long = name.replace('_', "-");
        let matches = self.matches();
        // Those of TLS are called by the names of their files.
        let named = |arg: &Arg| {
            let found = arg.get_long().unwrap_or_default();
            found == long || found.strip_prefix("tls-") == Some(&long)
        };
        let arg = settings().into_iter().find(named)?;
        let (id, long) = (arg.get_id().as_str(), arg.get_long()?);
        // Ids that the command does not have make clap panic.
        matches.try_contains_id(id).ok()?;
        match matches.value_source(id)? {
            ValueSource::CommandLine => Some(format!("--{long}")),
            ValueSource::EnvVariable => Some(variable(long)),
            _ => {
                let entry = self.entries.iter().find(|entry| entry.name == long)?;
                Some(format!("{}:{}", self.path.as_ref()?.display(), entry.line))
            }
        }
    }
}
