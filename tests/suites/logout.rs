//! Signing out, as clients see it: at their own word, by frames, and by messages that arrive whatever happens.

#[path = "logout/back_channel.rs"]
mod back_channel;
#[path = "logout/front_channel.rs"]
mod front_channel;
#[path = "logout/rp_initiated.rs"]
mod rp_initiated;

use serde_json::json;
use tests::browser::Browser;
use tests::listener::Listener;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::world::World;
use tokio::sync::OnceCell;
use url::Url;

/// Two pods that reach listeners of this machine.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::with_outbound(2)).await
}

/// Signs in with that browser, which may have a session already.
async fn sign_in(browser: &Browser, party: &RelyingParty, user: &User) -> Tokens {
    let attempt = party.attempt();
    let callback = browser.authorize(&attempt.url, user).await;
    Tokens::read(party.redeem(&parameters(&callback)["code"], &attempt.verifier).await)
}

/// Whether the browser has a session, as `backend` learns it without a page.
async fn is_signed_in(tenant: &Tenant, browser: &Browser) -> bool {
    let asked = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    parameters(&browser.open(&asked.url).await.expect_callback()).contains_key("code")
}

fn logout_url(tenant: &Tenant, parameters: &[(&str, &str)]) -> Url {
    Url::parse_with_params(&format!("{}/oauth2/logout", tenant.issuer), parameters).expect("a URL")
}

/// Has the client told at that listener.
async fn listens(tenant: &Tenant, client_id: &str, listener: &Listener) {
    tenant.patch_client(client_id, &json!({ "backchannel_logout_uri": listener.url("/logout") })).await;
}
