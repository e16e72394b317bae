//! What a client and a reader are made of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use atomic_refcell::AtomicRefCell;
use magnus::gc::Marker;
use magnus::typed_data::Obj;
use magnus::value::Opaque;
use magnus::{DataTypeFunctions, Error, RArray, Ruby, TypedData, Value, prelude::*};
use tendmap::client::{Config, ConnectError};
use tendmap::internals::layout::ForkCell;
use tendmap::map::Node;
use tendmap::route::Router;
use tendmap_bindings::{Failure, Kind, Session};

use crate::changes::Handles;
use crate::failure::{guard, raise};
use crate::pending::{Pending, drop_elsewhere};

/// The sessions that the end of the process closes. Its lock is held only for a moment, by
/// threads that hold Ruby's lock, which `fork` also needs: no child finds it taken.
/// (ObjectSpace::WeakMap would do, but crashes in Ruby 3.1 when the heap is compacted.)
static OPEN: Mutex<Vec<Weak<Session>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(session: Weak<Session>) {
    let mut open = lock(&OPEN);
    open.retain(|session| session.strong_count() > 0);
    open.push(session);
}

/// Begins to close every session of this process.
pub fn close_all(ruby: &Ruby) -> Result<Option<Pending>, Error> {
    let open = std::mem::take(&mut *lock(&OPEN));
    let open: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
    if open.is_empty() {
        return Ok(None);
    }
    guard(ruby, || Ok(Pending::end(move || open.iter().for_each(|session| session.close()))))
}

/// A client or a reader. Only threads that hold Ruby's lock use it, and none of them
/// calls Ruby while it borrows a part.
#[derive(Default, TypedData)]
#[magnus(class = "Tendmap::Handle", mark)]
pub struct Handle {
    /// The configuration of a session that is not connected yet.
    setup: Mutex<Option<Setup>>,
    /// Its lock is held only for a moment, as that of [`OPEN`].
    session: Mutex<Option<Arc<Session>>>,
    reads: AtomicBool,
    closed: AtomicBool,
    pub hot: AtomicRefCell<Option<Box<Hot>>>,
    /// For which nodes `objects` has objects, by slot.
    pub known: AtomicRefCell<Vec<Option<(u32, Node)>>>,
    objects: OnceLock<Opaque<RArray>>,
}

#[derive(Clone)]
struct Setup {
    config: Config,
    reads: bool,
}

/// The router of all threads: Ruby's lock lends it to one after the other.
pub struct Hot {
    /// The state of a node: whether there is an object for it.
    pub router: Router<bool>,
    /// 1 in the process that created it, 0 in that process's children.
    own: ForkCell,
}

impl Hot {
    #[inline(always)]
    pub fn is_own(&self) -> bool {
        self.own.get() == 1
    }
}

impl DataTypeFunctions for Handle {
    /// The array never changes its place, so nothing is borrowed here.
    fn mark(&self, marker: &Marker) {
        if let Some(objects) = self.objects.get() {
            marker.mark(*objects);
        }
    }

    fn free(mut self: Box<Self>) {
        self.hot.get_mut().take();
        let session = lock(&self.session).take();
        if let Some(session) = session {
            drop_elsewhere(session);
        }
    }
}

impl Handle {
    /// The session, unless it is closed.
    pub fn open(&self) -> Result<Arc<Session>, Failure> {
        match &*lock(&self.session) {
            _ if self.is_closed() => Err(self.closed()),
            Some(session) => Ok(session.clone()),
            None => Err(Failure::new(Kind::Argument, "it was not initialized; call super")),
        }
    }

