//! `oidcc-rp-initiated-logout-certification-test-plan` and those of the front and the back channel.

use serde_json::json;
use tests::browser::{Browser, Page};
use tests::listener::Listener;
use tests::relying_party::{Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::tokens::{self, Jwt};
use url::Url;

use super::{Outcome, Plan, ensure, world};

const MODULES: &[&str] = &[
    "oidcc-rp-initiated-logout-discovery-endpoint-verification",
    "oidcc-rp-initiated-logout",
    "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-bad-id-token-hint",
    "oidcc-rp-initiated-logout-modified-id-token-hint",
    "oidcc-rp-initiated-logout-no-id-token-hint",
    "oidcc-rp-initiated-logout-no-params",
    "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-no-state",
    "oidcc-rp-initiated-logout-only-state",
    "oidcc-frontchannel-logout-discovery-endpoint-verification",
    "oidcc-frontchannel-rp-initiated-logout",
    "oidcc-backchannel-logout-discovery-endpoint-verification",
    "oidcc-backchannel-rp-initiated-logout",
];

const BYE: &str = "https://backend.example/bye";

struct Op {
    tenant: Tenant,
    alice: User,
}

/// A browser with a session, and its ID token.
struct Session {
    browser: Browser,
    tokens: Tokens,
}

impl Op {
    async fn session(&self) -> Session {
        let (browser, attempt) = (Browser::new(), self.tenant.backend.attempt());
        let callback = browser.authorize(&attempt.url, &self.alice).await;
        let code = parameters(&callback).remove("code").expect("a code");
        Session { browser, tokens: Tokens::read(self.tenant.backend.redeem(&code, &attempt.verifier).await) }
    }

    async fn leave(&self, session: &Session, parameters: &[(&str, &str)]) -> Page {
        let url = Url::parse_with_params(&format!("{}/oauth2/logout", self.tenant.issuer), parameters);
        let page = session.browser.open(&url.expect("a URL")).await;
        // Where the user is asked, she says yes.
        match page.form().filter(|_| page.leaves_to.is_none() && page.status == 200) {
            Some(form) => session.browser.submit(&form, &[], form.buttons.first()).await,
            None => page,
        }
    }

    /// What a silent request of the client's is answered.
    async fn silently(&self, session: &Session) -> String {
        let asked = self.tenant.backend.attempt_with(&[("prompt", Some("none"))]);
        let told = parameters(&session.browser.open(&asked.url).await.expect_callback());
        told.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
    }

    async fn leads_to(&self, parameters: &[(&str, &str)], target: &str) -> Outcome {
        let session = self.session().await;
        let hint = session.tokens.id().to_owned();
        let page = self.leave(&session, &[&[("id_token_hint", hint.as_str())], parameters].concat()).await;
        let to = page.leaves_to.as_ref().map(ToString::to_string).unwrap_or_default();
        ensure(to == target, || format!("leads to {to:?}, not {target:?}: {}", page.text()))?;
        let told = self.silently(&session).await;
        ensure(told == "login_required", || format!("still signed in: {told}"))
    }

    /// Ends at a page of the provider's; `signs_out`: and with the session over.
    async fn stays(&self, session: &Session, parameters: &[(&str, &str)], after: &str) -> Outcome {
        let page = self.leave(session, parameters).await;
        ensure(page.leaves_to.is_none(), || format!("leads to {:?}", page.leaves_to))?;
        let told = self.silently(session).await;
        ensure(told == after, || format!("afterwards {told}: {}", page.text()))
    }
}

#[tokio::test]
async fn logout() {
    let tenant = Tenant::create(world().await, "conformance-logout").await;
    tenant.patch_client("backend", &json!({ "post_logout_redirect_uris": [BYE] })).await;
    let alice = tenant.user("alice").await;
    let op = Op { tenant, alice };
    let mut plan = Plan::default();
    let metadata = op.tenant.backend.discovery().await.json;
    let ends = format!("{}/oauth2/logout", op.tenant.issuer);
    let names_it = ensure(metadata["end_session_endpoint"] == ends, || metadata["end_session_endpoint"].to_string());
    plan.row("oidcc-rp-initiated-logout-discovery-endpoint-verification", names_it);
    let to = ("post_logout_redirect_uri", BYE);
    plan.row("oidcc-rp-initiated-logout", op.leads_to(&[to, ("state", "s1")], &format!("{BYE}?state=s1")).await);
    plan.row("oidcc-rp-initiated-logout-no-state", op.leads_to(&[to], BYE).await);

    let session = op.session().await;
    let hint = ("id_token_hint", session.tokens.id());
    let bad = [hint, ("post_logout_redirect_uri", "https://backend.example/bye/other")];
    plan.row("oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", op.stays(&session, &bad, "a code").await);
    let query = format!("{BYE}?foo=bar");
    let added = [hint, ("post_logout_redirect_uri", query.as_str())];
    let outcome = op.stays(&session, &added, "a code").await;
    plan.row("oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", outcome);
    let outcome = op.stays(&session, &[("id_token_hint", "not.an.id-token"), to], "a code").await;
    plan.row("oidcc-rp-initiated-logout-bad-id-token-hint", outcome);
    let mut changed = Jwt::parse(session.tokens.id());
    changed.claims["sub"] = "somebody-else".into();
    let modified = changed.signed_with(&changed.signature);
    let outcome = op.stays(&session, &[("id_token_hint", modified.as_str()), to], "a code").await;
    plan.row("oidcc-rp-initiated-logout-modified-id-token-hint", outcome);
    let outcome = op.stays(&session, &[to, ("state", "s")], "login_required").await;
    plan.row("oidcc-rp-initiated-logout-no-id-token-hint", outcome);
    let session = op.session().await;
    plan.row("oidcc-rp-initiated-logout-no-params", op.stays(&session, &[], "login_required").await);
    let session = op.session().await;
    plan.row("oidcc-rp-initiated-logout-only-state", op.stays(&session, &[("state", "s")], "login_required").await);
    let session = op.session().await;
    let hint = [("id_token_hint", session.tokens.id()), ("state", "s")];
    let outcome = op.stays(&session, &hint, "login_required").await;
    plan.row("oidcc-rp-initiated-logout-no-post-logout-redirect-uri", outcome);

    for (channel, module) in [
        ("frontchannel", "oidcc-frontchannel-logout-discovery-endpoint-verification"),
        ("backchannel", "oidcc-backchannel-logout-discovery-endpoint-verification"),
    ] {
        let says = |what: &str| metadata[format!("{channel}_logout{what}_supported")] == true;
        plan.row(module, ensure(says("") && says("_session"), || metadata.to_string()));
    }
    plan.row("oidcc-frontchannel-rp-initiated-logout", front_channel(&op).await);
    plan.row("oidcc-backchannel-rp-initiated-logout", back_channel(&op).await);
    plan.finish(MODULES);
}

async fn front_channel(op: &Op) -> Outcome {
    let frame = "https://backend.example/frame";
    let patch = json!({ "frontchannel_logout_uri": frame, "frontchannel_logout_session_required": true });
    op.tenant.patch_client("backend", &patch).await;
    let session = op.session().await;
    let sid = Jwt::parse(session.tokens.id()).claims["sid"].as_str().unwrap_or_default().to_owned();
    let page = op
        .leave(&session, &[("id_token_hint", session.tokens.id()), ("post_logout_redirect_uri", BYE), ("state", "s")])
        .await;
    ensure(page.body.contains("<iframe") && page.body.contains(frame), || page.body.clone())?;
    ensure(!sid.is_empty() && page.body.contains(&sid) && page.body.contains("iss="), || page.body.clone())?;
    ensure(page.body.contains(&format!("{BYE}?state=s")), || page.body.clone())?;
    op.tenant.patch_client("backend", &json!({ "frontchannel_logout_uri": null })).await;
    Ok(())
}

/// OIDC Back-Channel Logout 1.0 §2.4.
async fn back_channel(op: &Op) -> Outcome {
    let listener = Listener::start().await;
    let patch = json!({
        "backchannel_logout_uri": listener.url("/logout"), "backchannel_logout_session_required": true,
    });
    op.tenant.patch_client("backend", &patch).await;
    let session = op.session().await;
    let id = Jwt::parse(session.tokens.id()).claims;
    op.leave(&session, &[("id_token_hint", session.tokens.id()), ("post_logout_redirect_uri", BYE)]).await;
    let got = listener.got(1).await;
    let told = got.first().ok_or("nothing came")?;
    let form = told.header("content-type") == Some("application/x-www-form-urlencoded");
    ensure(told.method == "POST" && form, || format!("{told:?}"))?;
    let token = told.parameter("logout_token").ok_or("no logout_token")?;
    let claims = tokens::verify_signature(&token, &op.tenant.backend.jwks().await.json)?;
    for name in ["iss", "aud", "sub", "sid"] {
        ensure(claims[name] == id[name], || format!("{name}: {claims} {id}"))?;
    }
    let event = &claims["events"]["http://schemas.openid.net/event/backchannel-logout"];
    ensure(event.is_object() && claims["nonce"].is_null(), || claims.to_string())?;
    ensure(claims["jti"].is_string() && claims["iat"].is_i64() && claims["exp"].is_i64(), || claims.to_string())
}
