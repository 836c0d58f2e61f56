//! `oidcc-basic-certification-test-plan`, and `oidcc-formpost-basic-certification-test-plan`, which is the same with
//! `response_mode=form_post`.

use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::{Browser, Field, Form};
use tests::relying_party::{Attempt, RelyingParty, Tokens, parameters};
use tests::tenant::{BACKEND_REDIRECT, Tenant, User, unique};
use tests::web;

use super::{Came, Outcome, Plan, Signed, ensure, redeem, visit, walk, world};

const MODULES: &[&str] = &[
    "oidcc-server",
    "oidcc-response-type-missing",
    "oidcc-idtoken-signature",
    "oidcc-idtoken-unsigned",
    "oidcc-userinfo-get",
    "oidcc-userinfo-post-header",
    "oidcc-userinfo-post-body",
    "oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
    "oidcc-scope-profile",
    "oidcc-scope-email",
    "oidcc-scope-address",
    "oidcc-scope-phone",
    "oidcc-scope-all",
    "oidcc-ensure-other-scope-order-succeeds",
    "oidcc-display-page",
    "oidcc-display-popup",
    "oidcc-prompt-login",
    "oidcc-prompt-none-not-logged-in",
    "oidcc-prompt-none-logged-in",
    "oidcc-max-age-1",
    "oidcc-max-age-10000",
    "oidcc-ensure-request-with-unknown-parameter-succeeds",
    "oidcc-id-token-hint",
    "oidcc-login-hint",
    "oidcc-ui-locales",
    "oidcc-claims-locales",
    "oidcc-ensure-request-with-acr-values-succeeds",
    "oidcc-codereuse",
    "oidcc-codereuse-30seconds",
    "oidcc-ensure-registered-redirect-uri",
    "oidcc-ensure-post-request-succeeds",
    "oidcc-server-client-secret-post",
    "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
    "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
    "oidcc-claims-essential",
    "oidcc-ensure-request-object-with-redirect-uri",
    "oidcc-refresh-token",
    "oidcc-ensure-request-with-valid-pkce-succeeds",
];

