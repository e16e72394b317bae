//! Metric families: built here, written by `prometheus` in its text format.

use std::time::Duration;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use serde_json::{Map, Value, json};
use tendmap::client::Histogram as Times;
use tendmap::internals::text::Printable;

/// The labels of a series, in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Labels(Vec<LabelPair>);

impl Labels {
    /// These labels and one more. Text of other processes is made printable.
    #[must_use]
    pub fn with(&self, name: &str, value: impl core::fmt::Display) -> Labels {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(Printable(value).to_string());
        let mut labels = self.clone();
        labels.0.push(pair);
        labels
    }
}

/// All families, in the order in which each was first used.
#[derive(Debug, Default)]
pub struct Families(Vec<MetricFamily>);

impl Families {
    /// Adds a value that can rise and fall.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &Labels, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let metric = self.metric(name, help, MetricType::GAUGE, labels);
        metric.set_gauge(gauge);
    }

    /// Adds a gauge, unless its value is not known.
    pub fn age(&mut self, name: &str, help: &str, labels: &Labels, age: Option<Duration>) {
        if let Some(age) = age {
            self.gauge(name, help, labels, age.as_secs_f64());
        }
    }

    /// Adds a value that only rises while the segment exists.
    pub fn counter(&mut self, name: &str, help: &str, labels: &Labels, value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let metric = self.metric(name, help, MetricType::COUNTER, labels);
        metric.set_counter(counter);
    }

    /// Adds a histogram of durations.
    pub fn histogram(&mut self, name: &str, help: &str, labels: &Labels, times: &Times) {
        let mut cumulative = 0;
        let bucket = |(bound, count): (&Duration, &u64)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            // Not as_secs_f64, which is not the nearest number to, say, 0.0025.
            bucket.set_upper_bound(bound.as_micros() as f64 / 1e6);
            bucket.set_cumulative_count(cumulative);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(times.bounds.iter().zip(&times.buckets).map(bucket).collect());
        histogram.set_sample_count(times.count());
        histogram.set_sample_sum(times.sum.as_secs_f64());
        let metric = self.metric(name, help, MetricType::HISTOGRAM, labels);
        metric.set_histogram(histogram);
    }

    fn metric(&mut self, name: &str, help: &str, kind: MetricType, labels: &Labels) -> &mut Metric {
        let at = self.0.iter().position(|family| family.name() == name).unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.0.push(family);
            self.0.len() - 1
        });
        let metrics = self.0[at].mut_metric();
        metrics.push(Metric::from_label(labels.0.clone()));
        metrics.last_mut().expect("just added")
    }

    /// The text format, version 0.0.4.
    ///
    /// # Errors
    /// What `prometheus` finds wrong with a family.
    pub fn to_text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.0)
    }

    /// The same values as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "metrics": self.0.iter().map(family_as_json).collect::<Vec<_>>() })
    }
}

fn family_as_json(family: &MetricFamily) -> Value {
    let kind = family.get_field_type();
    let sample = |metric: &Metric| {
        let labels: Map<String, Value> = metric
            .get_label()
            .iter()
            .map(|pair| (pair.name().to_owned(), pair.value().into()))
            .collect();
        match kind {
            MetricType::HISTOGRAM => {
                let found = metric.get_histogram();
                let bucket = |bucket: &Bucket| json!({ "le": bucket.upper_bound(), "count": bucket.cumulative_count() });
                json!({
                    "labels": labels,
                    "count": found.get_sample_count(),
                    "sum": found.get_sample_sum(),
                    "buckets": found.get_bucket().iter().map(bucket).collect::<Vec<_>>(),
                })
            }
            MetricType::COUNTER => {
                json!({ "labels": labels, "value": metric.get_counter().get_value() })
            }
            _ => json!({ "labels": labels, "value": metric.get_gauge().get_value() }),
        }
    };
    json!({
        "name": family.name(),
        "type": format!("{kind:?}").to_lowercase(),
        "help": family.help(),
        "samples": family.get_metric().iter().map(sample).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h142_text_of_other_processes_forges_no_series() {
        let mut families = Families::default();
        for text in ["a\"} 1\nup{x=\"", "\\", "\\\"", "\r\u{1b}[2J\u{202e}\u{2028}", "\u{0}", ""] {
            families.gauge("metric", "Help.", &Labels::default().with("label", text), 1.0);
        }
        let text = families.to_text().unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 6);
        for line in lines {
            assert!(line.starts_with("metric{label=\"") && line.ends_with("\"} 1"), "{line}");
            let value = &line["metric{label=\"".len()..line.len() - "\"} 1".len()];
            // Each quotation mark in it has a backslash that is not escaped itself.
            let mut escaped = false;
            for c in value.chars() {
                assert!(!c.is_control() && c != '\u{202e}', "{line}");
                assert!(c != '"' || escaped, "{line}");
                escaped = c == '\\' && !escaped;
            }
            assert!(!escaped, "{line}");
        }
    }
}
