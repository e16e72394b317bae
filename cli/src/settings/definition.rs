//! The parser's definition of commands and flags.

use std::ffi::OsString;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::Cli;

/// Flags that are not settings.
const NO_SETTINGS: [&str; 3] = ["config", "help", "version"];

/// Shared flags that have no effect on some commands. They are accepted but not
/// shown.
const WITHOUT_MEANING: &[(&str, &[&str])] = &[
    // Its segments are in a temporary directory.
    ("demo", &["shm-owner", "shm-allow-group-write"]),
    // They use no segment, but scripts may pass every command the same flags.
    ("check", NO_SEGMENT),
    ("sim", NO_SEGMENT),
    ("completions", NO_SEGMENT),
    ("man", NO_SEGMENT),
    // It lists the segments of both backends and of all users.
    ("ls", &["shm-backend", "shm-owner", "shm-allow-group-write"]),
    ("metrics", &["shm-backend", "shm-owner", "shm-allow-group-write"]),
    // They read a private copy, so changes of the file can't harm them.
    ("status", &["shm-allow-group-write"]),
    ("watch", &["shm-allow-group-write"]),
    ("map", &["shm-allow-group-write"]),
    ("verify", &["shm-allow-group-write"]),
    ("c-client", &["shm-allow-group-write"]),
    ("route", &["shm-allow-group-write"]),
];
const NO_SEGMENT: &[&str] =
    &["shm-key", "shm-backend", "shm-directory", "shm-owner", "shm-allow-group-write"];

const SHORT: &str = "`--help` shows all options, and the other ways to set them.";
const PLACES: &str = "\
An option can be set in three ways: by its flag; by an environment variable of
the same name (--tend-interval, TENDMAP_TEND_INTERVAL; several values with commas
in between); by a line in the file that --config names (tend-interval = \"1s\").
An earlier way in this list takes precedence over a later one.";

/// The whole command line.
pub fn definition() -> Command {
    Cli::command().mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        sub.after_help(SHORT).after_long_help(PLACES).mut_args(|arg| {
            let hidden = arg.get_long().is_some_and(|long| means_nothing(&name, long));
            if hidden { arg.hide(true) } else { arg }
        })
    })
}

/// The whole command line with the variables, for display, not for parsing.
pub fn with_variables() -> Command {
    definition().mut_subcommands(|sub| {
        sub.mut_args(|arg| {
            if !(is_setting(&arg) || arg.get_long() == Some("config")) {
                return arg;
            }
            let name = variable(arg.get_long().unwrap_or_default());
            // Help must work whatever the variable contains.
            let arg =
                if is_switch(&arg) { arg } else { arg.value_parser(OsStringValueParser::new()) };
            arg.env(name).hide_env_values(true)
        })
    })
}

fn means_nothing(command: &str, long: &str) -> bool {
    WITHOUT_MEANING.iter().any(|(name, longs)| *name == command && longs.contains(&long))
}

/// Whether a flag has an effect on a command.
fn has_meaning(sub: &Command, arg: &Arg) -> bool {
    !means_nothing(sub.get_name(), arg.get_long().unwrap_or_default())
}

/// Whether a flag is a setting.
pub fn is_setting(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !NO_SETTINGS.contains(&long))
}

/// The settings of a command.
pub fn own_settings(sub: &Command) -> impl Iterator<Item = &Arg> {
    sub.get_arguments().filter(|arg| is_setting(arg) && has_meaning(sub, arg))
}

/// The names of a flag, without dashes: first its own, then aliases.
pub fn longs(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default())
}

/// Whether a flag has this name.
pub fn is_called(arg: &Arg, name: &str) -> bool {
    longs(arg).any(|long| long == name)
}

/// The environment variable of a flag.
pub fn variable(long: &str) -> String {
    format!("TENDMAP_{}", long.to_uppercase().replace('-', "_"))
}

/// Whether a flag takes no value.
pub fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Moves flags before the command behind it. Without a command they have no
/// meaning.
pub fn command_first(command: &Command, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(argument) = arguments.get(at).map(|argument| argument.to_string_lossy()) {
        if command.find_subcommand(&*argument).is_some() {
            arguments[1..=at].rotate_right(1);
            return arguments;
        }
        let Some(flag) = argument.strip_prefix("--") else { return arguments };
        let (long, joined) = flag.split_once('=').map_or((flag, false), |(long, _)| (long, true));
        let args = command.get_subcommands().flat_map(Command::get_arguments);
        let mut args = args.filter(|arg| is_setting(arg) || arg.get_long() == Some("config"));
        let Some(arg) = args.find(|arg| is_called(arg, long)) else { return arguments };
        at += if joined || is_switch(arg) { 1 } else { 2 };
    }
    arguments.truncate(1);
    arguments
}
