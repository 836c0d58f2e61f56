//! Identifiers, each its own type, each checked where it enters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the identifier it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidId {
    what: &'static str,
    problem: &'static str,
}

/// A UUID with a meaning. Version 7 (RFC 9562 §5.7), so that ids made later sort later.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { what: $what, problem: "must be a UUID" })
            }
        }
    };
}

uuid_id!(/// A tenant, for ever: a tenant that is deleted and made again under the same slug has another id.
    TenantId, "tenant id");
uuid_id!(/// An administrator's credential.
    AdminId, "admin id");
uuid_id!(/// One of a client's secrets.
    SecretId, "secret id");
uuid_id!(/// An initial access token, which lets clients register themselves (RFC 7591 §3).
    RegistrationTokenId, "registration token id");
uuid_id!(/// One control-plane cluster; every peer RPC carries it, so that two clusters never mix.
    ClusterId, "cluster id");

/// A text with a meaning and a grammar, checked on every way in, deserialization included.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(problem) => Err(InvalidId { what: $what, problem }),
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.to_owned().try_into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(/// A tenant's name in URLs: `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`, a DNS label (RFC 1123 §2.1).
    Slug, "slug", check_slug);
text_id!(/// An OAuth client's `client_id`: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, so that it never needs encoding (RFC 6749 §2.2).
    ClientId, "client_id", check_client_id);
text_id!(/// A scope token (RFC 6749 §3.3), 1 to 128 visible ASCII characters without `"` and `\`.
    ScopeName, "scope", check_scope);
text_id!(/// A signing key's `kid` (RFC 7517 §4.5): 1 to 64 of `A-Z a-z 0-9 _ -`.
    KeyId, "kid", check_token64);
text_id!(/// What a client sends as `Idempotency-Key`: 1 to 128 visible ASCII characters.
    RequestId, "request id", check_request_id);
text_id!(/// A data-plane pod's name: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`.
    PodId, "pod id", check_client_id);

fn check_slug(text: &str) -> Result<(), &'static str> {
    const RULE: &str = "must be 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit";
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last))
            if bytes.len() <= 63 && *first != b'-' && *last != b'-' && bytes.iter().all(|b| inner(*b)) =>
        {
            Ok(())
        }
        _ => Err(RULE),
    }
}

fn check_client_id(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    // `.` and `..` would be path segments with a meaning of their own.
    let dots = text == "." || text == "..";
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !dots {
        Ok(())
    } else {
        Err("must be 1 to 128 of A-Z, a-z, 0-9, '.', '_', '~' and '-'")
    }
}

fn check_scope(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("must be 1 to 128 visible ASCII characters without '\"' and '\\'")
    }
}

fn check_token64(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("must be 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    }
}

fn check_request_id(text: &str) -> Result<(), &'static str> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("must be 1 to 128 visible ASCII characters")
    }
}

/// A control-plane node. Given as a number or as a name that ends in one (`controlplane-2`, a StatefulSet pod's name).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let ordinal = text.rsplit_once('-').map_or(text, |(_, ordinal)| ordinal);
        ordinal.parse().map(Self).map_err(|_| InvalidId {
            what: "node id",
            problem: "must be a number, or a name that ends in '-' and a number",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slug_grammar() {
        let long = "a".repeat(63);
        for good in ["a", "acme", "a-b", "0x", long.as_str()] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "..", ".well-known", "ａcme", "x\"; DROP", too_long.as_str()] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn deserialization_checks_too() {
        assert!(serde_json::from_str::<Slug>("\"Acme\"").is_err());
        assert!(serde_json::from_str::<ClientId>("\"a b\"").is_err());
        assert!(serde_json::from_str::<ScopeName>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<ScopeName>("\"hj:users.read\"").unwrap().as_str(), "hj:users.read");
    }

    #[test]
    fn node_ids_come_as_numbers_or_stateful_set_names() {
        assert_eq!("3".parse(), Ok(NodeId(3)));
        assert_eq!("controlplane-0".parse(), Ok(NodeId(0)));
        assert!("controlplane".parse::<NodeId>().is_err());
        assert!("".parse::<NodeId>().is_err());
    }
}
