//! What libraries log, as lines of the log.

use core::fmt::Debug;
use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::layer::{Context, Layer};

use super::line::{Line, now};
use super::sink::Sink;

/// The target under which the library logs the events of a client.
const EVENTS: &str = "tendmap";

/// Writes each message of a library as a line.
pub struct Messages {
    pub sink: Arc<Sink>,
    /// Whether the command reports the events of its client itself. The library's
    /// message of the same event is then left out.
    pub reports_events: bool,
}

impl<S: Subscriber> Layer<S> for Messages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (target, level) = (metadata.target(), *metadata.level());
        // No event is an error: that is a panic of an observer.
        if self.reports_events && target == EVENTS && level != Level::ERROR {
            return;
        }
        let mut found = Found::default();
        event.record(&mut found);
        let mut values = Map::new();
        values.insert("fields".into(), Value::Object(found.fields));
        self.sink.write(&Line {
            time: now(),
            level,
            name: "log".into(),
            part: Some(target.to_owned()),
            message: found.message + &found.text,
            values,
        });
    }
}

/// The message and the fields of an event.
#[derive(Default)]
struct Found {
    message: String,
    /// The fields for people.
    text: String,
    fields: Map<String, Value>,
}

impl Found {
    fn put(&mut self, field: &Field, value: Value, text: &str) {
        match field.name() {
            "message" => text.clone_into(&mut self.message),
            // Where the crate `log` was used: not part of the message.
            name if name.starts_with("log.") => {}
            name => {
                self.text += &format!(" {name}={text}");
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.put(field, text.clone().into(), &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into(), &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into(), &value.to_string());
    }
}
