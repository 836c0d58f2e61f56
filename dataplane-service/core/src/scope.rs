//! Sets of scopes (RFC 6749 §3.3), and the claims that the standard ones release (OIDC Core §5.4).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use vocab::ScopeName;

use crate::error::{Code, OAuthError};

pub const OPENID: &str = "openid";
pub const OFFLINE_ACCESS: &str = "offline_access";
pub const USERS_READ: &str = "hj:users.read";
pub const USERS_WRITE: &str = "hj:users.write";

/// Scopes that exist in every tenant, with the user claims each releases.
pub const BUILT_IN: [(&str, &[&str]); 8] = [
    (OPENID, &["sub"]),
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
    (OFFLINE_ACCESS, &[]),
    (USERS_READ, &[]),
    (USERS_WRITE, &[]),
];

/// The scopes that speak about an end user; no client can have them on its own behalf (OIDC Core §5.4, §11).
pub fn needs_user(scope: &str) -> bool {
    matches!(scope, OPENID | "profile" | "email" | "address" | "phone" | OFFLINE_ACCESS)
}

/// Scopes whose resource server is the issuer itself: userinfo and the user API.
pub fn is_issuers_own(scope: &str) -> bool {
    matches!(scope, OPENID | USERS_READ | USERS_WRITE)
}

/// The claims of a built-in scope; `None` for a scope that a tenant must define.
pub fn built_in_claims(scope: &str) -> Option<&'static [&'static str]> {
    BUILT_IN.iter().find(|(name, _)| *name == scope).map(|(_, claims)| *claims)
}

/// A set of scopes; written and stored in alphabetical order (their order means nothing: RFC 6749 §3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeSet(BTreeSet<ScopeName>);

impl ScopeSet {
    /// The value of a `scope` parameter: names with single spaces between them (RFC 6749 §3.3; more are forgiven).
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        text.split(' ')
            .filter(|name| !name.is_empty())
            .map(|name| {
                name.parse().map_err(|_| OAuthError::quoting(Code::InvalidScope, &format!("{name} is not a scope")))
            })
            .collect::<Result<BTreeSet<_>, _>>()
            .map(Self)
    }

    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn remove(&mut self, scope: &str) {
        self.0.remove(scope);
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &ScopeName> {
        self.0.iter()
    }

    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl FromIterator<ScopeName> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopeName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// As in a `scope` parameter or claim.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_read_and_written() {
        let set = ScopeSet::parse("openid  email openid").unwrap();
        assert_eq!(set.to_string(), "email openid");
        assert!(set.contains(OPENID) && !set.contains("profile"));
        assert!(ScopeSet::parse("").unwrap().is_empty());
        assert!(ScopeSet::parse("openid").unwrap().is_subset(&set));
        assert_eq!(ScopeSet::parse("a\"b").unwrap_err().code(), Code::InvalidScope);
        assert_eq!(ScopeSet::parse("a\nb").unwrap_err().code(), Code::InvalidScope);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = ScopeSet::parse(&text);
        }
    }
}
