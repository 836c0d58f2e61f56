//! The issuer's own protected resources: what serves whoever brings an access token (RFC 6749 §1.1), under which names a
//! token may be asked for them (RFC 8707), and where they are described (RFC 9728).

use crate::scope::{OPENID, USERS_READ, USERS_WRITE};

/// A path below the issuer, with the scopes that it asks for.
pub type Own = (&'static str, &'static [&'static str]);

pub const OWN: [Own; 2] = [("/oauth2/userinfo", &[OPENID]), ("/api/v1/users", &[USERS_READ, USERS_WRITE])];

/// The path of the resource that asks for `scope`.
pub fn path_for(scope: &str) -> Option<&'static str> {
    OWN.iter().find(|(_, scopes)| scopes.contains(&scope)).map(|(path, _)| *path)
}

/// Whether `resource` is the issuer, which stands for all of them, or one of them.
pub fn is_own(resource: &str, issuer: &str) -> bool {
    resource.strip_prefix(issuer).is_some_and(|rest| rest.is_empty() || OWN.iter().any(|(path, _)| *path == rest))
}

/// All names of which [`is_own`] holds.
pub fn own(issuer: &str) -> impl Iterator<Item = String> {
    std::iter::once("").chain(OWN.iter().map(|(path, _)| *path)).map(move |path| format!("{issuer}{path}"))
}

/// Where the resource at `path` of the issuer is described: the well-known part goes between host and path (RFC 9728 §3.1).
pub fn metadata_url(issuer: &str, path: &str) -> String {
    let host_at = issuer.find("://").map_or(0, |at| at + 3);
    let (origin, own) = issuer.split_at(issuer[host_at..].find('/').map_or(issuer.len(), |at| at + host_at));
    format!("{origin}/.well-known/oauth-protected-resource{own}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://id.example", "", "https://id.example/.well-known/oauth-protected-resource")]
    #[case("https://id.example", "/a", "https://id.example/.well-known/oauth-protected-resource/a")]
    #[case("https://id.example/t/acme", "/a", "https://id.example/.well-known/oauth-protected-resource/t/acme/a")]
    #[case("http://[::1]:8080/t/acme", "", "http://[::1]:8080/.well-known/oauth-protected-resource/t/acme")]
    fn where_they_are_described(#[case] issuer: &str, #[case] path: &str, #[case] url: &str) {
        assert_eq!(metadata_url(issuer, path), url);
    }

    #[rstest]
    #[case("https://id.example/t/acme", true)]
    #[case("https://id.example/t/acme/oauth2/userinfo", true)]
    #[case("https://id.example/t/acme/api/v1/users", true)]
    #[case("https://id.example/t/acme/api/v1/users/", false)]
    #[case("https://id.example/t/acme2", false)]
    #[case("https://id.example", false)]
    fn names(#[case] resource: &str, #[case] own: bool) {
        assert_eq!(is_own(resource, "https://id.example/t/acme"), own);
    }

    #[test]
    fn every_scope_of_the_issuer_has_its_resource() {
        for scope in [OPENID, USERS_READ, USERS_WRITE] {
            assert!(path_for(scope).is_some() && crate::scope::is_issuers_own(scope), "{scope}");
        }
        assert_eq!(path_for("orders"), None);
    }
}
