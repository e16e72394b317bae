//! Events as lines of the log: a level, a sentence and values.

use std::path::Path;

use serde_json::{Map, Value, json};
use tendmap::client::{Event, Level, Role};

/// An event to be reported.
pub struct Told {
    /// How much it matters.
    pub level: Level,
    /// The sentence, with its values.
    pub message: String,
    /// The name, under the key `event`, and the values.
    pub values: Map<String, Value>,
}

impl From<&Event> for Told {
    fn from(event: &Event) -> Told {
        Told::of(event.level(), event.to_string(), event.to_json_value())
    }
}

impl Told {
    fn of(level: Level, message: impl Into<String>, object: Value) -> Told {
        let message = message.into();
        let Value::Object(values) = object else { unreachable!("an event is an object") };
        Told { level, message, values }
    }

    /// The client is connected.
    pub fn connected(role: Role) -> Told {
        let object = json!({ "event": "connected", "role": role.as_str() });
        Told::of(Level::Info, format!("connected: role {role}"), object)
    }

    /// The client is closed.
    pub fn closed() -> Told {
        Told::of(Level::Info, "closed", json!({ "event": "closed" }))
    }

    /// There is no map yet; the command waits for it.
    pub fn waiting() -> Told {
        Told::of(Level::Info, "waiting: there is no map yet", json!({ "event": "waiting" }))
    }

    /// This many lines before this one could not be written.
    pub fn output_lost(lines: u64) -> Told {
        let message = format!("output lost: {lines} lines before this one were not written");
        Told::of(Level::Warning, message, json!({ "event": "output_lost", "lines": lines }))
    }

    /// The configuration was read again, and these settings were applied.
    pub fn reloaded(changed: Vec<String>) -> Told {
        let shown = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
        let object = json!({ "event": "reloaded", "changed": changed });
        Told::of(Level::Info, format!("reloaded: changed {shown}"), object)
    }

    /// These settings have changed, but can't change for a running client.
    pub fn restart_needed(settings: Vec<String>) -> Told {
        let message = format!("restart needed: to apply {}", settings.join(", "));
        let object = json!({ "event": "restart_needed", "settings": settings });
        Told::of(Level::Warning, message, object)
    }

    /// The configuration is invalid: nothing has changed.
    pub fn reload_failed(error: String) -> Told {
        let message = format!("reload failed: nothing has changed: {error}");
        Told::of(Level::Warning, message, json!({ "event": "reload_failed", "error": error }))
    }

    /// Other users may read a file with a secret.
    pub fn secret_exposed(path: &Path, mode: u32) -> Told {
        Told::from(&Event::SecretExposed { path: path.into(), mode })
    }

    /// A setting is valid but unwise.
    pub fn unwise(warning: &str) -> Told {
        Told::of(Level::Warning, warning, json!({ "event": "unwise_setting" }))
    }

    /// The service manager can't be told how this process is.
    pub fn notify_failed(socket: &str, error: &str) -> Told {
        let message =
            format!("notify failed: can't reach the service manager at {socket}: {error}");
        let object = json!({ "event": "notify_failed", "socket": socket, "error": error });
        Told::of(Level::Warning, message, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_events_of_tend_have_the_levels_that_the_guide_says() {
        let guide = include_str!("../../docs/OPERATIONS.md");
        let own = guide.split("Of the command `tendmap tend`:").nth(1).unwrap();
        let own = own.split("## Runbooks").next().unwrap();
        let text = String::new;
        let all = [
            Told::connected(Role::Owner),
            Told::closed(),
            Told::waiting(),
            Told::output_lost(1),
            Told::reloaded(Vec::new()),
            Told::restart_needed(Vec::new()),
            Told::reload_failed(text()),
            Told::unwise(""),
            Told::notify_failed("", ""),
        ];
        for told in &all {
            let row = format!("| `{}` | {} |", told.values["event"].as_str().unwrap(), told.level);
            assert!(own.contains(&row), "no {row}");
        }
        assert_eq!(own.lines().filter(|line| line.starts_with("| `")).count(), all.len());
    }

    #[test]
    fn h150_an_event_has_a_level_a_sentence_and_its_values() {
        let told = Told::from(&Event::Abdicated { failed_for: Duration::from_secs(2) });
        assert_eq!(told.level, Level::Warning);
        assert_eq!(told.message, "can't reach the cluster: giving up ownership: failed for 2s");
        assert_eq!(
            Value::Object(told.values),
            json!({ "event": "abdicated", "failed_for_ms": 2000 })
        );
    }
}
