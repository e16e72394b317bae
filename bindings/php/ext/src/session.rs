//! A client or a reader.

use std::time::Duration;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use tendmap::client::{Config, Role, Setting};
use tendmap::internals::layout::ForkCell;
use tendmap::map::Slot;
use tendmap::route::{Attempt, Batch, InSet, NamespaceHandle, Partition, Policy, Route, Router};
use tendmap::wire::login::SecretString;
use tendmap_bindings::{Failure, Kind, Session as Known, indexes};

use crate::changes::Changes;
use crate::failure::{Outcome, bad};
use crate::fields::{fields, internal};
use crate::keys::{bytes, digest, digest_of, name, text};

/// The policies, by the numbers of `Tendmap\Policy`.
const POLICIES: [Policy; 5] =
    [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random, Policy::PreferRack];

/// A client or a reader.
#[php_class]
#[php(name = "Tendmap\\Extension\\Session")]
pub struct Session(Option<Open>);

struct Open {
    known: Known,
    /// With the object of each node that PHP has.
    router: Router<Option<Zval>>,
    namespaces: Vec<(Box<str>, NamespaceHandle)>,
    batch: Batch,
    /// The publication of the last call.
    seen: u64,
    /// 1 in the process that has made the calls so far, 0 in its children.
    own: ForkCell,
}

impl Open {
    fn new(known: Known) -> Outcome<Open> {
        let router = known.router_with(|_| None)?;
        let own = ForkCell::new();
        own.set(1);
        Ok(Open { known, router, namespaces: Vec::new(), batch: Batch::new(), seen: 0, own })
    }

    #[inline]
    fn namespace(&mut self, value: &Zval) -> Outcome<NamespaceHandle> {
        let wanted = bytes(value)?;
        match self.namespaces.iter().find(|(known, _)| known.as_bytes() == wanted) {
            Some((_, handle)) => Ok(*handle),
            None => self.resolve(name("namespace", value)?),
        }
    }

    #[cold]
    fn resolve(&mut self, name: &str) -> Outcome<NamespaceHandle> {
        let handle = self.router.namespace(name)?;
        self.namespaces.push((name.into(), handle));
        Ok(handle)
    }

    fn route(&mut self, names: [&Zval; 2], kind: i64, key: &Zval, policy: i64) -> Outcome<Zval> {
        let policy = read_policy(policy)?;
        let handle = self.namespace(names[0])?;
        let digest = digest(name("set", names[1])?, kind, key)?;
        let route = self.router.route(handle, digest, policy)?;
        self.seen = route.sequence();
        Ok(match route.state() {
            Some(node) => node.shallow_clone(),
            None => long(route.slot().index() as i64),
        })
    }

    fn locate(&mut self, names: [&Zval; 2], kind: i64, key: &Zval, policy: i64) -> Outcome<Found> {
        let policy = read_policy(policy)?;
        let handle = self.namespace(names[0])?;
        let digest = digest(name("set", names[1])?, kind, key)?;
        let route = self.router.route(handle, digest, policy)?;
        self.seen = route.sequence();
        Ok(found(&route))
    }

    fn retry(&mut self, namespace: &Zval, policy: i64, failed: [i64; 3]) -> Outcome<Found> {
        let [partition, replica, node] = failed.map(|number| usize::try_from(number).ok());
        let (Some(partition), Some(replica), Some(node)) = (partition, replica, node) else {
            return Err(bad("a route with a negative number; wanted one of locate()"));
        };
        let next = u32::try_from(replica).unwrap_or(u32::MAX).saturating_add(1);
        let mut attempt = Attempt::new(read_policy(policy)?, next);
        if let Some(slot) = Slot::new(node) {
            attempt.fail(replica, slot);
        }
        let handle = self.namespace(namespace)?;
        let route = self.router.route_attempt(handle, Partition(partition), &attempt)?;
        self.seen = route.sequence();
        Ok(found(&route))
    }

