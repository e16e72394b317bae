//! How long a reader went without completing a lookup.
//!
//! Between two lookups of a burst nothing but lookups happens, so that a gap is
//! the lookup's own doing, or the machine's: the thread was not let run, or its
//! process was stopped. What the machine did is taken off as far as it can be
//! told:
//!
//! - the time that the thread was ready to run and did not, by the kernel
//!   (`/proc/thread-self/schedstat`);
//! - the time for which a second thread of the process, which does nothing but
//!   sleep for a millisecond and look at the clock, slept longer than two: that
//!   is how a stopped process, or a stopped machine, shows.
//!
//! Never less is counted than the processor time that the thread itself used.

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

/// What the second thread has seen.
#[derive(Default)]
struct Sentinel {
    naps: AtomicU64,
    silent_ns: AtomicU64,
}

impl Gaps {
    /// For the calling thread.
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

    /// A burst begins: what was before it counts for nothing.
    pub fn begin(&mut self) {
        (self.waited, self.silent) = (self.waited_now(), self.silent_now());
        self.last_ran = ran();
        self.last = Instant::now();
    }

    /// A lookup, or a few, were completed.
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
            // Both threads may have been stopped: let the other one wake.
            let naps = self.sentinel.naps.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(1);
            while self.sentinel.naps.load(Ordering::Relaxed) < naps + 2 && Instant::now() < deadline
            {
                thread::sleep(NAP);
            }
        }
        // The waiting for the other thread is sleep, not readiness.
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
