//! What an OAuth client is registered with: the one shape that the log stores, the admin API shows, the watch carries
//! and the data plane obeys.
//!
//! Names are those of RFC 7591 §2 and of the IANA registry of client metadata where these have one. The control plane
//! stores this as JSON with named fields: renaming one is a format change, and a new one needs
//! `#[serde(skip_serializing_if)]`, so that what was stored before keeps its bytes. A reader that does not know a
//! field refuses the whole, because a setting that is passed over could have been the one that restricts.
//!
//! # How to add a field
//!
//! 1. The field here, left out of the bytes while it is at its default.
//! 2. Its rules in `controlplane_core::validate::client`. The admin API reads and shows it by itself.
//! 3. Its meaning in the data plane; its row in `docs/admin-api.md`.

mod auth_method;
mod grant_type;
mod token_exchange;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fapi::Fapi;
use crate::jwe::{ContentEncryption, Encryption, JweAlgorithm};
use crate::jwk::Jwks;
use crate::jws::JwsAlgorithm;
use crate::{ClientId, KeyFamily, ScopeName, SigningAlgorithm};

pub use auth_method::AuthMethod;
pub use grant_type::GrantType;
pub use token_exchange::{ExchangeMode, TokenExchange};

/// The part of a client that its operators write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the registry of client metadata has them")]
pub struct ClientSpec {
    /// For people.
    pub name: String,
    /// A client that is not enabled is as good as none.
    pub enabled: bool,
    pub token_endpoint_auth_method: AuthMethod,
    /// How the client's ID tokens are signed (OIDC Registration §2). Absent: as the tenant signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Userinfo as a JWT, signed so (OIDC Core §5.3.2). Absent: as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_signed_response_alg: Option<SigningAlgorithm>,
    /// ID tokens and userinfo are encrypted to a key of the client's, once they are signed (OIDC Registration §2). Absent:
    /// they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_encrypted_response_alg: Option<JweAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_encrypted_response_enc: Option<ContentEncryption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_encrypted_response_alg: Option<JweAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_encrypted_response_enc: Option<ContentEncryption>,
    /// Introspection answered as a JWT, when it is asked for as one: signed so (RFC 9701 §6). Absent: as the tenant signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_signed_response_alg: Option<SigningAlgorithm>,
    /// And encrypted so to a key of the client's. Absent: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_encrypted_response_alg: Option<JweAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_encrypted_response_enc: Option<ContentEncryption>,
    /// Whether the client knows a user by the same `sub` as every other client (OIDC Core §8).
    #[serde(skip_serializing_if = "SubjectType::is_default")]
    pub subject_type: SubjectType,
    /// Whose host is the sector of pairwise subjects (§8.1). Absent: the host of the redirect URIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier_uri: Option<String>,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub grant_types: Vec<GrantType>,
    /// Scopes the client may ask for: the standard ones of OIDC Core §5.4 and §11, or scopes of the tenant.
    pub scopes: Vec<ScopeName>,
    /// Resource servers the client may ask tokens for (RFC 8707); the first is the default. Empty: the issuer itself.
    pub audiences: Vec<String>,
    /// Web origins whose scripts may read answers (CORS).
    pub allowed_origins: Vec<String>,
    /// Whether a user is asked before the client first gets something.
    pub require_consent: bool,

