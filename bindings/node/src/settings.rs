//! Settings by their names, as texts; `lib/settings.js` makes texts of values.

use napi_derive::napi;
use tendmap::client::{Config, ConnectError, SETTINGS};
use tendmap::internals::client::SettingKind;

use crate::errors::{Result, raise};

/// A row of the table of settings.
#[napi(object, object_from_js = false)]
pub struct Row {
    /// Its name in other languages.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: &'static str,
    /// What a value is.
    pub wanted: String,
}

/// All settings.
#[napi(catch_unwind)]
pub fn settings() -> Vec<Row> {
    let row = |setting: &tendmap::client::Setting| Row {
        name: setting.name(),
        kind: match setting.kind() {
            SettingKind::Switch => "switch",
            SettingKind::Number { .. } => "number",
            SettingKind::Key => "key",
            SettingKind::Mode => "mode",
            SettingKind::Duration => "duration",
            SettingKind::Hosts => "hosts",
            SettingKind::Pairs => "pairs",
            SettingKind::Users => "users",
            SettingKind::Racks => "racks",
            SettingKind::Targets => "targets",
            _ => "text",
        },
        wanted: setting.kind().wanted(),
    };
    SETTINGS.iter().map(row).collect()
}

/// A configuration of these settings. The map is shared unless that is switched off.
pub fn config(names: &[String], values: &[String]) -> Result<Config> {
    let mut config = Config::new(Vec::new());
    config.use_shm = true;
    // `tls` is set last: the properties of an object have no order.
    let (tls, others) = names.iter().zip(values).partition::<Vec<_>, _>(|(name, _)| *name == "tls");
    for (name, value) in others.into_iter().chain(tls) {
        config.set(name, value).map_err(raise)?;
    }
    Ok(config)
}

/// The same, checked as that of a client.
pub fn checked(names: &[String], values: &[String]) -> Result<Config> {
    let config = config(names, values)?;
    config.check().map_err(|error| raise(ConnectError::from(error)))?;
    Ok(config)
}
