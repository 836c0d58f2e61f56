//! What a metric is: its row in the one table of its program. From it the metric is described to the exporter (`HELP`),
//! begins at zero, and is listed in the docs; the telemetry suite compares it with what running processes expose.

use std::fmt::Write as _;

pub use metrics::Unit;
use metrics::{describe_counter, describe_gauge, describe_histogram};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// As Prometheus says it, after `# TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [Label],
    /// One line without markup: it is the `HELP` line, too.
    pub meaning: &'static str,
}

/// A label and what bounds its values.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    pub values: Values,
}

#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These and no others.
    Of(&'static [&'static str]),
    /// Words of another list that is short: what list.
    Few(&'static str),
}

/// A label whose values are these.
pub const fn of(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Of(values) }
}

/// A label whose values are words of a short list.
pub const fn few(name: &'static str, what: &'static str) -> Label {
    Label { name, values: Values::Few(what) }
}

pub const fn counter(name: &'static str, labels: &'static [Label], meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, labels, meaning }
}

pub const fn gauge(name: &'static str, unit: Unit, labels: &'static [Label], meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, meaning }
}

/// Seconds, in buckets.
pub const fn histogram(name: &'static str, labels: &'static [Label], meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Unit::Seconds, labels, meaning }
}

/// Once, after the recorder was installed. Counters whose series are known beforehand begin at zero, so that the first
/// event is an increase and an alert on none of them can be told from one on a name that nobody exposes.
pub fn describe(table: &[Metric]) {
    for metric in table {
        let (name, unit, meaning) = (metric.name, metric.unit, metric.meaning);
        match metric.kind {
            Kind::Counter => {
                describe_counter!(name, unit, meaning);
                begin(metric);
            }
            Kind::Gauge => describe_gauge!(name, unit, meaning),
            Kind::Histogram => describe_histogram!(name, unit, meaning),
        }
    }
}

fn begin(metric: &Metric) {
    match metric.labels {
        [] => metrics::counter!(metric.name).increment(0),
        [Label { name, values: Values::Of(values) }] => {
            for value in *values {
                metrics::counter!(metric.name, *name => *value).increment(0);
            }
        }
        // Products of several lists are mostly combinations that never occur.
        _ => {}
    }
}

/// The table of a page.
pub fn reference(table: &[Metric]) -> String {
    let mut text = String::from("| metric | kind | unit | what it tells |\n|---|---|---|---|\n");
    for metric in table {
        let labels: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let unit = match metric.unit {
            Unit::Count => "",
            unit => unit.as_str(),
        };
        let _ = write!(text, "| `{}{labels}` | {} | {unit} | {}", metric.name, metric.kind.as_str(), metric.meaning);
        for label in metric.labels {
            let values = match label.values {
                Values::Of(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
                Values::Few(what) => what.to_owned(),
            };
            let _ = write!(text, ". `{}`: {values}", label.name);
        }
        text.push_str(" |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_page_has_labels_and_their_values() {
        const TABLE: &[Metric] = &[
            counter("hj_x_total", &[of("result", &["ok", "failed"]), few("route", "the routes")], "what was done"),
            gauge("hj_y_bytes", Unit::Bytes, &[], "what is left"),
        ];
        let text = reference(TABLE);
        assert!(text.contains(
            "| `hj_x_total{result,route}` | counter |  | what was done. `result`: `ok`, `failed`. `route`: the routes |\n"
        ));
        assert!(text.ends_with("| `hj_y_bytes` | gauge | bytes | what is left |\n"), "{text}");
    }
}
