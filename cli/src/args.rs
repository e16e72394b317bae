//! The flags that several commands have.

use std::path::PathBuf;

use rustix::process::geteuid;
use tendmap::client::{Reader, Status, StatusError};
use tendmap::segment::{Backend, Place, SegmentError, parse_key, parse_users};

use crate::log;

/// Which segment.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Key of the segment, decimal or 0x… [default: 0xa7000000].
    #[arg(long, help_heading = MEMORY, value_name = "KEY", value_parser = key)]
    pub shm_key: Option<u32>,
    /// The kind of shared memory: file or sysv.
    ///
    /// `ls` shows segments of both kinds; `ipcs -m` lists those in sysv.
    #[arg(long, help_heading = MEMORY, value_name = "KIND", default_value_t = Backend::File,
        hide_short_help = true)]
    pub shm_backend: Backend,
    /// Directory of the segments, and of the lock files of those in sysv.
    #[arg(long, help_heading = MEMORY, value_name = "DIR", default_value = Place::DIRECTORY,
        hide_short_help = true)]
    pub shm_directory: PathBuf,
    /// Users besides yourself and root whose segments are trusted.
    ///
    /// Names or numbers, separated by commas; may be given several times.
    #[arg(long, help_heading = MEMORY, value_name = "USERS", value_parser = users,
        hide_short_help = true)]
    pub shm_owner: Vec<Users>,
    /// Accept a segment's file that its group may write (0020).
    ///
    /// Every member of the group can truncate such a file, which kills all
    /// attached processes with SIGBUS. Segments in sysv can't be truncated.
    #[arg(long, help_heading = MEMORY, hide_short_help = true)]
    pub shm_allow_group_write: bool,
}

/// The help heading of the flags for the segment.
pub const MEMORY: &str = "Shared memory";
/// The help heading of the flags for logins and TLS.
pub const SECURITY: &str = "Security";
const ANSWER: &str = "Output and settings";

/// How to answer.
#[derive(clap::Args, Clone, Debug)]
pub struct OutputArgs {
    /// Print answers and errors as JSON.
    ///
    /// An answer is one object on one line of standard output, an event of
    /// `tend` too; an error is one on standard error: {"error":{"message":…,
    /// "code":…,"hint":…}}, where `code` is the exit code.
    #[arg(long, help_heading = ANSWER)]
    pub json: bool,
    /// A configuration file, TOML: its keys are the flags without their dashes.
    ///
    /// Keys under [COMMAND] apply to that command only, and take precedence
    /// over those at the top.
    #[arg(long, help_heading = ANSWER, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Levels of the library's log that go to standard error.
    ///
    /// One of error, warn, info, debug and trace, or such a level for each part
    /// of the library (PART=LEVEL,PART=LEVEL…).
    #[arg(long, help_heading = ANSWER, value_name = "LEVEL", value_parser = log::parse,
        hide_short_help = true)]
    pub log: Option<String>,
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
    /// The key, the default one if none was given.
    pub fn key(&self) -> u32 {
        self.shm_key.unwrap_or(Place::KEY)
    }

    /// Opens the segment for commands that only look. Root may look at any user's
    /// segment if there is none that it trusts; the output names the user. To find
    /// the directory of a key, and to tend, it relies only on segments that it trusts.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn look(&self) -> Result<Reader, SegmentError> {
        let mut place = self.place();
        loop {
            match Reader::look(&place) {
                Err(SegmentError::Owner { found, .. }) if also_trusts(&place, found) => {
                    place.owners.push(found);
                }
                other => return other,
            }
        }
    }

    /// The status of the segment that [`look`](Self::look) opens.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn status(&self) -> Result<Status, StatusError> {
        let mut place = self.place();
        loop {
            match Status::look(&place) {
                Err(StatusError::Segment(SegmentError::Owner { found, .. }))
                    if also_trusts(&place, found) =>
                {
                    place.owners.push(found);
                }
                other => return other,
            }
        }
    }

    /// The users that are trusted besides the process's own and root.
    pub fn owners(&self) -> Vec<u32> {
        self.shm_owner.iter().flat_map(|users| users.0.iter().copied()).collect()
    }

    /// Where the segment is.
    pub fn place(&self) -> Place {
        Place {
            backend: self.shm_backend,
            directory: self.shm_directory.clone(),
            owners: self.owners(),
            allow_group_write: self.shm_allow_group_write,
            ..Place::of_key(self.key())
        }
    }
}

/// Whether a command that only looks may look at other users' segments, too.
fn also_trusts(place: &Place, user: u32) -> bool {
    geteuid().is_root() && !place.owners.contains(&user)
}

/// Parses one element of a list.
#[derive(Clone, Debug)]
pub struct Users(Vec<u32>);

fn users(text: &str) -> Result<Users, String> {
    parse_users(text).map(Users).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<u32, String> {
    parse_key(text).map_err(|error| error.to_string())
}
