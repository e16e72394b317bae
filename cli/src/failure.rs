//! Failures of commands, and their exit codes.

use std::io::{self, Write as _};

use serde_json::{Value, json};
use tendmap::client::{ConnectError, StatusError};
use tendmap::internals::layout::HeaderError;
use tendmap::map::SnapshotError;
use tendmap::route::RouteError;
use tendmap::segment::SegmentError;
use tendmap::sim::SimError;

use crate::json::line;
use crate::output::complain;

/// What the help says of exit codes and of settings.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    answered
  1    unhealthy or stale (status, one of them with --all; c-client status);
       no owner at work (status --live); tending would work, with problems
       (check); the map and the cluster differ, or a node does not answer
       (verify)
  2    usage: an invalid flag, key or setting
  3    no such segment
  4    a segment of another layout version
  5    a corrupt segment
  6    failed for another reason, which the message gives
  141  the reader of the output has closed it

With --json an error is JSON, too, on standard error:
{\"error\":{\"message\":…,\"code\":…,\"hint\":…}}; `code` is the exit code.

An option can be set in three ways: by its flag; by an environment variable of
the same name (--tend-interval, TENDMAP_TEND_INTERVAL); by a line in the file
that --config names (tend-interval = \"1s\"). An earlier way in this list takes
precedence over a later one. One file may serve all commands: a command ignores
the keys of others, and keys under [COMMAND] apply to that command only.";

/// Why a command failed, with the exit code in parentheses.
#[derive(Debug)]
pub enum Failure {
    /// The output was closed by its reader (141, as for a process that SIGPIPE
    /// ended).
    Pipe,
    /// The command has answered, and the segment is unhealthy (1).
    Unhealthy,
    /// An invalid flag or setting (2).
    Usage(String),
    /// No such segment (3).
    NotFound(String),
    /// Another layout version (4).
    OtherVersion(String),
    /// A damaged segment (5).
    Corrupt(String),
    /// Any other failure (6).
    Failed(String),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Failure::Pipe => f.write_str("the output was closed"),
            Failure::Unhealthy => f.write_str("unhealthy"),
            Failure::Usage(text)
            | Failure::NotFound(text)
            | Failure::OtherVersion(text)
            | Failure::Corrupt(text)
            | Failure::Failed(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// Reports the failure on standard error, as JSON or text; returns the exit
    /// code.
    pub fn report(self, json: bool) -> u8 {
        let code = self.code();
        if matches!(self, Failure::Pipe | Failure::Unhealthy) {
            return code;
        }
        if json {
            error_json(&self.to_string(), code, self.hint());
        } else {
            complain(&self.to_string());
        }
        code
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Pipe => 141,
            Failure::Unhealthy => 1,
            Failure::Usage(_) => 2,
            Failure::NotFound(_) => 3,
            Failure::OtherVersion(_) => 4,
            Failure::Corrupt(_) => 5,
            Failure::Failed(_) => 6,
        }
    }

    /// The failure in the form of an error, for commands that continue after it.
    pub fn to_json(&self) -> Value {
        as_error(&self.to_string(), self.code(), self.hint())
    }

    /// Advice for failures of this kind.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Failure::Usage(_) => Some("see `tendmap COMMAND --help`"),
            Failure::NotFound(_) => {
                Some("`tendmap ls` lists the segments of this host, `tendmap tend` creates one")
            }
            Failure::OtherVersion(_) => Some(
                "use the tendmap version of the processes that created it; if no process uses it, \
                 `tendmap rm --leftovers` removes it",
            ),
            Failure::Corrupt(_) => Some("`tendmap rm --force` removes a damaged segment"),
            Failure::Pipe | Failure::Unhealthy | Failure::Failed(_) => None,
        }
    }
}

/// Writes a warning to standard error, as JSON or text. The command continues.
pub fn warn(message: &str, json: bool) {
    if !json {
        return complain(&format!("warning: {message}"));
    }
    let warning = json!({ "warning": { "message": message } });
    // If standard error is closed, there is no way to report it.
    let _ = writeln!(io::stderr(), "{}", line(&warning));
}

/// Writes an error to standard error as one JSON object on one line.
pub fn error_json(message: &str, code: u8, hint: Option<&str>) {
    // If standard error is closed too, there is no way to report it.
    let _ = writeln!(io::stderr(), "{}", line(&as_error(message, code, hint)));
}

