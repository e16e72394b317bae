//! A mirror of the C client's segment: what it costs while nothing changes, and
//! how long after a publication the segment is changed, too.

use std::time::{Duration, Instant};

use tendmap::c_client::Target;
use tendmap::client::{Client, Config};
use tendmap::internals::c_client::{Capacity, Shape as Layouted, header};
use tendmap::internals::layout::{ForeignSegment, shm_find, shm_remove};
use tendmap::segment::Place;
use tendmap::tend::ClusterSource;
use tendmap_cli::failure::Failure;
use tendmap_harness::fixed::Fixed;
use tendmap_harness::sample::Samples;
use tendmap_harness::shape::{self, Shape};

/// How long the mirror is watched while nothing changes.
const STEADY: Duration = Duration::from_secs(4);
/// The number of publications that are timed.
const CHANGES: usize = 40;
/// The pause between two of them.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// The newest clients whose layout is known.
const VERSION: &str = "7.6.1";

/// The results.
#[derive(Default)]
pub struct Mirrored {
    /// The share of one processor in percent, while nothing changes.
    pub steady_percent: Samples,
    /// Milliseconds from a publication to the segment.
    pub delay_ms: Samples,
}

/// A client with a mirror. The segment is removed at the end.
struct Bench {
    client: Client,
    key: u32,
}

impl Bench {
    fn new(
        place: &Place,
        shape: Shape,
        interval: Duration,
        source: Box<dyn ClusterSource>,
    ) -> Result<Bench, Failure> {
        let failed = |error: String| Failure::Failed(error);
        let hosts = vec!["127.0.0.1:3000".parse().map_err(|_| failed("no host".into()))?];
        let key = fastrand::u32(0x0100_0000..0x7000_0000);
        let mut config = Config::new(hosts);
        config.shm_directory.clone_from(&place.directory);
        config.tend_interval = interval;
        let version = VERSION.parse().map_err(|error| failed(format!("{error}")))?;
        config.c_client.targets = vec![Target { key, version }];
        config.c_client.max_nodes = shape.nodes();
        config.c_client.max_namespaces = shape.namespaces();
        let client = Client::connect_with(config, source)?;
        Ok(Bench { client, key })
    }

    /// The segment once it is complete.
    fn segment(&self) -> Result<ForeignSegment, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let found = shm_find(self.key).ok().flatten();
            let found = found.and_then(|id| ForeignSegment::attach(id, false).ok());
            if let Some(segment) = found.filter(|segment| segment.load_u8(header::READY) == 1) {
                return Ok(segment);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::Failed("the mirror made no segment; `ipcs -lm` shows the limits".into()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.client.clone().close();
        if let Ok(Some(id)) = shm_find(self.key) {
            let _ = shm_remove(id);
        }
    }
}

/// Measures both.
///
/// # Errors
/// [`Failure`] if the segment can't be created, or does not change.
pub fn measure(place: &Place, shape: Shape) -> Result<Mirrored, Failure> {
    let mut mirrored = Mirrored::default();
    let steady =
        Bench::new(place, shape, Duration::from_secs(1), Box::new(Fixed::new(shape.map())))?;
    steady.segment()?;
    // What its first passes do is over.
    std::thread::sleep(Duration::from_secs(1));
    let (begun, before) = (Instant::now(), mirror_time());
    std::thread::sleep(STEADY);
    let used = mirror_time().saturating_sub(before);
    mirrored.steady_percent.push(100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64());
    drop(steady);

    let turning = Bench::new(
        place,
        shape,
        INTERVAL,
        Box::new(Fixed::changing(shape.map(), shape::turn_all)),
    )?;
    let segment = turning.segment()?;
    let capacity = Capacity::new(shape.nodes(), shape.namespaces())
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let version: tendmap::c_client::ClientVersion =
        VERSION.parse().map_err(|error| Failure::Failed(format!("{error}")))?;
    let layout = Layouted::new(version.layout(), capacity);
    // The last word that a publication changes.
    let last = shape.namespaces() - 1;
    let word = layout.holder(last, shape::PARTITIONS - 1, 0);
    for _ in 0..CHANGES {
        mirrored.delay_ms.push(delay(&turning.client, &segment, word)?);
    }
    Ok(mirrored)
}

/// Milliseconds from the next publication to the change of that word.
fn delay(client: &Client, segment: &ForeignSegment, word: usize) -> Result<f64, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let late = || Failure::Failed("no publication reached the segment in 10 s".into());
    let live = client.segment();
    let (sequence, before) = (live.head().sequence(), segment.load_u32(word));
    while live.head().sequence() == sequence {
        if Instant::now() > deadline {
            return Err(late());
        }
        core::hint::spin_loop();
    }
    let published = Instant::now();
    while segment.load_u32(word) == before {
        if Instant::now() > deadline {
            return Err(late());
        }
        core::hint::spin_loop();
    }
    Ok(published.elapsed().as_secs_f64() * 1000.0)
}

/// The processor time that the mirrors of this process have used.
fn mirror_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |thread: std::fs::DirEntry| {
        let name = std::fs::read_to_string(thread.path().join("comm")).ok()?;
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds = times.split(' ').next()?.parse().ok()?;
        (name.trim() == "tendmap-mirror").then(|| Duration::from_nanos(nanoseconds))
    };
    threads.filter_map(time).sum()
}
