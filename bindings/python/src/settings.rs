//! Settings: keyword arguments to a `Config`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use tendmap::client::Config;
use tendmap_bindings::set;

use crate::errors::raise;

/// The settings of a client; `use_shm` is on unless it is turned off.
pub fn config(hosts: &Bound<'_, PyAny>, settings: &Bound<'_, PyDict>) -> PyResult<Config> {
    let py = hosts.py();
    let mut config = Config::new(Vec::new());
    config.use_shm = true;
    set(&mut config, "hosts", &listed(hosts)?).map_err(|error| raise(py, error))?;
    for (name, value) in settings {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        set_one(&mut config, &name, &value)?;
    }
    // Now, not at the first use: the mistake is here.
    config.check().map_err(|error| raise(py, tendmap::client::ConnectError::from(error)))?;
    Ok(config)
}

/// Sets one setting.
pub fn set_one(config: &mut Config, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    set(config, name, &text(name, value)?).map_err(|error| raise(value.py(), error))
}

/// "a:1,b:2", or a list of "a:1" or ("a", 1).
fn listed(hosts: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = hosts.extract::<String>() {
        return Ok(text);
    }
    let wanted = || PyTypeError::new_err("hosts: wanted \"NAME:PORT\" or a list of them");
    let mut all = Vec::new();
    for host in hosts.try_iter().map_err(|_| wanted())? {
        let host = host?;
        all.push(match host.extract::<(String, u16)>() {
            Ok((name, port)) if name.contains(':') => format!("[{name}]:{port}"),
            Ok((name, port)) => format!("{name}:{port}"),
            Err(_) => host.extract::<String>().map_err(|_| wanted())?,
        });
    }
    Ok(all.join(","))
}

/// A value as the table of settings takes it.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(value.is_true().to_string());
    }
    if value.is_instance_of::<PyInt>() {
        // A number of mode bits, as 0o600 is one.
        return if name == "shm_mode" {
            Ok(format!("{:o}", value.extract::<u32>()?))
        } else {
            Ok(value.str()?.to_string())
        };
    }
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyString>() {
        return Ok(value.str()?.to_string());
    }
    if value.hasattr("__fspath__")? {
        return value.call_method0("__fspath__")?.extract();
    }
    if value.hasattr("total_seconds")? {
        return Ok(value.call_method0("total_seconds")?.str()?.to_string());
    }
    // Of what there may be several: racks, pairs of hosts.
    match name {
        "preferred_racks" if value.try_iter().is_ok() => {
            return joined(value.try_iter()?.map(|rack| Ok(rack?.extract::<i64>()?.to_string())));
        }
        "ip_map" => {
            if let Ok(map) = value.cast::<PyDict>() {
                return joined(map.iter().map(|(told, used)| {
                    Ok(format!("{}={}", told.extract::<String>()?, used.extract::<String>()?))
                }));
            }
        }
        _ => {}
    }
    let found = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("{name} of type {found}; wanted a str, a number or a bool")))
}

fn joined(items: impl Iterator<Item = PyResult<String>>) -> PyResult<String> {
    Ok(items.collect::<PyResult<Vec<_>>>()?.join(","))
}