    fn batch(
        &mut self,
        names: [&Zval; 2],
        keys: &ZendHashTable,
        integers: bool,
        policy: i64,
    ) -> Outcome<ZBox<ZendHashTable>> {
        let policy = read_policy(policy)?;
        let handle = self.namespace(names[0])?;
        let set = name("set", names[1])?;
        if integers {
            // Several digests are computed at once.
            let numbers: Vec<i64> = keys.values().filter_map(Zval::long).collect();
            let keys = InSet::new(set, &numbers);
            self.router.route_batch(handle, &keys, policy, &mut self.batch)?;
        } else {
            let digests = keys.values().map(|key| digest_of(set, key));
            let digests = digests.collect::<Outcome<Vec<_>>>()?;
            self.router.route_batch(handle, digests.as_slice(), policy, &mut self.batch)?;
        }
        self.seen = self.batch.sequence();
        let mut nodes = vec![0; self.batch.len()];
        indexes(&self.batch, &mut nodes);
        let mut list = ZendHashTable::with_capacity(nodes.len() as u32);
        for node in nodes {
            list.push(i64::from(node)).map_err(internal)?;
        }
        Ok(list)
    }

    fn node(&self, index: i64) -> Outcome<ZBox<ZendHashTable>> {
        let slot = usize::try_from(index).ok().and_then(Slot::new);
        let node = slot
            .and_then(|slot| Some((slot, self.router.incarnation(slot)?, self.router.node(slot)?)));
        match node {
            Some((slot, incarnation, node)) => fields(slot, incarnation, node),
            None => Err(bad(format!("no node has the index {index}"))),
        }
    }

    fn nodes(&self) -> Outcome<Vec<ZBox<ZendHashTable>>> {
        let map = self.known.map()?.map;
        let table = &map.nodes;
        table.iter().map(|(slot, node)| fields(slot, table.incarnation(slot), node)).collect()
    }
}

/// Sequence, partition, replica, node.
type Found = Vec<i64>;

fn found(route: &Route<'_, Option<Zval>>) -> Found {
    vec![
        route.sequence() as i64,
        route.partition() as i64,
        route.replica() as i64,
        route.slot().index() as i64,
    ]
}

fn long(number: i64) -> Zval {
    let mut value = Zval::new();
    value.set_long(number);
    value
}

#[inline]
fn read_policy(number: i64) -> Outcome<Policy> {
    let policy = usize::try_from(number).ok().and_then(|number| POLICIES.get(number));
    policy.copied().ok_or_else(|| bad(format!("policy {number}; wanted 0 to 4")))
}

/// What a SensitiveParameterValue contains: PHP shows it in no stack trace.
fn secret(value: &Zval) -> Outcome<Zval> {
    Ok(value.try_call_method("getValue", Vec::new()).map_err(internal)?)
}

fn open(settings: &Zval, reader: bool) -> Outcome<Session> {
    let settings = secret(settings)?;
    let mut config = Config::new(Vec::new());
    config.use_shm = true;
    for (name, value) in settings.array().into_iter().flatten() {
        let name = name.to_string();
        let what = Setting::find(&name).map_or("value", Setting::name);
        config.set(&name, text(what, bytes(value)?)?)?;
    }
    let known = if reader { Known::read(&config)? } else { Known::connect(config)? };
    Ok(Session(Some(Open::new(known)?)))
}

impl Session {
    /// The first call in a child starts the child's own part.
    #[inline]
    fn with<T>(&mut self, work: impl FnOnce(&mut Open) -> Outcome<T>) -> PhpResult<T> {
        let run = || {
            let closed = || Failure::new(Kind::Closed, "it is closed");
            let open = self.0.as_mut().ok_or_else(closed)?;
            if open.own.get() != 1 {
                open.known.reader()?;
                open.own.set(1);
            }
            work(open)
        };
        run().map_err(PhpException::from)
    }
}

#[php_impl]
impl Session {
    /// Connects, or attaches as a reader. The settings are texts in a
    /// SensitiveParameterValue.
    pub fn open(settings: &Zval, is_reader: bool) -> PhpResult<Session> {
        open(settings, is_reader).map_err(PhpException::from)
    }

    /// Closes it.
    pub fn close(&mut self) {
        if let Some(open) = self.0.take() {
            open.known.close();
        }
    }

    /// The object of the node, or its index if it was not remembered.
    pub fn route(
        &mut self,
        namespace: &Zval,
        set: &Zval,
        kind: i64,
        key: &Zval,
        policy: i64,
    ) -> PhpResult<Zval> {
        self.with(|open| open.route([namespace, set], kind, key, policy))
    }

    /// Sequence, partition, replica and node.
    pub fn locate(
        &mut self,
        namespace: &Zval,
        set: &Zval,
        kind: i64,
        key: &Zval,
        policy: i64,
    ) -> PhpResult<Vec<i64>> {
        self.with(|open| open.locate([namespace, set], kind, key, policy))
    }

