//! Rules of a scope.

use vocab::{ScopeName, Violations};

use super::text;
use crate::limits;
use crate::model::ScopeSpec;

/// Scopes that every tenant has: OIDC Core §5.4 and §11, and those of the data plane's own API.
pub const STANDARD_SCOPES: [&str; 8] =
    ["openid", "profile", "email", "address", "phone", "offline_access", "hj:users.read", "hj:users.write"];

/// Claims that the issuer sets itself (RFC 7519 §4.1, OIDC Core §2, RFC 9068 §2.2): no scope may release a user's
/// attribute in their place.
const RESERVED_CLAIMS: [&str; 19] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "nonce",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
    "sid",
    "client_id",
    "scope",
    "cnf",
    "hj_grant",
];

/// Whether a tenant may define a scope of this name.
pub fn scope_name_problems(name: &ScopeName) -> Violations {
    let mut violations = Violations::new();
    let name = name.as_str();
    violations.require(!STANDARD_SCOPES.contains(&name), "", || "is a standard scope".to_owned());
    violations.require(STANDARD_SCOPES.contains(&name) || !name.starts_with("hj:"), "", || {
        "names that begin with hj: are the platform's".to_owned()
    });
    violations
}

impl ScopeSpec {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        text::check_description(&mut violations, "/description", &self.description);
        text::check_list(&mut violations, "/claims", &self.claims, limits::CLAIMS_PER_SCOPE);
        for (index, claim) in self.claims.iter().enumerate() {
            let pointer = format!("/claims/{index}");
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/#".contains(&b);
            let grammar = (1..=limits::CLAIM_BYTES).contains(&claim.len()) && claim.bytes().all(allowed);
            violations.require(grammar, &pointer, || {
                format!("must be 1 to {} of A-Z, a-z, 0-9, '_', '-', '.', ':', '/' and '#'", limits::CLAIM_BYTES)
            });
            violations.require(!RESERVED_CLAIMS.contains(&claim.as_str()), &pointer, || {
                "is set by the issuer itself".to_owned()
            });
        }
        violations
    }
}
