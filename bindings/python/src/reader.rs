//! The reader.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use tendmap_bindings::Session;

use crate::arguments::number;
use crate::changes::Changes;
use crate::connection::Connection;
use crate::errors::{raise, wrong_type};
use crate::keys::kind_of;
use crate::node::{Node, Route};
use crate::routes::{Routes, routing_methods};
use crate::settings::Settings;

/// A view of the map that another process keeps: no thread, no network, no permission
/// to write. It routes and waits as a client does, but never tends, so the map is as
/// current as its owner keeps it. Any thread may use it, and forked children.
///
/// cluster_name: refuse the map of any other cluster.
/// preferred_racks: the racks that "prefer_rack" reads from, the best first.
///
/// The other arguments say where the segment is, as those of `Client`. It follows the
/// segment's successors by itself.
///
/// Raises SegmentError if there is no such segment or this process may not read it.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Reader {
    pub routes: Routes,
}

const _: () = assert!(align_of::<Reader>() <= 16);

/// The settings of a reader.
const SETTINGS: [&str; 7] = [
    "shm_key",
    "shm_backend",
    "shm_directory",
    "shm_owner",
    "shm_allow_group_write",
    "cluster_name",
    "preferred_racks",
];

routing_methods! {
impl Reader {
    #[new]
    #[pyo3(
        signature = (*others, **settings),
        text_signature = "(*, shm_key='0xA7000000', shm_backend='file', \
            shm_directory='/dev/shm', shm_owner=None, shm_allow_group_write=False, \
            cluster_name=None, preferred_racks=())"
    )]
    fn new(
        py: Python<'_>,
        others: Bound<'_, PyTuple>,
        settings: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Reader> {
        if let Ok(first) = others.get_item(0) {
            let text = format!(
                "an argument of type {} without a name; wanted settings by name, and no hosts: \
                 tendmap.Reader(shm_key=0xA7000000)",
                kind_of(&first)
            );
            return Err(wrong_type(py, text));
        }
        let settings = settings.unwrap_or_else(|| PyDict::new(py));
        for name in settings.keys() {
            let name = crate::arguments::text("a setting's name", &name)?.to_owned();
            if tendmap::client::Setting::find(&name).is_some() && !SETTINGS.contains(&name.as_str())
            {
                let known = SETTINGS.join(", ");
                let text = format!("{name} is a setting of a client; a reader has {known}");
                return Err(raise(
                    py,
                    tendmap_bindings::Failure::new(tendmap_bindings::Kind::Config, text),
                ));
            }
        }
        // No host is ever asked.
        let config = Settings::read(&PyString::new(py, "localhost"), &settings)?.config(py)?;
        // It logs nothing, and so needs no thread for the log.
        let session = py.detach(|| Session::read(&config)).map_err(|failure| raise(py, failure))?;
        Ok(Reader { routes: Routes::new(Connection::reading(config, session)) })
    }

    /// Closes the reader: releases the nodes with their `state`, and ends waits. Further
    /// calls raise ClosedError; closing again does nothing.
    fn close(&self, py: Python<'_>) {
        self.routes.close(py);
    }

    /// Changes the racks that "prefer_rack" prefers, the best first, from the
    /// next call; an empty list means none.
    fn set_preferred_racks(&self, py: Python<'_>, racks: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = crate::settings::text("preferred_racks", racks)?;
        let mut read = self.routes.connection.config.clone();
        read.set("preferred_racks", &text).map_err(|failure| raise(py, failure))?;
        self.routes.reader(py)?.set_preferred_racks(&read.preferred_racks);
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<tendmap.Reader {}>", self.routes.place())
    }
}
}
