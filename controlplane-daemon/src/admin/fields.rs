//! Reads a document's members into types and collects every problem: wrong types, bad values, members nobody knows.

mod rest;

pub(crate) use rest::read as read_rest;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vocab::{Timestamp, Violations};

use super::problem::Problem;

/// Problems found so far; shared by the objects of one document.
#[derive(Default)]
pub(super) struct Problems(RefCell<Violations>);

impl Problems {
    pub(super) fn add(&self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.borrow_mut().add(pointer, detail);
    }

    /// `Some` of what was read, unless there were problems.
    pub(super) fn settle<T>(self, read: Option<T>) -> Result<T, Problem> {
        let problems = self.0.into_inner();
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            _ => Err(Problem::invalid(problems)),
        }
    }
}

/// The members of one JSON object.
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    /// JSON pointer (RFC 6901) of the object itself.
    at: String,
    known: RefCell<BTreeSet<&'static str>>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// `None`, with a problem noted, when the value is no object.
    pub(super) fn of(value: &'a Value, at: &str, problems: &'a Problems) -> Option<Self> {
        let Value::Object(members) = value else {
            problems.add(at, "must be an object");
            return None;
        };
        Some(Self { members, at: at.to_owned(), known: RefCell::default(), problems })
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.at, name.replace('~', "~0").replace('/', "~1"))
    }

    pub(super) fn wrong(&self, name: &str, detail: impl Into<String>) {
        self.problems.add(self.pointer(name), detail);
    }

    /// As [`Self::wrong`], of a part of the member; `below` is a pointer.
    pub(super) fn wrong_below(&self, name: &str, below: &str, detail: impl Into<String>) {
        self.problems.add(format!("{}{below}", self.pointer(name)), detail);
    }

    /// The member, noted as known.
    fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(name);
        self.members.get(name)
    }

    /// The member, which must be there. (`Some` even of a value of the wrong type.)
    pub(super) fn require(&self, name: &'static str) {
        if !self.members.contains_key(name) {
            self.wrong(name, "is needed");
        }
    }

    /// A member that is shown and may come back with whatever was shown: it changes by itself.
    pub(super) fn ignored(&self, name: &'static str) {
        self.get(name);
    }

    fn typed<T>(&self, name: &'static str, what: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(name, format!("must be {what}"));
        }
        read
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.typed(name, "a string", |value| value.as_str().map(ToOwned::to_owned))
    }

    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, name: &'static str) -> Option<u32> {
        self.typed(name, "a whole number from 0 to 4294967295", |value| u32::try_from(value.as_u64()?).ok())
    }

    /// An explicit null is like an absent member.
    pub(super) fn number_or_null(&self, name: &'static str) -> Option<u32> {
        if self.get(name)?.is_null() { None } else { self.number(name) }
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &'static str) -> Option<T> {
        self.text(name)?.parse().map_err(|error: T::Err| self.wrong(name, error.to_string())).ok()
    }

    /// One of an enum's words.
    pub(super) fn word<T: DeserializeOwned>(&self, name: &'static str, words: &str) -> Option<T> {
        self.typed(name, words, |value| read_word(value))
    }

    /// RFC 3339; an explicit null is like an absent member.
    pub(super) fn time(&self, name: &'static str) -> Option<Timestamp> {
        if self.get(name)?.is_null() {
            return None;
        }
        self.typed(name, "a time as in RFC 3339, such as 2030-01-31T12:00:00Z", |value| {
            let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
            Some(Timestamp::from_millis(time.as_millisecond()))
        })
    }

    pub(super) fn list<T: FromStr<Err: Display>>(&self, name: &'static str) -> Option<Vec<T>> {
        self.items(name, "must be a string", |value| Some(value.as_str()?.parse().map_err(|e: T::Err| e.to_string())))
    }

    fn items<T>(
        &self,
        name: &'static str,
        otherwise: &str,
        read: impl Fn(&Value) -> Option<Result<T, String>>,
    ) -> Option<Vec<T>> {
        let values = self.typed(name, "a list", Value::as_array)?;
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            match read(value) {
                Some(Ok(item)) => items.push(item),
                Some(Err(why)) => self.problems.add(format!("{}/{index}", self.pointer(name)), why),
                None => self.problems.add(format!("{}/{index}", self.pointer(name)), otherwise),
            }
        }
        Some(items)
    }

    /// A member that is an object; null is like an absent member.
    pub(super) fn object(&self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.get(name)?;
        if value.is_null() { None } else { Fields::of(value, &self.pointer(name), self.problems) }
    }

    /// A member of any shape.
    pub(super) fn any(&self, name: &'static str) -> Option<&'a Value> {
        self.get(name)
    }

    /// A member that is shown but not written: it may come back as it is, so that what was read can be sent again.
    pub(super) fn unchanged(&self, name: &'static str, current: &Value) {
        if let Some(value) = self.get(name)
            && value != current
        {
            self.wrong(name, "cannot be changed");
        }
    }

    /// Everything that was not asked for by name, read into a type whose every field has a default.
    pub(super) fn rest<T: DeserializeOwned>(self) -> Option<T> {
        self.rest_after(|_| {})
    }

    /// As [`Self::rest`], but of what `change` makes of it.
    pub(super) fn rest_after<T: DeserializeOwned>(self, change: impl FnOnce(&mut Map<String, Value>)) -> Option<T> {
        let known = self.known.borrow();
        let rest = self.members.iter().filter(|(name, _)| !known.contains(name.as_str()));
        let mut rest = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
        change(&mut rest);
        match rest::read(rest) {
            Ok(read) => Some(read),
            Err(found) => {
                for (pointer, detail) in found {
                    self.problems.add(format!("{}{pointer}", self.at), detail);
                }
                None
            }
        }
    }

    /// Call last: what nobody asked for does not belong there.
    pub(super) fn finish(self) {
        for name in self.members.keys() {
            if !self.known.borrow().contains(name.as_str()) {
                self.wrong(name, "is not known here");
            }
        }
    }
}

fn read_word<T: DeserializeOwned>(value: &Value) -> Option<T> {
    value.as_str()?;
    serde_json::from_value(value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vocab::Slug;

    #[test]
    fn every_problem_is_found_with_its_pointer() {
        let document =
            json!({"slug": "A", "n": -1, "on": "yes", "l": [1, "ok", "B"], "when": "soon", "o": {"x": 1}, "a/b~c": 0});
        let problems = Problems::default();
        let fields = Fields::of(&document, "", &problems).unwrap();
        assert!(fields.parsed::<Slug>("slug").is_none());
        fields.number("n");
        fields.flag("on");
        fields.list::<Slug>("l");
        fields.time("when");
        fields.require("gone");
        fields.object("o").unwrap().finish();
        fields.finish();
        let found: Vec<String> = problems.0.into_inner().iter().map(|v| v.pointer.clone()).collect();
        assert_eq!(found, ["/slug", "/n", "/on", "/l/0", "/l/2", "/when", "/gone", "/o/x", "/a~1b~0c"]);
    }
}
