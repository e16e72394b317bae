//! Several looks at each segment of the host, and what they show.

use std::path::Path;
use std::time::{Duration, Instant};

use super::clients::attached_clients;
use super::finding::{Note, Problem};
use super::judge::{Evidence, HeldLock, Owner, held, judge, still_held};
use super::look::{
    Candidate, LookError, candidates, find, look, mirror_is_active, monotonic_ms, owner_state,
};
use super::picture::Picture;
use crate::map::ClusterMap;

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(200);
/// For how long looks are repeated if there are problems that may pass.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to diagnose.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The key; `None` = all segments.
    pub key: Option<u32>,
    /// Where mirrors of tendmap have their lock files.
    pub directory: &'a Path,
    /// What clients are configured with as `shm_max_nodes`.
    pub client_max_nodes: usize,
}

/// The diagnosis of a segment.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The segment.
    pub segment: Candidate,
    /// What was seen; `None` if it can't be read.
    pub evidence: Option<Evidence>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What else is worth knowing.
    pub notes: Vec<Note>,
}

/// A segment that is being watched.
struct Watched {
    segment: Candidate,
    /// What was seen so far.
    seen: Result<Option<Evidence>, Problem>,
}

impl Watched {
    /// Looks once more; `false` if the segment is gone.
    fn look(&mut self, options: &Options<'_>) -> bool {
        let Ok(seen) = &mut self.seen else { return true };
        let Candidate { id, key, uid, mode, .. } = self.segment;
        match look(id) {
            Ok((picture, mappings)) => {
                add(seen, picture, mappings, self.segment, options);
                true
            }
            Err(LookError::Gone) => false,
            Err(LookError::Denied) => {
                self.seen = Err(Problem::Denied { uid, mode });
                true
            }
            Err(LookError::Io(error)) => {
                let error = format!("segment {key:#010x}: {error}");
                self.seen = Err(Problem::Unreadable { error });
                true
            }
        }
    }

    fn judge(&self, map: Option<&ClusterMap>) -> (Vec<Problem>, Vec<Note>) {
        match &self.seen {
            Ok(Some(evidence)) => judge(evidence, map),
            Ok(None) => Default::default(),
            Err(problem) => (vec![problem.clone()], Vec::new()),
        }
    }
}

/// Adds a look to those before it.
fn add(
    seen: &mut Option<Evidence>,
    picture: Picture,
    mappings: u64,
    Candidate { id, key, .. }: Candidate,
    options: &Options<'_>,
) {
    let now_ms = monotonic_ms();
    let owner = owner_state(&picture.header, id);
    let mirror = mirror_is_active(options.directory, key);
    let now_held: Vec<HeldLock> = held(&picture);
    let timestamp = picture.header.timestamp;
    match seen {
        Some(seen) => {
            seen.held = still_held(&seen.held, &now_held);
            seen.timestamps.push(timestamp);
            (seen.now_ms, seen.owner, seen.mirror) = (now_ms, owner, mirror);
            (seen.picture, seen.mappings) = (picture, mappings);
            seen.clients = attached_clients(id);
        }
        None => {
            *seen = Some(Evidence {
                key,
                mappings,
                picture,
                timestamps: vec![timestamp],
                held: now_held,
                now_ms,
                owner,
                mirror,
                clients: Vec::new(),
                client_max_nodes: options.client_max_nodes,
            });
        }
    }
}

/// Diagnoses the segments of this host, by key. `map` reads tendmap's own map.
///
/// It takes 0.2 s, and up to 3 s if it finds problems that may pass.
///
/// # Errors
/// The kernel's error if the key can't be looked up.
pub fn diagnose(
    options: &Options<'_>,
    mut map: impl FnMut() -> Option<ClusterMap>,
) -> std::io::Result<Vec<Diagnosis>> {
    let mut found = match options.key {
        Some(key) => find(key)?.into_iter().collect(),
        None => candidates(),
    };
    found.sort_by_key(|segment| (segment.key, segment.id));
    let mut watched: Vec<Watched> =
        found.into_iter().map(|segment| Watched { segment, seen: Ok(None) }).collect();
    watched.retain_mut(|watched| watched.look(options));
    let begun = Instant::now();
    loop {
        if !watched.is_empty() {
            std::thread::sleep(PAUSE);
        }
        watched.retain_mut(|watched| watched.look(options));
        let map = map();
        let judged: Vec<_> = watched.iter().map(|watched| watched.judge(map.as_ref())).collect();
        let may_pass = judged.iter().any(|(problems, _)| problems.iter().any(Problem::may_pass));
        if may_pass && begun.elapsed() < PATIENCE {
            continue;
        }
        let both = watched.into_iter().zip(judged);
        return Ok(both
            .map(|(watched, (problems, notes))| {
                let evidence = watched.seen.ok().flatten();
                Diagnosis { segment: watched.segment, evidence, problems, notes }
            })
            .collect());
    }
}

impl Diagnosis {
    /// How long ago it was tended last; `None` if that is not known.
    #[must_use]
    pub fn tended_age(&self) -> Option<Duration> {
        let evidence = self.evidence.as_ref()?;
        evidence.picture.layout?;
        let ms = evidence.now_ms.checked_sub(evidence.picture.header.timestamp)?;
        Some(Duration::from_millis(ms))
    }

    /// The owner, if the segment can be read.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.evidence.as_ref().map(|evidence| &evidence.owner)
    }
}
