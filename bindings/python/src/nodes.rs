//! The nodes for which Python code has objects.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use tendmap::internals::layout::Lineage;
use tendmap::map::{Node as Known, Slot};

use crate::node::Node;

/// The nodes that this process's Python code has seen. All threads share one object
/// for each node while the node and its address are the same.
pub struct Nodes(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// The process that has seen them.
    process: Option<Lineage>,
    /// The objects by slot.
    places: Vec<Option<Place>>,
}

struct Place {
    incarnation: u32,
    node: Known,
    object: Py<Node>,
}

impl Nodes {
    pub fn new() -> Nodes {
        Nodes(Mutex::new(Seen::default()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Python object of a node.
    pub fn get(
        &self,
        py: Python<'_>,
        slot: Slot,
        incarnation: u32,
        node: &Known,
    ) -> PyResult<Py<Node>> {
        self.forget_inherited();
        if let Some(object) = self.seen().find(py, slot, incarnation, node) {
            return Ok(object);
        }
        // Created and dropped without the lock: both may run code that calls this
        // function.
        let made = Py::new(py, Node::new(slot, incarnation, node))?;
        let mut seen = self.seen();
        if let Some(object) = seen.find(py, slot, incarnation, node) {
            drop(seen);
            return Ok(object);
        }
        let object = made.clone_ref(py);
        let former = seen.put(slot, Place { incarnation, node: *node, object });
        drop(seen);
        drop(former);
        Ok(made)
    }

    /// State attached to the parent's nodes belongs to the parent.
    fn forget_inherited(&self) {
        if self.seen().process != Some(Lineage::current()) {
            self.forget();
        }
    }

    /// Releases all objects.
    pub fn forget(&self) {
        let fresh = Seen { process: Some(Lineage::current()), places: vec![] };
        let former = std::mem::replace(&mut *self.seen(), fresh);
        // Dropping the objects may run code that calls this function.
        drop(former);
    }

    /// Shows Python's garbage collector every object.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock() {
            Ok(seen) => {
                seen.places.iter().flatten().try_for_each(|place| visit.call(&place.object))
            }
            Err(_) => Ok(()),
        }
    }
}

impl Seen {
    fn find(
        &mut self,
        py: Python<'_>,
        slot: Slot,
        incarnation: u32,
        node: &Known,
    ) -> Option<Py<Node>> {
        let place = self.places.get_mut(slot.index())?.as_mut()?;
        let mut upgraded = place.node;
        upgraded.build = node.build;
        if place.incarnation != incarnation || upgraded != *node {
            return None;
        }
        if place.node.build != node.build {
            place.node.build = node.build;
            place.object.get().set_build(node.build);
        }
        Some(place.object.clone_ref(py))
    }

    fn put(&mut self, slot: Slot, place: Place) -> Option<Place> {
        if self.places.len() <= slot.index() {
            self.places.resize_with(slot.index() + 1, || None);
        }
        self.places[slot.index()].replace(place)
    }
}
