//! Which role somebody has here, by a claim of the issuer's.

use std::fmt;
use std::str::FromStr;

use controlplane_core::Role;
use serde_json::{Map, Value};

/// More values than this of one person's claim are not looked at.
const MAX_VALUES: usize = 500;

/// Where the values stand: a claim's name, or a JSON pointer (RFC 6901) into a claim, such as `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl FromStr for ClaimPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text == "/" {
            return Err("must be a claim's name, or a JSON pointer such as /realm_access/roles");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClaimPath {
    /// A text is one value, but for `scope`, which is a list in one text (RFC 8693 §4.2). An e-mail address that the issuer
    /// has not verified is anybody's.
    pub(super) fn values(&self, claims: &Map<String, Value>) -> Vec<String> {
        let (claim, rest) = match self.0.strip_prefix('/') {
            None => (self.0.clone(), ""),
            Some(path) => {
                let (first, rest) = path.split_once('/').unwrap_or((path, ""));
                (first.replace("~1", "/").replace("~0", "~"), rest)
            }
        };
        let found = claims.get(&claim);
        let found = if rest.is_empty() { found } else { found.and_then(|value| value.pointer(&format!("/{rest}"))) };
        if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Vec::new();
        }
        match found {
            Some(Value::String(text)) if self.0 == "scope" => text.split(' ').map(ToOwned::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(all)) => {
                all.iter().take(MAX_VALUES).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// `VALUE=ROLE,…` with the roles `owner`, `operator`, `auditor` and `tenant-admin:SLUG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMap(Vec<(String, Role)>);

impl FromStr for RoleMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, Role)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            // The last one: values may be URLs or names of a directory (`cn=admins`).
            let pair = part.rsplit_once('=').filter(|(value, _)| !value.is_empty());
            let Some((value, role)) = pair.and_then(|(value, role)| Some((value, read_role(role)?))) else {
                return Err(format!("{part:?} is not VALUE=owner, operator, auditor or tenant-admin:SLUG"));
            };
            if pairs.iter().any(|(known, _)| known == value) {
                return Err(format!("{value:?} stands there twice"));
            }
            pairs.push((value.to_owned(), role));
        }
        if pairs.is_empty() { Err("must map at least one value".to_owned()) } else { Ok(Self(pairs)) }
    }
}

fn read_role(text: &str) -> Option<Role> {
    match text {
        "owner" => Some(Role::Owner),
        "operator" => Some(Role::Operator),
        "auditor" => Some(Role::Auditor),
        _ => text.strip_prefix("tenant-admin:")?.parse().ok().map(Role::TenantAdmin),
    }
}

impl RoleMap {
    pub(super) fn knows(&self, value: &str) -> bool {
        self.0.iter().any(|(known, _)| known == value)
    }

    /// The first pair that matches counts, so that the order of the setting says what goes before what.
    pub(super) fn role(&self, values: &[String]) -> Option<&Role> {
        self.0.iter().find(|(known, _)| values.contains(known)).map(|(_, role)| role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(path: &str, claims: Value) -> Vec<String> {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        path.parse::<ClaimPath>().unwrap().values(&claims)
    }

    #[test]
    fn claims_are_texts_lists_or_places_in_objects() {
        assert_eq!(values("groups", json!({"groups": ["a", 1, "b"]})), ["a", "b"]);
        assert_eq!(values("sub", json!({"sub": "me you"})), ["me you"]);
        assert_eq!(values("scope", json!({"scope": "x y"})), ["x", "y"]);
        assert_eq!(values("https://acme.example/roles", json!({"https://acme.example/roles": "x"})), ["x"]);
        assert_eq!(values("/realm_access/roles", json!({"realm_access": {"roles": ["x"]}})), ["x"]);
        assert_eq!(values("/https:~1~1acme/0", json!({"https://acme": ["x"]})), ["x"]);
        for claims in [json!({}), json!({"groups": null}), json!({"groups": {"a": "b"}}), json!({"groups": true})] {
            assert!(values("groups", claims).is_empty());
        }
    }

    #[test]
    fn an_address_counts_only_when_the_issuer_has_verified_it() {
        for path in ["email", "/email", "/email/"] {
            assert_eq!(
                values(path, json!({"email": "a@b.example", "email_verified": true})),
                ["a@b.example"],
                "{path}"
            );
            for unverified in [json!(false), json!("true"), Value::Null] {
                let claims = json!({"email": "a@b.example", "email_verified": unverified});
                assert!(values(path, claims).is_empty(), "{path}");
            }
        }
        assert!(values("/email/0", json!({"email": ["a@b.example"]})).is_empty());
    }

    #[test]
    fn the_mappings_order_decides() {
        let map: RoleMap = "cn=ops,dc=x=operator".parse::<RoleMap>().map_or_else(
            |_| "admins=owner, cn=ops=operator,acme=tenant-admin:acme".parse().unwrap(),
            |_| panic!("a comma separates"),
        );
        let role = |values: &[&str]| map.role(&values.iter().map(|&v| v.to_owned()).collect::<Vec<_>>()).cloned();
        assert_eq!(role(&["acme", "admins"]), Some(Role::Owner));
        assert_eq!(role(&["acme", "cn=ops"]), Some(Role::Operator));
        assert_eq!(role(&["acme"]), Some(Role::TenantAdmin("acme".parse().unwrap())));
        assert_eq!(role(&["Admins"]), None);
        for bad in ["", "x", "x=root", "=owner", "x=tenant-admin:", "x=tenant-admin:No", "x=owner,x=auditor"] {
            assert!(bad.parse::<RoleMap>().is_err(), "{bad}");
        }
    }
}
