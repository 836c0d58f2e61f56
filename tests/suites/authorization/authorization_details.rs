//! Rich authorization requests (RFC 9396): by registered types, in detail to the user, and less in a token than granted.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::web::{self, Answer};
use tests::world::{self, World};

/// A payment, asked about each time, and files, asked about once.
fn types() -> Value {
    json!({
        "payment": { "description": "Make a payment", "schema": {
            "type": "object", "required": ["amount", "to"], "additionalProperties": false,
            "properties": {
                "type": true, "amount": { "$ref": "#/$defs/amount" }, "to": { "type": "string", "maxLength": 34 },
            },
            "$defs": { "amount": {
                "type": "object", "required": ["currency", "value"], "additionalProperties": false,
                "properties": { "currency": { "enum": ["EUR", "USD"] }, "value": { "type": "string" } },
            }},
        }},
        "files": { "description": "Open files", "remember_consent": true, "schema": {
            "type": "object", "required": ["actions"],
            "properties": { "actions": { "type": "array", "items": { "enum": ["read", "write"] } } },
        }},
    })
}

fn payment() -> Value {
    json!({ "type": "payment", "amount": { "currency": "EUR", "value": "12.50" }, "to": "DE02100100109307118603" })
}

fn files(actions: &[&str]) -> Value {
    json!({ "type": "files", "actions": actions })
}

async fn stage(world: &World, name: &str) -> Tenant {
    let settings = json!({ "oauth": { "authorization_details_types": types() } });
    let tenant = Tenant::create_with(world, name, settings).await;
    for client in ["app", "backend"] {
        tenant.patch_client(client, &json!({ "authorization_details_types": ["payment", "files"] })).await;
    }
    let grants = json!(["client_credentials", "urn:ietf:params:oauth:grant-type:device_code"]);
    let service = json!({ "authorization_details_types": ["files"], "grant_types": grants });
    tenant.patch_client("service", &service).await;
    tenant
}

fn claim(tokens: &str) -> Value {
    Jwt::parse(tokens).claims["authorization_details"].clone()
}

