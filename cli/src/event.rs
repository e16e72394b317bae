//! Events as lines: a name and values.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tendmap::client::{Event, Role};
use tendmap::internals::text::Printable;

/// An event to be printed: its name, under the key `event`, and its values.
pub struct Told(Map<String, Value>);

impl From<&Event> for Told {
    fn from(event: &Event) -> Told {
        Told::of(event.to_json_value())
    }
}

impl Told {
    fn of(object: Value) -> Told {
        match object {
            Value::Object(object) => Told(object),
            _ => Told(Map::new()),
        }
    }

    /// The client is connected.
    pub fn connected(role: Role) -> Told {
        Told::of(json!({ "event": "connected", "role": role.as_str() }))
    }

    /// The client is closed.
    pub fn closed() -> Told {
        Told::of(json!({ "event": "closed" }))
    }

    /// There is no map yet; the command waits for it.
    pub fn waiting() -> Told {
        Told::of(json!({ "event": "waiting" }))
    }

    /// This many lines before this one could not be written.
    pub fn output_lost(lines: u64) -> Told {
        Told::of(json!({ "event": "output_lost", "lines": lines }))
    }

    /// The configuration was read again, and these settings were applied.
    pub fn reloaded(changed: Vec<String>) -> Told {
        Told::of(json!({ "event": "reloaded", "changed": changed }))
    }

    /// These settings have changed, but can't change for a running client.
    pub fn restart_needed(settings: Vec<String>) -> Told {
        Told::of(json!({ "event": "restart_needed", "settings": settings }))
    }

    /// The configuration is invalid: nothing has changed.
    pub fn reload_failed(error: String) -> Told {
        Told::of(json!({ "event": "reload_failed", "error": error }))
    }

    fn name(&self) -> &str {
        self.0.get("event").and_then(Value::as_str).unwrap_or_default()
    }

    fn values(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().filter(|(name, _)| *name != "event")
    }

    /// The event as one JSON object.
    pub fn json(&self, after: Duration, pid: u32) -> Value {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let mut object = Map::new();
        object.insert("event".into(), self.name().into());
        object.insert("pid".into(), pid.into());
        object.insert("after_ms".into(), after.into());
        object.extend(self.values().map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(object)
    }

    /// The event as a line for people.
    pub fn text(&self, after: Duration) -> String {
        let mut line = format!("{:>9.3} s  {:<18}", after.as_secs_f64(), self.name());
        for (index, (name, value)) in self.values().enumerate() {
            line += if index == 0 { "  " } else { ", " };
            let (name, unit) = match name.strip_suffix("_ms") {
                Some(name) => (name, " ms"),
                None => (name.as_str(), ""),
            };
            line += &name.replace('_', " ");
            line.push(' ');
            match value {
                Value::String(text) => line += text,
                // Keys are hexadecimal wherever people see them.
                Value::Number(key) if name.ends_with("key") => {
                    line += &format!("0x{:08X}", key.as_u64().unwrap_or_default());
                }
                Value::Bool(yes) => line += if *yes { "yes" } else { "no" },
                Value::Array(list) if list.is_empty() => line += "nothing",
                Value::Array(list) => {
                    let words = list.iter().map(|word| word.as_str().unwrap_or_default());
                    line += &words.collect::<Vec<_>>().join(" ");
                }
                other => line += &other.to_string(),
            }
            line += unit;
        }
        line.truncate(line.trim_end().len());
        Printable(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people_and_one_for_programs() {
        let event = Event::Abdicated { failed_for: Duration::from_secs(2) };
        let after = Duration::from_millis(1500);
        assert_eq!(
            Told::from(&event).text(after),
            "    1.500 s  abdicated           failed for 2000 ms"
        );
        let json = Told::from(&event).json(after, 7);
        let wanted = r#"{"event":"abdicated","pid":7,"after_ms":1500,"failed_for_ms":2000}"#;
        assert_eq!(json, serde_json::from_str::<Value>(wanted).unwrap());
    }
}
