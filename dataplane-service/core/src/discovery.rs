//! The metadata document (OIDC Discovery §3, RFC 8414 §2): exactly what exists, so that no client tries what does not.

use std::collections::BTreeSet;

use serde::Serialize;
use vocab::client::TokenDeliveryMode;

use crate::authorize::{Prompt, ResponseMode};
use crate::client::{AuthMethod, GrantType};
use crate::scope::BUILT_IN;
use vocab::SigningAlgorithm;
use vocab::client::SubjectType;

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
    /// RFC 8628 §4.
    device_authorization_endpoint: String,
    /// OIDC CIBA Core 1.0 §4.
    backchannel_authentication_endpoint: String,
    backchannel_token_delivery_modes_supported: [&'static str; 2],
    backchannel_user_code_parameter_supported: bool,
    jwks_uri: String,
    /// OIDC RP-Initiated Logout 1.0 §2.1.
    end_session_endpoint: String,
    scopes_supported: BTreeSet<&'a str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    userinfo_signing_alg_values_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Without `none`: only who proves who it is may ask (RFC 7662 §2.1).
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// RFC 9701 §7.
    introspection_signing_alg_values_supported: Vec<&'static str>,
    claim_types_supported: [&'static str; 1],
    claims_supported: BTreeSet<&'a str>,
    /// RFC 7636; `plain` is refused (RFC 9700 §2.1.1).
    code_challenge_methods_supported: [&'static str; 1],
    prompt_values_supported: Vec<&'static str>,
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: bool,
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    /// Left out, it would mean true (OIDC Discovery §3).
    request_uri_parameter_supported: bool,
    // OIDC Front-Channel Logout 1.0 §3, Back-Channel Logout 1.0 §2.1.
    frontchannel_logout_supported: bool,
    frontchannel_logout_session_supported: bool,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
}

/// The claims that tokens and userinfo have beside those that scopes release.
const PROTOCOL_CLAIMS: [&str; 10] = ["iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "amr", "sid", "at_hash"];

impl<'a> Metadata<'a> {
    /// Of the tenant that is `issuer`. `tenant_scopes`: the scopes it defines itself, with the claims they release.
    pub fn of(
        issuer: &'a str,
        signing_algorithm: Option<SigningAlgorithm>,
        tenant_scopes: impl Iterator<Item = (&'a str, &'a [String])>,
    ) -> Self {
        let mut scopes: BTreeSet<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let mut claims: BTreeSet<&str> = BUILT_IN.iter().flat_map(|(_, claims)| claims.iter().copied()).collect();
        claims.extend(PROTOCOL_CLAIMS);
        for (name, released) in tenant_scopes {
            scopes.insert(name);
            claims.extend(released.iter().map(String::as_str));
        }
        Self {
            issuer,
            authorization_endpoint: format!("{issuer}/oauth2/authorize"),
            token_endpoint: format!("{issuer}/oauth2/token"),
            userinfo_endpoint: format!("{issuer}/oauth2/userinfo"),
            introspection_endpoint: format!("{issuer}/oauth2/introspect"),
            revocation_endpoint: format!("{issuer}/oauth2/revoke"),
            device_authorization_endpoint: format!("{issuer}/oauth2/device_authorization"),
            backchannel_authentication_endpoint: format!("{issuer}/oauth2/bc-authorize"),
            backchannel_token_delivery_modes_supported: TokenDeliveryMode::ALL.map(TokenDeliveryMode::as_str),
            backchannel_user_code_parameter_supported: false,
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            end_session_endpoint: format!("{issuer}/oauth2/logout"),
            scopes_supported: scopes,
            response_types_supported: ["code"],
            response_modes_supported: ResponseMode::ALL.map(ResponseMode::as_str).to_vec(),
            grant_types_supported: GrantType::ALL.map(GrantType::as_str).to_vec(),
            subject_types_supported: SubjectType::ALL.map(SubjectType::as_str).to_vec(),
            userinfo_signing_alg_values_supported: SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).to_vec(),
            id_token_signing_alg_values_supported: SigningAlgorithm::ALL.map(SigningAlgorithm::as_str).to_vec(),
            token_endpoint_auth_methods_supported: AuthMethod::ALL.map(AuthMethod::as_str).to_vec(),
            introspection_endpoint_auth_methods_supported: AuthMethod::ALL
                .into_iter()
                .filter(|method| *method != AuthMethod::None)
                .map(AuthMethod::as_str)
                .collect(),
            revocation_endpoint_auth_methods_supported: AuthMethod::ALL.map(AuthMethod::as_str).to_vec(),
            introspection_signing_alg_values_supported: signing_algorithm
                .map(SigningAlgorithm::as_str)
                .into_iter()
                .collect(),
            claim_types_supported: ["normal"],
            claims_supported: claims,
            code_challenge_methods_supported: ["S256"],
            prompt_values_supported: Prompt::ALL.map(Prompt::as_str).to_vec(),
            authorization_response_iss_parameter_supported: true,
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            frontchannel_logout_supported: true,
            frontchannel_logout_session_supported: true,
            backchannel_logout_supported: true,
            backchannel_logout_session_supported: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_document_names_what_exists_and_nothing_that_is_forbidden() {
        let claims = ["badge".to_owned()];
        let metadata = Metadata::of(
            "https://id.example/t/acme",
            Some(SigningAlgorithm::Es256),
            [("staff", &claims[..])].into_iter(),
        );
        let document: Value = serde_json::to_value(&metadata).unwrap();
        assert_eq!(document["issuer"], "https://id.example/t/acme");
        assert_eq!(document["token_endpoint"], "https://id.example/t/acme/oauth2/token");
        assert_eq!(document["response_types_supported"], json!(["code"]));
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(
            document["grant_types_supported"],
            json!([
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:openid:params:grant-type:ciba"
            ])
        );
        // OIDC Discovery §3: "The algorithm RS256 MUST be included."
        assert!(document["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("RS256")));
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["request_uri_parameter_supported"], false);
        assert!(document["scopes_supported"].as_array().unwrap().contains(&json!("staff")));
        assert!(document["claims_supported"].as_array().unwrap().contains(&json!("badge")));
    }
}
