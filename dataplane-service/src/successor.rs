//! The successor of a refresh token, kept so that it can be answered again, and that only who holds the token that it
//! replaced can read it.
//!
//! The key is made of the old token, of which the database has a digest of another kind. So whoever reads the database
//! learns nothing, no secret of the server is involved, and every pod can open it for the client whose answer was lost.

use aws_lc_rs::hmac;
use vocab::{Keyring, MasterKey, Sealed, Secret};

fn keyring(old: &str) -> Keyring {
    let key = hmac::Key::new(hmac::HMAC_SHA256, old.as_bytes());
    let tag = hmac::sign(&key, b"hellojohn refresh token successor");
    let bytes = tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes");
    Keyring::new(MasterKey::new(bytes), Vec::new())
}

/// For the column `refresh_tokens.successor` of the old token.
pub fn seal(old: &str, successor: &Secret<String>) -> String {
    keyring(old).seal(successor.expose().as_bytes(), rand::random()).to_string()
}

/// `None`: it was not sealed for this token.
pub fn open(old: &str, sealed: &str) -> Option<Secret<String>> {
    let sealed: Sealed = sealed.parse().ok()?;
    let opened = keyring(old).open(&sealed).ok()?;
    String::from_utf8(opened.expose().clone()).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_before_opens_it() {
        let sealed = seal("old", &Secret::new("next".to_owned()));
        assert!(!sealed.contains("next"));
        assert_eq!(open("old", &sealed).unwrap().expose(), "next");
        assert!(open("older", &sealed).is_none());
        assert!(open("old", "garbage").is_none());
    }
}
