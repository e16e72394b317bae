//! Help, and errors of the command line, as text or JSON.

use std::ffi::OsString;

use clap::error::{ContextValue, ErrorKind};
use tendmap::internals::text::Printable;

use super::definition::with_variables;
use super::{Unsettled, wants_json};
use crate::failure::{Failure, error_json};

/// The requested help. The long help names the variables.
pub(super) fn help(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let long = arguments.iter().any(|argument| argument == "--help" || argument == "help");
    if error.kind() != ErrorKind::DisplayHelp || !long {
        return error;
    }
    match with_variables().try_get_matches_from(arguments) {
        Err(shown) if shown.kind() == ErrorKind::DisplayHelp => shown,
        _ => error,
    }
}

/// Escapes the values in an error, because they may come from the file.
pub(super) fn printable(mut error: clap::Error) -> clap::Error {
    let escaped = |text: &String| Printable(text).to_string();
    let values: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(escaped(text)))),
            ContextValue::Strings(texts) => {
                Some((kind, ContextValue::Strings(texts.iter().map(escaped).collect())))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in values {
        error.insert(kind, value);
    }
    error
}

impl Unsettled {
    /// Prints the error or help; returns the exit code.
    pub fn report(self) -> u8 {
        self.report_as(wants_json())
    }

    fn report_as(self, json: bool) -> u8 {
        let error = match self {
            Unsettled::Usage(error) => error,
            Unsettled::Failure(failure) => return failure.report(json),
            Unsettled::InJson(error) => return error.report_as(true),
        };
        let code = u8::try_from(error.exit_code()).unwrap_or(2);
        if !error.use_stderr() {
            return match error.print() {
                Ok(()) => code,
                Err(failed) => Failure::from(failed).report(json),
            };
        }
        if json {
            let (message, hint) = match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                | ErrorKind::MissingSubcommand => {
                    ("a command is missing".to_owned(), "see `tendmap --help`".to_owned())
                }
                _ => in_parts(&error.to_string()),
            };
            error_json(&message, code, Some(&hint));
        } else {
            // If standard error is closed too, there is no way to report it.
            let _ = error.print();
        }
        code
    }
}

/// Splits an error of the parser into the message and the advice.
fn in_parts(text: &str) -> (String, String) {
    let joined = |lines: Vec<&str>| {
        lines
            .into_iter()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines = || text.lines();
    let rest = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("tip:") || line.starts_with("Usage:") || line.starts_with("For more")
    };
    let message = joined(lines().take_while(|line| !rest(line)).collect());
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let tips = lines().filter_map(|line| line.trim_start().strip_prefix("tip:"));
    let tips = joined(tips.collect());
    let usage = lines().find_map(|line| line.trim_start().strip_prefix("Usage:"));
    let hint = match (tips.is_empty(), usage) {
        (false, _) => tips,
        (true, Some(usage)) => format!("usage: {}", usage.trim()),
        (true, None) => "see `tendmap --help`".to_owned(),
    };
    (message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tendmap::internals::text::is_printable;

    #[test]
    fn h113_an_argument_does_nothing_to_a_terminal() {
        for args in [["tendmap", "\u{1b}[2J\r\u{202e}"], ["tendmap", "--\u{9b}31m"]] {
            let error = super::super::definition().try_get_matches_from(args).unwrap_err();
            let text = printable(error).to_string();
            let foreign = |character: &char| !is_printable(*character) && *character != '\n';
            assert_eq!(text.chars().find(foreign), None, "{text:?}");
            assert!(text.contains("\\u{"), "{text}");
        }
    }

    #[test]
    fn a_usage_error_falls_into_a_message_and_a_hint() {
        let text = "error: unexpected argument '--forc' found\n\n  tip: a similar argument exists: \
                    '--force'\n\nUsage: tendmap rm --force\n\nFor more information, try '--help'.\n";
        let (message, hint) = in_parts(text);
        assert_eq!(message, "unexpected argument '--forc' found");
        assert_eq!(hint, "a similar argument exists: '--force'");
        let text = "error: the following required arguments were not provided:\n  --host <HOST>\n\n\
                    Usage: tendmap tend --host <HOST>\n";
        let (message, hint) = in_parts(text);
        assert!(message.ends_with("not provided: --host <HOST>"), "{message}");
        assert_eq!(hint, "usage: tendmap tend --host <HOST>");
    }
}
