//! What only the kernel knows of processes: their rights and their memory.

use nix::libc;

/// Whether the kernel asks programs to distrust the environment (`AT_SECURE`,
/// getauxval(3)): the program is set-user-id or set-group-id, has file
/// capabilities, or a security module requires it. This never changes while the
/// program runs.
///
/// If so, no environment variable may decide what is trusted.
pub fn is_secure_execution() -> bool {
    // SAFETY: getauxval accepts any number and has no preconditions; it reads
    // what the kernel gave the process at program start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether two processes share their memory, as a child does until it executes another program
/// (vfork); `false` if the kernel does not say.
#[cfg(feature = "c-client")]
pub fn shares_memory(first: u32, second: u32) -> bool {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: the call compares what the kernel has of two processes; it takes
    // and returns plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, first, second, KCMP_VM, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn a_test_has_no_more_rights_than_who_runs_it() {
        assert!(!super::is_secure_execution());
    }
}
