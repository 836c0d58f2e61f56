//! An OAuth client as the data plane knows it, and the rule that compares redirect URIs.

use vocab::{ClientId, Revision, ScopeName, SecretDigest, Timestamp};

/// A registered client. Whoever holds one knows that it belongs to the tenant at hand, not that it authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub client_id: ClientId,
    pub name: String,
    pub enabled: bool,
    pub auth_method: AuthMethod,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub grant_types: Vec<GrantType>,
    /// What the client may ask for.
    pub scopes: Vec<ScopeName>,
    /// Resource servers it may ask tokens for; the first is the default. Empty: the issuer itself.
    pub audiences: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub require_consent: bool,
    /// Empty for public clients.
    pub secrets: Vec<ClientSecret>,
    pub revision: Revision,
}

/// One of a client's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    pub digest: SecretDigest,
    /// From here on it opens nothing; `None`: until it is removed.
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// How a client authenticates at the token endpoint (OIDC Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client.
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

impl AuthMethod {
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// The grants that exist here (RFC 6749 §1.3). There is no password and no implicit grant (RFC 9700 §2.1.2, §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

impl GrantType {
    pub const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

impl Client {
    /// A client that cannot keep a secret (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.auth_method == AuthMethod::None
    }

    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    pub fn may_ask_for(&self, scope: &ScopeName) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether `uri` is registered: the same string, byte for byte (RFC 9700 §2.1), save for the port of a loopback
    /// address, which a native application cannot know before it runs (RFC 8252 §7.3).
    pub fn redirects_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| {
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

    /// A confidential client that may do everything; tests change what they are about.
    pub(crate) fn client() -> Client {
        Client {
            client_id: "web".parse().unwrap(),
            name: "Web".into(),
            enabled: true,
            auth_method: AuthMethod::ClientSecretBasic,
            redirect_uris: vec!["https://app.example/cb".into(), "http://127.0.0.1/cb".into()],
            post_logout_redirect_uris: vec![],
            grant_types: GrantType::ALL.to_vec(),
            scopes: ["openid", "email", "offline_access", "orders"].map(|s| s.parse().unwrap()).to_vec(),
            audiences: vec!["https://api.example".into(), "https://other.example".into()],
            allowed_origins: vec![],
            require_consent: false,
            secrets: vec![ClientSecret { digest: SecretDigest::of(b"s3cret"), expires_at: None }],
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

    #[test]
    fn names_round_trip() {
        for method in AuthMethod::ALL {
            assert_eq!(AuthMethod::parse(method.as_str()), Some(method));
        }
        for grant in GrantType::ALL {
            assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
        }
        assert_eq!(GrantType::parse("password"), None);
    }
}
