//! Names: a key, a layout version, a generation.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

use super::backend::Backend;
use crate::layout::LAYOUT_VERSION;

const PREFIX: &str = "tendmap-";

/// The place of the segments of one key, and the users and modes that are
/// accepted.
///
/// ```
/// use tendmap::segment::{Backend, Place, parse_key};
///
/// let place = Place { backend: Backend::SystemV, ..Place::of_key(parse_key("0xA7000001")?) };
/// assert_eq!((place.key, place.mode), (0xA700_0001, 0o600));
/// # Ok::<(), tendmap::segment::PlaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "given in full, or over `Place::of_key`")]
pub struct Place {
    /// The kind of shared memory.
    pub backend: Backend,
    /// The directory, `/dev/shm` unless configured: of the segments if they are
    /// files, and of their lock files in any case.
    pub directory: PathBuf,
    /// The key.
    pub key: u32,
    /// Mode bits of new segments, 0600 unless configured.
    pub mode: u32,
    /// Users besides the effective one and root whose segments are accepted.
    pub owners: Vec<u32>,
    /// Whether files that their group may write are created and accepted: every
    /// member of the group can then truncate them, which kills all attached
    /// processes with SIGBUS. System V segments can't be truncated.
    pub allow_group_write: bool,
}

impl Place {
    /// The default directory of segments.
    pub const DIRECTORY: &str = "/dev/shm";
    /// The default key. It differs from that of the Aerospike C client, which
    /// is 0xA9000000 (older versions: 0xA5000000).
    pub const KEY: u32 = 0xA700_0000;
    /// The default mode: no other user may read or write.
    pub const MODE: u32 = 0o600;

    /// The default place of a key.
    #[must_use]
    pub fn of_key(key: u32) -> Place {
        Place {
            backend: Backend::File,
            directory: Place::DIRECTORY.into(),
            key,
            mode: Place::MODE,
            owners: Vec::new(),
            allow_group_write: false,
        }
    }

    /// The path of one generation of this layout, if it is a file.
    #[must_use]
    pub fn segment(&self, generation: u64) -> PathBuf {
        let name = SegmentName { key: self.key, layout_version: LAYOUT_VERSION, generation };
        self.directory.join(name.to_string())
    }
}

/// A directory as it is resolved here and now, independent of later changes of
/// the working directory and of links in the path. A directory that can't be
/// resolved is returned unchanged: the error appears when it is used.
pub(crate) fn resolved(directory: &Path) -> PathBuf {
    let found = directory.canonicalize().or_else(|_| std::path::absolute(directory));
    found.unwrap_or_else(|_| directory.to_path_buf())
}

/// The path of a segment's lock file, which is named by the segment's id; the
/// two backends use different names.
pub fn lock_path(backend: Backend, directory: &Path, key: u32, segment_id: u64) -> PathBuf {
    let infix = infix(backend);
    directory.join(format!("{PREFIX}{key:08x}-v{LAYOUT_VERSION}-{infix}{segment_id:016x}.lock"))
}

/// The lock file that the creator of a key's System V segment holds.
pub fn creation_path(directory: &Path, key: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{key:08x}-v{LAYOUT_VERSION}-sysv.lock"))
}

/// Whether a file name is that of a lock file of a System V segment of that
/// key, in any layout.
pub fn is_system_v_lock(name: &str, key: u32) -> bool {
    let rest =
        name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(&format!("{key:08x}-v")));
    rest.and_then(|rest| rest.split_once("-sysv")).is_some_and(|(_, rest)| rest.ends_with(".lock"))
}

fn infix(backend: Backend) -> &'static str {
    match backend {
        Backend::File => "",
        Backend::SystemV => "sysv-",
    }
}