    /// The failure of a call after the end.
    #[cold]
    pub fn closed(&self) -> Failure {
        let name = if self.reads.load(Ordering::Relaxed) { "reader" } else { "client" };
        Failure::new(Kind::Closed, format!("the {name} is closed"))
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Keeps a session that was connected. If the handle has one, or was closed
    /// meanwhile, the session ends.
    pub fn keep(&self, session: Arc<Session>) {
        if self.is_closed() {
            return drop_elsewhere(session);
        }
        let mut place = lock(&self.session);
        if place.is_some() {
            return drop_elsewhere(session);
        }
        remember(Arc::downgrade(&session));
        *place = Some(session);
        *lock(&self.setup) = None;
    }

    /// The objects of nodes, by slot.
    pub fn objects(&self, ruby: &Ruby) -> Result<RArray, Error> {
        let unset =
            || raise(ruby, Failure::new(Kind::Argument, "it was not initialized; call super"));
        Ok(ruby.get_inner(*self.objects.get().ok_or_else(unset)?))
    }

    /// Whether the next call needs no connecting.
    fn settled(&self) -> bool {
        lock(&self.session).as_ref().is_some_and(|session| session.is_settled())
    }
}

/// The session, connected if that is still to be done. Ruby connects, since it waits.
pub fn session(ruby: &Ruby, this: Obj<Handle>) -> Result<Arc<Session>, Error> {
    if !this.is_closed() && !this.settled() {
        this.funcall::<_, _, Value>("connect", ())?;
    }
    this.open().map_err(|failure| raise(ruby, failure))
}

/// Makes sure that there is a router.
#[cold]
pub fn make_router(ruby: &Ruby, this: Obj<Handle>) -> Result<(), Error> {
    let session = session(ruby, this)?;
    let router = guard(ruby, || session.router_with(|_| false))?;
    let own = ForkCell::new();
    own.set(1);
    let former = this.hot.borrow_mut().replace(Box::new(Hot { router, own }));
    drop(former);
    Ok(())
}

/// The configuration of these settings.
pub fn config(hosts: &str, settings: &[(String, String)]) -> Result<Config, Failure> {
    let mut config = Config::new(Vec::new());
    config.use_shm = true;
    config.set("hosts", hosts)?;
    // `tls` is set last: keyword arguments have no order.
    let (tls, others) = settings.iter().partition::<Vec<_>, _>(|(name, _)| name == "tls");
    for (name, value) in others.into_iter().chain(tls) {
        config.set(name, value)?;
    }
    config.check().map_err(ConnectError::from)?;
    Ok(config)
}

/// Reads the settings; without hosts it is a reader.
pub fn configure(
    ruby: &Ruby,
    this: Obj<Handle>,
    hosts: Option<String>,
    settings: Vec<(String, String)>,
    objects: RArray,
) -> Result<(), Error> {
    let reads = hosts.is_none();
    let config = guard(ruby, || config(hosts.as_deref().unwrap_or("localhost"), &settings))?;
    if this.objects.set(objects.into()).is_err() {
        return Err(raise(ruby, Failure::new(Kind::Argument, "it was initialized before")));
    }
    this.reads.store(reads, Ordering::Relaxed);
    *lock(&this.setup) = Some(Setup { config, reads });
    Ok(())
}

/// Begins to connect, or in a forked child to start the child's own part.
pub fn connect(ruby: &Ruby, this: Obj<Handle>) -> Result<Pending, Error> {
    guard(ruby, || {
        let known = lock(&this.session).clone();
        if let Some(session) = known.filter(|_| !this.is_closed()) {
            return Pending::start(move || match session.is_reader() {
                true => Ok(None),
                false => session.client().map(|_| None),
            });
        }
        let setup = lock(&this.setup).clone();
        let Some(setup) = setup.filter(|_| !this.is_closed()) else {
            return this.open().map(|_| unreachable!("there is no session"));
        };
        Pending::start(move || {
            let made = match setup.reads {
                true => Session::read(&setup.config),
                false => Session::connect(setup.config),
            };
            made.map(|session| Some(Arc::new(session)))
        })
    })
}

/// Begins to close; nil if there is nothing to close.
pub fn close(ruby: &Ruby, this: Obj<Handle>) -> Result<Option<Pending>, Error> {
    let before = this.closed.swap(true, Ordering::Relaxed);
    let former = this.hot.borrow_mut().take();
    *lock(&this.setup) = None;
    // With it the descriptors and the map go, even if the object stays.
    let session = lock(&this.session).take();
    let Some(session) = session.filter(|_| !before) else {
        drop(former);
        return Ok(None);
    };
    guard(ruby, || {
        // The router keeps its client alive, and is dropped there as well.
        Ok(Pending::end(move || {
            drop(former);
            session.close();
            drop(session);
        }))
    })
}

pub fn is_closed(this: &Handle) -> bool {
    this.is_closed()
}

pub fn is_settled(this: &Handle) -> bool {
    this.settled()
}

pub fn namespaces(ruby: &Ruby, this: Obj<Handle>) -> Result<Vec<String>, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || {
        let map = session.map()?.map;
        Ok(map.namespaces().iter().map(|namespace| namespace.name.to_string()).collect())
    })
}

pub fn status(ruby: &Ruby, this: Obj<Handle>) -> Result<String, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || Ok(session.status()?.to_json()))
}

/// The role in lower case; nil for a reader.
pub fn role(ruby: &Ruby, this: Obj<Handle>) -> Result<Option<&'static str>, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || Ok(session.role()?.map(|role| role.as_str())))
}

pub fn sequence(ruby: &Ruby, this: Obj<Handle>) -> Result<u64, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || Ok(session.reader()?.segment().head().sequence()))
}

/// The events since the last call, each as JSON.
pub fn events(ruby: &Ruby, this: Obj<Handle>) -> Result<Vec<String>, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || Ok(session.events()?.iter().map(ToString::to_string).collect()))
}

pub fn changes(ruby: &Ruby, this: Obj<Handle>) -> Result<Handles, Error> {
    let session = session(ruby, this)?;
    guard(ruby, || {
        let changes = session.changes()?;
        Ok(Handles::new(changes))
    })
}

pub fn request_tend(ruby: &Ruby, this: Obj<Handle>) -> Result<(), Error> {
    let session = session(ruby, this)?;
    guard(ruby, || session.request_tend())
}

/// Changes a live setting.
pub fn set(ruby: &Ruby, this: Obj<Handle>, name: String, value: String) -> Result<(), Error> {
    let session = session(ruby, this)?;
    guard(ruby, || {
        let mut read = Config::new(Vec::new());
        read.set(&name, &value)?;
        match name.as_str() {
            "preferred_racks" => session.set_preferred_racks(&read.preferred_racks),
            "tend_interval" => session.set_tend_interval(read.tend_interval),
            "password" => session.set_password(read.password.unwrap_or_default()),
            _ => Err(Failure::new(Kind::Config, format!("{name:?} can't change while it runs"))),
        }
    })
}
