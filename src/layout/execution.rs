//! Whether this program has more rights than who started it.

use nix::libc;

/// Whether the kernel asks for care with what the environment says (`AT_SECURE`,
/// getauxval(3)): the program is set-user-id or set-group-id, was given
/// capabilities by its file, or a security module says so. That never changes
/// while the program runs.
///
/// No environment variable may decide then what is trusted.
pub fn is_secure_execution() -> bool {
    // SAFETY: getauxval takes any number and has no preconditions; it reads what
    // the kernel gave the process when the program began.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn a_test_has_no_more_rights_than_who_runs_it() {
        assert!(!super::is_secure_execution());
    }
}
