//! The metadata document (OIDC Discovery §3, RFC 8414 §2): exactly what exists, so that no client tries what does not.

use std::collections::BTreeSet;

use serde::Serialize;
use vocab::claims::ClaimSource;
use vocab::client::TokenDeliveryMode;
use vocab::oauth::OAuthSettings;

use crate::acr::Acr;
use crate::authorize::{Prompt, ResponseMode, ResponseType};
use crate::client::{AuthMethod, GrantType};
use crate::fapi;
use crate::resource::OWN;
use crate::scope::BUILT_IN;
use vocab::SigningAlgorithm;
use vocab::client::SubjectType;
use vocab::jwe::{ContentEncryption, JweAlgorithm};
use vocab::jws::JwsAlgorithm;

/// The same document serves OpenID Connect and plain OAuth.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the document has them")]
pub struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    /// RFC 9126 §5.
    pushed_authorization_request_endpoint: String,
    require_pushed_authorization_requests: bool,
    /// RFC 8628 §4.
    device_authorization_endpoint: String,
    /// OIDC CIBA Core 1.0 §4.
    backchannel_authentication_endpoint: String,
    backchannel_token_delivery_modes_supported: [&'static str; 2],
    backchannel_user_code_parameter_supported: bool,
    jwks_uri: String,
    /// OIDC RP-Initiated Logout 1.0 §2.1.
    end_session_endpoint: String,
    /// RFC 7591 §3; only where clients may register themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    scopes_supported: BTreeSet<&'a str>,
    response_types_supported: Vec<&'static str>,
    response_modes_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    userinfo_signing_alg_values_supported: Vec<&'static str>,
    id_token_encryption_alg_values_supported: Vec<&'static str>,
    id_token_encryption_enc_values_supported: Vec<&'static str>,
    userinfo_encryption_alg_values_supported: Vec<&'static str>,
    userinfo_encryption_enc_values_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Without `none`: only who proves who it is may ask (RFC 7662 §2.1).
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// RFC 9701 §7.
    introspection_signing_alg_values_supported: Vec<&'static str>,
    introspection_encryption_alg_values_supported: Vec<&'static str>,
    introspection_encryption_enc_values_supported: Vec<&'static str>,
    /// RFC 8414 §2, for `private_key_jwt` and `client_secret_jwt`.
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 9449 §5.1.
    dpop_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 8705 §3.3.
    tls_client_certificate_bound_access_tokens: bool,
    /// RFC 8705 §5.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtls_endpoint_aliases: Option<MtlsAliases>,
    /// OIDC Core §5.6.
    claim_types_supported: Vec<&'static str>,
    claims_supported: BTreeSet<&'a str>,
    /// RFC 7636; `plain` only where the tenant allows it (RFC 9700 §2.1.1).
    code_challenge_methods_supported: Vec<&'static str>,
    acr_values_supported: Vec<&'static str>,
    prompt_values_supported: Vec<&'static str>,
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    claims_parameter_supported: bool,
    /// RFC 9396 §10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_details_types_supported: Vec<&'a str>,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    require_request_uri_registration: bool,
    request_object_signing_alg_values_supported: Vec<&'static str>,
    /// A key for these is there once a client is registered for one.
    request_object_encryption_alg_values_supported: Vec<&'static str>,
    request_object_encryption_enc_values_supported: Vec<&'static str>,
    // OIDC Front-Channel Logout 1.0 §3, Back-Channel Logout 1.0 §2.1.
    frontchannel_logout_supported: bool,
    frontchannel_logout_session_supported: bool,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
}

/// The endpoints that clients with certificates reach elsewhere.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the document's")]
struct MtlsAliases {
    token_endpoint: String,
    userinfo_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
}

/// Whether and where clients may show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MutualTls {
    Unavailable,
    AtTheIssuer,
    /// Below this base.
    At(String),
}

/// The claims that tokens and userinfo have beside those that scopes release.
const PROTOCOL_CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"];