    // What becomes of tokens.
    /// The form of the access tokens that the client gets.
    #[serde(skip_serializing_if = "AccessTokenFormat::is_default")]
    pub access_token_format: AccessTokenFormat,
    /// How long a refresh token that was replaced is answered with the same successor again; `None`: as the tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_grace_secs: Option<u32>,
    /// Audiences that the client speaks for as a resource server: it may introspect tokens for these (RFC 7662 §4), as
    /// it may those that name its own `client_id`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_server_for: Vec<String>,
    /// What the client may do with the grant of RFC 8693. Needed to use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_exchange: Option<TokenExchange>,
    /// Who alone may exchange the client's tokens to act for their subject: the `may_act` of its access tokens
    /// (RFC 8693 §4.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_act: Option<ClientId>,
    // What a client says of itself (RFC 7591 §2, OIDC Registration §2).
    #[serde(skip_serializing_if = "ApplicationType::is_default")]
    pub application_type: ApplicationType,
    /// Pages for people: the client's own, its logo, its terms, its policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// Who is responsible for it: e-mail addresses as a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// The software that this is an instance of, whatever its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// The same in other languages, by name and language tag: `client_name#fr` (RFC 7591 §2.2).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub localized: BTreeMap<String, String>,
    // Authorization requests
    /// `max_age` of a request that names none (OIDC Registration §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u32>,
    /// `acr_values` of a request that names none (OIDC Registration §2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_acr_values: Vec<String>,
    /// Asks for `auth_time` in ID tokens (OIDC Registration §2); these have it whatever stands here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_auth_time: bool,
    /// Whether only requests that were pushed are taken (RFC 9126 §6).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_pushed_authorization_requests: bool,
    /// Whether only requests that the client signed are taken (RFC 9101 §10.5).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_signed_request_object: bool,
    /// The one algorithm of its request objects (OIDC Registration §2); `None`: any that fits its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object_signing_alg: Option<JwsAlgorithm>,
    /// How it encrypts them to a key of the tenant's, where it does (OIDC Registration §2): in this way and no other.
    /// Absent: in any that the tenant has a key for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object_encryption_alg: Option<JweAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object_encryption_enc: Option<ContentEncryption>,
    /// Where the client's request objects may be fetched (OIDC Registration §2); nowhere else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_uris: Vec<String>,
    /// The FAPI 2.0 Security Profile for this client. Absent: as the tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fapi: Option<Fapi>,
    /// Whether a refresh token is replaced when it is used. Absent: it is, but under FAPI 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_refresh_tokens: Option<bool>,
    /// Types of authorization details that the client may ask for (RFC 9396 §10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<String>,

    /// The client's public keys (RFC 7591 §2), by value or where it publishes them, never both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The one algorithm of the client's assertions (OIDC Registration §2); `None`: any that fits its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<JwsAlgorithm>,
    // The name that a certificate must have for `tls_client_auth`, exactly one of these (RFC 8705 §2.1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
    /// Whether the client's tokens are bound to its certificate (RFC 8705 §3.4).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Whether the client always uses DPoP (RFC 9449 §5.2). Without it, it may.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens: bool,

    /// Shown in a frame when a session ends in which the client got something (OIDC Front-Channel Logout 1.0 §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontchannel_logout_uri: Option<String>,
    /// Whether `iss` and `sid` are added to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frontchannel_logout_session_required: bool,
    /// Told by a logout token when such a session ends (OIDC Back-Channel Logout 1.0 §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether the logout token must have a `sid`. It always has one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub backchannel_logout_session_required: bool,

    /// How the client learns that a user answered (OIDC CIBA Core 1.0 §4); needed for the grant of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_token_delivery_mode: Option<TokenDeliveryMode>,
    /// Where a `ping` goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_client_notification_endpoint: Option<String>,
}

/// How a client of CIBA gets its tokens (OIDC CIBA Core 1.0 §5). There is no `push`, which puts tokens into a request
/// that nobody authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenDeliveryMode {
    /// It asks the token endpoint again and again.
    Poll,
    /// It is told when to ask.
    Ping,
}

impl TokenDeliveryMode {
    pub const ALL: [Self; 2] = [Self::Poll, Self::Ping];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Ping => "ping",
        }
    }
}

impl ClientSpec {
    /// What the tenant must have keys of for this client.
    pub fn key_families(&self) -> impl Iterator<Item = KeyFamily> + use<> {
        let signing = [
            self.id_token_signed_response_alg,
            self.userinfo_signed_response_alg,
            self.introspection_signed_response_alg,
        ];
        let signing = signing.into_iter().flatten().map(SigningAlgorithm::family);
        signing.chain(self.request_object_encryption_alg.map(JweAlgorithm::family))
    }
}

impl ClientSpec {
    /// How the client's ID tokens are encrypted, if they are.
    pub fn id_token_encryption(&self) -> Option<Encryption> {
        let (alg, enc) = self.id_token_encrypted_response_alg.zip(self.id_token_encrypted_response_enc)?;
        Some(Encryption { alg, enc })
    }

    /// How userinfo is encrypted for the client, if it is.
    pub fn userinfo_encryption(&self) -> Option<Encryption> {
        let (alg, enc) = self.userinfo_encrypted_response_alg.zip(self.userinfo_encrypted_response_enc)?;
        Some(Encryption { alg, enc })
    }

    /// How introspection answers that are JWTs are encrypted for the client, if they are.
    pub fn introspection_encryption(&self) -> Option<Encryption> {
        let (alg, enc) = self.introspection_encrypted_response_alg.zip(self.introspection_encrypted_response_enc)?;
        Some(Encryption { alg, enc })
    }

