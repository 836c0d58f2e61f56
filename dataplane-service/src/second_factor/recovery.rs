//! Recovery codes: each lets the person in once who lost the second factor.
//!
//! They have 120 random bits, so that their SHA-256 is enough at rest (ASVS 6.5.2 asks for a slow hash below 112).

use vocab::Secret;

const BYTES: usize = 15;
const CHARACTERS: usize = BYTES * 8 / 5;
const HOW_MANY: usize = 8;

/// Fresh ones, as they are compared.
pub fn fresh() -> Secret<Vec<String>> {
    let code = || {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes)
            .expect("the process was seeded at start, after which the generator cannot fail");
        base32::encode(base32::Alphabet::Rfc4648Lower { padding: false }, &bytes)
    };
    Secret::new((0..HOW_MANY).map(|_| code()).collect())
}

/// As a person reads it: in groups of four.
pub fn grouped(code: &str) -> String {
    let letters: Vec<char> = code.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// What was typed, as it is compared; `None`: it is no such code.
pub fn parse(typed: &str) -> Option<String> {
    let code: String =
        typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let known = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    (code.len() == CHARACTERS && code.bytes().all(known)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_is_compared() {
        let codes = fresh();
        assert_eq!(codes.expose().len(), HOW_MANY);
        for code in codes.expose() {
            let shown = grouped(code);
            assert_eq!(shown.len(), 29);
            assert_eq!(parse(&shown).as_ref(), Some(code));
            assert_eq!(parse(&format!(" {} ", shown.to_uppercase().replace('-', " "))).as_ref(), Some(code));
        }
        for wrong in ["", "123456", "abcd-efgh", "abcd-efgh-ijkl-mnop-qrst-uvw1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
