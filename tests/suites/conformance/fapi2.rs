//! `fapi2-security-profile-final-test-plan` in its variant private_key_jwt, DPoP, OpenID Connect, unsigned requests, plain
//! responses.

#[path = "fapi2/bank.rs"]
mod bank;
#[path = "fapi2/checks.rs"]
mod checks;
#[path = "fapi2/rsa.rs"]
mod rsa;

use serde_json::json;
use tests::browser::Browser;
use tests::tenant::Tenant;
use tests::web::Answer;

use self::bank::Bank;
use self::checks::{Op, refused};
use super::keys::{Key, now};
use super::{Plan, ensure, visit, world};

/// Each behind `fapi2-security-profile-final-`.
const MODULES: &[&str] = &[
    "discovery-end-point-verification",
    "happy-flow",
    "user-rejects-authentication",
    "ensure-authorization-request-without-state-success",
    "ensure-authorization-request-without-nonce-success",
    "ensure-authorization-request-with-64-char-nonce-success",
    "ensure-other-scope-order-succeeds",
    "test-claims-parameter-identity-claims",
    "access-token-type-header-case-sensitivity",
    "check-dpop-proof-nbf-exp",
    "ensure-dpopproof-with-iat-10seconds-before-succeeds",
    "ensure-dpopproof-with-iat-10seconds-after-succeeds",
    "ensure-mismatched-dpop-jkt-fails",
    "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt",
    "ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
    "ensure-dpopproof-at-par-endpoint-binding-success",
    "ensure-dpop-auth-code-binding-success",
    "ensure-different-nonce-inside-and-outside-request-object",
    "ensure-different-state-inside-and-outside-request-object",
    "ensure-authorization-request-with-long-nonce",
    "ensure-authorization-request-with-long-state",
    "state-only-outside-request-object-not-used",
    "ensure-request-object-without-redirect-uri-fails",
    "plain-fapi-tolerate-unregistered-redirect-uri",
    "ensure-unsigned-authorization-request-without-using-par-fails",
    "ensure-redirect-uri-in-authorization-request",
    "ensure-response-type-code-idtoken-fails",
    "ensure-response-type-token-fails",
    "ensure-client-id-in-token-endpoint",
    "ensure-holder-of-key-required",
    "ensure-authorization-code-is-bound-to-client",
    "attempt-reuse-authorization-code-after-one-second",
    "ensure-token-endpoint-fails-with-expired-auth-code",
    "ensure-signed-client-assertion-with-RS256-fails",
    "ensure-client-assertion-in-token-endpoint",
    "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails",
    "ensure-client-assertion-with-wrong-aud-fails",
    "ensure-client-assertion-with-no-sub-fails",
    "dpop-negative-tests",
    "refresh-token",
    "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds",
    "par-attempt-reuse-request_uri",
    "par-attempt-to-use-expired-request_uri",
    "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted",
    "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails",
    "par-attempt-to-use-request_uri-for-different-client",
    "par-authorization-request-containing-request_uri-form-param",
    "par-attempt-invalid-http-method",
    "par-ensure-pkce-required",
    "ensure-pkce-code-verifier-required",
    "incorrect-pkce-code-verifier-rejected",
    "par-plain-pkce-rejected",
    "par-without-duplicate-parameters",
    "par-test-array-as-audience-fails",
    "par-test-par-endpoint-url-as-audience-fails",
    "par-test-token-endpoint-url-as-audience-fails",
];

