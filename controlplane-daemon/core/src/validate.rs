//! The rules of each document, every problem of it collected at once.

/// Scopes that every tenant has: OIDC Core §5.4 and §11, and those of the data plane's own API.
pub const STANDARD_SCOPES: [&str; 8] =
    ["openid", "profile", "email", "address", "phone", "offline_access", "hj:users.read", "hj:users.write"];
