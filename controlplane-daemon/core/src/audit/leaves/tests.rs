use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn shown(document: &impl Serialize) -> BTreeMap<String, Value> {
    let leaves = Leaves::of(document);
    let value = |(pointer, leaf): (&str, Leaf<'_>)| (pointer.to_owned(), serde_json::to_value(leaf).unwrap());
    let in_order: Vec<_> = (0..).map_while(|index| leaves.at(index).map(value)).collect();
    assert!(in_order.is_sorted_by(|(one, _), (other, _)| one < other), "{in_order:?}");
    in_order.into_iter().collect()
}

/// The same by the tree of the document.
fn of_tree(at: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    let escaped = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, it)| of_tree(&escaped(name), it, leaves)),
        Value::Array(items) if items.iter().any(|it| it.is_object() || it.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                let id = item.get("id").and_then(Value::as_str);
                of_tree(&escaped(id.unwrap_or(&index.to_string())), item, leaves);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        leaf => drop(leaves.insert(at.to_owned(), leaf.clone())),
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a~/ä]{0,3}".prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{1,2}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    nested.prop_map(|inner| json!({ "x": inner }))
}

proptest! {
    #[test]
    fn every_document_has_the_leaves_of_its_tree(document in documents()) {
        let mut expected = BTreeMap::new();
        of_tree("", &document, &mut expected);
        prop_assert_eq!(shown(&document), expected);
    }
}

#[test]
fn every_kind_of_type_has_the_leaves_of_its_json() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Wrapped(u8);
    #[derive(Serialize)]
    struct Pair(u8, Option<u8>);
    #[derive(Serialize)]
    enum Kind {
        Plain,
        Of(Wrapped),
        Two(u8, &'static str),
        Named { deep: BTreeMap<u8, char>, more: f64 },
    }
    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { value: i8 },
    }
    #[derive(Serialize)]
    struct All {
        unit: Unit,
        nothing: Option<u8>,
        something: Option<Wrapped>,
        pair: Pair,
        kinds: [Kind; 2],
        plain: Kind,
        of: Kind,
        two: Kind,
        named: Kind,
        #[serde(flatten)]
        tagged: Tagged,
        last: bool,
    }
    let named = || Kind::Named { deep: BTreeMap::from([(7, 'x')]), more: 0.5 };
    let all = All {
        unit: Unit,
        nothing: None,
        something: Some(Wrapped(1)),
        pair: Pair(2, None),
        kinds: [named(), Kind::Of(Wrapped(3))],
        plain: Kind::Plain,
        of: Kind::Of(Wrapped(4)),
        two: Kind::Two(5, "two"),
        named: named(),
        tagged: Tagged::One { value: -6 },
        last: true,
    };
    let mut expected = BTreeMap::new();
    of_tree("", &serde_json::to_value(&all).unwrap(), &mut expected);
    assert_eq!(shown(&all), expected);
    assert_eq!(shown(&"no object"), BTreeMap::new());
}
