//! How clients prove who they are.

use serde::{Deserialize, Serialize};

/// How a client authenticates at the token endpoint (OIDC Core §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client.
    None,
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    /// An assertion with an HMAC by its secret (OIDC Core §9, RFC 7523), which therefore is kept sealed, not as a digest
    /// alone.
    ClientSecretJwt,
    /// An assertion signed by a key of its `jwks` or `jwks_uri` (OIDC Core §9, RFC 7523).
    PrivateKeyJwt,
    /// A certificate of an authority that the operator trusts, with the name that is registered (RFC 8705 §2.1).
    TlsClientAuth,
    /// A certificate that is registered itself, as the `x5c` of a key (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
}

impl AuthMethod {
    pub const ALL: [Self; 7] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::ClientSecretJwt,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
        Self::None,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Whether a client of this method has secrets.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost | Self::ClientSecretJwt)
    }

    /// Whether the secret itself is needed to check what the client shows.
    pub const fn needs_sealed_secret(self) -> bool {
        matches!(self, Self::ClientSecretJwt)
    }

    /// Whether it shows a certificate, for which mutual TLS must have been set up.
    pub const fn uses_certificate(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}