#[tokio::test]
async fn what_a_user_allowed_in_detail_is_in_the_tokens_and_narrows() {
    let world = world::shared().await;
    let tenant = stage(&world, "details").await;
    let metadata = tenant.app.discovery().await.json;
    assert_eq!(metadata["authorization_details_types_supported"], json!(["files", "payment"]));
    let alice = tenant.user("alice").await;
    let asked = json!([payment(), files(&["read", "write"])]);
    let attempt = tenant.app.attempt_with(&[("authorization_details", Some(&asked.to_string()))]);

    let browser = Browser::new();
    let sign_in = browser.open_page(&attempt.url).await;
    let consent = browser.sign_in(&sign_in.expect_form(), &alice.email, &alice.password).await;
    let text = consent.text();
    for words in ["Make a payment", "amount / currency", "12.50", "DE02100100109307118603", "Open files", "read, write"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let callback = browser.consent(&consent.expect_form()).await.expect_callback();
    let code = parameters(&callback).remove("code").expect("a code");
    let tokens = Tokens::read(tenant.app.redeem(&code, &attempt.verifier).await);
    assert_eq!((&tokens.answer.json["authorization_details"], &claim(&tokens.access)), (&asked, &asked));
    let told = tenant.backend.introspect(&tokens.access).await.expect(200);
    assert_eq!(told.json["active"], false, "it is another client's");
    tenant.patch_client("backend", &json!({ "resource_server_for": [tenant.issuer] })).await;
    let told = tenant.backend.introspect(&tokens.access).await.expect(200);
    assert_eq!(told.json["authorization_details"], asked);

    // A refreshed token may have less; the grant keeps what it has.
    let refresh = |token: &str, details: Option<Value>| {
        let details = details.map(|details| details.to_string());
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        form.extend(details.as_deref().map(|details| ("authorization_details", details)));
        tenant.app.token(&form)
    };
    let wider = refresh(tokens.refresh(), Some(json!([files(&["read"]), { "type": "files" }]))).await.expect(400);
    assert_eq!(wider.text_of("error"), "invalid_authorization_details");
    let read_only = Tokens::read(refresh(tokens.refresh(), Some(json!([files(&["read"])]))).await);
    assert_eq!(claim(&read_only.access), json!([files(&["read"])]));
    let all = Tokens::read(refresh(read_only.refresh(), None).await);
    assert_eq!(claim(&all.access), asked);
    // What the client may not ask for any more is not issued.
    tenant.patch_client("app", &json!({ "authorization_details_types": ["files"] })).await;
    let left = Tokens::read(refresh(all.refresh(), None).await);
    assert_eq!(claim(&left.access), json!([files(&["read", "write"])]));
}

#[tokio::test]
async fn a_payment_is_asked_about_each_time_and_files_once() {
    let world = world::shared().await;
    let tenant = stage(&world, "details-again").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt =
        |details: Value| tenant.app.attempt_with(&[("authorization_details", Some(&details.to_string()))]).url;
    let _ = browser.authorize(&attempt(json!([files(&["read", "write"]), payment()])), &alice).await;
    for (what, details, is_asked) in [
        ("the same files", json!([files(&["read", "write"])]), false),
        ("fewer", json!([files(&["read"])]), false),
        ("the same payment", json!([payment()]), true),
    ] {
        let page = browser.open(&attempt(details)).await;
        assert_eq!(page.leaves_to.is_none(), is_asked, "{what}: {page:?}");
    }
    // Once its type is not remembered any more, what was is not, either.
    let mut changed = types();
    changed["files"]["remember_consent"] = json!(false);
    tenant.patch(&json!({ "settings": { "oauth": { "authorization_details_types": changed } } })).await;
    let page = browser.open(&attempt(json!([files(&["read"])]))).await;
    assert!(page.leaves_to.is_none(), "{page:?}");
}

async fn push(party: &RelyingParty, details: &str) -> Answer {
    let attempt = party.attempt_with(&[("authorization_details", Some(details))]);
    let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    web::send(party.back_channel("par", &form)).await
}

#[tokio::test]
async fn refused_wherever_they_are_sent() {
    let world = world::shared().await;
    let tenant = stage(&world, "details-refused").await;
    let mut table = Table::new();
    let by_service = |endpoint: &str, grant: &str, details: &Value| {
        let details = details.to_string();
        let form = [("grant_type", grant), ("authorization_details", details.as_str())];
        tenant.service.back_channel(endpoint, &form)
    };
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    for (what, details) in [
        ("no list", json!({})),
        ("no type", json!([{}])),
        ("a type that is not there", json!([{ "type": "unknown" }])),
        ("a type of other clients", json!([payment()])),
        ("an action that is not there", json!([files(&["delete"])])),
        ("a member that is missing", json!([{ "type": "files" }])),
    ] {
        let refused = &["invalid_authorization_details"];
        table.oauth(what, by_service("token", "client_credentials", &details), &[400], refused).await;
        table.oauth(what, by_service("device_authorization", device, &details), &[400], refused).await;
    }
    let pushed = push(&tenant.backend, r#"[{"type":"payment","amount":1,"to":"x"}]"#).await.expect(400);
    assert_eq!(pushed.text_of("error"), "invalid_authorization_details");
    assert!(pushed.text_of("error_description").contains("/amount"), "{}", pushed.text);
    let page = Browser::new().open(&tenant.app.attempt_with(&[("authorization_details", Some("[1]"))]).url).await;
    let answer = parameters(&page.expect_callback());
    assert_eq!(answer["error"], "invalid_authorization_details");

    let good = json!([files(&["read"])]);
    let token = web::send(by_service("token", "client_credentials", &good)).await.expect(200);
    assert_eq!(claim(&token.text_of("access_token")), good);
    assert_eq!(push(&tenant.backend, &json!([payment()]).to_string()).await.status, 201);
    table.finish(&world).await;
}

#[tokio::test]
async fn a_device_gets_what_its_user_allowed_in_detail() {
    let world = world::shared().await;
    let tenant = stage(&world, "details-device").await;
    let alice = tenant.user("alice").await;
    let details = json!([files(&["read"])]).to_string();
    let begun = web::send(tenant.service.back_channel("device_authorization", &[("authorization_details", &details)]));
    let begun = begun.await.expect(200);
    let browser = Browser::new();
    let url = begun.text_of("verification_uri_complete").parse().expect("a URL");
    let sign_in = browser.open_page(&url).await;
    let confirm = browser.sign_in(&sign_in.expect_form(), &alice.email, &alice.password).await;
    assert!(confirm.text().contains("Open files"), "{}", confirm.text());
    let _ = browser.consent(&confirm.expect_form()).await;
    let code = begun.text_of("device_code");
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code.as_str())];
    let token = tenant.service.token(&form).await.expect(200);
    assert_eq!(token.json["authorization_details"], json!([files(&["read"])]));
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_never_reaches_a_pod() {
    let world = world::shared().await;
    let tenant = stage(&world, "details-schema").await;
    for schema in [
        json!({ "type": "nothing" }),
        json!({ "pattern": "(" }),
        json!({ "$ref": "https://evil.example/schema" }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }),
        json!({ "description": "x".repeat(9000) }),
        json!(true),
    ] {
        let types = json!({ "a/b": { "description": "x", "schema": schema } });
        let patch = json!({ "settings": { "oauth": { "authorization_details_types": types } } });
        let answer = tenant.admin.patch(&format!("/tenants/{}", tenant.slug), &patch).await.expect(422);
        let pointer = "/settings/oauth/authorization_details_types/a~1b/schema";
        assert_eq!(answer.pointers(), [pointer], "{}", answer.text);
    }
}