fn as_error(message: &str, code: u8, hint: Option<&str>) -> Value {
    json!({ "error": { "message": message, "code": code, "hint": hint } })
}

/// The failure to write the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Pipe,
            _ => Failure::Failed(format!("can't write the output: {error}")),
        }
    }
}

/// Advice that names commands. The library's texts do not know the command line.
fn advice(error: &SegmentError) -> Option<&'static str> {
    match error {
        SegmentError::NotFound { .. } => Some("`tendmap ls` lists those of this host"),
        SegmentError::NoSpace { .. } | SegmentError::NoInode { .. } => {
            Some("`tendmap ls` lists what there is")
        }
        SegmentError::Header { error: HeaderError::Version { .. }, .. } => None,
        SegmentError::Header { .. } | SegmentError::HalfMade { .. } => Some("`tendmap rm --force`"),
        SegmentError::InUse { .. } => Some("`tendmap rm --force`"),
        SegmentError::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => Some(
            "`tendmap ls` shows its user and mode; run as that user or root, or widen shm_mode",
        ),
        _ => None,
    }
}

/// An error followed by advice.
fn advised(error: &impl core::fmt::Display, advice: Option<&str>) -> String {
    advice.map_or_else(|| error.to_string(), |advice| format!("{error} ({advice})"))
}

impl From<SegmentError> for Failure {
    fn from(error: SegmentError) -> Failure {
        let text = advised(&error, advice(&error));
        match error {
            SegmentError::NotFound { .. } | SegmentError::OtherBackend { .. } => {
                Failure::NotFound(text)
            }
            SegmentError::Io { error, .. } | SegmentError::Directory { error, .. }
                if error.kind() == io::ErrorKind::NotFound =>
            {
                Failure::NotFound(text)
            }
            SegmentError::OtherVersion { .. } => Failure::OtherVersion(text),
            SegmentError::Header { error: HeaderError::Version { .. }, .. } => {
                Failure::OtherVersion(text)
            }
            SegmentError::Header { .. }
            | SegmentError::OtherKey { .. }
            | SegmentError::OtherGeneration { .. } => Failure::Corrupt(text),
            SegmentError::Capacity(_) | SegmentError::NoKey => Failure::Usage(text),
            _ => Failure::Failed(text),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        match error {
            SnapshotError::Corrupt { .. } => {
                Failure::Corrupt(advised(&error, Some("`tendmap rm --force`")))
            }
            _ => Failure::Failed(error.to_string()),
        }
    }
}

impl From<StatusError> for Failure {
    fn from(error: StatusError) -> Failure {
        match error {
            StatusError::Segment(error) => error.into(),
            StatusError::Map(error) => error.into(),
            error => Failure::Failed(error.to_string()),
        }
    }
}

impl From<RouteError> for Failure {
    fn from(error: RouteError) -> Failure {
        match error {
            RouteError::Map(error) => error.into(),
            RouteError::NamespaceUnknown { .. } => Failure::Usage(error.to_string()),
            RouteError::NoMap | RouteError::ClusterEmpty => {
                Failure::Failed(advised(&error, Some("see `tendmap status`")))
            }
            error => Failure::Failed(error.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match error {
            ConnectError::Config(error) => Failure::Usage(error.to_string()),
            // Not "not found": the segment exists in the other backend.
            ConnectError::Segment(error @ SegmentError::OtherBackend { .. }) => {
                Failure::Usage(error.to_string())
            }
            // Not "not found" either: a process that connects creates a segment.
            ConnectError::Segment(
                error @ (SegmentError::Io { .. } | SegmentError::Directory { .. }),
            ) => Failure::Failed(error.to_string()),
            ConnectError::Segment(error) => error.into(),
            ConnectError::Map(error) => error.into(),
            ConnectError::NoMapYet { .. } => {
                Failure::Failed(advised(&error, Some("see `tendmap status`")))
            }
            error => Failure::Failed(error.to_string()),
        }
    }
}

impl From<SimError> for Failure {
    fn from(error: SimError) -> Failure {
        match error {
            SimError::Config { .. } => Failure::Usage(error.to_string()),
            error => Failure::Failed(error.to_string()),
        }
    }
}
