//! Measures how long calls take, and the resources that a process uses.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A call that uses more processor time than this is spinning.
const MOST_CPU: Duration = Duration::from_secs(1);
/// A call that takes longer than this is blocked, even on a busy machine.
const MOST_WALL: Duration = Duration::from_secs(10);

/// The calls of one thread.
#[derive(Default)]
pub struct Calls(BTreeMap<&'static str, Seen>);

#[derive(Clone, Copy, Default)]
struct Seen {
    count: u64,
    cpu: Duration,
    wall: Duration,
    /// The longest call, without the time in which it waited for a processor.
    own: Duration,
}

impl Calls {
    /// Makes a call; `allowed` is the time that the call may wait.
    pub fn time<T>(
        &mut self,
        name: &'static str,
        allowed: Duration,
        call: impl FnOnce() -> T,
    ) -> T {
        let (begun, cpu, queued) = (Instant::now(), cpu(), queued());
        let result = call();
        let wall = begun.elapsed().saturating_sub(allowed);
        let cpu = self::cpu().saturating_sub(cpu);
        let own = wall.saturating_sub(self::queued().saturating_sub(queued));
        let seen = self.0.entry(name).or_default();
        seen.count += 1;
        seen.cpu = seen.cpu.max(cpu);
        seen.wall = seen.wall.max(wall);
        seen.own = seen.own.max(own);
        // Printed at once, so that the parent sees it even if this call is the
        // last.
        if cpu > MOST_CPU || wall > MOST_WALL {
            println!("FAULT {name} took {wall:?}, {cpu:?} of them on a processor");
        }
        result
    }

    pub fn join(&mut self, other: Calls) {
        for (name, seen) in other.0 {
            let all = self.0.entry(name).or_default();
            all.count += seen.count;
            all.cpu = all.cpu.max(seen.cpu);
            all.wall = all.wall.max(seen.wall);
            all.own = all.own.max(seen.own);
        }
    }

    /// The number of calls of the least frequent kind.
    pub fn least(&self) -> u64 {
        self.0.values().map(|seen| seen.count).min().unwrap_or(0)
    }

    pub fn text(&self) -> String {
        let each = self.0.iter().map(|(name, seen)| {
            format!("{name} {} ({:.0?} cpu, {:.0?} own)", seen.count, seen.cpu, seen.own)
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

fn cpu() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the processor time of a thread")]
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// How long this thread has waited for a processor so far.
fn queued() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// The resources that a process uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    pub resident_kb: u64,
    pub descriptors: u64,
    pub threads: u64,
}

impl Use {
    pub fn of(pid: u32) -> Option<Use> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Use { resident_kb: field("VmRSS:")?, descriptors, threads: field("Threads:")? })
    }

    pub fn most(self, other: Use) -> Use {
        Use {
            resident_kb: self.resident_kb.max(other.resident_kb),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}
