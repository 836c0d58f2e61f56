//! `oidcc-dynamic-certification-test-plan`: clients that register themselves, by private_key_jwt. What lies at an address
//! of the client's is on this machine here, of which strangers may not speak, so an administrator adds the address.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{Attempt, RelyingParty, Tokens};
use tests::tenant::{Tenant, User};
use tests::tokens::{self, Jwt};
use tests::web::{self, Answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

use super::keys::{Key, RsaKey};
use super::{Came, Outcome, Plan, Signed, config, ensure, signed, visit, world};

const MODULES: &[&str] = &[
    "oidcc-idtoken-rs256",
    "oidcc-idtoken-unsigned",
    "oidcc-userinfo-rs256",
    "oidcc-ensure-redirect-uri-in-authorization-request",
    "oidcc-redirect-uri-query-OK",
    "oidcc-redirect-uri-query-mismatch",
    "oidcc-redirect-uri-query-added",
    "oidcc-redirect-uri-regfrag",
    "oidcc-discovery-endpoint-verification",
    "oidcc-server",
    "oidcc-registration-logo-uri",
    "oidcc-registration-policy-uri",
    "oidcc-registration-tos-uri",
    "oidcc-registration-jwks-uri",
    "oidcc-registration-sector-uri",
    "oidcc-registration-sector-bad",
    "oidcc-server-rotate-keys",
    "oidcc-refresh-token-rp-key-rotation",
    "oidcc-request-uri-unsigned",
    "oidcc-request-uri-signed-rs256",
    "oidcc-ensure-request-object-with-redirect-uri",
    "oidcc-refresh-token",
    "oidcc-ensure-client-assertion-with-iss-aud-succeeds",
];

const REDIRECT: &str = "https://rp.example/callback";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A document at an address of this machine, which can be replaced.
struct Document {
    url: String,
    text: Arc<Mutex<String>>,
}

impl Document {
    async fn serve(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/document", listener.local_addr().expect("it is bound"));
        let text = Arc::new(Mutex::new(text));
        let served = Arc::clone(&text);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let body = served.lock().expect("nobody panics here").clone();
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        Self { url, text }
    }

    fn set(&self, text: String) {
        *self.text.lock().expect("nobody panics here") = text;
    }
}

struct Op {
    tenant: Tenant,
    alice: User,
}

/// A client that registered itself.
struct Client {
    party: RelyingParty,
    key: Key,
}

impl Client {
    fn assertion_for(&self, audience: &str) -> String {
        self.key.assertion(&self.party.client_id, audience, &json!({}))
    }

    async fn token(&self, form: &[(&str, &str)]) -> Answer {
        // As OIDC Core §9 has it, for the token endpoint.
        let assertion = self.assertion_for(&self.party.endpoint("token"));
        self.token_with(form, &assertion).await
    }

    async fn token_with(&self, form: &[(&str, &str)], assertion: &str) -> Answer {
        let proven = [("client_assertion_type", ASSERTION), ("client_assertion", assertion)];
        web::send(self.party.http.post(self.party.endpoint("token")).form(&[form, &proven].concat())).await
    }

    async fn redeem(&self, attempt: &Attempt, came: Came) -> Result<Signed, String> {
        let code = came.answer.get("code").cloned();
        let code = code.ok_or_else(|| format!("no code: {:?} {}", came.answer, came.page.text()))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", &self.party.redirect_uri),
            ("code_verifier", &attempt.verifier),
        ];
        let answer = self.token(&form).await;
        ensure(answer.status == 200, || format!("{answer:?}"))?;
        signed(&self.party, attempt, came, Tokens::read(answer)).await
    }
}

impl Op {
    async fn post(&self, metadata: &Value) -> Answer {
        web::send(web::client().post(format!("{}/oauth2/register", self.tenant.issuer)).json(metadata)).await
    }

