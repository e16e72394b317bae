//! Measures the longest time in which a reader completed no lookup.
//!
//! During a burst the thread does nothing but lookups. So a gap is caused either
//! by a lookup, or by the machine: the thread did not get a processor, or its
//! process was stopped. The time that the machine caused is subtracted as far as
//! it is known:
//!
//! - the time for which the thread was ready but did not run, as counted by the
//!   kernel (`/proc/thread-self/schedstat`);
//! - the time beyond 2 ms for which a second thread of the process slept. It only
//!   sleeps for a millisecond at a time and reads the clock, so a longer sleep
//!   shows that the process or the machine was stopped.
//!
//! The result is never less than the processor time that the thread used.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The second thread's sleep.
const NAP: Duration = Duration::from_millis(1);

/// The longest gap of a reading thread.
pub struct Gaps {
    longest: Duration,
    last: Instant,
    last_ran: Duration,
    schedule: Option<File>,
    waited: Duration,
    sentinel: Arc<Sentinel>,
    silent: Duration,
}

/// The measurements of the second thread.
#[derive(Default)]
struct Sentinel {
    naps: AtomicU64,
    silent_ns: AtomicU64,
}

impl Gaps {
    /// Measures the calling thread.
    pub fn new() -> Gaps {
        let sentinel = Arc::new(Sentinel::default());
        let weak = Arc::downgrade(&sentinel);
        thread::spawn(move || {
            while let Some(sentinel) = weak.upgrade() {
                sentinel.nap();
            }
        });
        Gaps {
            longest: Duration::ZERO,
            last: Instant::now(),
            last_ran: ran(),
            schedule: File::open("/proc/thread-self/schedstat").ok(),
            waited: Duration::ZERO,
            sentinel,
            silent: Duration::ZERO,
        }
    }

    /// Begins a burst. The time before it does not count.
    pub fn begin(&mut self) {
        (self.waited, self.silent) = (self.waited_now(), self.silent_now());
        self.last_ran = ran();
        self.last = Instant::now();
    }

    /// Records that one or a few lookups were completed.
    pub fn lookup(&mut self) {
        let gap = self.last.elapsed();
        let now_ran = ran();
        if gap > self.longest {
            let ran = now_ran.saturating_sub(self.last_ran);
            self.longest = self.longest.max(self.counted(gap, ran));
            self.begin();
        } else {
            self.last_ran = now_ran;
            self.last = Instant::now();
        }
    }

    /// The longest gap so far.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    fn counted(&self, gap: Duration, ran: Duration) -> Duration {
        if gap > NAP {
            // Both threads may have been stopped: wait until the other one wakes.
            let naps = self.sentinel.naps.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(1);
            while self.sentinel.naps.load(Ordering::Relaxed) < naps + 2 && Instant::now() < deadline
            {
                thread::sleep(NAP);
            }
        }
        // Waiting for the other thread is sleep, and does not count as ready time.
        let waited = self.waited_now().saturating_sub(self.waited);
        let silent = self.silent_now().saturating_sub(self.silent);
        gap.saturating_sub(waited + silent).max(ran)
    }

    fn waited_now(&self) -> Duration {
        let mut text = [0; 64];
        let waited = self.schedule.as_ref().and_then(|file| {
            let len = file.read_at(&mut text, 0).ok()?;
            let text = core::str::from_utf8(&text[..len]).ok()?;
            text.split_ascii_whitespace().nth(1)?.parse().ok()
        });
        Duration::from_nanos(waited.unwrap_or(0))
    }

    fn silent_now(&self) -> Duration {
        Duration::from_nanos(self.sentinel.silent_ns.load(Ordering::Relaxed))
    }
}

impl Sentinel {
    fn nap(&self) {
        let begun = Instant::now();
        thread::sleep(NAP);
        let slept = begun.elapsed();
        if slept > NAP * 2 {
            let silent = (slept - NAP).as_nanos() as u64;
            self.silent_ns.fetch_add(silent, Ordering::Relaxed);
        }
        self.naps.fetch_add(1, Ordering::Relaxed);
    }
}

/// The processor time of the calling thread.
fn ran() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the processor time of a thread")]
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_spins_or_sleeps_is_seen() {
        let mut gaps = Gaps::new();
        gaps.begin();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {}
        gaps.lookup();
        let spun = gaps.longest();
        assert!(spun > Duration::from_micros(500), "{spun:?}");
        gaps.begin();
        thread::sleep(Duration::from_millis(300));
        gaps.lookup();
        assert!(gaps.longest() > Duration::from_millis(30), "{:?}", gaps.longest());
    }
}