    /// How the client encrypts its request objects, if it said so.
    pub fn request_object_encryption(&self) -> Option<Encryption> {
        let (alg, enc) = self.request_object_encryption_alg.zip(self.request_object_encryption_enc)?;
        Some(Encryption { alg, enc })
    }
}

/// What a client knows users by (OIDC Core §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectType {
    #[default]
    Public,
    /// By a `sub` that clients of another sector do not know.
    Pairwise,
}

impl SubjectType {
    pub const ALL: [Self; 2] = [Self::Public, Self::Pairwise];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Pairwise => "pairwise",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_default(&self) -> bool {
        *self == Self::Public
    }
}

impl Default for ClientSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            token_endpoint_auth_method: AuthMethod::default(),
            id_token_signed_response_alg: None,
            userinfo_signed_response_alg: None,
            id_token_encrypted_response_alg: None,
            id_token_encrypted_response_enc: None,
            userinfo_encrypted_response_alg: None,
            userinfo_encrypted_response_enc: None,
            introspection_signed_response_alg: None,
            introspection_encrypted_response_alg: None,
            introspection_encrypted_response_enc: None,
            subject_type: SubjectType::default(),
            sector_identifier_uri: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            scopes: Vec::new(),
            audiences: Vec::new(),
            allowed_origins: Vec::new(),
            require_consent: false,
            jwks: None,
            jwks_uri: None,
            token_endpoint_auth_signing_alg: None,
            tls_client_auth_subject_dn: None,
            tls_client_auth_san_dns: None,
            tls_client_auth_san_uri: None,
            tls_client_auth_san_ip: None,
            tls_client_auth_san_email: None,
            tls_client_certificate_bound_access_tokens: false,
            dpop_bound_access_tokens: false,
            frontchannel_logout_uri: None,
            frontchannel_logout_session_required: false,
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            backchannel_token_delivery_mode: None,
            backchannel_client_notification_endpoint: None,
            access_token_format: AccessTokenFormat::default(),
            refresh_token_grace_secs: None,
            resource_server_for: Vec::new(),
            token_exchange: None,
            may_act: None,
            application_type: ApplicationType::default(),
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            contacts: Vec::new(),
            software_id: None,
            software_version: None,
            localized: BTreeMap::new(),
            default_max_age: None,
            default_acr_values: Vec::new(),
            require_auth_time: false,
            require_pushed_authorization_requests: false,
            require_signed_request_object: false,
            request_object_signing_alg: None,
            request_object_encryption_alg: None,
            request_object_encryption_enc: None,
            request_uris: Vec::new(),
            fapi: None,
            rotate_refresh_tokens: None,
            authorization_details_types: Vec::new(),
        }
    }
}

/// How an access token looks to whom it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTokenFormat {
    /// A JWT (RFC 9068), which a resource server reads by itself.
    #[default]
    Jwt,
    /// A random value, which means nothing without introspection.
    Opaque,
}

impl AccessTokenFormat {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What can be said in several languages (RFC 7591 §2.2).
pub const LOCALIZABLE: [&str; 5] = ["client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"];

/// Where a client runs (OIDC Registration §2). It decides nothing here: what may be redirected to depends on the URI alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    #[default]
    Web,
    Native,
}

impl ApplicationType {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Web)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for method in AuthMethod::ALL {
            assert_eq!(AuthMethod::parse(method.as_str()), Some(method));
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
        for grant in GrantType::ALL {
            assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
            assert_eq!(serde_json::to_value(grant).unwrap(), grant.as_str());
        }
        for mode in TokenDeliveryMode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert_eq!(GrantType::parse("password"), None);
    }

    /// What was stored by the first build is written the same by every later one.
    #[test]
    fn a_field_at_its_default_adds_no_bytes() {
        let spec = ClientSpec { name: "Web".to_owned(), ..ClientSpec::default() };
        assert_eq!(
            serde_json::to_string(&spec).unwrap(),
            r#"{"name":"Web","enabled":true,"token_endpoint_auth_method":"client_secret_basic","redirect_uris":[],"post_logout_redirect_uris":[],"grant_types":["authorization_code","refresh_token"],"scopes":[],"audiences":[],"allowed_origins":[],"require_consent":false}"#
        );
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(serde_json::from_str::<ClientSpec>(r#"{"name":"Web","must_be_safe":true}"#).is_err());
    }
}
