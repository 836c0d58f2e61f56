//! An OAuth client as the data plane knows it, and the rule that compares redirect URIs.

pub use vocab::client::{AuthMethod, ClientSpec, GrantType};
use vocab::{ClientId, Revision, ScopeName, SecretDigest, Timestamp};

use crate::jose::{ClientKeys, SecretKey};

/// A registered client. Whoever holds one knows that it belongs to the tenant at hand, not that it authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub client_id: ClientId,
    pub spec: ClientSpec,
    /// Empty for public clients.
    pub secrets: Vec<ClientSecret>,
    /// Those of its `jwks`; what it publishes at its `jwks_uri` is fetched when it is needed.
    pub keys: ClientKeys,
    pub revision: Revision,
}

/// One of a client's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    pub digest: SecretDigest,
    /// The secret itself, of a client that proves itself by HMACs.
    pub key: Option<SecretKey>,
    /// From here on it opens nothing; `None`: until it is removed.
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl Client {
    /// A client that cannot keep a secret (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.spec.token_endpoint_auth_method == AuthMethod::None
    }

    pub fn may_use(&self, grant: GrantType) -> bool {
        self.spec.grant_types.contains(&grant)
    }

    pub fn may_ask_for(&self, scope: &ScopeName) -> bool {
        self.spec.scopes.contains(scope)
    }

    /// Whether `uri` is registered: the same string, byte for byte (RFC 9700 §2.1), save for the port of a loopback
    /// address, which a native application cannot know before it runs (RFC 8252 §7.3).
    pub fn redirects_to(&self, uri: &str) -> bool {
        self.spec.redirect_uris.iter().any(|registered| {
            registered == uri
                || matches!((Loopback::parse(registered), Loopback::parse(uri)), (Some(a), Some(b)) if a == b)
        })
    }
}

/// A loopback redirect URI without its port. Only the address literals: `localhost` may resolve to elsewhere
/// (RFC 8252 §8.3).
#[derive(PartialEq, Eq)]
struct Loopback<'a> {
    origin: &'static str,
    path_and_query: &'a str,
}

impl<'a> Loopback<'a> {
    fn parse(uri: &'a str) -> Option<Self> {
        let (origin, rest) = ["http://127.0.0.1", "http://[::1]"]
            .into_iter()
            .find_map(|origin| uri.strip_prefix(origin).map(|rest| (origin, rest)))?;
        let path_and_query = match rest.strip_prefix(':') {
            None => rest,
            Some(port_and_path) => {
                let end = port_and_path.find(|c: char| !c.is_ascii_digit()).unwrap_or(port_and_path.len());
                let (port, path) = port_and_path.split_at(end);
                port.parse::<u16>().ok().filter(|port| *port != 0)?;
                path
            }
        };
        let ends_the_authority = path_and_query.is_empty() || path_and_query.starts_with(['/', '?']);
        ends_the_authority.then_some(Self { origin, path_and_query })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rstest::rstest;

    /// A confidential client that may do everything.
    pub(crate) fn client() -> Client {
        client_with(|_| {})
    }

    /// The same, with what a test is about changed.
    pub(crate) fn client_with(change: impl FnOnce(&mut ClientSpec)) -> Client {
        let mut spec = ClientSpec {
            name: "Web".into(),
            redirect_uris: vec!["https://app.example/cb".into(), "http://127.0.0.1/cb".into()],
            grant_types: GrantType::ALL.to_vec(),
            scopes: ["openid", "email", "offline_access", "orders"].map(|s| s.parse().unwrap()).to_vec(),
            audiences: vec!["https://api.example".into(), "https://other.example".into()],
            ..ClientSpec::default()
        };
        change(&mut spec);
        Client {
            client_id: "web".parse().unwrap(),
            spec,
            secrets: vec![ClientSecret { digest: SecretDigest::of(b"s3cret"), key: None, expires_at: None }],
            keys: ClientKeys::default(),
            revision: Revision::default(),
        }
    }

    #[rstest]
    #[case("https://app.example/cb", true)]
    #[case("https://app.example/cb?x=1", false)]
    #[case("https://app.example/cb/", false)]
    #[case("https://app.example/Cb", false)]
    #[case("https://app.example/c%62", false)]
    #[case("https://evil.example@app.example/cb", false)]
    #[case("https://app.example.evil.example/cb", false)]
    #[case("https://app.example/cb\r\nX-Injected:1", false)]
    #[case("https://app.example/cb\0", false)]
    #[case("https://evil.example/cb", false)]
    #[case("http://127.0.0.1/cb", true)]
    #[case("http://127.0.0.1:49152/cb", true)]
    #[case("http://127.0.0.1:0/cb", false)]
    #[case("http://127.0.0.1:65536/cb", false)]
    #[case("http://127.0.0.1:/cb", false)]
    #[case("http://127.0.0.1:80@evil.example/cb", false)]
    #[case("http://127.0.0.1.evil.example/cb", false)]
    #[case("http://127.0.0.1:1/cb?x", false)]
    #[case("http://localhost/cb", false)]
    #[case("http://[::1]/cb", false)]
    #[case("https://127.0.0.1/cb", false)]
    #[case("", false)]
    fn redirect_uris_are_compared_exactly(#[case] uri: &str, #[case] registered: bool) {
        assert_eq!(client().redirects_to(uri), registered, "{uri}");
    }

    /// RFC 8252 §8.3: a name is none of the literals, and has the port that is registered.
    #[rstest]
    #[case("http://localhost/cb", true)]
    #[case("http://localhost:8400/cb", false)]
    #[case("http://127.0.0.1/cb", false)]
    #[case("http://[::1]/cb", false)]
    fn localhost_is_a_name_like_others(#[case] uri: &str, #[case] registered: bool) {
        let client = client_with(|spec| spec.redirect_uris = vec!["http://localhost/cb".into()]);
        assert_eq!(client.redirects_to(uri), registered, "{uri}");
    }
}
