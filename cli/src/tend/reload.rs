//! Reads the configuration again while the command runs.

use std::time::{Duration, Instant};

use tendmap::client::{Client, Setting};
use tendmap::internals::text::Printable;

use super::Args;
use crate::args::Placed;
use crate::event::Told;
use crate::log::Log;
use crate::settings::{self, Origins, PasswordFile, Settings, Version};
use crate::{Cli, Command};

/// Applies settings that have changed.
pub struct Reload {
    /// The settings that were applied last.
    origins: Origins,
    /// The last version of the password's file that was tried, and when the file
    /// was last looked at.
    tried: Option<Version>,
    looked: Instant,
}

/// How often to check whether the password's file has changed.
const LOOK: Duration = Duration::from_secs(5);

impl Reload {
    /// Starts from these settings.
    pub fn new(origins: Origins) -> Reload {
        Reload { origins, tried: None, looked: Instant::now() }
    }

    /// Reads flags, environment and file again and applies what can change
    /// while the client runs; returns the events to report. If anything is
    /// wrong, nothing changes.
    pub fn run(&mut self, client: &Client, log: &Log) -> Vec<Told> {
        let (args, origins) = match read(&self.origins) {
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
        told.extend(exposed(&self.origins, origins.password_file.as_ref()));
        (self.origins, self.tried) = (origins, None);
        settings::forget(&self.origins);
        told
    }

    /// Reads the password's file again if it has changed.
    pub fn follow(&mut self, client: &Client) -> Option<Vec<Told>> {
        let file = self.origins.password_file.as_ref()?;
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let read = match file.news(&mut self.tried) {
            Ok(read) => read?,
            Err(problem) => return Some(vec![Told::reload_failed(problem.to_string())]),
        };
        let mut told: Vec<Told> = exposed(&self.origins, Some(&read)).into_iter().collect();
        if read.differs(file) {
            if let Some(Err(error)) = read.password().map(|password| client.set_password(password))
            {
                return Some(vec![Told::reload_failed(error.to_string())]);
            }
            told.push(Told::reloaded(vec!["password-file".to_owned()]));
        }
        (self.origins.password_file, self.tried) = (Some(read), None);
        settings::forget(&self.origins);
        Some(told)
    }
}

/// The event that other users may read the password's file, unless it was reported.
fn exposed(old: &Origins, new: Option<&PasswordFile>) -> Option<Told> {
    let (new, mode) = new.and_then(|file| Some((file, file.exposed?)))?;
    let known = |old: &PasswordFile| (&old.path, old.exposed) == (&new.path, Some(mode));
    let is_known = old.password_file.as_ref().is_some_and(known);
    (!is_known).then(|| Told::secret_exposed(&new.path, mode))
}

fn read(old: &Origins) -> Result<(Placed<Args>, Origins), String> {
    // Opening a pipe would wait for a writer, and its content was already read.
    let files = old.file().into_iter().chain(old.password_file.as_ref().map(|file| &*file.path));
    let mut pipes = files.filter(|path| path.exists() && !path.is_file());
    if let Some(path) = pipes.next() {
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
    // The name of the flag for a file with it.
    let name = if name == "password-file" { "password" } else { name };
    let setting = Setting::find(&name.replace('-', "_"))?;
    let changed = setting.change(client, &args.own.config(&args.common))?;
    Some(changed.map_err(|error| error.to_string()))
}
