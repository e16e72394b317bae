//! Measures how long a segment has no owner after an owner is killed, or closes,
//! among followers that are real processes.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use tendmap::client::Reader;
use tendmap::internals::layout::OwnerWord;
use tendmap::internals::protocol::load_owner;
use tendmap::segment::{Place, remove};

use super::child::{Process, Task};
use tendmap_cli::failure::Failure;
use tendmap_harness::sample::Samples;

/// How often the head is read.
const LOOK: Duration = Duration::from_micros(50);
/// How long to wait for a new owner.
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds from one owner to the next.
#[derive(Default)]
pub struct Times {
    /// Counted from the death of the owner, which on a busy machine follows its kill
    /// after a delay.
    pub takeovers: Samples,
    /// Counted from the request to close.
    pub handovers: Samples,
    /// Counted from the stop of an owner that holds its lock.
    pub hung: Samples,
}

/// An owner and its followers.
pub struct Group {
    place: Place,
    task: Task,
    reader: Reader,
    processes: Vec<Process>,
    random: fastrand::Rng,
}

impl Group {
    /// An owner and this number of followers.
    ///
    /// # Errors
    /// [`Failure`] if they can't be started.
    pub fn new(place: &Place, followers: usize, task: Task) -> Result<Group, Failure> {
        // The first process is the owner, and makes no lookups.
        let kind = if task == Task::Busy { Task::Follow } else { task };
        let mut first = Process::start(place, kind)?;
        first.expect_ready()?;
        let mut processes = vec![first];
        for _ in 0..followers {
            processes.push(Process::start(place, task)?);
        }
        processes[1..].iter_mut().try_for_each(Process::expect_ready)?;
        let reader = Reader::attach(place)?;
        let random = fastrand::Rng::with_seed(1);
        Ok(Group { place: place.clone(), task, reader, processes, random })
    }

    /// Kills owners and lets owners close, in turn, until the given time, but at least `least`
    /// times each.
    ///
    /// # Errors
    /// [`Failure`] if no process takes over.
    pub fn run(&mut self, until: Instant, least: usize) -> Result<Times, Failure> {
        let mut times = Times::default();
        let _foremost = Foremost::new();
        while times.handovers.len() < least || Instant::now() < until {
            times.takeovers.push(self.next(true, Process::kill)?);
            // Most are kills, because their slowest time is reported, too.
            if times.takeovers.len() % 4 == 0 || times.handovers.len() < least {
                times.handovers.push(self.next(false, |owner| {
                    owner.let_go();
                    Ok(())
                })?);
            }
        }
        Ok(times)
    }

    /// Stops the owner, so that it hangs, `rounds` times.
    ///
    /// # Errors
    /// [`Failure`] if no process takes over.
    pub fn hang(&mut self, rounds: usize, times: &mut Times) -> Result<(), Failure> {
        for _ in 0..rounds {
            thread::sleep(Duration::from_millis(self.random.u64(50..300)));
            let segment = self.reader.segment();
            let (owner, term) = self.owner()?;
            let since = Instant::now();
            self.processes[owner].stop(true)?;
            while segment.head().term() == term {
                check(since)?;
                thread::sleep(LOOK);
            }
            times.hung.push(since.elapsed().as_secs_f64() * 1e3);
            self.processes[owner].stop(false)?;
        }
        Ok(())
    }

    /// The number of the owner's process, and its term.
    fn owner(&self) -> Result<(usize, u16), Failure> {
        let segment = self.reader.segment();
        let head = segment.head();
        let pid = load_owner(segment.mapping().owner(OwnerWord::Pid), head);
        let owner = self.processes.iter().position(|process| Some(process.pid().into()) == pid);
        let owner = owner.ok_or_else(|| {
            Failure::Failed("another process owns the segment of the bench".into())
        })?;
        Ok((owner, head.term()))
    }

    /// Ends the owner; returns the milliseconds until there is another one.
    fn next(
        &mut self,
        killed: bool,
        end: impl FnOnce(&mut Process) -> Result<(), Failure>,
    ) -> Result<f64, Failure> {
        // At a random moment of the followers' sleep.
        thread::sleep(Duration::from_micros(self.random.u64(5_000..30_000)));
        let segment = self.reader.segment();
        let (owner, term) = self.owner()?;
        let mut owner = self.processes.swap_remove(owner);
        let mut since = Instant::now();
        end(&mut owner)?;
        let mut dead = !killed;
        while segment.head().term() == term {
            check(since)?;
            thread::sleep(LOOK);
            if !dead && owner.has_ended() {
                (dead, since) = (true, Instant::now());
            }
        }
        // A takeover that was complete before the owner's death was observed counts
        // as 0.
        let time = if dead { since.elapsed().as_secs_f64() * 1e3 } else { 0.0 };
        drop(owner);
        let mut another = Process::start(&self.place, self.task)?;
        another.expect_ready()?;
        self.processes.push(another);
        Ok(time)
    }
}

fn check(since: Instant) -> Result<(), Failure> {
    if since.elapsed() > PATIENCE {
        return Err(Failure::Failed(format!("no process has taken over in {PATIENCE:?}")));
    }
    Ok(())
}

/// Gives this thread priority over all others, if that is allowed, because its own
/// wait for a processor must not count as takeover time.
struct Foremost(i32);

impl Foremost {
    fn new() -> Foremost {
        let before = getpriority_process(None).unwrap_or(0);
        // Without the permission the times are longer, never shorter.
        let _ = setpriority_process(None, -20);
        Foremost(before)
    }
}

impl Drop for Foremost {
    fn drop(&mut self) {
        let _ = setpriority_process(None, self.0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // All at once, so that none takes over from another.
        self.processes.iter_mut().for_each(|process| drop(process.kill()));
        self.processes.clear();
        let _ = remove(&self.place, true);
    }
}
