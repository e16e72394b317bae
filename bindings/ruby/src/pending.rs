//! Work that may take long, in a thread of its own. Its end makes a descriptor readable,
//! for which Ruby waits.

use std::io::{PipeReader, pipe};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use magnus::typed_data::Obj;
use magnus::{Error, Ruby, TypedData};
use tendmap_bindings::{Failure, Kind, Session};

use crate::failure::raise;
use crate::handle::Handle;

/// What the work has made, if it makes something.
type Made = Result<Option<Arc<Session>>, Failure>;

enum Progress {
    Working,
    Done(Made),
    /// Nobody waits: what is made is dropped by the thread that made it.
    Abandoned,
}

/// Work in a thread of its own.
#[derive(TypedData)]
#[magnus(class = "Tendmap::Pending", free_immediately)]
pub struct Pending {
    progress: Arc<Mutex<Progress>>,
    ended: Mutex<Option<PipeReader>>,
}

impl magnus::DataTypeFunctions for Pending {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pending {
    /// Starts the work.
    pub fn start(work: impl FnOnce() -> Made + Send + 'static) -> Result<Pending, Failure> {
        let (reader, writer) = pipe().map_err(|error| {
            let text = format!("can't open a pipe: {error}; check the limit of open files");
            Failure::new(Kind::Descriptor, text)
        })?;
        let progress = Arc::new(Mutex::new(Progress::Working));
        let shared = progress.clone();
        let begun = Builder::new().name("tendmap-connect".into()).spawn(move || {
            // Dropped last, or by a panic: that is what makes the descriptor readable.
            let _writer = writer;
            let made = work();
            let mut place = lock(&shared);
            match &*place {
                Progress::Abandoned => {
                    drop(place);
                    drop(made);
                }
                _ => *place = Progress::Done(made),
            }
        });
        match begun {
            Ok(_) => Ok(Pending { progress, ended: Mutex::new(Some(reader)) }),
            Err(error) => {
                let text = format!("can't start a thread: {error}; check the limit of processes");
                Err(Failure::new(Kind::Thread, text))
            }
        }
    }

    /// Starts work that must be done. If no descriptor or no thread is available, it is done
    /// before this returns, and there is nothing to wait for.
    pub fn end(work: impl FnOnce() + Send + 'static) -> Option<Pending> {
        let work = Arc::new(Mutex::new(Some(work)));
        let run = move || {
            let work = lock(&work).take();
            work.into_iter().for_each(|work| work());
            Ok(None)
        };
        let begun = Pending::start(run.clone()).ok();
        if begun.is_none() {
            let _: Made = run();
        }
        begun
    }

    /// The descriptor, which belongs to the caller from now on.
    pub fn descriptor(ruby: &Ruby, this: Obj<Pending>) -> Result<RawFd, Error> {
        let taken = lock(&this.ended).take();
        let again = || raise(ruby, Failure::new(Kind::Internal, "the descriptor was taken twice"));
        taken.map(IntoRawFd::into_raw_fd).ok_or_else(again)
    }

    /// Nobody waits any longer.
    pub fn abandon(&self) {
        let former = std::mem::replace(&mut *lock(&self.progress), Progress::Abandoned);
        if let Progress::Done(Ok(Some(session))) = former {
            drop_elsewhere(session);
        }
    }
}

/// What the work has made goes to `handle`. Called when the descriptor is readable.
pub fn take(ruby: &Ruby, this: Obj<Pending>, handle: Obj<Handle>) -> Result<(), Error> {
    let former = std::mem::replace(&mut *lock(&this.progress), Progress::Abandoned);
    match former {
        Progress::Done(Ok(None)) => Ok(()),
        Progress::Done(Ok(Some(session))) => {
            handle.keep(session);
            Ok(())
        }
        Progress::Done(Err(failure)) => Err(raise(ruby, failure)),
        Progress::Working | Progress::Abandoned => {
            let text = "a thread has panicked; please report what it wrote to stderr";
            Err(raise(ruby, Failure::new(Kind::Internal, text)))
        }
    }
}

/// Drops a session without waiting: the last handle of a client waits until its thread
/// has handed the ownership over, and Ruby's garbage collector must not.
pub fn drop_elsewhere(session: Arc<Session>) {
    // Without another thread the session is dropped here, with the closure.
    let _ = Builder::new().name("tendmap-close".into()).spawn(move || drop(session));
}