    async fn register(&self, more: Value) -> Result<Client, String> {
        let key = Key::new("rp");
        let mut metadata = json!({
            "redirect_uris": [REDIRECT], "client_name": "The Party", "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["authorization_code", "refresh_token"], "jwks": { "keys": [key.jwk] },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        let answer = self.post(&metadata).await;
        ensure(answer.status == 201, || format!("{answer:?}"))?;
        let redirect = metadata["redirect_uris"][0].as_str().unwrap_or_default();
        let party = RelyingParty::new(&self.tenant.issuer, &answer.text_of("client_id"), None, redirect);
        Ok(Client { party, key })
    }

    /// Adds what a stranger may not say.
    async fn add(&self, client: &Client, patch: Value) {
        self.tenant.patch_client(&client.party.client_id, &patch).await;
    }

    async fn ask(&self, client: &Client, changes: &[(&str, Option<&str>)]) -> (Attempt, Came) {
        let attempt = client.party.attempt_with(&[&[("scope", Some("openid"))], changes].concat());
        let came = visit(&Browser::new(), &attempt.url, &self.alice).await;
        (attempt, came)
    }

    async fn sign_in(&self, client: &Client, changes: &[(&str, Option<&str>)]) -> Result<Signed, String> {
        let (attempt, came) = self.ask(client, changes).await;
        let signed = client.redeem(&attempt, came).await?;
        let userinfo = client.party.userinfo(&signed.tokens.access).await;
        ensure(userinfo.status == 200, || format!("{userinfo:?}"))?;
        Ok(signed)
    }

    async fn works(&self, metadata: Value) -> Outcome {
        let client = self.register(metadata).await?;
        self.sign_in(&client, &[]).await.map(drop)
    }

    async fn id_token_rs256(&self) -> Outcome {
        let client = self.register(json!({ "id_token_signed_response_alg": "RS256" })).await?;
        let signed = self.sign_in(&client, &[]).await?;
        let header = Jwt::parse(signed.tokens.id()).header;
        ensure(header["alg"] == "RS256" && header["kid"].is_string(), || header.to_string())
    }

    async fn userinfo_rs256(&self) -> Outcome {
        let client = self.register(json!({ "userinfo_signed_response_alg": "RS256" })).await?;
        let signed = self.sign_in(&client, &[]).await?;
        let answer = client.party.userinfo(&signed.tokens.access).await;
        let kind = answer.header("content-type").unwrap_or_default();
        ensure(kind.starts_with("application/jwt"), || kind.to_owned())?;
        ensure(Jwt::parse(&answer.text).header["alg"] == "RS256", || answer.text.clone())?;
        let claims = tokens::verify_signature(&answer.text, &client.party.jwks().await.json)?;
        let right = claims["sub"] == signed.id["sub"] && claims["iss"] == client.party.base.as_str();
        ensure(right, || claims.to_string())
    }

    async fn no_redirect_uri(&self) -> Outcome {
        let client = self.register(json!({})).await?;
        self.ask(&client, &[("redirect_uri", None)]).await.1.stays()
    }

    async fn query_ok(&self) -> Outcome {
        let client = self.register(json!({ "redirect_uris": [format!("{REDIRECT}?foo=bar")] })).await?;
        let signed = self.sign_in(&client, &[]).await?;
        ensure(signed.came.answer.get("foo").is_some_and(|kept| kept == "bar"), || format!("{:?}", signed.came.answer))
    }

    async fn query_other(&self, registered: &str, asked: &str) -> Outcome {
        let client = self.register(json!({ "redirect_uris": [registered] })).await?;
        self.ask(&client, &[("redirect_uri", Some(asked))]).await.1.stays()
    }

    async fn fragment(&self) -> Outcome {
        let refused = self.post(&json!({ "redirect_uris": [format!("{REDIRECT}#foobar")] })).await;
        let told = ["invalid_redirect_uri", "invalid_client_metadata"].contains(&refused.code());
        ensure(refused.status == 400 && told, || format!("{refused:?}"))
    }

    /// The user sees it before anything is decided.
    async fn shows(&self, member: &str) -> Outcome {
        let address = format!("https://rp.example/{member}");
        let client = self.register(json!({ member: address })).await?;
        let page = Browser::new().open(&client.party.attempt_with(&[("scope", Some("openid"))]).url).await;
        ensure(page.body.contains(&address), || page.body.clone())
    }

    async fn keys_at_an_address(&self) -> Outcome {
        let client = self.register(json!({})).await?;
        let document = Document::serve(json!({ "keys": [client.key.jwk] }).to_string()).await;
        self.add(&client, json!({ "jwks": null, "jwks_uri": document.url })).await;
        self.sign_in(&client, &[]).await.map(drop)
    }

    /// The sector's document is asked, and names the callback: what is refused then is only that it is on this machine. One
    /// that an administrator vouches for is not asked.
    async fn sector(&self) -> Outcome {
        let document = Document::serve(json!([REDIRECT]).to_string()).await;
        let metadata = json!({
            "redirect_uris": [REDIRECT], "subject_type": "pairwise", "sector_identifier_uri": document.url,
        });
        let refused = self.post(&metadata).await;
        let told = refused.json["error_description"].as_str().unwrap_or_default();
        ensure(told.contains("must be https"), || format!("{refused:?}"))?;

        let client = self.register(json!({ "subject_type": "pairwise" })).await?;
        self.add(&client, json!({ "sector_identifier_uri": "https://sector.example/uris.json" })).await;
        let signed = self.sign_in(&client, &[]).await?;
        ensure(signed.id["sub"] != self.alice.id.as_str(), || signed.id.to_string())?;
        let told = client.party.userinfo(&signed.tokens.access).await.json;
        ensure(told["sub"] == signed.id["sub"], || told.to_string())
    }

    async fn bad_sector(&self) -> Outcome {
        let document = Document::serve(json!(["https://another.example/callback"]).to_string()).await;
        let metadata = json!({
            "redirect_uris": [REDIRECT], "subject_type": "pairwise", "sector_identifier_uri": document.url,
        });
        let refused = self.post(&metadata).await;
        ensure(refused.status == 400 && refused.code() == "invalid_client_metadata", || format!("{refused:?}"))
    }

    async fn rotation(&self) -> Outcome {
        let kids = async || -> Vec<String> {
            let jwks = self.tenant.backend.jwks().await.json;
            let keys = jwks["keys"].as_array().into_iter().flatten();
            keys.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
        };
        let before = kids().await;
        let path = format!("/tenants/{}/keys/rotate?wait=fleet&timeout=15s", self.tenant.slug);
        let answer = self.tenant.admin.post(&path, &json!({})).await;
        ensure((200..300).contains(&answer.status), || format!("{answer:?}"))?;
        let after = kids().await;
        let kept = before.iter().all(|kid| after.contains(kid));
        let distinct: std::collections::BTreeSet<&String> = after.iter().collect();
        ensure(kept && after.len() > before.len() && distinct.len() == after.len(), || format!("{before:?} {after:?}"))
    }

    async fn client_rotates(&self) -> Outcome {
        let mut client = self.register(json!({})).await?;
        let document = Document::serve(json!({ "keys": [client.key.jwk] }).to_string()).await;
        self.add(&client, json!({ "jwks": null, "jwks_uri": document.url })).await;
        let signed = self.sign_in(&client, &[("scope", Some("openid offline_access"))]).await?;
        client.key = Key::new("rotated");
        document.set(json!({ "keys": [client.key.jwk] }).to_string());
        let form = [("grant_type", "refresh_token"), ("refresh_token", signed.tokens.refresh())];
        let answer = client.token(&form).await;
        ensure(answer.status == 200, || format!("{answer:?}"))
    }

    /// By an object at an address of the client's; beside it stands what OIDC Core §6.2 demands, and `more`.
    async fn by_reference(&self, client: &Client, more: &[(&str, &str)], write: impl Fn(&Value) -> String) -> Outcome {
        let attempt = client.party.attempt_with(&[("scope", Some("openid"))]);
        let asked: serde_json::Map<String, Value> =
            attempt.url.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect();
        let document = Document::serve(write(&Value::Object(asked))).await;
        self.add(client, json!({ "request_uris": [document.url] })).await;
        let beside = [
            ("client_id", client.party.client_id.as_str()),
            ("response_type", "code"),
            ("scope", "openid"),
            ("request_uri", &document.url),
        ];
        let url = Url::parse_with_params(&client.party.endpoint("authorize"), beside.iter().chain(more));
        let came = visit(&Browser::new(), &url.map_err(|error| error.to_string())?, &self.alice).await;
        client.redeem(&attempt, came).await.map(drop)
    }

    async fn unsigned_reference(&self, more: &[(&str, &str)]) -> Outcome {
        let client = self.register(json!({})).await?;
        self.by_reference(&client, more, |claims| {
            let [header, claims] = [&json!({ "alg": "none" }), claims].map(|it| URL_SAFE_NO_PAD.encode(it.to_string()));
            format!("{header}.{claims}.")
        })
        .await
    }

    async fn signed_reference(&self) -> Outcome {
        let (own, signs) = (Key::new("rp"), RsaKey::new("rsa"));
        let metadata = json!({ "request_object_signing_alg": "RS256", "jwks": { "keys": [own.jwk, signs.jwk] } });
        let client = Client { key: own, ..self.register(metadata).await? };
        let (iss, aud) = (client.party.client_id.clone(), self.tenant.issuer.clone());
        self.by_reference(&client, &[], |claims| {
            let mut claims = claims.clone();
            claims["iss"] = json!(iss);
            claims["aud"] = json!(aud);
            signs.sign("RS256", &claims)
        })
        .await
    }

    async fn refresh(&self) -> Outcome {
        let (client, other) = (self.register(json!({})).await?, self.register(json!({})).await?);
        let changes = [("scope", Some("openid offline_access")), ("prompt", Some("consent"))];
        let signed = self.sign_in(&client, &changes).await?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", signed.tokens.refresh())];
        let stolen = other.token(&form).await;
        ensure(stolen.status == 400 && stolen.code() == "invalid_grant", || format!("{stolen:?}"))?;
        let answer = client.token(&form).await;
        ensure(answer.status == 200, || format!("{answer:?}"))
    }

    async fn assertion_for_the_issuer(&self) -> Outcome {
        let client = self.register(json!({})).await?;
        let (attempt, came) = self.ask(&client, &[]).await;
        let code = came.answer.get("code").cloned().ok_or("no code")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &attempt.verifier),
        ];
        let answer = client.token_with(&form, &client.assertion_for(&self.tenant.issuer)).await;
        ensure(answer.status == 200, || format!("{answer:?}"))
    }
}

