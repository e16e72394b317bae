//! State shared by a client's handles and its thread.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::config::Config;
use super::error::ConnectError;
use super::event::{Event, Role, notify};
use crate::layout::Lineage;
use crate::segment::{Current, WakeMask, wake};
use crate::wire::login::Credentials;

/// The shared state.
#[derive(Debug)]
pub(super) struct ClientState {
    pub config: Config,
    pub current: Arc<Current>,
    pub personal: WakeMask,
    /// In nanoseconds.
    tend_interval: AtomicU64,
    /// Commands from the handles to the thread.
    commands: (Sender<ThreadCommand>, Receiver<ThreadCommand>),
    /// Set before this process wakes its own thread.
    poked: AtomicBool,
    stop: AtomicBool,
    /// How many steps the thread has made.
    steps: AtomicU64,
    role: AtomicU8,
    first: Mutex<FirstMap>,
    /// Why this process must not use the segment.
    refusal: Mutex<Option<ConnectError>>,
    /// Signalled when `first` changes.
    changed: Condvar,
    /// The process in which the thread runs.
    lineage: Lineage,
}

/// A request from a handle to the thread.
pub(super) enum ThreadCommand {
    /// Use these credentials for logins from now on.
    Credentials(Credentials),
    /// A connect waits for the first map: make an attempt at once.
    Try,
}

/// What is known of the first map.
#[derive(Debug, Default)]
struct FirstMap {
    /// Whether there is a map.
    there: bool,
    /// The number of calls that have asked for it.
    asked: u64,
    /// How many of them had asked when a map was lost.
    answered: u64,
    /// Why there is no map, and how many calls had asked when that attempt began.
    failed: Option<(u64, ConnectError)>,
    /// Whether the thread has ended.
    ended: bool,
}

/// The number of calls that had asked for the first map at some moment. An
/// answer is only for the calls that had asked before its attempt began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestCount(u64);

/// How long a connect waits for the first map before it checks the time.
const SLICE: Duration = Duration::from_millis(50);

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const ROLES: [Role; 4] = [Role::Follower, Role::Standby, Role::Owner, Role::Closed];

impl ClientState {
    pub fn new(config: Config, current: Arc<Current>) -> ClientState {
        ClientState {
            tend_interval: AtomicU64::new(nanoseconds(config.tend_interval)),
            config,
            current,
            personal: WakeMask::random(),
            commands: unbounded(),
            poked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            role: AtomicU8::new(0),
            first: Mutex::default(),
            refusal: Mutex::default(),
            changed: Condvar::new(),
            lineage: Lineage::current(),
        }
    }

    /// Whether this is a forked child's copy: the thread is its parent's, and
    /// the locks may be held for ever.
    pub fn is_inherited(&self) -> bool {
        self.lineage != Lineage::current()
    }

    /// Asks the thread to close.
    pub fn stop(&self) {
        // Release: pairs with `stopping`.
        self.stop.store(true, Ordering::Release);
        self.poke();
    }

