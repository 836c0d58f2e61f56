//! YAML 1.2 by its core schema, without what makes YAML surprising: no aliases or anchors, no tags, no member twice,
//! no keys but texts. `no` is a text; `1_000` is a text; only what JSON can say is read as something else.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};

use crate::document::{Located, MAX_DOCUMENTS};

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 500_000;

/// The line, if it is known, and what is wrong there.
type Wrong = (Option<usize>, String);

/// Documents that hold nothing (a comment, a `---` too many) are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Located>, Wrong> {
    let mut reader = Reader { events: Parser::new_from_str(text), nodes: 0, lines: BTreeMap::new() };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        match event {
            Event::DocumentStart(_) => {
                let value = reader.document()?;
                let lines = std::mem::take(&mut reader.lines);
                if value != Value::Null {
                    documents.push(Located { value, lines });
                }
                if documents.len() > MAX_DOCUMENTS {
                    return Err((None, format!("a file may have at most {MAX_DOCUMENTS} documents")));
                }
            }
            Event::StreamEnd => break,
            _ => {}
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    nodes: usize,
    lines: BTreeMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Wrong> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, line(&span)))),
            Some(Err(error)) => Err((Some(error.marker().line()), format!("not YAML: {}", error.info()))),
        }
    }

    fn expect(&mut self) -> Result<(Event<'a>, usize), Wrong> {
        self.next()?.ok_or_else(|| (None, "the file ends in the middle of a document".to_owned()))
    }

    fn document(&mut self) -> Result<Value, Wrong> {
        let (event, line) = self.expect()?;
        if event == Event::DocumentEnd {
            return Ok(Value::Null);
        }
        self.value(event, line, "", 0)
    }

    fn value(&mut self, event: Event<'a>, line: usize, pointer: &str, depth: usize) -> Result<Value, Wrong> {
        let wrong = |detail: String| Err((Some(line), detail));
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return wrong(format!("a file may have at most {MAX_NODES} values"));
        }
        if depth > MAX_DEPTH {
            return wrong(format!("nested more than {MAX_DEPTH} deep"));
        }
        self.lines.insert(pointer.to_owned(), line);
        match event {
            Event::Scalar(text, style, 0, None) => Ok(scalar(&text, style)),
            Event::SequenceStart(0, None) => {
                let mut items = Vec::new();
                loop {
                    let (event, line) = self.expect()?;
                    if event == Event::SequenceEnd {
                        return Ok(Value::Array(items));
                    }
                    items.push(self.value(event, line, &format!("{pointer}/{}", items.len()), depth + 1)?);
                }
            }
            Event::MappingStart(0, None) => {
                let mut members = Map::new();
                loop {
                    let (event, line) = self.expect()?;
                    if event == Event::MappingEnd {
                        return Ok(Value::Object(members));
                    }
                    let name = key(event, line)?;
                    if members.contains_key(&name) {
                        return Err((Some(line), format!("the member {name:?} stands there twice")));
                    }
                    let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let (event, line) = self.expect()?;
                    let value = self.value(event, line, &at, depth + 1)?;
                    members.insert(name, value);
                }
            }
            Event::Alias(_) => wrong("aliases (*name) are not taken: write the value out".to_owned()),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                wrong("anchors (&name) and tags (!name) are not taken".to_owned())
            }
            _ => wrong("a value is missing".to_owned()),
        }
    }
}

fn line(span: &Span) -> usize {
    span.start.line()
}

fn key(event: Event<'_>, line: usize) -> Result<String, Wrong> {
    match event {
        Event::Scalar(text, _, 0, None) => Ok(text.into_owned()),
        _ => Err((Some(line), "a member's name must be a text, without anchor, alias or tag".to_owned())),
    }
}

/// YAML 1.2 §10.3.2, as far as JSON has the value.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| text.into(), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.strip_prefix('-').unwrap_or(text).chars().next()?;
    if !first.is_ascii_digit() {
        return None;
    }
    // What JSON calls a number; `012`, `0x1f`, `1.2.3` and `2024-01-01` are texts.
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<Value> {
        parse(text).unwrap_or_else(|(line, detail)| panic!("{line:?}: {detail}")).into_iter().map(|d| d.value).collect()
    }

    #[test]
    fn documents_are_told_apart_and_empty_ones_left_out() {
        let text = "# only a comment\n---\na: 1\n---\n---\nb: [x, 'no', no, \"1\", 1.5, null, true, 012]\n...\n";
        let rest = json!(["x", "no", "no", "1", 1.5, null, true, "012"]);
        assert_eq!(values(text), [json!({"a": 1}), json!({ "b": rest })]);
        assert!(values("").is_empty());
        assert_eq!(values("{\"a\": {\"b\": [1, -2]}}"), [json!({"a": {"b": [1, -2]}})]);
    }

    #[test]
    fn every_member_knows_its_line() {
        let documents = parse("a: 1\nb:\n  c:\n    - x\n    - y/z: 2\n---\nd: 3\n").unwrap();
        let lines = &documents.first().unwrap().lines;
        assert_eq!((lines["/a"], lines["/b/c/0"], lines["/b/c/1/y~1z"]), (1, 4, 5));
        assert_eq!(documents.last().unwrap().lines["/d"], 7);
    }

    #[test]
    fn what_surprises_is_refused_with_its_line_and_cheaply() {
        let bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n";
        let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        let rows = [
            (bomb, 1, "anchors"),
            ("a: 1\nb: *a\n", 2, "anchor"),
            ("a: 1\nb: 2\na: 3\n", 3, "twice"),
            ("a: !!binary aGk=\n", 1, "tags"),
            ("a: [1\nb: 2\n", 2, "not YAML"),
            ("? [a, b]\n: 1\n", 1, "name"),
            ("a: \"\\ud800\"\n", 1, "not YAML"),
            (deep.as_str(), 1, "deep"),
        ];
        for (text, line, what) in rows {
            let Err((at, detail)) = parse(text) else { panic!("taken: {text:.40}") };
            assert!(detail.contains(what), "{text:.40}: {detail}");
            assert!(at.is_some_and(|at| at == line || what == "not YAML" || what == "anchor"), "{text:.40}: {at:?}");
        }
    }
}
