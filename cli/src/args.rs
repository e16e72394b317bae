//! Flags that several commands share.

use std::path::PathBuf;

use clap::{ArgMatches, Command};
use tendmap::client::{Config, Reader, Status, StatusError};
use tendmap::segment::{Place, SegmentError};

use crate::flags::{Flags, Which};
use crate::log;

/// The flags that select a segment.
#[derive(Clone, Debug)]
pub struct Common {
    flags: Flags<Which>,
    /// The place of the segment, with the default key if none was given.
    place: Place,
}

impl clap::Args for Common {
    fn augment_args(command: Command) -> Command {
        Flags::<Which>::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Common {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Common, clap::Error> {
        let flags = Flags::from_arg_matches(matches)?;
        Ok(Common { place: flags.config().place(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Common::from_arg_matches(matches)?;
        Ok(())
    }
}

const ANSWER: &str = "Output and settings";

/// The flags for output and configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct OutputArgs {
    /// Print answers and errors as JSON.
    ///
    /// An answer is one object on one line of standard output; an error is one
    /// on standard error: {"error":{"message":…,"code":…,"hint":…}}, where
    /// `code` is the exit code. The log is JSON too: see --log-format.
    #[arg(long, help_heading = ANSWER)]
    pub json: bool,
    /// A configuration file, TOML: its keys are the flags without their dashes.
    ///
    /// Keys under [COMMAND] apply to that command only, and take precedence
    /// over those at the top.
    #[arg(long, help_heading = ANSWER, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The least level that is logged.
    ///
    /// One of error, warn, info, debug and trace, or such a level for each part
    /// (PART=LEVEL,PART=LEVEL…). `tend` logs to standard output: its events (the
    /// part tendmap::event) and the messages of the library, by default all
    /// events and messages from info. Other commands log messages to standard
    /// error, by default none.
    #[arg(long, help_heading = ANSWER, value_name = "LEVEL", value_parser = log::parse,
        hide_short_help = true)]
    pub log: Option<String>,
    /// The format of the log [default: json with --json, else text].
    ///
    /// Each line has the time (UTC), the level and the message with its values.
    /// To the journal of systemd, text has a priority instead of the time.
    #[arg(long, help_heading = ANSWER, value_name = "FORMAT", hide_short_help = true,
        hide_possible_values = true, value_enum)]
    pub log_format: Option<log::Format>,
}

impl OutputArgs {
    /// The format of the log.
    pub fn log_format(&self) -> log::Format {
        let default = if self.json { log::Format::Json } else { log::Format::Text };
        self.log_format.unwrap_or(default)
    }
}

/// A command's own flags, and those of commands on a segment.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "placed")]
pub struct Placed<A: clap::Args> {
    #[command(flatten)]
    pub own: A,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A command without flags of its own.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "none")]
pub struct Nothing {}

impl Common {
    /// The key that was given.
    pub fn given_key(&self) -> Option<u32> {
        self.flags.has("shm_key").then_some(self.place.key)
    }

    /// Applies the flags to a configuration.
    pub fn apply(&self, config: &mut Config) {
        self.flags.apply(config);
    }

    /// Opens the segment for commands that only read. If root finds no segment of a
    /// trusted user, it may read another user's; the output names the user. For the
    /// directory of a key, and for tending, root uses only trusted segments.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn look(&self) -> Result<Reader, SegmentError> {
        Reader::inspect(&self.place)
    }

    /// The status of the segment that [`look`](Self::look) opens.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn status(&self) -> Result<Status, StatusError> {
        Status::look(&self.place)
    }

    /// The place of the segment.
    pub fn place(&self) -> Place {
        self.place.clone()
    }
}
