//! A document as its leaves: scalars and lists of scalars, by pointer.
//!
//! A serializer, so that a document is walked without being built as a tree first: every change is looked at in two
//! versions, on every node.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Serialize, Serializer, ser};
use serde_json::{Error, Value};

/// Bookkeeping that every change moves, or that says again which resource it is.
const NOT_SHOWN: [&str; 9] = [
    "revision",
    "created_at",
    "updated_at",
    "status_since",
    "last_seen",
    "last_used_at",
    "tenant_id",
    "owner",
    "longest",
];
/// The admin API shows what stands in it beside the rest.
const SPEC: &str = "spec";
/// Most documents are shorter.
const USUAL_BYTES: usize = 2 << 10;

/// The leaves of a document, by their pointers (RFC 6901). What says nothing (null, an empty list or text) is left out,
/// so that a new resource is shown by what was given to it.
#[derive(Debug)]
pub(super) struct Leaves {
    /// Pointers and texts, one behind the other.
    text: String,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    pointer: Range<usize>,
    leaf: Kept,
}

#[derive(Debug)]
enum Kept {
    Text(Range<usize>),
    /// A number, a truth value or a list.
    Value(Value),
}

/// What stands at a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Leaf<'a> {
    Text(&'a str),
    Value(&'a Value),
}

impl Leaf<'_> {
    /// About how long it is as JSON.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Value(Value::Array(items)) => items.iter().map(|item| Leaf::Value(item).bytes()).sum(),
            Self::Value(Value::String(text)) => text.len(),
            // The digits of a number.
            Self::Value(_) => 20,
        }
    }
}

impl Leaves {
    /// # Panics
    ///
    /// When the document cannot be JSON: every resource can.
    pub(super) fn of(document: &impl Serialize) -> Self {
        let leaves = Self { text: String::with_capacity(USUAL_BYTES), places: Vec::new() };
        let mut walk = Walk { leaves, path: String::new(), depth: 0 };
        document.serialize(&mut walk).expect("a resource has string keys and serializes");
        let Self { text, mut places } = walk.leaves;
        let at = |place: &Place| &text[place.pointer.clone()];
        places.sort_by(|one, other| at(one).cmp(at(other)));
        // Of two with the same id in one list the later.
        places.dedup_by(|later, earlier| {
            let is_same = at(later) == at(earlier);
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
        Self { text, places }
    }

    /// The leaf at this place of the order of pointers.
    pub(super) fn at(&self, index: usize) -> Option<(&str, Leaf<'_>)> {
        let Place { pointer, leaf } = self.places.get(index)?;
        let leaf = match leaf {
            Kept::Text(range) => Leaf::Text(&self.text[range.clone()]),
            Kept::Value(value) => Leaf::Value(value),
        };
        Some((&self.text[pointer.clone()], leaf))
    }
}

struct Walk {
    leaves: Leaves,
    /// The pointer of where the walk is.
    path: String,
    depth: usize,
}

impl Walk {
    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let is_outermost = self.depth == 0;
        if is_outermost && NOT_SHOWN.contains(&name) {
            return Ok(());
        }
        let end = if is_outermost && name == SPEC { self.path.len() } else { self.descend(name) };
        self.depth += 1;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        self.path.truncate(end);
        Ok(())
    }

    /// Where to return to.
    fn descend(&mut self, name: &str) -> usize {
        let end = self.path.len();
        self.path.push('/');
        // RFC 6901 §3.
        for part in name.split_inclusive(['~', '/']) {
            match part.split_at_checked(part.len().saturating_sub(1)) {
                Some((begin, "~")) => self.path.extend([begin, "~0"]),
                Some((begin, "/")) => self.path.extend([begin, "~1"]),
                _ => self.path.push_str(part),
            }
        }
        end
    }

    fn keep(&mut self, leaf: Kept) {
        // What is no object has no members.
        if self.depth == 0 {
            return;
        }
        let begin = self.leaves.text.len();
        self.leaves.text.push_str(&self.path);
        self.leaves.places.push(Place { pointer: begin..self.leaves.text.len(), leaf });
    }

    fn text(&mut self, write: impl FnOnce(&mut String) -> fmt::Result) -> Result<(), Error> {
        let begin = self.leaves.text.len();
        write(&mut self.leaves.text).map_err(ser::Error::custom)?;
        let range = begin..self.leaves.text.len();
        if !range.is_empty() {
            self.keep(Kept::Text(range));
        }
        Ok(())
    }

    /// A list is a leaf, unless there are objects or lists in it: then each of its items is walked, by its id, so that
    /// taking out the first does not change the others.
    fn list(&mut self, items: Vec<Value>) -> Result<(), Error> {
        if !items.iter().any(|item| item.is_object() || item.is_array()) {
            if !items.is_empty() {
                self.keep(Kept::Value(Value::Array(items)));
            }
            return Ok(());
        }
        for (index, item) in items.iter().enumerate() {
            match item.get("id").and_then(Value::as_str) {
                Some(id) => self.member(id, item)?,
                None => self.member(&index.to_string(), item)?,
            }
        }
        Ok(())
    }

    fn value(&mut self, value: impl Into<Value>) {
        self.keep(Kept::Value(value.into()));
    }
}

macro_rules! scalars {
    ($($method:ident: $of:ty),+) => {$(
        fn $method(self, value: $of) -> Result<(), Error> {
            self.value(value);
            Ok(())
        }
    )+};
}

impl<'a> Serializer for &'a mut Walk {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    scalars!(
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64
    );

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(|text| {
            text.push_str(value);
            Ok(())
        })
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.text(|text| write!(text, "{value}"))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.list(value.iter().copied().map(Value::from).collect())
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.member(variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<List<'a>, Error> {
        Ok(List { walk: self, within: None, items: Vec::with_capacity(len.unwrap_or_default()) })
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'a>, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'a>, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<List<'a>, Error> {
        Ok(List { walk: self, within: Some(variant), items: Vec::with_capacity(len) })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, Error> {
        Ok(Members { walk: self, end: None, key: String::new() })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Members<'a>, Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, Error> {
        let end = self.descend(variant);
        self.depth += 1;
        Ok(Members { walk: self, end: Some(end), key: String::new() })
    }
}

/// The items of a list: only all of them tell whether it is a leaf.
struct List<'a> {
    walk: &'a mut Walk,
    /// The variant whose content it is.
    within: Option<&'static str>,
    items: Vec<Value>,
}

impl List<'_> {
    fn item(&mut self, item: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.items.push(serde_json::to_value(item)?);
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        match self.within {
            Some(variant) => self.walk.member(variant, &self.items),
            None => self.walk.list(self.items),
        }
    }
}

macro_rules! lists {
    ($($kind:ident, $method:ident);+) => {$(
        impl ser::$kind for List<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
                self.item(item)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )+};
}

lists!(
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field
);

struct Members<'a> {
    walk: &'a mut Walk,
    /// Where the path goes back to, when a variant was entered.
    end: Option<usize>,
    key: String,
}

impl Members<'_> {
    fn finish(self) {
        if let Some(end) = self.end {
            self.walk.depth -= 1;
            self.walk.path.truncate(end);
        }
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = match serde_json::to_value(key)? {
            Value::String(key) => key,
            key => key.to_string(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.walk.member(&self.key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

macro_rules! members {
    ($($kind:ident),+) => {$(
        impl ser::$kind for Members<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.walk.member(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        }
    )+};
}

members!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests;