impl<'a> Metadata<'a> {
    /// Of the tenant that is `issuer`. `tenant_scopes`: the scopes it defines itself, with the claims they release.
    pub fn of(
        issuer: &'a str,
        settings: &'a OAuthSettings,
        mutual_tls: &MutualTls,
        tenant_scopes: impl Iterator<Item = (&'a str, &'a [String])>,
    ) -> Self {
        let mut scopes: BTreeSet<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let mut claims: BTreeSet<&str> = BUILT_IN.iter().flat_map(|(_, claims)| claims.iter().copied()).collect();
        claims.extend(PROTOCOL_CLAIMS);
        for (name, released) in tenant_scopes {
            scopes.insert(name);
            claims.extend(released.iter().map(String::as_str));
        }
        let usable = |method: &AuthMethod| *mutual_tls != MutualTls::Unavailable || !method.uses_certificate();
        let allowed = |method: &AuthMethod| settings.fapi.is_none_or(|fapi| fapi.allows_method(*method));
        let methods = || AuthMethod::ALL.into_iter().filter(usable).filter(allowed);
        let signed_by =
            || fapi::algorithms(settings.fapi).iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>();
        let hmacs = || methods().any(|method| method == AuthMethod::ClientSecretJwt);
        let proven_by = || {
            let hmacs = JwsAlgorithm::SYMMETRIC.iter().filter(|_| hmacs());
            signed_by().into_iter().chain(hmacs.map(|algorithm| algorithm.as_str())).collect::<Vec<_>>()
        };
        Self {
            issuer,
            authorization_endpoint: format!("{issuer}/oauth2/authorize"),
            token_endpoint: format!("{issuer}/oauth2/token"),
            userinfo_endpoint: format!("{issuer}/oauth2/userinfo"),
            introspection_endpoint: format!("{issuer}/oauth2/introspect"),
            revocation_endpoint: format!("{issuer}/oauth2/revoke"),
            pushed_authorization_request_endpoint: format!("{issuer}/oauth2/par"),
            require_pushed_authorization_requests: settings.require_pushed_authorization_requests
                || settings.fapi.is_some(),
            device_authorization_endpoint: format!("{issuer}/oauth2/device_authorization"),
            backchannel_authentication_endpoint: format!("{issuer}/oauth2/bc-authorize"),
            backchannel_token_delivery_modes_supported: TokenDeliveryMode::ALL.map(TokenDeliveryMode::as_str),
            backchannel_user_code_parameter_supported: false,
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            end_session_endpoint: format!("{issuer}/oauth2/logout"),
            registration_endpoint: None,
            scopes_supported: scopes,
            // FAPI 2.0 Security Profile §5.3.2.2: nothing but codes.
            response_types_supported: if settings.fapi.is_some() {
                vec![ResponseType::Code.as_str()]
            } else {
                ResponseType::ALL.map(ResponseType::as_str).to_vec()
            },
            response_modes_supported: ResponseMode::ALL.map(ResponseMode::as_str).to_vec(),
            grant_types_supported: GrantType::ALL.map(GrantType::as_str).to_vec(),
            subject_types_supported: SubjectType::ALL.map(SubjectType::as_str).to_vec(),
            userinfo_signing_alg_values_supported: SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).to_vec(),
            id_token_signing_alg_values_supported: SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).to_vec(),
            id_token_encryption_alg_values_supported: JweAlgorithm::ALL.map(JweAlgorithm::as_str).to_vec(),
            id_token_encryption_enc_values_supported: ContentEncryption::ALL.map(ContentEncryption::as_str).to_vec(),
            userinfo_encryption_alg_values_supported: JweAlgorithm::ALL.map(JweAlgorithm::as_str).to_vec(),
            userinfo_encryption_enc_values_supported: ContentEncryption::ALL.map(ContentEncryption::as_str).to_vec(),
            token_endpoint_auth_methods_supported: methods().map(AuthMethod::as_str).collect(),
            introspection_endpoint_auth_methods_supported: methods()
                .filter(|method| *method != AuthMethod::None)
                .map(AuthMethod::as_str)
                .collect(),
            revocation_endpoint_auth_methods_supported: methods().map(AuthMethod::as_str).collect(),
            introspection_signing_alg_values_supported: SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).to_vec(),
            introspection_encryption_alg_values_supported: JweAlgorithm::ALL.map(JweAlgorithm::as_str).to_vec(),
            introspection_encryption_enc_values_supported: ContentEncryption::ALL
                .map(ContentEncryption::as_str)
                .to_vec(),
            token_endpoint_auth_signing_alg_values_supported: proven_by(),
            introspection_endpoint_auth_signing_alg_values_supported: proven_by(),
            revocation_endpoint_auth_signing_alg_values_supported: proven_by(),
            dpop_signing_alg_values_supported: signed_by(),
            tls_client_certificate_bound_access_tokens: *mutual_tls != MutualTls::Unavailable,
            mtls_endpoint_aliases: match mutual_tls {
                MutualTls::At(base) => Some(MtlsAliases {
                    token_endpoint: format!("{base}/oauth2/token"),
                    userinfo_endpoint: format!("{base}/oauth2/userinfo"),
                    introspection_endpoint: format!("{base}/oauth2/introspect"),
                    revocation_endpoint: format!("{base}/oauth2/revoke"),
                }),
                MutualTls::AtTheIssuer | MutualTls::Unavailable => None,
            },
            claim_types_supported: if settings.claims.values().any(ClaimSource::is_aggregated) {
                vec!["normal", "aggregated"]
            } else {
                vec!["normal"]
            },
            claims_supported: claims,
            code_challenge_methods_supported: if settings.allow_plain_pkce {
                vec!["S256", "plain"]
            } else {
                vec!["S256"]
            },
            acr_values_supported: Acr::reachable(settings.mfa).iter().map(|class| class.as_str()).collect(),
            prompt_values_supported: Prompt::ALL.map(Prompt::as_str).to_vec(),
            authorization_response_iss_parameter_supported: true,
            claims_parameter_supported: true,
            authorization_details_types_supported: settings
                .authorization_details_types
                .keys()
                .map(String::as_str)
                .collect(),
            request_parameter_supported: true,
            request_uri_parameter_supported: true,
            require_request_uri_registration: true,
            request_object_signing_alg_values_supported: signed_by(),
            request_object_encryption_alg_values_supported: JweAlgorithm::ALL.map(JweAlgorithm::as_str).to_vec(),
            request_object_encryption_enc_values_supported: ContentEncryption::ALL
                .map(ContentEncryption::as_str)
                .to_vec(),
            frontchannel_logout_supported: true,
            frontchannel_logout_session_supported: true,
            backchannel_logout_supported: true,
            backchannel_logout_session_supported: true,
        }
    }

    /// Clients may register themselves.
    #[must_use]
    pub fn with_registration(mut self) -> Self {
        self.registration_endpoint = Some(format!("{}/oauth2/register", self.issuer));
        self
    }
}

