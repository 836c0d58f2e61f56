//! An e-mail address: what a user wrote, and the form that sign-in compares.

use std::fmt;

/// RFC 5321 §4.5.3.1.3: a path has 256 octets with its two brackets.
const MAX_BYTES: usize = 254;

/// An address that could be one: whether mail arrives there only mail can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    written: String,
    normalized: String,
}

/// Why a text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most 254 bytes long")]
    TooLong,
    #[error("must be an e-mail address, such as ada@example.com")]
    Malformed,
}

impl Email {
    /// Blanks around it are dropped; case is kept for display and folded for comparison.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let written = text.trim();
        let normalized = written.to_lowercase();
        if written.is_empty() {
            return Err(InvalidEmail::Empty);
        }
        if written.len() > MAX_BYTES || normalized.len() > MAX_BYTES {
            return Err(InvalidEmail::TooLong);
        }
        let bad = |c: char| c.is_control() || c.is_whitespace();
        match written.split_once('@') {
            Some((local, domain))
                if !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !written.contains(bad) =>
            {
                Ok(Self { written: written.to_owned(), normalized })
            }
            _ => Err(InvalidEmail::Malformed),
        }
    }

    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The form that is unique in a tenant.
    pub fn normalized(&self) -> &str {
        &self.normalized
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_blanks_do_not_make_another_address() {
        let email = Email::parse("  Ada@Example.COM ").unwrap();
        assert_eq!((email.as_written(), email.normalized()), ("Ada@Example.COM", "ada@example.com"));
    }

    #[test]
    fn refusals() {
        let long = format!("{}@example.com", "a".repeat(250));
        for (text, why) in [
            ("   ", InvalidEmail::Empty),
            (long.as_str(), InvalidEmail::TooLong),
            ("ada", InvalidEmail::Malformed),
            ("@example.com", InvalidEmail::Malformed),
            ("ada@", InvalidEmail::Malformed),
            ("a@b@c", InvalidEmail::Malformed),
            ("a b@c", InvalidEmail::Malformed),
            ("a\0@c", InvalidEmail::Malformed),
            ("a\u{202e}b\n@c", InvalidEmail::Malformed),
        ] {
            assert_eq!(Email::parse(text), Err(why), "{text:?}");
        }
    }
}