/// Claims beside `email`, by the scope that releases them (OIDC Core §5.4).
const CLAIMS: [(&str, &[&str]); 4] = [
    ("profile", &["name", "given_name", "family_name", "nickname", "birthdate", "locale", "zoneinfo", "updated_at"]),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

struct Op {
    tenant: Tenant,
    rp: RelyingParty,
    other: RelyingParty,
    alice: User,
    mode: Option<&'static str>,
}

type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

impl Op {
    async fn new(name: &str, mode: Option<&'static str>) -> Self {
        let tenant = Tenant::create(world().await, name).await;
        let scopes = json!(["openid", "profile", "email", "address", "phone", "offline_access"]);
        tenant.patch_client("backend", &json!({ "scopes": scopes })).await;
        let client = json!({
            "client_id": "poster", "name": "The Poster", "token_endpoint_auth_method": "client_secret_post",
            "redirect_uris": [BACKEND_REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
            "scopes": scopes,
        });
        let made =
            tenant.admin.post(&format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug), &client).await;
        let secret = Some(made.expect(201).text_of("client_secret"));
        let other = RelyingParty::new(&tenant.issuer, "poster", secret, BACKEND_REDIRECT);
        let alice = person(&tenant).await;
        Self { rp: tenant.backend.clone(), other, alice, mode, tenant }
    }

    fn attempt(&self, party: &RelyingParty, changes: Changes<'_>) -> Attempt {
        party.attempt_with(&[&[("scope", Some("openid")), ("response_mode", self.mode)], changes].concat())
    }

    /// Asks, and comes back.
    async fn ask(&self, browser: &Browser, changes: Changes<'_>) -> (Attempt, Came) {
        let attempt = self.attempt(&self.rp, changes);
        let came = visit(browser, &attempt.url, &self.alice).await;
        (attempt, came)
    }

    async fn sign_in(&self, browser: &Browser, changes: Changes<'_>) -> Result<Signed, String> {
        let (attempt, came) = self.ask(browser, changes).await;
        ensure(came.is_posted == (self.mode == Some("form_post")), || format!("by the wrong way: {came:?}"))?;
        let signed = redeem(&self.rp, &attempt, came).await?;
        let userinfo = self.rp.userinfo(&signed.tokens.access).await;
        ensure(userinfo.json["sub"] == signed.id["sub"], || format!("{userinfo:?}"))?;
        Ok(signed)
    }

    async fn succeeds(&self, changes: Changes<'_>) -> Outcome {
        self.sign_in(&Browser::new(), changes).await.map(drop)
    }

    /// What userinfo says of a fresh sign-in with that scope.
    async fn scoped(&self, scope: &str) -> Outcome {
        let signed = self.sign_in(&Browser::new(), &[("scope", Some(scope))]).await?;
        let told = self.rp.userinfo(&signed.tokens.access).await.json;
        for (name, claims) in CLAIMS {
            let asked = scope.split(' ').any(|one| one == name);
            for claim in claims {
                ensure(told.get(claim).is_some() == asked, || format!("{claim} of {name} for {scope:?}: {told}"))?;
            }
        }
        let address = &told["address"];
        ensure(address.is_null() || address["country"] == "Sweden", || told.to_string())
    }

    async fn userinfo_by_post(&self, in_header: bool) -> Outcome {
        let signed = self.sign_in(&Browser::new(), &[]).await?;
        let request = self.rp.http.post(self.rp.endpoint("userinfo"));
        let request = if in_header {
            request.bearer_auth(&signed.tokens.access)
        } else {
            request.form(&[("access_token", &signed.tokens.access)])
        };
        let answer = web::send(request).await;
        ensure(answer.status == 200 && answer.json["sub"] == signed.id["sub"], || format!("{answer:?}"))
    }

    async fn prompt_login(&self) -> Outcome {
        let browser = Browser::new();
        let first = self.sign_in(&browser, &[]).await?;
        let second = self.sign_in(&browser, &[("prompt", Some("login"))]).await?;
        ensure(second.came.asked_password, || "the user was not asked".to_owned())?;
        ensure(first.id["sub"] == second.id["sub"], || format!("{} {}", first.id, second.id))?;
        let time = |signed: &Signed| signed.id["auth_time"].as_i64().unwrap_or_default();
        ensure(time(&second) >= time(&first) && time(&first) > 0, || format!("{} {}", first.id, second.id))
    }

    async fn prompt_none(&self) -> Outcome {
        let browser = Browser::new();
        let first = self.sign_in(&browser, &[]).await?;
        let second = self.sign_in(&browser, &[("prompt", Some("none"))]).await?;
        ensure(!second.came.asked_password, || "the user was asked".to_owned())?;
        let same = ["sub", "auth_time"].iter().all(|name| first.id[name] == second.id[name]);
        ensure(same, || format!("{} {}", first.id, second.id))
    }

    /// The sign-in is ten seconds old.
    async fn max_age(&self, secs: &str, asks: bool) -> Outcome {
        let browser = Browser::new();
        let first = self.sign_in(&browser, &[]).await?;
        let age = "update sessions set auth_time = auth_time - interval '10 seconds'";
        self.tenant.database.connect().await.execute(age, &[]).await.map_err(|error| error.to_string())?;
        let second = self.sign_in(&browser, &[("max_age", Some(secs))]).await?;
        ensure(second.came.asked_password == asks, || format!("asked: {}", second.came.asked_password))?;
        let time = |signed: &Signed| signed.id["auth_time"].as_i64();
        let (Some(before), Some(now)) = (time(&first), time(&second)) else { return Err(second.id.to_string()) };
        let holds = if asks { now >= before } else { now == before - 10 };
        ensure(holds && first.id["sub"] == second.id["sub"], || format!("{} {}", first.id, second.id))
    }

    async fn id_token_hint(&self) -> Outcome {
        let browser = Browser::new();
        let first = self.sign_in(&browser, &[]).await?;
        let changes = [("prompt", Some("none")), ("id_token_hint", Some(first.tokens.id()))];
        let second = self.sign_in(&browser, &changes).await?;
        ensure(first.id["sub"] == second.id["sub"], || format!("{} {}", first.id, second.id))
    }

    async fn acr_values(&self) -> Outcome {
        let supported = self.rp.discovery().await.json["acr_values_supported"].clone();
        let names: Vec<&str> = supported.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let asked = if names.is_empty() { "1 2".to_owned() } else { names.join(" ") };
        let signed = self.sign_in(&Browser::new(), &[("acr_values", Some(&asked))]).await?;
        let told = signed.id["acr"].as_str().unwrap_or_default();
        ensure(names.is_empty() || names.contains(&told), || format!("{told:?} of {names:?}"))
    }

    /// `later`: once 30 seconds have passed, after which what was issued has to be revoked, too.
    async fn code_reuse(&self, later: bool) -> Outcome {
        let (attempt, came) = self.ask(&Browser::new(), &[]).await;
        let code = came.answer.get("code").cloned().ok_or("no code")?;
        let signed = redeem(&self.rp, &attempt, came).await?;
        if later {
            let pass = "update authorization_codes set redeemed_at = redeemed_at - interval '31 seconds', \
                        expires_at = expires_at - interval '31 seconds'";
            self.tenant.database.connect().await.execute(pass, &[]).await.map_err(|error| error.to_string())?;
        }
        let again = self.rp.redeem(&code, &attempt.verifier).await;
        ensure(again.status == 400 && again.code() == "invalid_grant", || format!("{again:?}"))?;
        let revoked = self.rp.userinfo(&signed.tokens.access).await;
        ensure(revoked.status == 401, || format!("the access token lives on: {revoked:?}"))
    }

    async fn posted(&self) -> Outcome {
        let (browser, attempt) = (Browser::new(), self.attempt(&self.rp, &[]));
        let field = |(name, value): (String, String)| Field { name, kind: "hidden".to_owned(), value };
        let mut action = attempt.url.clone();
        action.set_query(None);
        let fields = attempt.url.query_pairs().into_owned().map(field).collect();
        let form = Form { action, method: Method::POST, fields, buttons: Vec::new() };
        let page = browser.submit(&form, &[], None).await;
        let came = walk(&browser, page, &self.alice).await;
        redeem(&self.rp, &attempt, came).await.map(drop)
    }

    async fn secret_in_body(&self) -> Outcome {
        let attempt = self.attempt(&self.other, &[]);
        let came = visit(&Browser::new(), &attempt.url, &self.alice).await;
        let code = came.answer.get("code").cloned().ok_or("no code")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", BACKEND_REDIRECT),
            ("code_verifier", &attempt.verifier),
        ];
        let tokens = Tokens::read(self.post_token(&form).await);
        super::signed(&self.other, &attempt, came, tokens).await.map(drop)
    }

    /// As the second client, its secret in the body.
    async fn post_token(&self, form: &[(&str, &str)]) -> web::Answer {
        let own = [("client_id", "poster"), ("client_secret", self.other.secret.as_deref().unwrap_or_default())];
        web::send(self.other.http.post(self.other.endpoint("token")).form(&[form, &own].concat())).await
    }

    /// Skipped by the suite, because `none` is not advertised.
    async fn no_unsigned_objects(&self) -> Outcome {
        let metadata = self.rp.discovery().await.json;
        let none = metadata["request_object_signing_alg_values_supported"].to_string().contains("none");
        ensure(!none, || metadata.to_string())?;
        let by_reference = self.ask(&Browser::new(), &[("request_uri", Some("https://backend.example/r"))]).await.1;
        by_reference.refuses(&["request_uri_not_supported"])?;
        // {"alg":"none"}.{}.
        let by_value = self.ask(&Browser::new(), &[("request", Some("eyJhbGciOiJub25lIn0.e30."))]).await.1;
        by_value.refuses(&["request_not_supported"])
    }

    async fn claims_essential(&self) -> Outcome {
        let claims = json!({ "userinfo": { "name": { "essential": true } } }).to_string();
        let signed = self.sign_in(&Browser::new(), &[("claims", Some(&claims))]).await?;
        let told = self.rp.userinfo(&signed.tokens.access).await.json;
        ensure(told["name"] == "Alice Example" && told.get("nickname").is_none(), || told.to_string())
    }

    async fn refresh(&self) -> Outcome {
        let changes = [("scope", Some("openid offline_access")), ("prompt", Some("consent"))];
        let first = self.sign_in(&Browser::new(), &changes).await?;
        let characters = |token: &str| token.bytes().all(|b| (0x20..0x7f).contains(&b));
        ensure(characters(first.tokens.refresh()), || first.tokens.refresh().to_owned())?;
        // RFC 6749 §6: bound to the client that it was issued to.
        let form = [("grant_type", "refresh_token"), ("refresh_token", first.tokens.refresh())];
        let stolen = self.post_token(&form).await;
        ensure(stolen.status == 400 && stolen.code() == "invalid_grant", || format!("{stolen:?}"))?;
        let answer = self.rp.refresh(first.tokens.refresh()).await;
        ensure(answer.status == 200, || format!("{answer:?}"))?;
        let second = Tokens::read(answer);
        ensure(second.access != first.tokens.access, || "the same access token".to_owned())?;
        if let Some(id) = &second.id {
            // OIDC Core §12.2.
            let claims = tests::tokens::verify(id, &self.rp.jwks().await.json)?;
            for name in ["iss", "sub", "aud", "auth_time"] {
                ensure(claims[name] == first.id[name], || format!("{name}: {claims} {}", first.id))?;
            }
        }
        let userinfo = self.rp.userinfo(&second.access).await;
        ensure(userinfo.status == 200, || format!("{userinfo:?}"))
    }

    async fn other_redirect(&self) -> Outcome {
        let url = "https://backend.example/callback/other";
        self.ask(&Browser::new(), &[("redirect_uri", Some(url))]).await.1.stays()
    }
}

