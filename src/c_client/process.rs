//! The processes that have a segment mapped, as `/proc` shows them.
//!
//! This decides only how soon an owner counts as dead, and what is displayed:
//! a process of another pid namespace, or of a user whose processes may not be
//! examined, is not seen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::descriptor;
use crate::layout::shares_memory;

/// The part of a process in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The process.
    pub pid: u32,
    /// How often it has the segment mapped.
    pub mappings: usize,
    /// The files of code that it has mapped, without repetitions.
    pub code: Vec<PathBuf>,
}

/// What is known of a process and a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It exists, and has the segment mapped that often (0 = not at all).
    Mapped(usize),
    /// It exists, and its mappings may not be read.
    Hidden,
    /// There is no process of that pid in this pid namespace.
    Absent,
}

/// The number of a mapped System V segment in a line of `/proc/PID/maps`, and
/// the path of a mapped file.
///
/// The kernel shows a System V segment as a file named `/SYSV` and its key, on
/// a device of its own, whose inode is the segment's id.
fn parse(line: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    // start-end permissions offset device inode, and spaces up to a path.
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let end = rest[start..].iter().position(|&byte| byte == b' ');
        let (found, left) = rest[start..].split_at(end.unwrap_or(rest.len() - start));
        rest = left;
        Some(found)
    };
    let (_, permissions, _, _) = (field()?, field()?, field()?, field()?);
    let inode = std::str::from_utf8(field()?).ok()?.parse().ok()?;
    let start = rest.iter().position(|&byte| byte != b' ')?;
    Some((inode, permissions, &rest[start..]))
}

/// Whether a mapping is of the segment with that id.
fn is_segment((inode, _, path): &(u64, &[u8], &[u8]), id: i32) -> bool {
    u64::try_from(id) == Ok(*inode) && path.starts_with(b"/SYSV")
}

fn maps(pid: u32) -> std::io::Result<Vec<u8>> {
    descriptor::read(Path::new(&format!("/proc/{pid}/maps")))
}

/// Whether a process may be of this IPC namespace. The segments of others have the same
/// numbers, and keys, and so look the same in its mappings.
fn is_of_this_namespace(pid: u32) -> bool {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/ipc")).ok();
    match (namespace(&pid.to_string()), namespace("self")) {
        (Some(other), Some(own)) => other == own,
        _ => true,
    }
}

/// Looks at one process.
pub fn seen(pid: u32, id: i32) -> Seen {
    if pid == 0 || i32::try_from(pid).is_err() {
        return Seen::Absent;
    }
    match maps(pid) {
        Ok(_) if !is_of_this_namespace(pid) => Seen::Mapped(0),
        Ok(maps) => {
            let found = maps.split(|&byte| byte == b'\n').filter_map(parse);
            Seen::Mapped(found.filter(|found| is_segment(found, id)).count())
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Seen::Hidden,
        Err(_) if Path::new(&format!("/proc/{pid}")).exists() => Seen::Hidden,
        Err(_) => Seen::Absent,
    }
}

/// All processes that have the segment mapped, as far as they can be seen, by
/// pid.
///
/// A child that is about to execute another program shares its parent's memory
/// (vfork): what it shows are the mappings of its parent, which the kernel
/// counts once.
pub fn attached(id: i32) -> Vec<Attached> {
    let names = descriptor::names(Path::new("/proc")).unwrap_or_default();
    let mut pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    let mut found: Vec<_> = pids.into_iter().filter_map(|pid| attachment(pid, id)).collect();
    let pids: Vec<u32> = found.iter().map(|found| found.pid).collect();
    found.retain(|found| {
        let parent = parent(found.pid).filter(|parent| pids.contains(parent));
        // Once it has executed its program, it has nothing mapped.
        !parent.is_some_and(|parent| shares_memory(found.pid, parent))
            && attachment(found.pid, id).is_some()
    });
    found
}

/// A process's parent.
fn parent(pid: u32) -> Option<u32> {
    let status = descriptor::read(Path::new(&format!("/proc/{pid}/status"))).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"PPid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

fn attachment(pid: u32, id: i32) -> Option<Attached> {
    let maps = maps(pid).ok()?;
    let lines: Vec<_> = maps.split(|&byte| byte == b'\n').filter_map(parse).collect();
    let mappings = lines.iter().filter(|line| is_segment(line, id)).count();
    if mappings == 0 || !is_of_this_namespace(pid) {
        return None;
    }
    let is_code = |line: &&(u64, &[u8], &[u8])| line.1.contains(&b'x') && line.2.starts_with(b"/");
    let mut code: Vec<PathBuf> = lines
        .iter()
        .filter(is_code)
        .map(|(_, _, path)| PathBuf::from(OsStr::from_bytes(path)))
        .collect();
    code.dedup();
    Some(Attached { pid, mappings, code })
}

/// The name of a process's program; `None` if it can't be read.
pub fn program(pid: u32) -> Option<String> {
    let name = descriptor::read(Path::new(&format!("/proc/{pid}/comm"))).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::layout::{ForeignSegment, shm_create, shm_remove};

    /// A process that starts others is seen once.
    #[test]
    fn h208_a_child_that_is_about_to_execute_is_no_attached_process() {
        if !shares_memory(std::process::id(), std::process::id()) {
            return tendmap_testkit::skipped("the kernel compares no processes here");
        }
        let id = shm_create(0, 64, 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        let done = AtomicBool::new(false);
        let odd = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
            let odd = (0..100).map(|_| attached(id)).find(|found| found.len() != 1);
            done.store(true, Ordering::Relaxed);
            odd
        });
        drop(segment);
        shm_remove(id).unwrap();
        assert_eq!(odd, None);
    }

    #[test]
    fn a_line_of_the_kernel_is_understood() {
        let line = b"7f1c2a600000-7f1c2a682000 rw-s 00000000 00:01 32770                      \
                     /SYSVac000000 (deleted)";
        let found = parse(line).unwrap();
        assert!(is_segment(&found, 32770) && !is_segment(&found, 32771));
        let line = b"55d0 r-xp 00002000 fe:00 12 /usr/lib/with a space.so";
        assert_eq!(parse(line).unwrap(), (12, &b"r-xp"[..], &b"/usr/lib/with a space.so"[..]));
        for line in [&b""[..], b"a", b"a b c d", b"a b c d e f", b"a b c d 5", b"a b c d 5   "] {
            assert!(parse(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn this_process_is_seen_while_it_has_a_segment_mapped() {
        let me = std::process::id();
        let id = shm_create(0, 64, 0o600).unwrap();
        assert_eq!(seen(me, id), Seen::Mapped(0));
        let segment = ForeignSegment::attach(id, true).unwrap();
        assert_eq!(seen(me, id), Seen::Mapped(1));
        let found = attached(id);
        assert_eq!(
            found.iter().map(|found| (found.pid, found.mappings)).collect::<Vec<_>>(),
            [(me, 1)]
        );
        assert!(!found[0].code.is_empty() && program(me).is_some());
        drop(segment);
        assert_eq!(attached(id), []);
        shm_remove(id).unwrap();
        assert_eq!(seen(0, id), Seen::Absent);
        assert_eq!(seen(u32::MAX, id), Seen::Absent);
    }
}