    /// Records a step of the thread.
    pub fn step(&self) {
        // Relaxed: a counter on its own.
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// How many steps the thread has made.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether the client closes.
    pub fn stopping(&self) -> bool {
        // Acquire: pairs with the Release of the closing handle.
        self.stop.load(Ordering::Acquire)
    }

    /// How often the owner polls: the configured interval, or the last change
    /// of it.
    pub fn tend_interval(&self) -> Duration {
        // Relaxed: no other data depends on it.
        Duration::from_nanos(self.tend_interval.load(Ordering::Relaxed))
    }

    /// Changes the interval and wakes the thread to apply it.
    pub fn set_tend_interval(&self, interval: Duration) {
        self.tend_interval.store(nanoseconds(interval), Ordering::Relaxed);
        self.poke();
    }

    /// Sends a command to the thread. A forked child has no such thread.
    pub fn command(&self, command: ThreadCommand) {
        if !self.is_inherited() {
            // Can't fail: `self` holds both ends.
            let _ = self.commands.0.send(command);
            self.poke();
        }
    }

    /// The next command that [`command`](Self::command) has sent.
    pub fn next_command(&self) -> Option<ThreadCommand> {
        self.commands.1.try_recv().ok()
    }

    /// Wakes the thread, to look at what has changed.
    ///
    /// An owner sleeps under the owner's bit only: there are few personal bits,
    /// and wake-ups by other processes must not be taken for requests to tend.
    fn poke(&self) {
        if self.is_inherited() {
            return;
        }
        // Relaxed: a hint only.
        self.poked.store(true, Ordering::Relaxed);
        let segment = self.current.get();
        let event = segment.mapping().event();
        wake(event, Some(self.personal));
        if self.role() == Role::Owner {
            wake(event, Some(WakeMask::owner()));
        }
    }

    /// Whether the thread was poked since the last call.
    pub fn take_poke(&self) -> bool {
        self.poked.swap(false, Ordering::Relaxed)
    }

    pub fn role(&self) -> Role {
        // Relaxed: no other data depends on it.
        ROLES[usize::from(self.role.load(Ordering::Relaxed)) % ROLES.len()]
    }

    pub fn set_role(&self, role: Role) {
        let index = ROLES.iter().position(|&known| known == role).unwrap_or(0);
        self.role.store(index as u8, Ordering::Relaxed);
    }

    /// Records that the segment is of another cluster.
    pub fn refuse(&self, error: ConnectError) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why the segment was refused.
    pub fn refusal(&self) -> Option<ConnectError> {
        if self.is_inherited() {
            // A lock that was held at the time of the fork is held for ever.
            return self.refusal.try_lock().ok()?.clone();
        }
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that the segment's map is of the configured cluster.
    pub fn admit(&self) {
        self.current.bar(false);
    }

    /// Whether the segment's map was found to be of the configured cluster.
    pub fn is_admitted(&self) -> bool {
        !self.current.is_barred()
    }

    pub fn notify(&self, event: Event) {
        notify(self.config.observer.as_ref(), event);
    }

    fn first(&self) -> MutexGuard<'_, FirstMap> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        // After a removal by force, or after damage, the segment may begin again.
        if first.there && !self.is_routable() {
            (first.there, first.answered) = (false, first.asked);
        }
        first
    }

    /// Whether the current segment has a map that may be routed from.
    fn is_routable(&self) -> bool {
        self.current.get().head().sequence() > 0 && !self.current.is_barred()
    }

    /// Asks for the first map; the answer comes from an attempt that begins
    /// after this call.
    pub fn ask(&self) -> RequestCount {
        let mut first = self.first();
        first.asked += 1;
        RequestCount(first.asked)
    }

    /// The calls that have asked so far; taken before an attempt begins.
    pub fn asked(&self) -> RequestCount {
        RequestCount(self.first().asked)
    }

    /// Whether a connect still waits for the first map.
    pub fn awaited(&self) -> bool {
        let first = self.first();
        let failed = first.failed.as_ref().map_or(0, |&(asked, _)| asked);
        !first.there && first.answered.max(failed) < first.asked
    }

    /// Whether there is a map.
    pub fn has_map(&self) -> bool {
        // A child takes none of its parent's locks.
        if self.is_inherited() { self.is_routable() } else { self.first().there }
    }

    /// Records that there is a map, or why an attempt did not bring one. A map
    /// is final unless it is lost; a failure is only for the calls that had
    /// asked before.
    pub fn settle(&self, result: Result<(), ConnectError>, asked: RequestCount) {
        let mut first = self.first();
        match result {
            Ok(()) => (first.there, first.failed) = (true, None),
            Err(error) if !first.there => first.failed = Some((asked.0, error)),
            Err(_) => return,
        }
        self.changed.notify_all();
    }

    /// Waits for the answer, at most for `patience`; `None` if there is none by
    /// then.
    ///
    /// The time for which this process is stopped, or gets no turn, counts as one
    /// slice at most: its own thread may have an answer that it could not give.
    pub fn wait_first(
        &self,
        asked: RequestCount,
        patience: Duration,
    ) -> Option<Result<(), ConnectError>> {
        let mut left = patience;
        let mut first = self.first();
        loop {
            if first.there {
                return Some(Ok(()));
            }
            match &first.failed {
                Some((answered, error)) if *answered >= asked.0 => return Some(Err(error.clone())),
                _ if first.ended => return Some(Err(ConnectError::Ended)),
                _ => {}
            }
            if left.is_zero() {
                return None;
            }
            let (slice, begun) = (left.min(SLICE), Instant::now());
            first =
                self.changed.wait_timeout(first, slice).unwrap_or_else(PoisonError::into_inner).0;
            left -= begun.elapsed().min(slice);
        }
    }

    /// Why the last attempt brought no map; `None` if there is one.
    pub fn failure(&self) -> Option<ConnectError> {
        self.first().failed.as_ref().map(|(_, error)| error.clone())
    }

    /// Records that the thread has ended, for any reason.
    pub fn end(&self) {
        self.set_role(Role::Closed);
        self.first().ended = true;
        self.changed.notify_all();
    }

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.first().ended
    }

    /// Waits until the thread has ended, at most that long; returns whether it
    /// has.
    pub fn wait_end(&self, timeout: Duration) -> bool {
        let first = self.first();
        let ended = self.changed.wait_timeout_while(first, timeout, |first| !first.ended);
        ended.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

#[cfg(test)]
mod tests {
    use tendmap_testkit::forked::forked;

    use super::*;
    use crate::map::Capacity;
    use crate::segment::private;

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn h97_a_child_looks_at_an_inherited_client_whose_locks_are_held() {
        let config = Config::new(vec!["127.0.0.1:3000".parse().unwrap()]);
        let of = |sequence| {
            let ownership = private(Capacity::DEFAULT, sequence).unwrap();
            let current = Current::new(None, ownership.segment()).unwrap();
            ClientState::new(config.clone(), Arc::new(current))
        };
        for (sequence, there) in [(0, false), (7, true)] {
            let state = of(sequence);
            // As another thread of the parent does at that moment.
            let (_first, _refusal) = (state.first(), state.refusal.lock().unwrap());
            forked(
                |_| {
                    // A child that waits for a lock is ended by the alarm, which fails.
                    nix::unistd::alarm::set(20);
                    assert_eq!((state.has_map(), state.refusal().is_none()), (there, true));
                },
                |_| {},
            );
        }
    }
}
