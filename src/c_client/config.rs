//! What to mirror, and how.

use core::fmt;
use core::str::FromStr;

use super::layout::{Capacity, CapacityError};
use super::version::{ClientVersion, TargetError};
use crate::segment::parse_key;

/// One segment of the C client: its key, and the version of the clients that
/// use it. Written `KEY:VERSION`, such as `0xAC000000:7.6.1` or
/// `0xA8000000:python-19.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a plain value that callers build")]
pub struct Target {
    /// The key (`shm_key`) that the clients are configured with. The segment
    /// does not show which clients made it, and clients of different layouts
    /// have different default keys, except in Python.
    pub key: u32,
    /// The version of the clients. It determines the layout.
    pub version: ClientVersion,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let (key, version) =
            text.split_once(':').ok_or_else(|| TargetError::Form { found: text.to_owned() })?;
        let key = parse_key(key.trim())?;
        if key == 0 {
            return Err(TargetError::NoKey);
        }
        Ok(Target { key, version: version.trim().parse()? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}:{}", self.key, self.version)
    }
}

/// What becomes of the C client's segment when its mirror is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "both possibilities")]
pub enum OnExit {
    /// It stays as it is: a mirror that starts within 30 s goes on unnoticed;
    /// after that a client takes over.
    #[default]
    Hold,
    /// A client takes over at its next look, within its tend interval.
    Release,
}

/// The pid that a mirror writes as the segment's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "both possibilities")]
pub enum OwnerMark {
    /// The pid of the mirror's process: clients take over if it is gone and the
    /// segment was not tended for 30 s.
    #[default]
    Pid,
    /// A number that clients take for a living process of any user: they never
    /// take over, and nobody tends while there is no mirror.
    Always,
}

/// Reads and shows a setting with two words.
macro_rules! words {
    ($type:ty, $($word:literal => $value:path),+) => {
        impl FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<$type, ()> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(()),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($value => $word,)+ })
            }
        }
    };
}

words!(OnExit, "hold" => OnExit::Hold, "release" => OnExit::Release);
words!(OwnerMark, "pid" => OwnerMark::Pid, "always" => OwnerMark::Always);

/// The segments of the C client that this process keeps filled, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorConfig {
    /// The segments.
    ///
    /// Default: none.
    pub targets: Vec<Target>,
    /// The number of nodes for which a segment has room, as the clients'
    /// `shm_max_nodes`, 1 to 4096. Clients with a smaller value attach to it as
    /// well, but crash if there are more nodes than theirs; clients with a
    /// larger value are refused by the kernel.
    ///
    /// Default: 16.
    pub max_nodes: usize,
    /// The number of namespaces for which a segment has room, as the clients'
    /// `shm_max_namespaces`, 1 to 4096.
    ///
    /// Default: 8.
    pub max_namespaces: usize,
    /// Mode bits of a new segment. The clients need to write it, whatever their
    /// user.
    ///
    /// Default: `0o666`.
    pub mode: u32,
    /// What becomes of the segment when the mirror is closed.
    ///
    /// Default: [`OnExit::Hold`].
    pub on_exit: OnExit,
    /// The pid that the segment shows as its owner's.
    ///
    /// Default: [`OwnerMark::Pid`].
    pub owner: OwnerMark,
}

impl Default for MirrorConfig {
    fn default() -> MirrorConfig {
        MirrorConfig {
            targets: Vec::new(),
            max_nodes: Capacity::DEFAULT.max_nodes(),
            max_namespaces: Capacity::DEFAULT.max_namespaces(),
            mode: 0o666,
            on_exit: OnExit::Hold,
            owner: OwnerMark::Pid,
        }
    }
}

/// An invalid setting of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorConfigError {
    /// Two targets have the same key.
    #[error(
        "c_client has the key {key:#010x} twice, for {first} and {second}; clients of one key must have one layout"
    )]
    Twice {
        /// The key.
        key: u32,
        /// The version of the first target.
        first: ClientVersion,
        /// The version of the second one.
        second: ClientVersion,
    },
    /// A capacity is out of range.
    #[error("{name} is {found}; wanted 1 to 4096, as much as the clients are configured with")]
    Capacity {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: usize,
    },
    /// The mode does not let the owner read and write, or is no mode.
    #[error(
        "c_client_mode is {found:04o}; wanted at most 0666, with read and write for the owner (0600)"
    )]
    Mode {
        /// The configured mode.
        found: u32,
    },
    /// A target has the key of tendmap's own System V segment.
    #[error(
        "c_client has the key {key:#010x}, which is shm_key; wanted another one, such as the client's default key"
    )]
    OwnKey {
        /// The key.
        key: u32,
    },
}

impl MirrorConfig {
    /// The room of a segment.
    ///
    /// # Errors
    /// If one of the numbers is out of range.
    pub(crate) fn capacity(&self) -> Result<Capacity, MirrorConfigError> {
        Capacity::new(self.max_nodes, self.max_namespaces).map_err(
            |CapacityError { what, found }| {
                let name = match what {
                    "nodes" => "c_client_max_nodes",
                    _ => "c_client_max_namespaces",
                };
                MirrorConfigError::Capacity { name, found }
            },
        )
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first that is invalid.
    pub fn check(&self) -> Result<(), MirrorConfigError> {
        let keys = |index: usize| self.targets[..index].iter();
        for (index, target) in self.targets.iter().enumerate() {
            if let Some(first) = keys(index).find(|first| first.key == target.key) {
                let (first, second) = (first.version, target.version);
                return Err(MirrorConfigError::Twice { key: target.key, first, second });
            }
        }
        self.capacity()?;
        if self.mode & !0o666 != 0 || self.mode & 0o600 != 0o600 {
            return Err(MirrorConfigError::Mode { found: self.mode });
        }
        Ok(())
    }
}
