//! Clients that other people wrote, in the languages they wrote them in: each must get along with us as it comes.
//!
//! Their packages are pinned in `tests/clients` and installed once below `target/`. A script there asks its test to be
//! the person at the browser (see [`script`]).

#[path = "clients/authlib.rs"]
mod authlib;
#[path = "clients/jose.rs"]
mod jose;
#[path = "clients/oauth4webapi.rs"]
mod oauth4webapi;
#[path = "clients/oidc_client_ts.rs"]
mod oidc_client_ts;
#[path = "clients/openid_client.rs"]
mod openid_client;
#[path = "clients/openidconnect.rs"]
mod openidconnect_crate;
#[path = "clients/script.rs"]
mod script;

use serde_json::{Value, json};
use tests::tenant::Tenant;

/// Any of a client's own may be registered here, by anybody.
fn open() -> Value {
    let grants =
        ["authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"];
    json!({ "mode": "open", "grant_types": grants })
}

/// A client made by an operator, known to every pod: its id and secret.
async fn client(tenant: &Tenant, client: &Value) -> Value {
    let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let made = tenant.admin.post(&clients, client).await.expect(201);
    json!({ "client_id": made.text_of("client_id"), "client_secret": made.text_of("client_secret") })
}
