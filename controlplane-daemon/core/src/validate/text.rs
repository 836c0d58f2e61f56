//! Rules of texts that people read, and of lists.

use vocab::Violations;

use crate::limits;

/// A name: something to see, on one line, that shows what it holds.
pub(super) fn check_name(violations: &mut Violations, pointer: &str, name: &str) {
    let chars = name.chars().count();
    violations.require((1..=limits::NAME_CHARS).contains(&chars), pointer, || {
        format!("must have 1 to {} characters, has {chars}", limits::NAME_CHARS)
    });
    violations.require(name.trim() == name, pointer, || "must not begin or end with white space".to_owned());
    check_visible(violations, pointer, name);
}

/// A text that may be empty.
pub(super) fn check_description(violations: &mut Violations, pointer: &str, text: &str) {
    let chars = text.chars().count();
    violations.require(chars <= limits::DESCRIPTION_CHARS, pointer, || {
        format!("must have at most {} characters, has {chars}", limits::DESCRIPTION_CHARS)
    });
    check_visible(violations, pointer, text);
}

/// No control characters, and none that reorder or hide what stands beside them (a consent page shows these texts).
fn check_visible(violations: &mut Violations, pointer: &str, text: &str) {
    // In UTF-8 each of them begins with one of these bytes, which few texts have: all bytes are compared at a time.
    let may_hide = |byte: u8| byte < 0x20 || matches!(byte, 0x7f | 0xc2 | 0xe2 | 0xef);
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let hides = text.bytes().fold(false, |found, byte| found | may_hide(byte)) && text.contains(hidden);
    violations.require(!hides, pointer, || "must not contain control, direction or invisible characters".to_owned());
}

/// At most `limit` items, none twice.
pub(super) fn check_list<T: Ord>(violations: &mut Violations, pointer: &str, items: &[T], limit: usize) {
    violations.require(items.len() <= limit, pointer, || format!("at most {limit}, has {}", items.len()));
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        violations.require(seen.insert(item), &format!("{pointer}/{index}"), || "stands here twice".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hidden_character_is_found_and_no_other() {
        for c in '\0'..=char::MAX {
            let hidden = c.is_control()
                || ('\u{200b}'..='\u{200f}').contains(&c)
                || ('\u{2028}'..='\u{202e}').contains(&c)
                || ('\u{2060}'..='\u{2069}').contains(&c)
                || c == '\u{feff}';
            let mut violations = Violations::default();
            check_visible(&mut violations, "/x", &format!("a text with {c} in it"));
            assert_eq!(violations.into_result().is_err(), hidden, "{c:?}");
        }
    }
}