/// The key and the segment id in a lock file's name.
pub fn parse_lock(backend: Backend, name: &str) -> Option<(u32, u64)> {
    let (key, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (version, rest) = rest.strip_prefix('v')?.split_once('-')?;
    let id = rest.strip_prefix(infix(backend))?.strip_suffix(".lock")?;
    if version.parse() != Ok(LAYOUT_VERSION) || key.len() != 8 || id.len() != 16 {
        return None;
    }
    Some((u32::from_str_radix(key, 16).ok()?, u64::from_str_radix(id, 16).ok()?))
}

/// The backend, the key and the layout version in a lock file's name, in any
/// layout.
pub fn foreign_lock(name: &str) -> Option<(Backend, u32, u32)> {
    let (key, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (version, rest) = rest.strip_prefix('v')?.split_once('-')?;
    let rest = rest.strip_suffix(".lock")?;
    let backend = match rest.strip_prefix("sysv") {
        Some(_) => Backend::SystemV,
        None => Backend::File,
    };
    let key = u32::from_str_radix(key, 16).ok().filter(|_| key.len() == 8)?;
    Some((backend, key, version.parse().ok()?))
}

/// The parts of a segment's file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SegmentName {
    /// The key.
    pub key: u32,
    /// The layout version; two layouts never meet under one name.
    pub layout_version: u32,
    /// The generation of the segment under the key, from 1.
    pub generation: u64,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentName { key, layout_version, generation } = self;
        write!(f, "{PREFIX}{key:08x}-v{layout_version}-g{generation}")
    }
}

/// A file name that is not that of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a segment")]
pub struct SegmentNameError;

impl FromStr for SegmentName {
    type Err = SegmentNameError;

    fn from_str(name: &str) -> Result<SegmentName, SegmentNameError> {
        SegmentName::parse(name).ok_or(SegmentNameError)
    }
}

impl SegmentName {
    fn parse(name: &str) -> Option<SegmentName> {
        let (key, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let (version, generation) = rest.strip_prefix('v')?.split_once("-g")?;
        let parsed = SegmentName {
            key: u32::from_str_radix(key, 16).ok()?,
            layout_version: version.parse().ok()?,
            generation: generation.parse().ok()?,
        };
        // Only the exact spelling that is written is accepted: no signs, no
        // leading zeros.
        (parsed.to_string() == name && parsed.generation > 0).then_some(parsed)
    }
}

/// A text that does not say where segments live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// It is not a valid key.
    #[error(
        "shm_key {found:?}; wanted a decimal number or 0x and up to 8 hex digits, at most 0xffffffff"
    )]
    Key {
        /// The text that was given.
        found: String,
    },
    /// It is not the name of a backend.
    #[error("shm_backend {found:?}; wanted file or sysv")]
    Backend {
        /// The text that was given.
        found: String,
    },
}

/// Parses a key, decimal or `0x…`.
///
/// # Errors
/// [`PlaceError::Key`] if it is not a 32-bit number.
pub fn parse_key(text: &str) -> Result<u32, PlaceError> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let error = || PlaceError::Key { found: text.to_owned() };
    valid.then(|| u32::from_str_radix(digits, radix).ok()).flatten().ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_come_back(key: u32, layout_version: u32, generation in 1u64..) {
            let name = SegmentName { key, layout_version, generation };
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn keys_come_back(key: u32) {
            prop_assert_eq!(parse_key(&format!("{key}")), Ok(key));
            prop_assert_eq!(parse_key(&format!("{key:#x}")), Ok(key));
        }

        #[test]
        fn other_names_are_none(name in "\\PC{0,40}") {
            let parsed: Result<SegmentName, _> = name.parse();
            prop_assert!(parsed.is_ok_and(|parsed| parsed.to_string() == name) || parsed.is_err());
        }
    }

    #[test]
    fn bad_keys_are_refused() {
        for text in ["", "0x", "-1", "+1", "0x1_0", "4294967296", "0x100000000", "a7"] {
            assert!(parse_key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lock_names_come_back() {
        let (key, id) = (0xA700_0000, 0xfeed);
        for backend in Backend::ALL {
            let path = lock_path(backend, Path::new("/x"), key, id);
            let name = path.file_name().unwrap().to_str().unwrap();
            for other in Backend::ALL {
                let wanted = (backend == other).then_some((key, id));
                assert_eq!(parse_lock(other, name), wanted, "{name} as one of {other}");
            }
            assert_eq!(name.parse::<SegmentName>(), Err(SegmentNameError));
            assert_eq!(is_system_v_lock(name, key), backend == Backend::SystemV);
            assert!(!is_system_v_lock(name, key + 1));
        }
        let path = creation_path(Path::new("/x"), key);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(is_system_v_lock(name, key));
        assert_eq!(parse_lock(Backend::SystemV, name), None);
    }
}
