//! What the library logs, for Python's `logging`.
//!
//! The library logs on threads that Python does not know, and that must never wait for
//! the interpreter's lock: the client's thread tends. So a line is put into a bounded
//! queue, and a thread of Python's (`_log.py`) takes it from there. A forked child has a
//! queue and a thread of its own, from its first use on.

use std::fmt::{Debug, Write as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use crossbeam::queue::ArrayQueue;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use tendmap::internals::layout::Lineage;
use tendmap_bindings::{Failure, Kind};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::ending::Call;

/// The number of lines that are kept; older ones are dropped, and counted.
const KEPT: usize = 1024;

/// A line: Python's level, the logger, the text, the time.
type Line = (u8, String, String, f64);

struct Queue {
    lineage: Lineage,
    lines: ArrayQueue<Line>,
    lost: AtomicU64,
    bell: OwnedFd,
}

static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();

/// This process's queue.
fn own() -> Option<Arc<Queue>> {
    QUEUE.load_full().filter(|queue| queue.lineage == Lineage::current())
}

/// Begins to pass the log on in this process. Nothing depends on its success.
pub fn begin(py: Python<'_>) {
    if own().is_some() {
        return;
    }
    let _call = Call::begin(py);
    if let Err(error) = py.import("tendmap._log").and_then(|log| log.call_method0("begin")) {
        error.write_unraisable(py, None);
    }
}

/// Makes this process's queue; returns the descriptor that becomes readable with a line.
#[pyfunction]
pub fn _log(py: Python<'_>) -> PyResult<Option<RawFd>> {
    if own().is_some() {
        return Ok(None);
    }
    let bell = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| {
        let text =
            format!("can't open an eventfd for the log: {error}; check the limit of open files");
        crate::errors::raise(py, Failure::new(Kind::Descriptor, text))
    })?;
    let number = bell.as_raw_fd();
    let (lines, lost) = (ArrayQueue::new(KEPT), AtomicU64::new(0));
    let queue = Queue { lineage: Lineage::current(), lines, lost, bell };
    // That of the parent may be half changed: it is never dropped.
    std::mem::forget(QUEUE.swap(Some(Arc::new(queue))));
    // It fails if a command has its own, or at the second time.
    let _ = tracing::subscriber::set_global_default(Log);
    Ok(Some(number))
}

/// The lines that have not been taken yet, at most a bounded number.
#[pyfunction]
pub fn _take_log() -> Vec<Line> {
    let Some(queue) = own() else { return Vec::new() };
    // Relaxed: only a count.
    let lost = queue.lost.swap(0, Ordering::Relaxed);
    let told = (lost > 0).then(|| {
        let text = format!("{lost} earlier lines are lost: the log was not read in time");
        (30, "tendmap".to_owned(), text, now())
    });
    told.into_iter().chain(std::iter::from_fn(|| queue.lines.pop()).take(KEPT)).collect()
}

#[expect(clippy::disallowed_methods, reason = "shown, never waited for")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Takes the library's lines.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // More detailed ones are for tendmap's own developers.
        metadata.is_event()
            && *metadata.level() <= Level::DEBUG
            && metadata.target().split("::").next() == Some("tendmap")
    }

    fn event(&self, event: &Event<'_>) {
        let Some(queue) = own() else { return };
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let mut text = Text::default();
        event.record(&mut text);
        let name = event.metadata().target().replace("::", ".");
        if queue.lines.force_push((level, name, text.whole(), now())).is_some() {
            // Relaxed: only a count.
            queue.lost.fetch_add(1, Ordering::Relaxed);
        }
        // It never waits: the counter can't be full.
        let _ = rustix::io::write(&queue.bell, &1_u64.to_ne_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, then the values: "node added: id A1, address 10.0.0.1:3000".
#[derive(Default)]
struct Text {
    message: String,
    values: String,
}

impl Text {
    fn whole(self) -> String {
        if self.values.is_empty() {
            self.message
        } else {
            format!("{}: {}", self.message, self.values)
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let before = if self.values.is_empty() { "" } else { ", " };
        let _ = write!(self.values, "{before}{} {value:?}", field.name().replace('_', " "));
    }
}
