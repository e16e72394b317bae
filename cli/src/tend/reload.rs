//! Reads the configuration again while the command runs.

use std::path::Path;

use tendmap::client::{Client, Setting};
use tendmap::internals::text::Printable;

use super::Args;
use crate::args::Placed;
use crate::event::Told;
use crate::log::Log;
use crate::settings::{self, Origins, Settings};
use crate::{Cli, Command};

/// Applies settings that have changed.
pub struct Reload {
    /// The settings that were applied last.
    origins: Origins,
}

impl Reload {
    /// Starts from these settings.
    pub fn new(origins: Origins) -> Reload {
        Reload { origins }
    }

    /// Reads flags, environment and file again and applies what can change
    /// while the client runs; returns the events to report. If anything is
    /// wrong, nothing changes.
    pub fn run(&mut self, client: &Client, log: &Log) -> Vec<Told> {
        let (args, origins) = match read(self.origins.file()) {
            Ok(read) => read,
            Err(problem) => return vec![Told::reload_failed(problem)],
        };
        if let Err(error) = args.own.config(&args.common).check() {
            return vec![Told::reload_failed(origins.explain(&error.to_string()))];
        }
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        let mut changed = self.origins.changed(&origins);
        // A setting that can't be refused comes last, so that either all settings
        // are applied or none.
        changed.sort_by_key(|name| name == "log");
        for name in changed {
            match take(&name, &args, client, log) {
                Some(Ok(())) => taken.push(name),
                Some(Err(problem)) => {
                    return vec![Told::reload_failed(origins.explain(&problem))];
                }
                None => left.push(name),
            }
        }
        let mut told = vec![Told::reloaded(taken)];
        if !left.is_empty() {
            told.push(Told::restart_needed(left));
        }
        self.origins = origins;
        told
    }
}

fn read(file: Option<&Path>) -> Result<(Placed<Args>, Origins), String> {
    // Opening a pipe would wait for a writer, and its content was already read.
    if let Some(path) = file.filter(|path| path.exists() && !path.is_file()) {
        let shown = Printable(path.display());
        return Err(format!("{shown} is not a regular file, so it can be read only once; restart"));
    }
    match settings::load() {
        Ok(Settings { cli: Cli { command: Command::Tend(args) }, origins }) => Ok((*args, origins)),
        Ok(_) => Err("another command is configured".to_owned()),
        Err(unsettled) => Err(unsettled.to_string()),
    }
}

/// Applies one setting; `None` if that requires a restart.
fn take(name: &str, args: &Placed<Args>, client: &Client, log: &Log) -> Option<Result<(), String>> {
    if name == "log" {
        log.set(args.output.log.as_deref());
        return Some(Ok(()));
    }
    let setting = Setting::find(&name.replace('-', "_"))?;
    let changed = setting.change(client, &args.own.config(&args.common))?;
    Some(changed.map_err(|error| error.to_string()))
}
