//! Checks the values of flags.

use std::ffi::{OsStr, OsString};

use clap::builder::BoolishValueParser;
use clap::error::ContextKind;
use clap::{Arg, ArgAction, Command};

use super::definition::is_switch;

/// Checks a value with the flag's own parser.
///
/// # Errors
/// The value that the parser wanted.
pub fn check_value(arg: &Arg, value: &OsStr) -> Result<(), String> {
    let parser = match is_switch(arg) {
        true => BoolishValueParser::new().into(),
        false => arg.get_value_parser().clone(),
    };
    let alone = Arg::new("value").long("value").action(ArgAction::Set).value_parser(parser);
    let command = Command::new("tendmap").no_binary_name(true).disable_help_flag(true).arg(alone);
    let mut flag = OsString::from("--value=");
    flag.push(value);
    match command.try_get_matches_from([flag]) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// The message of a parser without the usage around it.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(valid) => format!("wanted one of {valid}"),
        None => "not a valid value".to_owned(),
    }
}

/// Whether this value turns a switch on.
pub fn is_on(value: &OsStr) -> bool {
    let value = value.to_string_lossy().to_lowercase();
    matches!(&*value, "y" | "yes" | "t" | "true" | "on" | "1")
}
