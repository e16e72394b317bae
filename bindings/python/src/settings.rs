//! Converts keyword arguments to a `Config`.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use tendmap::client::{Config, ConnectError, Setting};
use tendmap::wire::login::SecretString;
use tendmap_bindings::{Failure, Kind, comma, mapped_host, wrong_item};

use crate::arguments::{number, text as word};
use crate::errors::{raise, reworded, utf8, wrong_type};
use crate::keys::kind_of;

/// The arguments of a client, as text: an iterator can't be read a second time, and a
/// mutable object may have changed by then.
pub struct Settings {
    pub hosts: String,
    /// In the caller's order.
    pub others: Vec<(String, String)>,
    password: Option<SecretString>,
}

impl Settings {
    /// Reads the arguments.
    pub fn read(hosts: &Bound<'_, PyAny>, others: &Bound<'_, PyDict>) -> PyResult<Settings> {
        let mut settings = Settings { hosts: listed(hosts)?, others: Vec::new(), password: None };
        for (name, value) in others {
            let name = word("a setting's name", &name)?.to_owned();
            if !value.is_none() {
                let value = text(&name, &value)?;
                match name.as_str() {
                    "password" => settings.password = Some(value.into()),
                    _ => settings.others.push((name, value)),
                }
            }
        }
        Ok(settings)
    }

    /// The configuration that they describe; `use_shm` is on unless it is switched
    /// off.
    pub fn config(&self, py: Python<'_>) -> PyResult<Config> {
        let mut config = Config::new(Vec::new());
        config.use_shm = true;
        config.set("hosts", &self.hosts).map_err(|error| raise(py, error))?;
        config.password = self.password.clone();
        // `tls` is set last: keyword arguments have no order.
        let (tls, others) = self.others.iter().partition::<Vec<_>, _>(|(name, _)| name == "tls");
        for (name, value) in others.into_iter().chain(tls) {
            config.set(name, value).map_err(|error| raise(py, error))?;
        }
        // Checked now and not at the first use, because the mistake is in this call.
        config.check().map_err(|error| raise(py, ConnectError::from(error)))?;
        Ok(config)
    }
}

const HOSTS: &str = "\"NAME:PORT\", or a list of them or of (NAME, PORT)";

/// "a:1,b:2", or an iterable of "a:1" and ("a", 1).
fn listed(hosts: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = hosts.py();
    if let Ok(text) = hosts.cast::<PyString>() {
        return Ok(utf8("hosts", text)?.to_owned());
    }
    let wrong = || {
        let found = kind_of(hosts);
        let hint = match hosts.cast::<PyMapping>() {
            Ok(map) => in_a_mapping(map),
            Err(_) => String::new(),
        };
        wrong_type(py, format!("hosts of type {found}; wanted {HOSTS}{hint}"))
    };
    // Iterables that are not lists of hosts.
    if hosts.is_instance_of::<PyBytes>()
        || hosts.is_instance_of::<PyByteArray>()
        || hosts.cast::<PyMapping>().is_ok()
    {
        return Err(wrong());
    }
    let items = hosts.try_iter().map_err(|error| reworded(py, error, wrong))?;
    let hosts_of_all = items.map(|host| one(&host?, hosts)).collect::<PyResult<Vec<_>>>()?;
    Ok(hosts_of_all.join(","))
}

/// Suggests the right call for the dict of settings that other clients take.
fn in_a_mapping(map: &Bound<'_, PyMapping>) -> String {
    let there = map.contains("hosts").unwrap_or(false);
    let hosts = if there { "config[\"hosts\"]" } else { "[(\"127.0.0.1\", 3000)]" };
    format!("; settings are keyword arguments: tendmap.Client({hosts}, tend_interval=1, …)")
}

/// A host of a list.
fn one(host: &Bound<'_, PyAny>, of: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = host.cast::<PyString>() {
        return Ok(item_text("hosts", text)?.to_owned());
    }
    let pair = host.cast::<PyTuple>().is_ok() || host.cast::<PyList>().is_ok();
    if !pair {
        let found = kind_of(host);
        // A single (NAME, PORT) instead of a list.
        let alone = of.cast::<PyTuple>().is_ok() && host.is_instance_of::<PyInt>();
        let hint = if alone { "; of one server write [(NAME, PORT)]" } else { "" };
        let wanted = format!("{HOSTS}{hint}");
        return Err(wrong_type(host.py(), wrong_item("hosts", &found, &wanted).text));
    }
    let parts = host.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let (name, port, tls_name) = match &parts[..] {
        [name, port] => (name, port, None),
        [name, port, tls_name] => (name, port, Some(tls_name).filter(|name| !name.is_none())),
        _ => {
            let (found, count) = (kind_of(host), parts.len());
            let text = format!("hosts of type {found} with {count} parts; wanted {HOSTS}");
            return Err(wrong_type(host.py(), text));
        }
    };
    let port: i64 = number("a host's port", port, "from 1 to 65535")?;
    let name = part("a host's name", name)?;
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    match tls_name {
        Some(tls_name) => Ok(format!("{name}:{}:{port}", part("a host's TLS name", tls_name)?)),
        None => Ok(format!("{name}:{port}")),
    }
}

