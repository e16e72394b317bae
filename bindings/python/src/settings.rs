//! Settings: keyword arguments to a `Config`.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyMapping, PyString, PyTuple};
use tendmap::client::{Config, ConnectError};
use tendmap_bindings::{Failure, Kind, set};

use crate::errors::raise;
use crate::keys::kind_of;

/// What a client was made with, as text: what an iterator gave is not there a
/// second time, and what can be changed may be another thing then.
#[derive(Clone)]
pub struct Settings {
    pub hosts: String,
    /// In the caller's order.
    others: Vec<(String, String)>,
}

impl Settings {
    /// Reads them.
    pub fn read(hosts: &Bound<'_, PyAny>, others: &Bound<'_, PyDict>) -> PyResult<Settings> {
        let mut settings = Settings { hosts: listed(hosts)?, others: Vec::new() };
        for (name, value) in others {
            let name: String = name.extract()?;
            if !value.is_none() {
                let value = text(&name, &value)?;
                settings.others.push((name, value));
            }
        }
        Ok(settings)
    }

    /// The configuration that they make; `use_shm` is on unless it is turned
    /// off.
    pub fn config(&self, py: Python<'_>) -> PyResult<Config> {
        let mut config = Config::new(Vec::new());
        config.use_shm = true;
        set(&mut config, "hosts", &self.hosts).map_err(|error| raise(py, error))?;
        // Whether there is TLS is said last: arguments have no order.
        let (tls, others) = self.others.iter().partition::<Vec<_>, _>(|(name, _)| name == "tls");
        for (name, value) in others.into_iter().chain(tls) {
            set(&mut config, name, value).map_err(|error| raise(py, error))?;
        }
        // Now, not at the first use: the mistake is here.
        config.check().map_err(|error| raise(py, ConnectError::from(error)))?;
        Ok(config)
    }

    /// Remembers another value.
    pub fn change(&mut self, name: &str, value: String) {
        self.others.retain(|(known, _)| known != name);
        self.others.push((name.into(), value));
    }

    /// All but the hosts, as keyword arguments.
    pub fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arguments = PyDict::new(py);
        for (name, value) in &self.others {
            arguments.set_item(name, value)?;
        }
        Ok(arguments)
    }
}

/// "a:1,b:2", or what there is one "a:1" or ("a", 1) after the other of.
fn listed(hosts: &Bound<'_, PyAny>) -> PyResult<String> {
    let wrong = |found: &Bound<'_, PyAny>| {
        let found = kind_of(found);
        let wanted = "\"NAME:PORT\" or a list of them or of (NAME, PORT)";
        PyTypeError::new_err(format!("hosts of type {found}; wanted {wanted}"))
    };
    if let Ok(text) = hosts.cast::<PyString>() {
        return Ok(text.to_str()?.to_owned());
    }
    if hosts.is_instance_of::<PyBytes>() {
        return Err(wrong(hosts));
    }
    let mut all = Vec::new();
    for host in only_type_errors(hosts.py(), hosts.try_iter(), || wrong(hosts))? {
        let host = host?;
        all.push(match host.cast::<PyString>() {
            Ok(text) => text.to_str()?.to_owned(),
            Err(_) => pair(&host).ok_or_else(|| wrong(&host))?,
        });
    }
    Ok(all.join(","))
}

/// ("a", 1), or ["a", 1] as configuration files have it.
fn pair(host: &Bound<'_, PyAny>) -> Option<String> {
    let (name, port) = match host.cast::<PyTuple>() {
        Ok(_) => host.extract::<(String, i64)>().ok()?,
        Err(_) => {
            host.extract::<Vec<Bound<'_, PyAny>>>().ok().and_then(|pair| match &pair[..] {
                [name, port] => Some((name.extract().ok()?, port.extract().ok()?)),
                _ => None,
            })?
        }
    };
    Some(if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") })
}

/// A value as the table of settings takes it.
pub fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    // Of the value itself, not of what a subclass says in its `__str__`: that of
    // an enum's member is its name.
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str()?.to_owned());
    }
    // Also NumPy's.
    if let Ok(value) = value.extract::<bool>() {
        return Ok(value.to_string());
    }
    if value.is_instance_of::<PyInt>() {
        return integer(name, value);
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(format!("{:?}", value.extract::<f64>()?));
    }
    if value.hasattr("__fspath__")? {
        let path = value.call_method0("__fspath__")?;
        let Ok(path) = path.cast::<PyString>() else { return Err(wrong(name, &path)) };
        return Ok(path.to_str()?.to_owned());
    }
    if value.hasattr("total_seconds")? {
        return Ok(format!("{:?}", value.call_method0("total_seconds")?.extract::<f64>()?));
    }
    // Of what there may be several: racks, pairs of hosts.
    if name == "preferred_racks"
        && let Ok(racks) = value.try_iter()
    {
        return joined(racks.map(|rack| integer(name, &rack?)));
    }
    if name == "ip_map"
        && let Ok(map) = value.cast::<PyMapping>()
    {
        let pairs = map.items()?;
        return joined(pairs.iter().map(|pair| {
            let (told, used) = pair.extract()?;
            mapped(value.py(), told, used)
        }));
    }
    // NumPy's numbers, Decimal and the like.
    if value.hasattr("__index__")? {
        return integer(name, value);
    }
    if value.hasattr("__float__")? {
        return Ok(format!("{:?}", value.extract::<f64>()?));
    }
    Err(wrong(name, value))
}

fn wrong(name: &str, found: &Bound<'_, PyAny>) -> PyErr {
    let found = kind_of(found);
    let wanted = match name {
        "preferred_racks" => "whole numbers, one after the other",
        "ip_map" => "a mapping of str to str",
        _ => "a str, a number or a bool",
    };
    PyTypeError::new_err(format!("{name} of type {found}; wanted {wanted}"))
}

fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    match value.extract::<i64>() {
        // A number of mode bits, as 0o600 is one.
        Ok(value) if name == "shm_mode" && value >= 0 => Ok(format!("{value:o}")),
        Ok(value) => Ok(value.to_string()),
        // No setting takes it: the table says so.
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Ok("a number of more than 64 bits".into())
        }
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => Err(wrong(name, value)),
        Err(error) => Err(error),
    }
}

fn mapped(py: Python<'_>, told: String, used: String) -> PyResult<String> {
    if told.contains([',', '=']) || used.contains([',', '=']) {
        let text = format!("ip_map has {told:?}: {used:?}; wanted names without comma and =");
        return Err(raise(py, Failure::new(Kind::Config, text)));
    }
    Ok(format!("{told}={used}"))
}

fn joined(items: impl Iterator<Item = PyResult<String>>) -> PyResult<String> {
    Ok(items.collect::<PyResult<Vec<_>>>()?.join(","))
}

/// Says it in other words if something is of the wrong type; what Python code
/// raised else goes on.
fn only_type_errors<T>(
    py: Python<'_>,
    result: PyResult<T>,
    other: impl FnOnce() -> PyErr,
) -> PyResult<T> {
    result.map_err(|error| match error.is_instance_of::<PyTypeError>(py) {
        true => other(),
        false => error,
    })
}