#[tokio::test]
async fn dynamic() {
    let registration = json!({ "mode": "open", "per_minute": 1000 });
    let settings = json!({ "oauth": { "registration": registration } });
    let tenant = Tenant::create_with(world().await, "dynamic", settings).await;
    let alice = tenant.user("alice").await;
    let op = Op { tenant, alice };
    let mut plan = Plan::default();
    plan.row("oidcc-idtoken-rs256", op.id_token_rs256().await);
    let refused = op.post(&json!({ "redirect_uris": [REDIRECT], "id_token_signed_response_alg": "none" })).await;
    let outcome =
        ensure(refused.status == 400 && refused.code() == "invalid_client_metadata", || format!("{refused:?}"));
    plan.row("oidcc-idtoken-unsigned", outcome);
    plan.row("oidcc-userinfo-rs256", op.userinfo_rs256().await);
    plan.row("oidcc-ensure-redirect-uri-in-authorization-request", op.no_redirect_uri().await);
    plan.row("oidcc-redirect-uri-query-OK", op.query_ok().await);
    let (with, other) = (format!("{REDIRECT}?foo=bar"), format!("{REDIRECT}?bar=foo"));
    plan.row("oidcc-redirect-uri-query-mismatch", op.query_other(&with, &other).await);
    plan.row("oidcc-redirect-uri-query-added", op.query_other(REDIRECT, &with).await);
    plan.row("oidcc-redirect-uri-regfrag", op.fragment().await);
    plan.row("oidcc-discovery-endpoint-verification", config::discovery(&op.tenant.backend).await);
    plan.row("oidcc-server", op.works(json!({})).await);
    plan.row("oidcc-registration-logo-uri", op.shows("logo_uri").await);
    plan.row("oidcc-registration-policy-uri", op.shows("policy_uri").await);
    plan.row("oidcc-registration-tos-uri", op.shows("tos_uri").await);
    plan.row("oidcc-registration-jwks-uri", op.keys_at_an_address().await);
    plan.row("oidcc-registration-sector-uri", op.sector().await);
    plan.row("oidcc-registration-sector-bad", op.bad_sector().await);
    plan.row("oidcc-server-rotate-keys", op.rotation().await);
    plan.row("oidcc-refresh-token-rp-key-rotation", op.client_rotates().await);
    plan.row("oidcc-request-uri-unsigned", op.unsigned_reference(&[]).await);
    plan.row("oidcc-request-uri-signed-rs256", op.signed_reference().await);
    let elsewhere = [("redirect_uri", "https://evil.example/callback")];
    plan.row("oidcc-ensure-request-object-with-redirect-uri", op.unsigned_reference(&elsewhere).await);
    plan.row("oidcc-refresh-token", op.refresh().await);
    plan.row("oidcc-ensure-client-assertion-with-iss-aud-succeeds", op.assertion_for_the_issuer().await);
    plan.finish(MODULES);
}