/// A part of a host: a comma would split it into two.
fn part<'a>(what: &str, found: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let name = word(what, found)?;
    match name.contains(',') {
        true => {
            let text = format!("hosts: {what} is {name:?}; wanted one without a comma");
            Err(raise(found.py(), Failure::new(Kind::Config, text)))
        }
        false => Ok(name),
    }
}

/// A value, as text for the table of settings.
pub fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = value.py();
    // The text itself, not the result of a subclass's `__str__`: for the member of an
    // enum that is its name.
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(utf8(name, text)?.to_owned());
    }
    if value.hasattr("__fspath__")? {
        let path = value.call_method0("__fspath__")?;
        let Ok(path) = path.cast::<PyString>() else { return Err(wrong(name, &path)) };
        return Ok(utf8(name, path)?.to_owned());
    }
    // A number or a bool would be an unnoticed mistake.
    if is_text(name) {
        return Err(wrong(name, value));
    }
    // Also NumPy's bool.
    if let Ok(value) = value.extract::<bool>() {
        return Ok(value.to_string());
    }
    let float = |value: &Bound<'_, PyAny>| {
        let found = value.extract::<f64>();
        let found = found.map_err(|error| reworded(py, error, || wrong(name, value)))?;
        Ok(format!("{found:?}"))
    };
    if value.is_instance_of::<PyInt>() {
        return integer(name, value);
    }
    if value.is_instance_of::<PyFloat>() {
        return float(value);
    }
    if value.hasattr("total_seconds")? {
        return float(&value.call_method0("total_seconds")?);
    }
    // Settings with several values: racks, users, pairs of hosts.
    if matches!(name, "preferred_racks" | "shm_owner" | "c_client")
        && value.cast::<PyMapping>().is_err()
        && !value.is_instance_of::<PyBytes>()
        && !value.is_instance_of::<PyByteArray>()
        && let Ok(items) = value.try_iter()
    {
        return joined(items.map(|item| {
            let item = item?;
            match item.cast::<PyString>() {
                Ok(user) if name != "preferred_racks" => Ok(item_text(name, user)?.to_owned()),
                _ if item.is_instance_of::<PyBool>() => Err(no_item(name, &item)),
                _ => whole(name, &item, no_item),
            }
        }));
    }
    if name == "ip_map"
        && let Ok(map) = value.cast::<PyMapping>()
    {
        let pairs = map.items()?;
        return joined(pairs.iter().map(|pair| {
            let (told, used): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
            mapped(py, word("a host of ip_map", &told)?, word("a host of ip_map", &used)?)
        }));
    }
    // NumPy's numbers, Decimal and the like.
    if value.hasattr("__index__")? {
        return integer(name, value);
    }
    if value.hasattr("__float__")? {
        return float(value);
    }
    Err(wrong(name, value))
}

/// Whether a setting takes any text. For such a setting the table would not refuse a
/// number that was converted to text.
fn is_text(name: &str) -> bool {
    Setting::find(name).is_some_and(|setting| setting.kind().takes_any_text())
}

fn wanted(name: &str) -> &'static str {
    match name {
        "preferred_racks" => "whole numbers, one after the other",
        "shm_owner" => "a user's name or number, or several",
        "c_client" => "KEY:VERSION as a str, or several",
        "ip_map" => "a mapping of str to str",
        "timeout" => "seconds, \"100ms\", a timedelta, or None to wait for ever",
        name if name.starts_with("tls_") || name == "shm_directory" => "a str or a path",
        name if is_text(name) => "a str",
        _ => "a str, a number or a bool",
    }
}

#[cold]
fn wrong(name: &str, found: &Bound<'_, PyAny>) -> PyErr {
    wrong_type(found.py(), tendmap_bindings::wrong_type(name, &kind_of(found), wanted(name)).text)
}

#[cold]
fn no_item(name: &str, found: &Bound<'_, PyAny>) -> PyErr {
    wrong_type(found.py(), wrong_item(name, &kind_of(found), wanted(name)).text)
}

fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    whole(name, value, wrong)
}

fn whole(
    name: &str,
    value: &Bound<'_, PyAny>,
    wrong: fn(&str, &Bound<'_, PyAny>) -> PyErr,
) -> PyResult<String> {
    match value.extract::<i64>() {
        // Mode bits as a number, such as 0o600.
        Ok(value) if name.ends_with("_mode") && value >= 0 => Ok(format!("{value:o}")),
        Ok(value) => Ok(value.to_string()),
        // The table refuses it with an error: no setting takes such a number.
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Ok("a number of more than 64 bits".into())
        }
        Err(error) => Err(reworded(value.py(), error, || wrong(name, value))),
    }
}

/// An item of a list: a comma would split it into two.
fn item_text<'a>(name: &str, item: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    match utf8(name, item)? {
        text if text.is_empty() || text.contains(',') => Err(raise(item.py(), comma(name, text))),
        text => Ok(text),
    }
}

fn mapped(py: Python<'_>, told: &str, used: &str) -> PyResult<String> {
    match [told, used].into_iter().find(|host| host.contains([',', '='])) {
        Some(host) => Err(raise(py, mapped_host(host))),
        None => Ok(format!("{told}={used}")),
    }
}

fn joined(items: impl Iterator<Item = PyResult<String>>) -> PyResult<String> {
    Ok(items.collect::<PyResult<Vec<_>>>()?.join(","))
}
