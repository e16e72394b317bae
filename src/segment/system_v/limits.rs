//! The kernel's limits on System V shared memory, and how much of them is used.

use std::io;

use rustix::io::Errno;

use super::list::rows;
use crate::descriptor;
use crate::segment::error::SegmentError;
use crate::segment::name::Place;

/// Bytes of a segment, segments of the host, pages of the host.
const LIMITS: [&str; 3] = ["kernel.shmmax", "kernel.shmmni", "kernel.shmall"];

/// The value of a limit; `None` if it is not known.
fn value(limit: &str) -> Option<u64> {
    let path = format!("/proc/sys/{}", limit.replace('.', "/"));
    let text = String::from_utf8(descriptor::read(path.as_ref()).ok()?).ok()?;
    text.trim().parse().ok()
}

/// The first limit that a segment of that many bytes exceeds.
fn exceeded(bytes: u64) -> Option<SegmentError> {
    let page = rustix::param::page_size() as u64;
    let there = rows();
    let pages = there.iter().map(|row| row.bytes.div_ceil(page)).sum();
    let used = [0, there.len() as u64, pages];
    let wanted = [bytes, 1, bytes.div_ceil(page)];
    (0..LIMITS.len()).find_map(|index| {
        let found = value(LIMITS[index])?;
        let (limit, used) = (LIMITS[index], used[index]);
        (used.saturating_add(wanted[index]) > found).then_some(SegmentError::Limit {
            wanted: bytes,
            limit,
            found,
            used,
        })
    })
}

/// Refuses a segment that would exceed a limit.
pub fn check(bytes: u64) -> Result<(), SegmentError> {
    exceeded(bytes).map_or(Ok(()), Err)
}

/// Why the kernel did not create a segment.
pub fn explain(error: io::Error, place: &Place, bytes: u64) -> SegmentError {
    let limits = [Errno::INVAL, Errno::NOSPC];
    let limit = Errno::from_io_error(&error).filter(|errno| limits.contains(errno));
    limit.and_then(|_| exceeded(bytes)).unwrap_or_else(|| {
        let what = format!("a System V segment of {bytes} bytes for key {:#010x}", place.key);
        SegmentError::io("make", what)(error)
    })
}
