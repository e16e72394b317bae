//! Shortages of local resources, as opposed to errors of a server.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::AskError;
use crate::layout::{descriptor_limit, descriptors_left};

/// The number of descriptors that are always left to the rest of the program. A
/// process with a low limit keeps an eighth.
const MARGIN: u64 = 16;
/// The number of connections that may be opened whatever the limit.
const LEAST: usize = 4;

/// The most connections that may be open at the same time: a quarter of the
/// process's limit of descriptors.
pub(super) fn most_connections() -> usize {
    let limit = descriptor_limit().and_then(|limit| usize::try_from(limit / 4).ok());
    limit.unwrap_or(usize::MAX).max(LEAST)
}

/// Refuses to take one of the last descriptors, which the program may need.
pub(super) fn leave_descriptors() -> Result<(), AskError> {
    let Some(limit) = descriptor_limit() else { return Ok(()) };
    // One more for the connection itself.
    let margin = (limit / 8).clamp(1, MARGIN);
    if descriptors_left(margin + 1) {
        return Ok(());
    }
    Err(AskError::Shortage(format!(
        "this process may have {limit} file descriptors, and the last {margin} are reserved for the \
         rest of it; raise the limit (ulimit -n)"
    )))
}

/// Turns the error of a failed connect into an [`AskError`].
pub(super) fn explain(error: &io::Error, to: Option<SocketAddr>) -> AskError {
    let advice = match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "raise the limit of this process (ulimit -n)",
        Some(Errno::NFILE) => "raise the limit of this machine (sysctl fs.file-max)",
        Some(Errno::NOMEM | Errno::NOBUFS) => {
            "this machine, or one of its limits, has no memory left"
        }
        Some(Errno::AGAIN) => "every local port is in use",
        // Over IPv6 the same error also means that there is no such network.
        Some(Errno::ADDRNOTAVAIL) if to.is_some_and(|to| to.is_ipv4()) => {
            "every local port is in use"
        }
        _ => return AskError::Connect(error.to_string()),
    };
    AskError::Shortage(format!("{error}: {advice}"))
}
