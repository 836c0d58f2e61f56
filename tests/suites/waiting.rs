//! Clients that wait for a user who answers elsewhere: devices (RFC 8628) and CIBA.

#[path = "waiting/ciba.rs"]
mod ciba;
#[path = "waiting/device.rs"]
mod device;

use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::relying_party::RelyingParty;
use tests::tenant::{Tenant, User};
use tests::web::Answer;
use tests::world::World;
use tokio::sync::OnceCell;
use url::Url;

/// Two pods that reach listeners of this machine.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::with_outbound(2)).await
}

/// A tenant with another client, which every pod knows.
async fn with_client(name: &str, settings: Value, client: Value) -> (Tenant, RelyingParty) {
    let tenant = Tenant::create_with(world().await, name, settings).await;
    let party = add_client(&tenant, client).await;
    (tenant, party)
}

async fn add_client(tenant: &Tenant, client: Value) -> RelyingParty {
    let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let answer = tenant.admin.post(&clients, &client).await.expect(201);
    let secret = answer.json["client_secret"].as_str().map(ToOwned::to_owned);
    RelyingParty::new(&tenant.issuer, &answer.text_of("client_id"), secret, "")
}

fn page_url(tenant: &Tenant, path: &str, parameters: &[(&str, &str)]) -> Url {
    Url::parse_with_params(&format!("{}{path}", tenant.issuer), parameters).expect("a URL")
}

/// Opens the page, signing in on the way.
async fn open_signed_in(browser: &Browser, url: &Url, user: &User) -> Page {
    let page = browser.open_page(url).await;
    match page.form() {
        Some(form) if form.asks_for_password() => browser.sign_in(&form, &user.email, &user.password).await,
        _ => page,
    }
}

async fn press(browser: &Browser, page: &Page, value: &str) -> Page {
    let form = page.expect_form();
    let button = form.buttons.iter().find(|button| button.value == value);
    browser.submit(&form, &[], Some(button.unwrap_or_else(|| panic!("no {value}: {page:#?}")))).await
}

#[track_caller]
fn refused(answer: &Answer, error: &str) {
    assert_eq!((answer.status, answer.code()), (400, error), "{answer:#?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// Has nobody asked lately, so that the next question is not too soon.
async fn forget_last_question(tenant: &Tenant, table: &str) {
    let sql = format!("update {table} set last_polled_at = null");
    tenant.database.connect().await.execute(&sql, &[]).await.expect("the table is there");
}

async fn expire(tenant: &Tenant, table: &str) {
    let sql = format!("update {table} set expires_at = now()");
    tenant.database.connect().await.execute(&sql, &[]).await.expect("the table is there");
}

const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

fn short() -> Value {
    json!({ "oauth": { "polling_interval_secs": 60 } })
}

/// A tenant whose clients may ask to make payments (RFC 9396).
fn with_payments() -> Value {
    let schema = json!({
        "type": "object", "required": ["amount"], "additionalProperties": false,
        "properties": { "type": true, "amount": { "type": "string" } },
    });
    let types = json!({ "payment": { "description": "Make a payment", "schema": schema } });
    json!({ "oauth": { "polling_interval_secs": 60, "authorization_details_types": types } })
}

fn payment() -> Value {
    json!([{ "type": "payment", "amount": "12.50 EUR" }])
}
