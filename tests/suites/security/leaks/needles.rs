//! What to look for of a secret: itself, and what it becomes where bytes are written as text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tests::traces::hex;

/// Fewer bytes are found by chance.
const FEWEST_BYTES: usize = 8;

/// The secret first; in hexadecimal digits, as PostgreSQL dumps bytes; in Base64, wherever in what was encoded it stood; and
/// the bytes that it is the Base64 of, in hexadecimal digits.
pub(super) fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex(secret.as_bytes())];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|before| {
            let encoded = engine.encode([&[0; 2][..before], secret.as_bytes()].concat());
            // Six bits a letter: what the bytes beside it have a part in is left out.
            let letters = (before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6;
            encoded[letters].to_owned()
        }));
    }
    let meant = URL_SAFE_NO_PAD.decode(secret).or_else(|_| STANDARD.decode(secret)).unwrap_or_default();
    if meant.len() >= FEWEST_BYTES {
        forms.push(hex(&meant));
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The search itself finds what there is.
#[test]
fn a_secret_is_found_in_every_form() {
    const SECRET: &str = "c2VjcmV0IG9mIGFsaWNl";
    let found = |text: &str| forms(SECRET).iter().any(|form| text.contains(form.as_str()));
    for before in ["", "a", "ab", "abc"] {
        let around = format!("{before}{SECRET}~?>");
        assert!(found(&around) && found(&hex(around.as_bytes())), "{around}");
        assert!(found(&STANDARD.encode(&around)) && found(&URL_SAFE_NO_PAD.encode(&around)), "{around}");
    }
    assert!(found(&format!("\\x00{}00", hex(b"secret of alice"))), "as bytea");
    assert!(!found("secret of somebody else") && !found(""));
}
