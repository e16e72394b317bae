//! Opening a connect: joining the client of this process, attaching to the
//! segment of the key, or creating it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::admit::{ConnectTurn, admit};
use super::agent::{Start, leave};
use super::config::Config;
use super::error::ConnectError;
use super::event::Event;
use super::state::{ClientState, RequestCount, ThreadCommand};
use super::thread::{ClientThread, OpenConnect, clients, on_client_thread};
use crate::segment::{
    Candidate, CreateOutcome, Current, OwnerState, Segment, SegmentError, check_backend, create,
    private, quick, search, stepped_over, sweep,
};
use crate::tend::ClusterSource;
/// How long a retired segment may keep its name before it is assumed to need a
/// successor. Removing it takes less than a millisecond.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(50);
/// How often a segment is searched for and created if each one disappears at
/// once.
const MAX_ATTEMPTS: u32 = 100;
/// How often a segment is attached that is being removed.
const MAX_REMOVALS: u32 = 20;
/// The pause between two attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// The existing client of this process for the key, or a new one; an error if the
/// connect is called off meanwhile.
pub(super) fn connect_shared(
    config: Config,
    mut source: Box<dyn ClusterSource>,
    waits: bool,
    called_off: &AtomicBool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let key = (config.shm_backend, config.shm_directory.clone(), config.shm_key);
    let mut removals = 0;
    loop {
        let mut clients = clients();
        let there = clients.iter().find(|(known, _)| *known == key);
        if let Some(handle) = there.and_then(|(_, handle)| handle.upgrade()) {
            if let Some(open) = handle.enter() {
                drop(clients);
                return join(open, &config, waits);
            }
            // The existing client is about to end. Two threads of one process
            // on one segment would release each other's locks: wait, unless
            // this is that very thread.
            if !on_client_thread() && !handle.state.has_ended() {
                drop(clients);
                // Relaxed: no other data depends on it.
                if called_off.load(Ordering::Relaxed) {
                    return Err(ConnectError::Ended);
                }
                handle.state.wait_end(Duration::from_millis(50));
                continue;
            }
        }
        clients.retain(|(known, _)| *known != key);
        let (segment, start) = open(&config, called_off)?;
        // Before anything is routed from the segment.
        let admitted = match start {
            Start::Owner(_) => true,
            Start::Follower => {
                admit(&segment, &config, source.as_mut(), &mut ConnectTurn { called_off })?
            }
        };
        let created = matches!(start, Start::Owner(_));
        // Relaxed: no other data depends on it. What is interrupted admits nothing.
        if !created && called_off.load(Ordering::Relaxed) {
            return Err(ConnectError::Ended);
        }
        let place = config.place();
        let current = match Current::new(Some(place.clone()), &segment) {
            Ok(_) if is_being_removed(&segment) => {
                removals += 1;
                if removals == MAX_REMOVALS {
                    let (key, attempts) = (config.shm_key, removals);
                    return Err(SegmentError::Vanishes { key, attempts }.into());
                }
                std::thread::sleep(BETWEEN_ATTEMPTS);
                continue;
            }
            other => other.map_err(ConnectError::from),
        };
        let made = current.and_then(|current| {
            spawn(config, source, Arc::new(current.guarded()), start, admitted, waits)
        });
        return match made {
            Ok((open, asked)) => {
                clients.push((key, Arc::downgrade(&open.handle)));
                // This runs the host program's code, which may connect itself.
                drop(clients);
                let state = &open.handle.state;
                if let Some(error) = created.then(|| stepped_over(&place)).flatten() {
                    state.notify(Event::Trouble { error: error.to_string() });
                }
                warn_of_capacities(state, &state.config, segment.geometry().capacity());
                Ok((open, asked))
            }
            Err(error) => {
                if created {
                    let _ = leave(&segment, &place);
                }
                Err(error)
            }
        };
    }
}

