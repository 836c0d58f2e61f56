//! An OAuth client as the data plane knows it, and the rule that compares redirect URIs.

use url::{Host, Url};
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

    /// Whether an answer sent there reaches this client, and nobody who merely uses its name. Who authenticates proves it when
    /// the code is redeemed. A public client is known by its redirect URI alone, and that is its own only where it is https at
    /// a name: on loopback, or behind a private-use scheme, any application of the device may take its place
    /// (RFC 6749 §10.2, RFC 8252 §8.6).
    pub fn is_assured_at(&self, redirect_uri: &str) -> bool {
        !self.is_public() || is_claimed(redirect_uri)
    }
}

/// Whether there is an owner of the host who can show a certificate for it.
fn is_claimed(redirect_uri: &str) -> bool {
    let Ok(url) = Url::parse(redirect_uri) else {
        return false;
    };
    let is_elsewhere = match url.host() {
        Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => !address.is_loopback(),
        Some(Host::Ipv6(address)) => !address.to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "https" && is_elsewhere
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

    #[rstest]
    #[case("https://app.example/cb", true)]
    #[case("https://192.0.2.1/cb", true)]
    #[case("http://127.0.0.1:49152/cb", false)]
    #[case("http://[::1]/cb", false)]
    #[case("http://localhost/cb", false)]
    #[case("https://127.0.0.1/cb", false)]
    #[case("https://[::1]/cb", false)]
    #[case("https://[::ffff:127.0.0.1]/cb", false)]
    #[case("https://localhost:8400/cb", false)]
    #[case("https://app.localhost/cb", false)]
    #[case("com.example.app:/cb", false)]
    #[case("com.example.app://app.example/cb", false)]
    #[case("", false)]
    fn who_a_public_client_is_is_known_by_https_alone(#[case] uri: &str, #[case] assured: bool) {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        assert_eq!(public.is_assured_at(uri), assured, "{uri}");
        assert!(client().is_assured_at(uri), "{uri}: who authenticates is who it says");
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
