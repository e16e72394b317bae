//! The limits of this process.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// The limit that applies now; `None` if there is none, or if a sandbox does not
/// allow the process to look. (The C library's call: it reports that as an error.)
#[must_use]
pub(crate) fn limit(of: Resource) -> Option<u64> {
    getrlimit(of).ok().map(|(now, _)| now).filter(|&now| now != RLIM_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn a_limit_is_that_of_the_kernel() {
        let known = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        assert_eq!(limit(Resource::RLIMIT_NOFILE), known);
    }
}
