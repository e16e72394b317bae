//! A sandbox that refuses system calls.

use nix::libc;

/// Lets the kernel refuse these calls (`libc::SYS_…`) with EPERM, in this thread and in all
/// threads that it starts from now on. Returns whether this is possible here.
pub fn refuse(calls: &[libc::c_long]) -> bool {
    fail(calls, libc::EPERM)
}

/// Like [`refuse`], with another error.
pub fn fail(calls: &[libc::c_long], error: libc::c_int) -> bool {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, yes, k| libc::sock_filter { code, jt: yes, jf: 0, k };
    // The first word of the data is the number of the call.
    let mut filter = vec![step(load, 0, 0)];
    for (at, &call) in calls.iter().enumerate() {
        let to_the_end = u8::try_from(calls.len() - at).unwrap();
        filter.push(step(equal, to_the_end, call as u32));
    }
    filter.push(step(end, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(step(end, 0, libc::SECCOMP_RET_ERRNO | error as u32));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its steps live until the call returns; the kernel copies them.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}
