//! Answers as a table for people, or as JSON or YAML for scripts.

use std::fmt::Display;
use std::io::{self, Write as _};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::api::Answer;
use crate::failure::Failure;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

/// A column of a list: its heading and the JSON pointer to its value.
pub(crate) type Column = (&'static str, &'static str);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    format: Format,
}

/// Whoever reads the answer may have read enough, as `head` has.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    There,
    Gone,
}

/// A line of an answer that comes to an end by itself: what is done, and the exit code, are the same without a reader.
/// Everything for stdout goes through here, or through [`tell`]: `println!` panics when nobody reads.
pub(crate) fn say(line: impl Display) -> Result<(), Failure> {
    tell(line).map(|_| ())
}

/// A line of an answer without an end: it ends with its reader.
pub(crate) fn tell(line: impl Display) -> Result<Reader, Failure> {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::Other(error.into())),
    }
}

/// A line beside the answer, on stderr. Where that cannot be written, there is no other place to say so.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl Output {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_table(self) -> bool {
        self.format == Format::Table
    }

    pub(crate) fn list(self, items: &[Value], columns: &[Column]) -> Result<(), Failure> {
        say(self.render_list(items, columns)?)
    }

    pub(crate) fn render_list(self, items: &[Value], columns: &[Column]) -> Result<String, Failure> {
        if self.is_table() {
            return Ok(render_list(items, columns).to_string());
        }
        self.render(&Value::Array(items.to_vec()))
    }

    /// One resource: a line for each field.
    pub(crate) fn document(self, value: &Value) -> Result<(), Failure> {
        say(self.render(value)?)
    }

    pub(crate) fn render(self, value: &Value) -> Result<String, Failure> {
        Ok(match self.format {
            Format::Json => format!("{value:#}"),
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(anyhow::Error::from)?.trim_end().to_owned(),
            Format::Table => render_fields(value).to_string(),
        })
    }

    /// The answer to a change; `done` is said when the server had nothing to show.
    pub(crate) fn answer(self, answer: &Answer, done: &str) -> Result<(), Failure> {
        if !answer.body.is_null() {
            self.document(&answer.body)?;
        } else if self.is_table() {
            say(done)?;
        }
        for once in ["client_secret", "credential"] {
            if answer.body.get(once).is_some() {
                note(format_args!("Keep the {once}: it is shown this once."));
            }
        }
        answer.check_fleet()
    }
}

fn render_list(items: &[Value], columns: &[Column]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, pointer)| item.pointer(pointer).map_or_else(String::new, cell)));
    }
    table
}

fn render_fields(value: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut rows = Vec::new();
    flatten(String::new(), value, &mut rows);
    for (name, text) in rows {
        table.add_row([name, text]);
    }
    table
}

/// `{"a":{"b":1}}` becomes the row `a.b 1`.
fn flatten(name: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let inner = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(inner, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                flatten(format!("{name}[{index}]"), item, rows);
            }
        }
        value => rows.push((name, cell(value))),
    }
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if !items.iter().any(Value::is_object) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    // What a tenant named itself must not steer the operator's terminal.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_show_their_columns_and_no_control_characters() {
        let items = [json!({"slug": "acme", "n": {"m": [1, 2]}}), json!({"slug": "b\u{1b}[31m", "n": {}})];
        let text = render_list(&items, &[("SLUG", "/slug"), ("N", "/n/m")]).to_string();
        assert!(text.contains("acme") && text.contains("1, 2") && text.contains("SLUG"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn fields_are_flattened() {
        let mut rows = Vec::new();
        flatten(String::new(), &json!({"a": {"b": null}, "c": [{"d": true}], "e": ["x", "y"]}), &mut rows);
        let rows: Vec<(&str, &str)> = rows.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(rows, [("a.b", "-"), ("c[0].d", "true"), ("e", "x, y")]);
    }
}