    /// The next attempt.
    pub fn retry(
        &mut self,
        namespace: &Zval,
        policy: i64,
        partition: i64,
        replica: i64,
        node: i64,
    ) -> PhpResult<Vec<i64>> {
        self.with(|open| open.retry(namespace, policy, [partition, replica, node]))
    }

    /// The indexes of the nodes of keys.
    pub fn batch(
        &mut self,
        namespace: &Zval,
        set: &Zval,
        keys: &ZendHashTable,
        integers: bool,
        policy: i64,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        self.with(|open| open.batch([namespace, set], keys, integers, policy))
    }

    /// The remembered object of a node of the last call.
    pub fn known(&mut self, index: i64) -> PhpResult<Option<Zval>> {
        self.with(|open| {
            let slot = usize::try_from(index).ok().and_then(Slot::new);
            let known = slot.and_then(|slot| open.router.state(slot)).and_then(Option::as_ref);
            Ok(known.map(Zval::shallow_clone))
        })
    }

    /// The publication of the last call.
    pub fn seen(&mut self) -> PhpResult<i64> {
        self.with(|open| Ok(open.seen as i64))
    }

    /// Remembers the object of a node, unless another publication was seen meanwhile.
    pub fn remember(&mut self, index: i64, node: &Zval, seen: i64) -> PhpResult<()> {
        self.with(|open| {
            let slot = usize::try_from(index).ok().filter(|_| open.seen as i64 == seen);
            let slot = slot.and_then(Slot::new);
            if let Some(state) = slot.and_then(|slot| open.router.state_mut(slot)) {
                *state = Some(node.shallow_clone());
            }
            Ok(())
        })
    }

    /// The fields of a node of the last call.
    pub fn node(&mut self, index: i64) -> PhpResult<ZBox<ZendHashTable>> {
        self.with(|open| open.node(index))
    }

    /// The fields of all nodes.
    pub fn nodes(&mut self) -> PhpResult<Vec<ZBox<ZendHashTable>>> {
        self.with(|open| open.nodes())
    }

    /// The status as JSON.
    pub fn status(&mut self) -> PhpResult<String> {
        self.with(|open| Ok(open.known.status()?.to_json()))
    }

    /// The role, by the numbers of `tendmap_role`.
    pub fn role(&mut self) -> PhpResult<i64> {
        self.with(|open| {
            Ok(match open.known.role()? {
                Some(Role::Owner) => 0,
                Some(Role::Standby) => 1,
                Some(Role::Closed) => 3,
                Some(_) => 2,
                None => 4,
            })
        })
    }

    /// Waits for another publication; the live sequence.
    pub fn wait(&mut self, sequence: i64, ms: i64) -> PhpResult<i64> {
        self.with(|open| {
            let timeout = Duration::from_millis(ms.max(0) as u64);
            Ok(open.known.wait_for_change(sequence as u64, timeout)? as i64)
        })
    }

    /// A descriptor of changes.
    pub fn changes(&mut self) -> PhpResult<Changes> {
        self.with(|open| Ok(Changes::new(open.known.changes()?)))
    }

    /// The next event as JSON.
    pub fn next_event(&mut self) -> PhpResult<Option<String>> {
        self.with(|open| Ok(open.known.next_event()?.map(|event| event.to_string())))
    }

    /// Asks for a tend.
    pub fn request_tend(&mut self) -> PhpResult<()> {
        self.with(|open| Ok(open.known.request_tend()?))
    }

    /// Keeps the process attached.
    pub fn keep(&mut self) -> PhpResult<()> {
        self.with(|open| Ok(open.known.keep()?))
    }

    /// Prefers racks.
    pub fn set_preferred_racks(&mut self, racks: Vec<i32>) -> PhpResult<()> {
        self.with(|open| Ok(open.known.set_preferred_racks(&racks)?))
    }

    /// Changes the interval.
    pub fn set_tend_interval(&mut self, ms: i64) -> PhpResult<()> {
        let interval = Duration::from_millis(ms.max(0) as u64);
        self.with(|open| Ok(open.known.set_tend_interval(interval)?))
    }

    /// Changes the password, a SensitiveParameterValue.
    pub fn set_password(&mut self, password: &Zval) -> PhpResult<()> {
        // Before the session is in use: it runs code of PHP.
        let password = secret(password).map_err(PhpException::from)?;
        self.with(|open| {
            let password = SecretString::from(text("password", bytes(&password)?)?);
            Ok(open.known.set_password(password)?)
        })
    }
}
