//! Explains errors of system calls, with the limit that causes them.

use core::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// An error of a system call, with the limit that was reached and how to raise
/// it.
pub(crate) fn explain(error: &io::Error) -> impl fmt::Display + '_ {
    LimitExplanation(error)
}

struct LimitExplanation<'a>(&'a io::Error);

impl fmt::Display for LimitExplanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut process = |what: &str, limit: Resource, name: &str| match getrlimit(limit).current {
            Some(found) => write!(f, "; this process may have {found} {what} ({name}): raise it"),
            None => Ok(()),
        };
        match Errno::from_io_error(self.0) {
            Some(Errno::MFILE) => {
                process("descriptors", Resource::Nofile, "RLIMIT_NOFILE, `ulimit -n`")
            }
            Some(Errno::NFILE) => f.write_str("; raise the system's limit (`sysctl fs.file-max`)"),
            Some(Errno::FBIG) => {
                process("bytes in a file", Resource::Fsize, "RLIMIT_FSIZE, `ulimit -f`")
            }
            Some(Errno::NOMEM) => {
                process("bytes of address space", Resource::As, "RLIMIT_AS, `ulimit -v`")
            }
            Some(Errno::AGAIN) => process(
                "threads and processes of its user",
                Resource::Nproc,
                "RLIMIT_NPROC, `ulimit -u`",
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h75_limits_are_named() {
        let told = |error: Errno| explain(&error.into()).to_string();
        assert!(told(Errno::MFILE).contains("RLIMIT_NOFILE"), "{}", told(Errno::MFILE));
        assert!(told(Errno::NFILE).contains("fs.file-max"));
        assert!(told(Errno::NOLCK).contains("another shm_directory"));
        assert_eq!(told(Errno::NOENT), io::Error::from(Errno::NOENT).to_string());
    }
}
