//! Which users' segments and lock files are trusted, and which users may write
//! them.
//!
//! The effective user, root, and the configured users are trusted. For a System
//! V segment two users must be trusted: the one that it belongs to, and the one
//! that created it. The creator can give it to any user, and can still write,
//! change and remove it.
//!
//! In a user namespace the kernel shows every user that has no number there as
//! one and the same, the overflow user (65534). So that number identifies no
//! user there, and is never trusted, whatever is configured. A process that has
//! that number itself, as `nobody` does, asks the kernel whether a file is its
//! own: only the owner of a file may set `O_NOATIME`, which the kernel finds by
//! the true user. Where all users have numbers, as in the initial namespace,
//! 65534 is a user like any other. Without /proc that can't be seen, and the
//! number counts as if it said nothing. (System V memory has no such question;
//! there such a process goes without what is shared.)

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::geteuid;

use super::error::SegmentError;
use super::location::Location;
use crate::descriptor;

/// The overflow user if the kernel does not report it.
const OVERFLOW: u32 = 65_534;
/// The number of user ids; the last id is invalid.
const ALL_USERS: u64 = u32::MAX as u64;

/// The users that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    users: Vec<u32>,
    /// This process's own id, if other users may have it too.
    doubtful: Option<u32>,
}

impl Trusted {
    /// The effective user, root, and those of `also`.
    pub fn with(also: &[u32]) -> Trusted {
        Trusted::of(geteuid().as_raw(), also, overflow_user(), all_have_numbers)
    }

    fn of(user: u32, also: &[u32], overflow: u32, all_have_numbers: fn() -> bool) -> Trusted {
        let mut users = vec![user, 0];
        users.extend(also);
        users.sort_unstable();
        users.dedup();
        // Checked only where it matters.
        let says_nothing = users.contains(&overflow) && !all_have_numbers();
        if says_nothing {
            users.retain(|&user| user != overflow);
        }
        Trusted { users, doubtful: (says_nothing && user == overflow).then_some(overflow) }
    }

    /// Whether the user is trusted.
    pub fn has(&self, user: u32) -> bool {
        self.users.contains(&user)
    }

    /// Whether a file of that user may be trusted; once it is open, it may
    /// still turn out to be another user's.
    pub fn may_have(&self, user: u32) -> bool {
        self.has(user) || self.doubtful == Some(user)
    }

    /// Whether an open file of that user is trusted.
    pub fn has_file(&self, user: u32, file: impl AsFd) -> bool {
        self.has(user) || (self.doubtful == Some(user) && is_own(file))
    }

    /// The ids of the trusted users.
    pub fn users(&self) -> Vec<u32> {
        self.users.clone()
    }
}

/// Whether the kernel considers a file to be this process's own.
fn is_own(file: impl AsFd) -> bool {
    let set = fcntl_getfl(&file).and_then(|flags| fcntl_setfl(&file, flags | OFlags::NOATIME));
    set.is_ok()
}

/// The id under which users without an id in this namespace appear.
fn overflow_user() -> u32 {
    // Set at boot, if ever. Relaxed: no other data depends on it.
    static KNOWN: AtomicU32 = AtomicU32::new(u32::MAX);
    let known = KNOWN.load(Ordering::Relaxed);
    if known != u32::MAX {
        return known;
    }
    let text = descriptor::read("/proc/sys/kernel/overflowuid".as_ref()).unwrap_or_default();
    let told = str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    let found = told.unwrap_or(OVERFLOW);
    KNOWN.store(found, Ordering::Relaxed);
    found
}

/// Whether every user has an id in this namespace. Not cached: a process may
/// change its namespace, and a new namespace has no ids at first.
fn all_have_numbers() -> bool {
    let text = descriptor::read("/proc/self/uid_map".as_ref()).unwrap_or_default();
    covers_all(&String::from_utf8_lossy(&text))
}

/// Whether a user map, with lines of `inside outside count`, covers all ids.
fn covers_all(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2));
    let counts = counts.filter_map(|count| count.parse::<u64>().ok());
    counts.fold(0, u64::saturating_add) >= ALL_USERS
}

/// Refuses a System V segment unless both its owner and its creator are
/// trusted, and one that every user may write.
pub fn check_system_v(
    at: impl Into<Location>,
    owner: u32,
    creator: u32,
    mode: u32,
    trusted: &Trusted,
) -> Result<(), SegmentError> {
    let (at, wanted) = (at.into(), trusted.users());
    match trusted.has(owner) && trusted.has(creator) {
        true => check_mode(at, mode),
        false if owner == creator => Err(SegmentError::Owner { at, found: owner, wanted }),
        false => Err(SegmentError::Maker { at, owner, creator, wanted }),
    }
}

/// Refuses a mode that lets every user write.
pub fn check_mode(at: impl Into<Location>, mode: u32) -> Result<(), SegmentError> {
    match mode & 0o002 {
        0 => Ok(()),
        _ => Err(SegmentError::Mode { at: at.into(), found: mode }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: [u32; 4] = [0, 1000, 5001, OVERFLOW];

    #[test]
    fn h126_the_overflow_user_is_trusted_only_where_all_users_have_numbers() {
        let (all, some) = (|| true, || false);
        let of = |user, also: &[u32], all| {
            let trusted = Trusted::of(user, also, OVERFLOW, all);
            (USERS.map(|user| trusted.has(user)), USERS.map(|user| trusted.may_have(user)))
        };
        let both = |found: [bool; 4]| (found, found);
        assert_eq!(of(1000, &[], all), both([true, true, false, false]));
        assert_eq!(of(1000, &[5001, OVERFLOW], all), both([true, true, true, true]));
        assert_eq!(of(OVERFLOW, &[], all), both([true, false, false, true]));
        assert_eq!(of(1000, &[5001, OVERFLOW], some), both([true, true, true, false]));
        // Its own id does not identify the user of a file.
        let own = ([true, false, false, false], [true, false, false, true]);
        assert_eq!(of(OVERFLOW, &[], some), own);
        // A namespace in which root is the user without an id.
        let trusted = Trusted::of(1000, &[], 0, some);
        assert!(!trusted.may_have(0) && trusted.has(1000));
    }

    #[test]
    fn h126_a_map_of_users_has_all_of_them_or_not() {
        assert!(covers_all("         0          0 4294967295\n"));
        assert!(covers_all("0 0 65536\n65536 65536 4294901759\n"));
        for part in ["", "0 1000 1\n", "0 100000 65536\n", "garbage", "1 2 x"] {
            assert!(!covers_all(part), "{part:?}");
        }
    }

    #[test]
    fn h126_the_kernel_knows_whether_a_file_is_ones_own() {
        assert!(is_own(tempfile::tempfile().unwrap()));
        if !geteuid().is_root() {
            assert!(!is_own(std::fs::File::open("/proc/version").unwrap()));
        }
    }
}
