//! Looks up the object of a target's node.

use pyo3::prelude::*;
use tendmap::map::Slot;
use tendmap::route::{Attempt, NamespaceHandle, Policy, Target};

use crate::errors::raise;
use crate::lent::Lent;
use crate::node::{Node, Route};
use crate::routes::Routes;

impl Routes {
    /// Runs `f` with a router, with the interpreter's lock held.
    #[inline(always)]
    pub fn with_router<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        self.pool.with(py, || self.connection.source(py), f)
    }

    /// A router that may be used without the interpreter's lock; the caller gives it
    /// back.
    pub fn take_router(&self, py: Python<'_>) -> PyResult<Lent> {
        self.pool.take(|| self.connection.source(py))
    }

    pub fn give_back(&self, py: Python<'_>, lent: Lent) {
        self.pool.give_back(py, lent);
    }

    /// The Python object of the node in a slot of the router's table.
    pub fn node_in(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        slot: Slot,
    ) -> PyResult<Option<Py<Node>>> {
        if let Some(Some(object)) = lent.router.state(slot) {
            return Ok(Some(object.clone_ref(py)));
        }
        let (Some(&node), Some(incarnation)) =
            (lent.router.node(slot), lent.router.incarnation(slot))
        else {
            return Ok(None);
        };
        let object = self.nodes.get(py, slot, incarnation, &node)?;
        if let Some(place) = lent.router.state_mut(slot) {
            *place = Some(object.clone_ref(py));
        }
        Ok(Some(object))
    }

    #[inline(always)]
    pub fn node_of(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        namespace: NamespaceHandle,
        target: impl Target,
        policy: Policy,
    ) -> PyResult<Py<Node>> {
        let found = lent.router.route(namespace, target, policy);
        let mut route = found.map_err(|error| raise(py, error))?;
        if let Some(node) = route.state() {
            return Ok(node.clone_ref(py));
        }
        let object = self.nodes.get(py, route.slot(), route.incarnation(), route.node())?;
        *route.state_mut() = Some(object.clone_ref(py));
        Ok(object)
    }

    pub fn located(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        name: &Bound<'_, PyAny>,
        target: impl Target,
        attempt: Attempt,
    ) -> PyResult<Route> {
        let namespace = lent.namespace(name)?;
        let found = lent.router.route_attempt(namespace, target, &attempt);
        let route = found.map_err(|error| raise(py, error))?;
        Ok(Route {
            node: self.nodes.get(py, route.slot(), route.incarnation(), route.node())?,
            namespace: name.clone().unbind(),
            partition: route.partition(),
            replica: route.replica(),
            sequence: route.sequence(),
            policy: attempt.policy(),
        })
    }
}
