//! Explains errors of system calls, with the limit that causes them.

use core::fmt;
use std::io;

use nix::sys::resource::Resource;
use rustix::io::Errno;

use crate::descriptor;
use crate::limits::limit;

/// An error of a system call, with the limit that was reached and how to raise
/// it.
pub fn explain(error: &io::Error) -> impl fmt::Display + '_ {
    LimitExplanation(error, locks_memory)
}

struct LimitExplanation<'a>(&'a io::Error, fn() -> bool);

impl fmt::Display for LimitExplanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut process = |what: &str, of: Resource, name: &str| match limit(of) {
            Some(found) => write!(f, "; this process may have {found} {what} ({name}): raise it"),
            None => Ok(()),
        };
        match Errno::from_io_error(self.0) {
            Some(Errno::MFILE) => {
                process("descriptors", Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE, `ulimit -n`")
            }
            Some(Errno::NFILE) => f.write_str("; raise the system's limit (`sysctl fs.file-max`)"),
            Some(Errno::FBIG) => {
                process("bytes in a file", Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE, `ulimit -f`")
            }
            Some(error @ (Errno::NOMEM | Errno::AGAIN)) => {
                if self.1() {
                    process(
                        "bytes of locked memory",
                        Resource::RLIMIT_MEMLOCK,
                        "RLIMIT_MEMLOCK, `ulimit -l`, mlockall(2)",
                    )?;
                }
                match error {
                    Errno::NOMEM => process(
                        "bytes of address space",
                        Resource::RLIMIT_AS,
                        "RLIMIT_AS, `ulimit -v`",
                    ),
                    _ => process(
                        "threads and processes of its user",
                        Resource::RLIMIT_NPROC,
                        "RLIMIT_NPROC, `ulimit -u`; pids.max of its control group may be lower",
                    ),
                }
            }
            Some(Errno::DQUOT) => f.write_str("; raise the quota of its user, or remove files"),
            Some(Errno::NOLCK | Errno::OPNOTSUPP) => {
                f.write_str("; the file system does not support this: use another shm_directory")
            }
            Some(Errno::ROFS) => {
                f.write_str("; a process that only reads can use it, but one that tends must write")
            }
            _ => Ok(()),
        }
    }
}

/// Whether this process has memory locked. If all of it is, no more than the limit may
/// be mapped, also for the stack of a thread; if a part is, the cause may be another
/// limit.
fn locks_memory() -> bool {
    let status = descriptor::read("/proc/self/status".as_ref()).unwrap_or_default();
    let locked = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"VmLck:"));
    locked.is_some_and(|line| line.iter().any(|byte| (b'1'..=b'9').contains(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h75_limits_are_named() {
        let told = |error: Errno| explain(&error.into()).to_string();
        assert!(told(Errno::MFILE).contains("RLIMIT_NOFILE"), "{}", told(Errno::MFILE));
        assert!(
            told(Errno::AGAIN).contains("RLIMIT_NPROC") || limit(Resource::RLIMIT_NPROC).is_none()
        );
        assert!(told(Errno::DQUOT).contains("quota"));
        // A program that locks one page may lack threads all the same.
        let again = LimitExplanation(&Errno::AGAIN.into(), || true).to_string();
        for (of, name) in
            [(Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"), (Resource::RLIMIT_NPROC, "RLIMIT_NPROC")]
        {
            assert!(again.contains(name) || limit(of).is_none(), "{again}");
        }
        assert!(told(Errno::NFILE).contains("fs.file-max"));
        assert!(told(Errno::NOLCK).contains("another shm_directory"));
        assert_eq!(told(Errno::NOENT), io::Error::from(Errno::NOENT).to_string());
    }
}