#[tokio::test]
async fn fapi2_security_profile_final() {
    let tenant = Tenant::create(world().await, "fapi2").await;
    let (bank, second) = (Bank::new(&tenant, "bank").await, Bank::new(&tenant, "second").await);
    let alice = tenant.user("alice").await;
    let op = Op { tenant, bank, second, alice };
    let mut plan = Plan::default();
    plan.row("discovery-end-point-verification", op.discovery().await);
    plan.row("happy-flow", op.happy().await);
    plan.row("user-rejects-authentication", op.rejects().await);
    plan.row("ensure-authorization-request-without-state-success", op.succeeds(&[("state", None)]).await);
    plan.row("ensure-authorization-request-without-nonce-success", op.succeeds(&[("nonce", None)]).await);
    let long = "n".repeat(64);
    let outcome = op.succeeds(&[("nonce", Some(&long))]).await;
    plan.row("ensure-authorization-request-with-64-char-nonce-success", outcome);
    let outcome = op.succeeds(&[("scope", Some("offline_access openid"))]).await;
    plan.row("ensure-other-scope-order-succeeds", outcome);
    plan.row("test-claims-parameter-identity-claims", op.identity_claims().await);
    plan.row("access-token-type-header-case-sensitivity", op.any_case().await);
    let times = json!({ "nbf": now() - 5, "exp": now() + 60 });
    plan.row("check-dpop-proof-nbf-exp", op.proof_is_taken(&times).await);
    let outcome = op.proof_is_taken(&json!({ "iat": now() - 10 })).await;
    plan.row("ensure-dpopproof-with-iat-10seconds-before-succeeds", outcome);
    let outcome = op.proof_is_taken(&json!({ "iat": now() + 10 })).await;
    plan.row("ensure-dpopproof-with-iat-10seconds-after-succeeds", outcome);

    let (own, other) = (&op.bank.proof_key, Key::new("d"));
    let works = |answer: Result<Answer, String>| {
        answer.and_then(|answer| ensure(answer.status == 200, || format!("{answer:?}")))
    };
    let fails = |answer: Result<Answer, String>| {
        answer.and_then(|answer| refused(&answer, &["invalid_dpop_proof", "invalid_grant", "invalid_request"]))
    };
    plan.row("ensure-mismatched-dpop-jkt-fails", fails(op.bound(Some(&other), Some(own), own).await));
    let outcome = fails(op.bound(None, Some(&other), own).await);
    plan.row("ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", outcome);
    let outcome = fails(op.bound(Some(&other), None, own).await);
    plan.row("ensure-token-endpoint-fails-with-mismatched-dpop-jkt", outcome);
    let outcome = works(op.bound(None, Some(own), own).await);
    plan.row("ensure-dpopproof-at-par-endpoint-binding-success", outcome);
    plan.row("ensure-dpop-auth-code-binding-success", works(op.bound(Some(own), None, own).await));

    let outcome = op.beside("nonce", Some("inside")).await;
    plan.row("ensure-different-nonce-inside-and-outside-request-object", outcome);
    let outcome = op.beside("state", Some("inside")).await;
    plan.row("ensure-different-state-inside-and-outside-request-object", outcome);
    let long = "x".repeat(384);
    plan.row("ensure-authorization-request-with-long-nonce", op.succeeds(&[("nonce", Some(&long))]).await);
    plan.row("ensure-authorization-request-with-long-state", op.succeeds(&[("state", Some(&long))]).await);
    plan.row("state-only-outside-request-object-not-used", op.beside("state", None).await);
    for module in ["ensure-request-object-without-redirect-uri-fails", "ensure-redirect-uri-in-authorization-request"] {
        plan.row(module, op.not_pushed(&[("redirect_uri", None)], &["invalid_request"]).await);
    }
    // Taken or refused, but not sent to.
    let outcome = op.not_pushed(&[("redirect_uri", Some("https://unknown.example/cb"))], &["invalid_request"]).await;
    plan.row("plain-fapi-tolerate-unregistered-redirect-uri", outcome);
    let came = visit(&Browser::new(), &op.bank.attempt(&[]).url, &op.alice).await;
    plan.row("ensure-unsigned-authorization-request-without-using-par-fails", came.refuses(&["invalid_request"]));
    for (module, kind) in
        [("ensure-response-type-code-idtoken-fails", "code id_token"), ("ensure-response-type-token-fails", "token")]
    {
        let errors = ["unsupported_response_type", "invalid_request", "unauthorized_client"];
        plan.row(module, op.not_pushed(&[("response_type", Some(kind))], &errors).await);
    }
    plan.row("ensure-client-id-in-token-endpoint", op.foreign_client_id().await);
    let (attempt, code) = op.code().await.expect("a code");
    let unproven = op.bank.redeem_with(&code, Some(&attempt.verifier), &op.bank.assertion(&json!({})), &[]).await;
    let outcome = refused(&unproven, &["invalid_dpop_proof", "invalid_request", "invalid_grant"]);
    plan.row("ensure-holder-of-key-required", outcome);
    plan.row("ensure-authorization-code-is-bound-to-client", op.foreign_code().await);
    plan.row("attempt-reuse-authorization-code-after-one-second", op.code_after(None).await);
    let late = "update authorization_codes set expires_at = now() - interval '1 second' where redeemed_at is null";
    plan.row("ensure-token-endpoint-fails-with-expired-auth-code", op.code_after(Some(late)).await);
    plan.row("ensure-signed-client-assertion-with-RS256-fails", op.by_rs256().await);
    plan.row("ensure-client-assertion-in-token-endpoint", op.without_assertion().await);
    for (module, changes) in [
        ("ensure-client-assertion-with-exp-is-5-minutes-in-past-fails", json!({ "exp": now() - 300 })),
        ("ensure-client-assertion-with-wrong-aud-fails", json!({ "aud": "https://other.example" })),
        ("ensure-client-assertion-with-no-sub-fails", json!({ "sub": null })),
    ] {
        plan.row(module, op.redeemed_by(&op.bank.assertion(&changes)).await);
    }
    plan.row("dpop-negative-tests", op.dpop_negative().await);
    plan.row("refresh-token", op.refresh().await);

    plan.row("par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", op.opened_twice().await);
    plan.row("par-attempt-reuse-request_uri", op.used_request().await);
    plan.row("par-attempt-to-use-expired-request_uri", op.expired_request().await);
    let ahead = json!({ "iat": now() + 8, "nbf": now() + 8 });
    let answer = op.bank.push_with(&op.bank.attempt(&[]), &ahead, &[]).await;
    let outcome = ensure(answer.status == 201, || format!("{answer:?}"));
    plan.row("par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted", outcome);
    let outcome = op.no_client(json!({ "iat": now() + 70, "nbf": now() + 70 })).await;
    plan.row("par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails", outcome);
    plan.row("par-attempt-to-use-request_uri-for-different-client", op.foreign_request().await);
    let within = [("request_uri", Some("urn:ietf:params:oauth:request_uri:x"))];
    let outcome = op.not_pushed(&within, &["invalid_request"]).await;
    plan.row("par-authorization-request-containing-request_uri-form-param", outcome);
    plan.row("par-attempt-invalid-http-method", op.by_verb().await);
    let outcome = op.not_pushed(&[("code_challenge", None), ("code_challenge_method", None)], &["invalid_request"]);
    plan.row("par-ensure-pkce-required", outcome.await);
    plan.row("ensure-pkce-code-verifier-required", op.verifier(None).await);
    plan.row("incorrect-pkce-code-verifier-rejected", op.verifier(Some(&"v".repeat(43))).await);
    let outcome = op.not_pushed(&[("code_challenge_method", Some("plain"))], &["invalid_request"]).await;
    plan.row("par-plain-pkce-rejected", outcome);
    // With nothing beside the name but the client.
    plan.row("par-without-duplicate-parameters", op.succeeds(&[]).await);
    let base = &op.tenant.issuer;
    for (module, audience) in [
        ("par-test-array-as-audience-fails", json!([base])),
        ("par-test-par-endpoint-url-as-audience-fails", json!(op.bank.party.endpoint("par"))),
        ("par-test-token-endpoint-url-as-audience-fails", json!(op.bank.party.endpoint("token"))),
    ] {
        plan.row(module, op.no_client(json!({ "aud": audience })).await);
    }
    plan.finish(MODULES);
}