/// Whether a segment was removed, by the last process to leave it or by an
/// operator, while this process attached. This process has routed nothing from
/// it yet, and must not, because others may already have started a new segment.
///
/// A process that removes a segment retires it first, and unlinks its name a
/// moment later, unless it finds another process attached.
fn is_being_removed(segment: &Segment) -> bool {
    let begun = Instant::now();
    while segment.head().retired() && begun.elapsed() < REMOVAL_PATIENCE {
        if !segment.is_found() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// A second connect of this process: the hosts and the names of the cluster, if
/// both have one, must be the same; the capacities stay as they are.
fn join(
    open: OpenConnect,
    config: &Config,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let there = &open.handle.state.config;
    let (found, wanted) = (there.sorted_hosts(), config.sorted_hosts());
    if found != wanted {
        return Err(ConnectError::OtherHosts { key: config.shm_key, found, wanted });
    }
    let (found, wanted) = (there.wanted_cluster()?, config.wanted_cluster()?);
    if let (Some(found), Some(wanted)) = (found, wanted)
        && found != wanted
    {
        // Whatever is published, or will be.
        let (found, wanted) = (found.to_string(), wanted.to_string());
        return Err(ConnectError::OtherCluster { key: config.shm_key, found, wanted });
    }
    let segment = open.handle.state.current.get();
    config.check_cluster(&segment)?;
    let state = &open.handle.state;
    warn_of_capacities(state, config, segment.geometry().capacity());
    let asked = if waits { state.ask() } else { state.asked() };
    if waits && !state.has_map() {
        // Its thread may be waiting out an interval or a backoff.
        state.command(ThreadCommand::Try);
    }
    Ok((open, asked))
}

fn warn_of_capacities(state: &ClientState, config: &Config, found: crate::map::Capacity) {
    let wanted = config.capacity();
    for (name, found, wanted) in [
        ("shm_max_nodes", found.max_nodes, wanted.max_nodes),
        ("shm_max_namespaces", found.max_namespaces, wanted.max_namespaces),
        ("shm_max_replicas", found.max_replicas, wanted.max_replicas),
    ] {
        if found != wanted {
            let what = format!("the segment has {name} {found}, {wanted} is ignored");
            state.notify(Event::CapacityIgnored { what });
        }
    }
}

/// A client with a private map.
pub(super) fn connect_private(
    config: Config,
    source: Box<dyn ClusterSource>,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let ownership = private(config.capacity(), 0)?;
    let current = Current::new(None, ownership.segment())?;
    spawn(config, source, Arc::new(current), Start::Owner(Box::new(ownership)), true, waits)
}

fn spawn(
    config: Config,
    source: Box<dyn ClusterSource>,
    current: Arc<Current>,
    start: Start,
    admitted: bool,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let segment = current.get();
    let state = Arc::new(ClientState::new(config, current));
    state.current.bar(!admitted);
    // Taken before the thread's first attempt, which must answer it.
    let asked = if waits { state.ask() } else { state.asked() };
    // With a living owner and a map there is nothing to wait for; nor is there
    // for a process that may only read.
    if matches!(start, Start::Follower) && admitted && segment.head().sequence() > 0 {
        let reads = segment.lock().is_some_and(|lock| !lock.is_writable());
        if reads || Candidate::look(&segment)? == OwnerState::Alive {
            state.settle(Ok(()), state.asked());
        }
    }
    Ok((ClientThread::spawn(state, source, start)?, asked))
}

/// The current segment of the key; creates one if there is none.
fn open(config: &Config, called_off: &AtomicBool) -> Result<(Arc<Segment>, Start), ConnectError> {
    let place = config.place();
    for attempt in 1.. {
        // Relaxed: no other data depends on it.
        if called_off.load(Ordering::Relaxed) {
            return Err(ConnectError::Ended);
        }
        if let Some(segment) = quick(&place, 0) {
            return Ok((segment, Start::Follower));
        }
        let found = search(&place)?;
        let next = found.next(0);
        let there = match (found.live, found.refused) {
            (None, Some(refused)) => return Err(refused.into()),
            // Without a live segment, the map continues in a successor: it is
            // about to appear, or this process builds it as a follower does.
            (live, _) => live.or(found.retired),
        };
        if let Some(segment) = there {
            return Ok((segment, Start::Follower));
        }
        check_backend(&place)?;
        if let CreateOutcome::Owner(ownership) = create(&place, next, config.capacity(), None)? {
            // Sweeps what crashed processes left behind; a failure to do so is
            // no reason to fail here.
            let _ = sweep(&place, ownership.segment());
            return Ok((ownership.segment().clone(), Start::Owner(ownership)));
        }
        // Other processes were faster, and their segment is already gone.
        if attempt == MAX_ATTEMPTS {
            break;
        }
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
    Err(SegmentError::Vanishes { key: place.key, attempts: MAX_ATTEMPTS }.into())
}
