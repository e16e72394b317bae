//! Whether a shell could continue this process after a stop.

use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};

/// Whether this process is a job of a shell: its process group, or the one from which it
/// was started, has a parent in the same session. The kernel ignores SIGTSTP for all
/// others, as under `sh -c "tendmap watch; …"` or `ssh -t`: nobody would continue them.
pub fn is_job() -> bool {
    let Ok(session) = getsid(None) else { return false };
    let group = getpgrp();
    let mut at = getppid();
    while let Some(pid) = at {
        if getsid(Some(pid)) != Ok(session) {
            return false;
        }
        if getpgid(Some(pid)) != Ok(group) {
            return true;
        }
        at = parent(pid);
    }
    false
}

/// The parent of another process; `None` if that is unknown.
fn parent(pid: Pid) -> Option<Pid> {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let text = std::fs::read(path).ok()?;
    // The name of the program, in parentheses, may contain anything.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = String::from_utf8_lossy(&text[end + 1..]).into_owned();
    Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?)
}
