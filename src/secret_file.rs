//! Files that hold secrets.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

/// The numbers of `tmpfs` and `ramfs`.
const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether a container engine has mounted a file: it is of root, in memory, and on a
/// read-only mount. Only the containers that mount it see it, so its group is theirs. A
/// kubelet lets the group of the pod read every file of a secret, whatever mode is asked for.
pub fn is_of_container(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.uid() == 0)
        && statfs(path).is_ok_and(|found| MEMORY.contains(&(found.f_type as u32)))
        && statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The bits of a file's mode that let other users read it.
pub fn readers(path: &Path) -> u32 {
    if is_of_container(path) { 0o004 } else { 0o044 }
}
