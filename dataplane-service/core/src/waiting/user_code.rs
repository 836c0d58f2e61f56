//! The code that a person reads from a device and types elsewhere (RFC 8628 §6.1).
//!
//! Nine of twenty consonants: no vowels that could make words, no digits, nothing that two people read differently.
//! 20⁹ are 38.9 bits; who guesses must be signed in and waits ever longer from the tenth guess on, so that in ten
//! minutes fewer than twenty of 5·10¹¹ can be tried.

use std::fmt;

const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code.
pub const USER_CODE_LETTERS: usize = 9;
const GROUP: usize = 3;

/// A code by its letters alone. Not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// Of random bytes, without a bias; `None` when there were too few that could be used.
    pub fn from_random(bytes: &[u8]) -> Option<Self> {
        // 240 is the largest multiple of 20 in a byte.
        let usable = bytes.iter().filter(|byte| **byte < 240);
        let letters = usable.filter_map(|byte| ALPHABET.get(usize::from(byte % 20)).copied().map(char::from));
        let code: String = letters.take(USER_CODE_LETTERS).collect();
        (code.len() == USER_CODE_LETTERS).then_some(Self(code))
    }

    /// As somebody typed it: in any case, with any separators, and with letters that look like the ones that are there.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut code = String::with_capacity(USER_CODE_LETTERS);
        for letter in typed.chars().filter(|c| !c.is_whitespace() && !"-‐‑‒–—._".contains(*c)) {
            let letter = match letter.to_ascii_uppercase() {
                '1' | 'I' | '|' => 'L',
                '2' => 'Z',
                '5' => 'S',
                '6' => 'G',
                '8' => 'B',
                '0' | 'O' => 'Q',
                'U' | 'Y' => 'V',
                other => other,
            };
            if code.len() == USER_CODE_LETTERS || !ALPHABET.iter().any(|known| char::from(*known) == letter) {
                return None;
            }
            code.push(letter);
        }
        (code.len() == USER_CODE_LETTERS).then_some(Self(code))
    }

    /// The letters alone: what is stored (as a digest) and stands in URLs.
    pub fn letters(&self) -> &str {
        &self.0
    }

    /// In groups of three, as people read it.
    pub fn grouped(&self) -> String {
        let letters: Vec<char> = self.0.chars().collect();
        letters.chunks(GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("BCDFGHJKL", Some("BCDFGHJKL"))]
    #[case("bcd-fgh-jkl", Some("BCDFGHJKL"))]
    #[case(" bcd fgh\tjkl ", Some("BCDFGHJKL"))]
    #[case("BCD–FGH—JKL", Some("BCDFGHJKL"))]
    #[case("8cd.f6h_jk1", Some("BCDFGHJKL"))]
    #[case("520uyiobb", Some("SZQVVLQBB"))]
    #[case("BCDFGHJK", None)]
    #[case("BCDFGHJKLM", None)]
    #[case("BCDFGHJKA", None)]
    #[case("BCDFGHJK\u{212a}", None)]
    #[case("", None)]
    #[case("' OR 1=1--", None)]
    fn typed(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(UserCode::parse(text).as_ref().map(UserCode::letters), expected, "{text}");
    }

    #[test]
    fn random_bytes_become_letters_without_a_bias() {
        let code = UserCode::from_random(&[0, 19, 20, 239, 240, 255, 1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!((code.letters(), code.grouped().as_str()), ("BZBZCDFGH", "BZB-ZCD-FGH"));
        assert_eq!(UserCode::from_random(&[255; 64]), None);
        let mut counts = std::collections::BTreeMap::new();
        for byte in 0..240_u8 {
            let code = UserCode::from_random(&[byte; USER_CODE_LETTERS]).unwrap();
            *counts.entry(code.letters().to_owned()).or_insert(0) += 1;
        }
        assert!(counts.len() == 20 && counts.values().all(|count| *count == 12), "{counts:?}");
        assert!(20_u64.pow(9) > 1 << 38);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_understood(bytes in proptest::array::uniform32(0_u8..240)) {
            let code = UserCode::from_random(&bytes).unwrap();
            prop_assert_eq!(UserCode::parse(&code.grouped().to_lowercase()), Some(code));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = UserCode::parse(&text);
        }
    }
}