/// With a claim of each kind.
async fn person(tenant: &Tenant) -> User {
    let (email, password) = (format!("{}@conformance.example", unique("alice")), "a horse with a staple".to_owned());
    let claims = json!({
        "name": "Alice Example", "given_name": "Alice", "family_name": "Example", "nickname": "Al",
        "birthdate": "1987-10-16", "locale": "sv-SE", "zoneinfo": "Europe/Stockholm",
        "address": { "formatted": "Gatan 1\nÖdeshög", "country": "Sweden" },
        "phone_number": "+46 (0)8 123 456", "phone_number_verified": true,
    });
    let body = json!({ "email": email, "password": password, "email_verified": true, "claims": claims });
    let token = tenant.service.client_credentials("hj:users.write").await;
    let request = tenant.service.http.post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token).json(&body);
    let id = web::send(request).await.expect(201).text_of("id");
    User { id, email, password }
}

async fn gone_through(name: &str, mode: Option<&'static str>) {
    let op = Op::new(name, mode).await;
    let mut plan = Plan::default();
    plan.row("oidcc-server", op.succeeds(&[("scope", Some("openid profile email"))]).await);
    let came = op.ask(&Browser::new(), &[("response_type", None)]).await.1;
    plan.row("oidcc-response-type-missing", came.refuses(&["invalid_request", "unsupported_response_type"]));
    let signed = op.sign_in(&Browser::new(), &[]).await;
    let header = signed.map(|signed| tests::tokens::Jwt::parse(signed.tokens.id()).header);
    plan.row("oidcc-idtoken-signature", header.and_then(|it| ensure(it["kid"].is_string(), || it.to_string())));
    let algorithms = op.rp.discovery().await.json["id_token_signing_alg_values_supported"].to_string();
    plan.row("oidcc-idtoken-unsigned", ensure(!algorithms.contains("none"), || algorithms.clone()));
    plan.row("oidcc-userinfo-get", op.succeeds(&[]).await);
    plan.row("oidcc-userinfo-post-header", op.userinfo_by_post(true).await);
    plan.row("oidcc-userinfo-post-body", op.userinfo_by_post(false).await);
    let outcome = op.succeeds(&[("nonce", None)]).await;
    plan.row("oidcc-ensure-request-without-nonce-succeeds-for-code-flow", outcome);
    plan.row("oidcc-scope-profile", op.scoped("openid profile").await);
    plan.row("oidcc-scope-email", op.scoped("openid email").await);
    plan.row("oidcc-scope-address", op.scoped("openid address").await);
    plan.row("oidcc-scope-phone", op.scoped("openid phone").await);
    plan.row("oidcc-scope-all", op.scoped("openid profile email address phone").await);
    plan.row("oidcc-ensure-other-scope-order-succeeds", op.scoped("email openid").await);
    plan.row("oidcc-display-page", op.succeeds(&[("display", Some("page"))]).await);
    plan.row("oidcc-display-popup", op.succeeds(&[("display", Some("popup"))]).await);
    plan.row("oidcc-prompt-login", op.prompt_login().await);
    let came = op.ask(&Browser::new(), &[("prompt", Some("none"))]).await.1;
    let wanted = ["login_required", "interaction_required", "account_selection_required", "consent_required"];
    plan.row("oidcc-prompt-none-not-logged-in", came.refuses(&wanted));
    plan.row("oidcc-prompt-none-logged-in", op.prompt_none().await);
    plan.row("oidcc-max-age-1", op.max_age("1", true).await);
    plan.row("oidcc-max-age-10000", op.max_age("10000", false).await);
    let outcome = op.succeeds(&[("extra", Some("foobar"))]).await;
    plan.row("oidcc-ensure-request-with-unknown-parameter-succeeds", outcome);
    plan.row("oidcc-id-token-hint", op.id_token_hint().await);
    plan.row("oidcc-login-hint", op.succeeds(&[("login_hint", Some("buffy@conformance.example"))]).await);
    plan.row("oidcc-ui-locales", op.succeeds(&[("ui_locales", Some("se"))]).await);
    plan.row("oidcc-claims-locales", op.succeeds(&[("claims_locales", Some("se"))]).await);
    plan.row("oidcc-ensure-request-with-acr-values-succeeds", op.acr_values().await);
    plan.row("oidcc-codereuse", op.code_reuse(false).await);
    plan.row("oidcc-codereuse-30seconds", op.code_reuse(true).await);
    plan.row("oidcc-ensure-registered-redirect-uri", op.other_redirect().await);
    plan.row("oidcc-ensure-post-request-succeeds", op.posted().await);
    plan.row("oidcc-server-client-secret-post", op.secret_in_body().await);
    for module in [
        "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
        "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
        "oidcc-ensure-request-object-with-redirect-uri",
    ] {
        plan.row(module, op.no_unsigned_objects().await);
    }
    plan.row("oidcc-claims-essential", op.claims_essential().await);
    plan.row("oidcc-refresh-token", op.refresh().await);
    let attempt = op.attempt(&op.rp, &[]);
    let has_challenge = parameters(&attempt.url).get("code_challenge_method").is_some_and(|method| method == "S256");
    let outcome = ensure(has_challenge, || attempt.url.to_string());
    plan.row("oidcc-ensure-request-with-valid-pkce-succeeds", outcome.and(op.succeeds(&[]).await));
    plan.finish(MODULES);
}

#[tokio::test]
async fn basic() {
    gone_through("basic", None).await;
}

#[tokio::test]
async fn form_post_basic() {
    gone_through("form-post-basic", Some("form_post")).await;
}
