//! Which master keys a text or a state needs: the ids in the sealed envelopes that it holds.

use std::collections::BTreeSet;
use std::io::{self, Write};

use controlplane_core::State;

/// An envelope in JSON: `"hjs1.<key id>.<base64>"`.
const BEGIN: &str = "\"hjs1.";

/// The key ids of the envelopes in a JSON text.
pub fn key_ids(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(BEGIN).filter_map(|(at, _)| {
        let (id, _) = text.get(at + BEGIN.len()..)?.split_once('.')?;
        (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(id)
    })
}

/// Those of everything in a state.
pub fn key_ids_of(state: &State) -> BTreeSet<String> {
    let mut found = Found::default();
    // Its records, whatever they are: a new field that is sealed is not forgotten here.
    controlplane_core::snapshot::encode(state, &mut found).expect("nothing is written anywhere");
    found.ids
}

#[derive(Default)]
struct Found {
    line: Vec<u8>,
    ids: BTreeSet<String>,
}

impl Write for Found {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            self.ids.extend(key_ids(&String::from_utf8_lossy(&self.line)).map(ToOwned::to_owned));
            self.line.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let text = r#"{"a":"hjs1.0a1b2c3d.AAAA","b":["hjs1.ffffffff.BB"],"c":"says hjs1.00000000.x","d":"hjs1.."}"#;
        assert_eq!(key_ids(text).collect::<Vec<_>>(), ["0a1b2c3d", "ffffffff"]);
    }
}
