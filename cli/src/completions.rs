//! `tendmap completions`: what a shell needs to complete the command line.

use clap::builder::ValueHint;
use clap::{Arg, Command, ValueEnum};
use clap_complete::{aot, generate};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::settings::definition;

/// The flags of `tendmap completions`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that are completed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// For a file `tendmap` in ~/.local/share/bash-completion/completions.
    Bash,
    /// For a file `_tendmap` in a directory of $fpath.
    Zsh,
    /// For a file `tendmap.fish` in ~/.config/fish/completions.
    Fish,
}

/// Prints the script of a shell.
///
/// # Errors
/// [`Failure`] if it can't be written.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let script = script(args.shell);
    let shell = args.shell.to_possible_value().map(|value| value.get_name().to_owned());
    Ok(output.verbatim(|| json!({ "shell": shell, "script": script }), &script)?)
}

/// The script, which completes all visible commands and flags.
fn script(shell: Shell) -> String {
    let mut command = visible(&definition());
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(aot::Bash, &mut command, "tendmap", &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut command, "tendmap", &mut script),
        Shell::Fish => generate(aot::Fish, &mut command, "tendmap", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}

/// A command without the parts that help does not show, which the generators would
/// complete as well.
fn visible(command: &Command) -> Command {
    let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut copy = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).map(hinted))
        .subcommands(subcommands.map(visible))
        .disable_help_subcommand(true)
        .disable_version_flag(command.get_version().is_none());
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    match command.get_version() {
        Some(version) => copy.version(version.to_owned()),
        None => copy,
    }
}

/// An argument with a hint by the name of its value: only files are completed as files.
fn hinted(arg: &Arg) -> Arg {
    let names = arg.get_value_names().unwrap_or_default();
    let hint = match names.first().map(|name| name.as_str()) {
        Some("FILE") => ValueHint::FilePath,
        Some("DIR") => ValueHint::DirPath,
        _ => ValueHint::Other,
    };
    if arg.get_action().takes_values() { arg.clone().value_hint(hint) } else { arg.clone() }
}
