//! A client or a reader of one environment.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use napi_derive::napi;
use tendmap::client::Config;
use tendmap::map::{Node, Slot};
use tendmap::route::{Batch, NamespaceHandle, Policy, Router};
use tendmap_bindings::{Events, Failure, Session, policy};

use crate::changes::{Bell, Watcher};
use crate::errors::{Result, no_thread, raise};
use crate::hub::{Hub, Membership};
use crate::local;
use crate::mailbox::Mailbox;
use crate::settings;

/// A session that is not yet part of an environment.
pub struct Opened {
    session: Arc<Session>,
    events: Events,
    bell: Arc<Bell>,
    /// None for a reader.
    membership: Option<Membership>,
}

impl Opened {
    /// Connects as a client; waits for a map.
    pub fn connect(mut config: Config) -> std::result::Result<Opened, Failure> {
        let (events, bell) = (Events::new(), Bell::new()?);
        let hub = Hub::of(&config);
        // Before the connect, which has events.
        let membership = Some(hub.join(&events, &bell));
        config.observer = Some(hub.observer());
        let session = Arc::new(Session::connect(config)?);
        Ok(Opened { session, events, bell, membership })
    }

    /// Attaches as a reader.
    pub fn read(config: &Config) -> std::result::Result<Opened, Failure> {
        let session = Arc::new(Session::read(config)?);
        Ok(Opened { session, events: Events::new(), bell: Bell::new()?, membership: None })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // It was not made part of an environment.
        if Arc::strong_count(&self.session) == 1 {
            self.session.close();
        }
    }
}

/// Which keys are meant: JavaScript names it by its index.
pub struct Scope {
    pub namespace: NamespaceHandle,
    pub set: String,
    pub policy: Policy,
}

/// A client or a reader, with the router of its thread.
pub struct Local {
    pub session: Arc<Session>,
    /// The state of a node is whether JavaScript has an object for it.
    pub router: Router<bool>,
    pub batch: Batch,
    pub scopes: Vec<Scope>,
    /// The publication of the last route that was located.
    pub sequence: u64,
    events: Events,
    bell: Arc<Bell>,
    watcher: Option<Watcher>,
    /// The threads of all watchers until now, without those that are known to have ended.
    threads: Vec<JoinHandle<()>>,
    _membership: Option<Membership>,
}

impl Local {
    /// Makes a session part of this environment.
    pub fn new(mut opened: Opened) -> Result<Local> {
        let router = opened.session.router_with(|_| false).map_err(raise)?;
        Ok(Local {
            router,
            batch: Batch::new(),
            scopes: Vec::new(),
            sequence: 0,
            events: std::mem::take(&mut opened.events),
            bell: opened.bell.clone(),
            watcher: None,
            threads: Vec::new(),
            _membership: opened.membership.take(),
            session: opened.session.clone(),
        })
    }

