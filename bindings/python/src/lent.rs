//! A router, and its cache between two calls from Python.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use tendmap::internals::layout::ForkCell;
use tendmap::map::Slot;
use tendmap::route::{Batch, NamespaceHandle, Policy, Router};
use tendmap_bindings::policy as known_policy;

use crate::arguments::text;
use crate::errors::{raise, without_zero};
use crate::node::Node;
use crate::source::Source;

/// A router with the names that were used last. The objects are compared by
/// identity before they are read: callers pass the same constants again and
/// again, and a string never changes.
pub struct Lent {
    pub router: Router<Option<Py<Node>>>,
    /// 1 in the process that created it, 0 in that process's children.
    own: ForkCell,
    namespace: Option<(Py<PyAny>, NamespaceHandle)>,
    set: Option<(Py<PyAny>, String)>,
    policy: Option<(Py<PyAny>, Policy)>,
    batch: Batch,
    /// What made it; dropped last.
    _source: Source,
}

/// Reads the name of a policy.
fn policy(name: &Bound<'_, PyAny>) -> PyResult<Policy> {
    known_policy(text("policy", name)?).map_err(|failure| raise(name.py(), failure))
}

impl Lent {
    pub fn new(source: Source) -> Lent {
        let own = ForkCell::new();
        own.set(1);
        Lent {
            router: source.router_with(|_| None),
            own,
            namespace: None,
            set: None,
            policy: None,
            batch: Batch::new(),
            _source: source,
        }
    }

    /// Shows Python's garbage collector every object that it holds.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.namespace.as_ref().map(|(name, _)| name))?;
        visit.call(self.set.as_ref().map(|(name, _)| name))?;
        visit.call(self.policy.as_ref().map(|(name, _)| name))?;
        self.router.states().try_for_each(|(_, node)| visit.call(node))
    }

    /// Releases the nodes: the router may then be used without the interpreter's
    /// lock. (Dropping a Python object without that lock takes another lock, which a
    /// forked child may find taken.)
    pub fn forget_nodes(&mut self) {
        let kept = self.router.states().filter(|(_, node)| node.is_some());
        let kept: Vec<Slot> = kept.map(|(slot, _)| slot).collect();
        for slot in kept {
            if let Some(node) = self.router.state_mut(slot) {
                *node = None;
            }
        }
    }

    /// Releases every Python object: the router may then also be dropped without the
    /// interpreter's lock.
    pub fn forget(&mut self) {
        self.forget_nodes();
        self.namespace = None;
        self.set = None;
        self.policy = None;
    }

    /// Whether this process created it, not its parent.
    #[inline]
    pub fn is_own(&self) -> bool {
        self.own.get() == 1
    }

    #[inline(always)]
    pub fn namespace(&mut self, name: &Bound<'_, PyAny>) -> PyResult<NamespaceHandle> {
        match &self.namespace {
            Some((known, handle)) if known.is(name) => Ok(*handle),
            _ => self.resolve(name),
        }
    }

    #[cold]
    fn resolve(&mut self, name: &Bound<'_, PyAny>) -> PyResult<NamespaceHandle> {
        let known = without_zero(name.py(), "namespace", text("namespace", name)?)?;
        let handle = self.router.namespace(known).map_err(|error| raise(name.py(), error))?;
        self.namespace = Some((name.clone().unbind(), handle));
        Ok(handle)
    }

    /// Remembers the set, for [`set_name`](Self::set_name).
    #[inline(always)]
    pub fn set(&mut self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        match &self.set {
            Some((known, _)) if known.is(name) => Ok(()),
            _ => self.read_set(name),
        }
    }

    #[cold]
    fn read_set(&mut self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let read = match name.is_none() {
            true => String::new(),
            false => without_zero(name.py(), "set", text("set", name)?)?.to_owned(),
        };
        self.set = Some((name.clone().unbind(), read));
        Ok(())
    }

    #[inline]
    pub fn set_name(&self) -> &str {
        self.set.as_ref().map_or("", |(_, text)| text)
    }

    /// The parts that a batch needs: the router, the results and the set.
    pub fn for_batch(&mut self) -> (&mut Router<Option<Py<Node>>>, &mut Batch, &str) {
        let set = self.set.as_ref().map_or("", |(_, text)| text);
        (&mut self.router, &mut self.batch, set)
    }

    #[inline(always)]
    pub fn policy(&mut self, name: Option<&Bound<'_, PyAny>>) -> PyResult<Policy> {
        match (name, &self.policy) {
            (None, _) => Ok(Policy::Sequence),
            (Some(name), Some((known, policy))) if known.is(name) => Ok(*policy),
            (Some(name), _) => self.read_policy(name),
        }
    }

    #[cold]
    fn read_policy(&mut self, name: &Bound<'_, PyAny>) -> PyResult<Policy> {
        let read = policy(name)?;
        self.policy = Some((name.clone().unbind(), read));
        Ok(read)
    }
}
