//! `oidcc-config-certification-test-plan`, whose one module the plans of dynamic registration and logout begin with, too.

use serde_json::Value;
use tests::relying_party::RelyingParty;
use tests::tenant::Tenant;

use super::{Outcome, Plan, ensure, world};

const MODULES: &[&str] = &["oidcc-discovery-endpoint-verification"];

#[tokio::test]
async fn config() {
    let tenant = Tenant::create(world().await, "config").await;
    let mut plan = Plan::default();
    plan.row("oidcc-discovery-endpoint-verification", discovery(&tenant.backend).await);
    plan.finish(MODULES);
}

fn lists(metadata: &Value, name: &str, wanted: &[&str]) -> Outcome {
    let listed: Vec<&str> = metadata[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure(wanted.iter().all(|one| listed.contains(one)), || format!("{name} lacks some of {wanted:?}: {listed:?}"))
}

pub(super) async fn discovery(party: &RelyingParty) -> Outcome {
    let answer = party.discovery().await;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure(kind.starts_with("application/json"), || kind.to_owned())?;
    let metadata = answer.json;
    ensure(metadata["issuer"] == party.base.as_str(), || metadata["issuer"].to_string())?;
    for endpoint in ["authorization", "token", "userinfo"] {
        let url = metadata[format!("{endpoint}_endpoint")].as_str().unwrap_or_default();
        ensure(url.starts_with(&party.base), || format!("{endpoint}: {url}"))?;
    }
    for (name, wanted) in [
        ("response_types_supported", &["code"][..]),
        ("subject_types_supported", &["public", "pairwise"]),
        ("id_token_signing_alg_values_supported", &["RS256", "ES256"]),
        ("userinfo_signing_alg_values_supported", &["RS256"]),
        ("request_object_signing_alg_values_supported", &["RS256"]),
        ("grant_types_supported", &["authorization_code"]),
        ("scopes_supported", &["openid", "profile", "email", "address", "phone", "offline_access"]),
        ("code_challenge_methods_supported", &["S256"]),
        ("token_endpoint_auth_methods_supported", &["client_secret_basic", "client_secret_post", "private_key_jwt"]),
        ("claims_supported", &["sub", "name", "email", "address", "phone_number"]),
    ] {
        lists(&metadata, name, wanted)?;
    }
    for name in ["request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported"] {
        ensure(metadata[name] == true, || format!("{name}: {}", metadata[name]))?;
    }
    for (name, value) in metadata.as_object().into_iter().flatten() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            // Which is https, where the issuer is.
            let url = value.as_str().unwrap_or_default();
            ensure(url.starts_with(&party.base), || format!("{name} is elsewhere: {value}"))?;
        }
    }
    let jwks = party.jwks().await.json;
    let keys = jwks["keys"].as_array().cloned().unwrap_or_default();
    ensure(!keys.is_empty(), || jwks.to_string())?;
    for key in &keys {
        let private = ["d", "p", "q", "k", "oth"].iter().any(|member| key.get(member).is_some());
        ensure(!private && key["kid"].is_string() && key["kty"] != "oct", || key.to_string())?;
    }
    Ok(())
}