    /// Closes it; other clients of the process are not affected.
    pub fn close(mut self) {
        self.watcher = None;
        self.session.close();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Makes the client or reader usable that the thread of this ticket has opened.
#[napi(catch_unwind)]
pub fn claim(ticket: u32) -> Result<u32> {
    match Mailbox::own()?.take(ticket) {
        Some(opened) => Ok(local::add(Local::new(opened.map_err(raise)?)?)),
        None => Err(raise(Failure::new(tendmap_bindings::Kind::Internal, "nothing has arrived"))),
    }
}

/// Closes what the thread of this ticket has opened, on another thread.
#[napi(catch_unwind)]
pub fn discard(ticket: u32) -> Result<()> {
    let found = Mailbox::own()?.take(ticket);
    aside_or_here(move || drop(found));
    Ok(())
}

/// Closes; returns when it is closed, also if `close_aside` has begun to close it.
#[napi(catch_unwind)]
pub fn close(id: u32) {
    local::close(id);
}

/// Closes on another thread, which wakes the event loop when it is closed. Without another
/// thread it is closed when this returns.
#[napi(catch_unwind)]
pub fn close_aside(id: u32, ticket: u32) -> Result<()> {
    let mailbox = Mailbox::own()?;
    local::close_aside(id, move || mailbox.wake(ticket));
    Ok(())
}

/// Runs `f` on a thread of its own, not on one of libuv's pool.
pub fn aside(f: impl FnOnce() + Send + 'static) -> std::result::Result<(), Failure> {
    let begun = std::thread::Builder::new().name("tendmap-node".into()).spawn(f);
    begun.map(drop).map_err(|error| no_thread(&error))
}

/// The same, on this thread if no other one can be started.
pub fn aside_or_here(f: impl FnOnce() + Send + 'static) {
    fn run<F: FnOnce()>(shared: &Mutex<Option<F>>) {
        let f = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(f) = f {
            f();
        }
    }
    let shared = Arc::new(Mutex::new(Some(f)));
    let other = shared.clone();
    if aside(move || run(&other)).is_err() {
        run(&shared);
    }
}

/// owner, standby, follower or closed; nothing for a reader.
#[napi(catch_unwind)]
pub fn role(id: u32) -> Result<Option<&'static str>> {
    local::with(id, |local| {
        let role = local.session.role().map_err(raise)?;
        Ok(role.map(|role| role.as_str()))
    })
}

/// The status as JSON.
#[napi(catch_unwind)]
pub fn status(id: u32) -> Result<String> {
    local::with(id, |local| Ok(local.session.status().map_err(raise)?.to_json()))
}

/// The status of a segment as JSON, without attaching.
#[napi(catch_unwind)]
pub fn look(names: Vec<String>, values: Vec<String>) -> Result<String> {
    let config = settings::config(&names, &values)?;
    let found = tendmap::client::Status::look(&config.place()).map_err(raise)?;
    Ok(found.to_json())
}

/// Asks the owner to tend soon.
#[napi(catch_unwind)]
pub fn request_tend(id: u32) -> Result<()> {
    local::with(id, |local| local.session.request_tend().map_err(raise))
}

/// Changes a setting of a running client.
#[napi(catch_unwind)]
pub fn change(id: u32, name: String, value: String) -> Result<()> {
    local::with(id, |local| {
        let mut config = Config::new(Vec::new());
        config.set(&name, value).map_err(raise)?;
        let session = &local.session;
        let changed = match name.as_str() {
            "preferred_racks" => session.set_preferred_racks(&config.preferred_racks),
            "tend_interval" => session.set_tend_interval(config.tend_interval),
            _ => session.set_password(config.password.unwrap_or_default()),
        };
        changed.map_err(raise)
    })
}

/// The number of what a namespace, a set and a policy select. It stays the same.
#[napi(catch_unwind)]
pub fn enter(id: u32, namespace: String, set: String, chosen: String) -> Result<u32> {
    local::with(id, |local| {
        let policy = policy(&chosen).map_err(raise)?;
        let namespace = local.router.namespace(&namespace).map_err(raise)?;
        local.scopes.push(Scope { namespace, set, policy });
        Ok(local.scopes.len() as u32 - 1)
    })
}

/// Forgets all such numbers.
#[napi(catch_unwind)]
pub fn leave(id: u32) -> Result<()> {
    local::with(id, |local| {
        local.scopes.clear();
        Ok(())
    })
}

/// A node, for the object that JavaScript makes of it.
#[napi(object, object_from_js = false)]
pub struct Described {
    /// Its slot.
    pub index: u32,
    /// How often a node got that slot.
    pub incarnation: u32,
    /// The node id.
    pub name: String,
    /// IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// IP address and port.
    pub address: String,
    /// The name on its certificate.
    pub tls_name: Option<String>,
    /// The build of its server.
    pub build: Option<String>,
}

impl Described {
    fn new(slot: Slot, incarnation: u32, node: &Node) -> Described {
        Described {
            index: slot.index() as u32,
            incarnation,
            name: node.id.to_string(),
            host: node.host(),
            port: node.address.port(),
            address: node.address.to_string(),
            tls_name: node.tls_name.map(|name| name.to_string()),
            build: node.build.map(|build| build.to_string()),
        }
    }
}

/// The node in a slot, which JavaScript makes an object of.
#[napi(catch_unwind)]
pub fn describe(id: u32, slot: u32) -> Result<Option<Described>> {
    local::with(id, |local| {
        let Some(slot) = Slot::new(slot as usize) else { return Ok(None) };
        let (node, incarnation) = (local.router.node(slot), local.router.incarnation(slot));
        let (Some(node), Some(incarnation)) = (node, incarnation) else { return Ok(None) };
        let described = Described::new(slot, incarnation, node);
        if let Some(known) = local.router.state_mut(slot) {
            *known = true;
        }
        Ok(Some(described))
    })
}

/// The nodes of the last publication.
#[napi(object, object_from_js = false)]
pub struct NodeList {
    /// The publication.
    pub sequence: f64,
    /// The nodes.
    pub nodes: Vec<Described>,
}

/// All nodes of the last publication.
#[napi(catch_unwind)]
pub fn nodes(id: u32) -> Result<NodeList> {
    local::with(id, |local| {
        let found = local.session.map().map_err(raise)?;
        let table = &found.map.nodes;
        let one = |(slot, node)| Described::new(slot, table.incarnation(slot), node);
        Ok(NodeList { sequence: found.sequence as f64, nodes: table.iter().map(one).collect() })
    })
}

/// The publication that is live.
#[napi(catch_unwind)]
pub fn sequence(id: u32) -> Result<f64> {
    local::with(id, |local| {
        let now = local.session.wait_for_change(u64::MAX, std::time::Duration::ZERO);
        Ok(now.map_err(raise)? as f64)
    })
}

/// The most threads of one client that have been ended and may still run.
const THREADS: usize = 8;

/// Starts to wake the event loop when there is news.
#[napi(catch_unwind)]
pub fn watch(id: u32, ticket: u32) -> Result<()> {
    let mailbox = Mailbox::own()?;
    local::with(id, |local| {
        if local.watcher.is_none() {
            let begun = Watcher::start(&local.session, &local.bell, &mailbox, ticket);
            let (watcher, thread) = begun.map_err(raise)?;
            local.watcher = Some(watcher);
            local.threads.retain(|thread| !thread.is_finished());
            local.threads.push(thread);
            // A program that does nothing else must not have any number of them.
            if local.threads.len() > THREADS {
                let _ = local.threads.remove(0).join();
            }
        }
        Ok(())
    })
}

/// Stops it; the thread ends soon.
#[napi(catch_unwind)]
pub fn unwatch(id: u32) -> Result<()> {
    local::with(id, |local| {
        local.watcher = None;
        Ok(())
    })
}

/// The event loop looks at the news: an exception if there will be no further change.
#[napi(catch_unwind)]
pub fn news(id: u32) -> Result<()> {
    local::with(id, |local| {
        let failure = local.watcher.as_ref().and_then(Watcher::look);
        failure.map_or(Ok(()), |failure| Err(raise(failure)))
    })
}

/// The events that were not taken yet, as JSON.
#[napi(catch_unwind)]
pub fn events(id: u32) -> Result<Vec<String>> {
    local::with(id, |local| {
        // A reader has none: the same error as in every language.
        let _client = local.session.client().map_err(raise)?;
        let some = std::iter::from_fn(|| local.events.take());
        Ok(some.take(257).map(|event| event.to_string()).collect())
    })
}