/// The description of a protected resource of the issuer's own (RFC 9728 §2).
#[derive(Debug, Serialize)]
pub struct ProtectedResource<'a> {
    resource: String,
    authorization_servers: [&'a str; 1],
    scopes_supported: Vec<&'static str>,
    bearer_methods_supported: &'static [&'static str],
    resource_name: &'static str,
}

impl<'a> ProtectedResource<'a> {
    /// Of the one at `path` below the issuer; the empty path stands for all of them. `None`: there is none.
    pub fn at(issuer: &'a str, path: &str) -> Option<Self> {
        let here: Vec<_> = OWN.iter().filter(|(known, _)| path.is_empty() || *known == path).collect();
        let methods: &[_] = if path == "/oauth2/userinfo" { &["header", "body"] } else { &["header"] };
        (!here.is_empty()).then(|| Self {
            resource: format!("{issuer}{path}"),
            authorization_servers: [issuer],
            scopes_supported: here.into_iter().flat_map(|(_, scopes)| scopes.iter().copied()).collect(),
            bearer_methods_supported: methods,
            resource_name: "HelloJohn",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_document_names_what_exists_and_nothing_that_is_forbidden() {
        let claims = ["badge".to_owned()];
        let staff = [("staff", &claims[..])].into_iter();
        let settings = OAuthSettings::default();
        let metadata = Metadata::of("https://id.example/t/acme", &settings, &MutualTls::Unavailable, staff);
        let document: Value = serde_json::to_value(&metadata).unwrap();
        assert_eq!(document["issuer"], "https://id.example/t/acme");
        assert_eq!(document["token_endpoint"], "https://id.example/t/acme/oauth2/token");
        assert_eq!(document["response_types_supported"], json!(["code", "none"]));
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(
            document["grant_types_supported"],
            json!([
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:openid:params:grant-type:ciba",
                "urn:ietf:params:oauth:grant-type:jwt-bearer"
            ])
        );
        // OIDC Discovery §3: "The algorithm RS256 MUST be included."
        assert!(document["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("RS256")));
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["require_request_uri_registration"], true);
        assert!(!document["request_object_signing_alg_values_supported"].to_string().contains("none"));
        assert_eq!(document["response_modes_supported"], json!(["query", "fragment", "form_post"]));
        assert!(document["scopes_supported"].as_array().unwrap().contains(&json!("staff")));
        assert!(document["claims_supported"].as_array().unwrap().contains(&json!("badge")));
    }

    #[test]
    fn mutual_tls_is_told_of_where_there_is_some() {
        let settings = OAuthSettings::default();
        let of = |mutual_tls| {
            let metadata = Metadata::of("https://id.example", &settings, &mutual_tls, std::iter::empty());
            serde_json::to_value(&metadata).unwrap()
        };
        let methods = |document: &Value| document["token_endpoint_auth_methods_supported"].to_string();
        let none = of(MutualTls::Unavailable);
        assert!(methods(&none).contains("private_key_jwt") && !methods(&none).contains("tls_client_auth"));
        assert_eq!(none["tls_client_certificate_bound_access_tokens"], false);
        assert_eq!(none.get("mtls_endpoint_aliases"), None);
        let here = of(MutualTls::AtTheIssuer);
        assert!(methods(&here).contains("self_signed_tls_client_auth"));
        assert_eq!(here["tls_client_certificate_bound_access_tokens"], true);
        let there = of(MutualTls::At("https://mtls.example".to_owned()));
        assert_eq!(there["mtls_endpoint_aliases"]["token_endpoint"], "https://mtls.example/oauth2/token");
    }
}
