//! What belongs to one tenant means nothing to another: each kind of credential at each endpoint of the other tenant. By
//! list: an endpoint without a row fails.

use std::collections::BTreeSet;

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web::{self, Answer};
use tests::world;
use url::Url;

/// How an endpoint takes what it is shown.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Tells everybody the same.
    Public,
    /// By an access token.
    Bearer,
    /// By a client that authenticates.
    Client,
    /// By a browser's cookies.
    Page,
    /// By an initial access token.
    Registration,
}

/// Every endpoint of a tenant. A new one needs its row here.
const DOORS: &[(&str, Door)] = &[
    ("/.well-known/jwks.json", Door::Public),
    ("/.well-known/oauth-authorization-server", Door::Public),
    ("/.well-known/oauth-protected-resource", Door::Public),
    ("/.well-known/oauth-protected-resource/{resource:.+}", Door::Public),
    ("/.well-known/openid-configuration", Door::Public),
    ("/account", Door::Page),
    ("/account/access", Door::Page),
    ("/account/factors", Door::Page),
    ("/account/password", Door::Page),
    ("/account/request", Door::Page),
    ("/api/v1/users", Door::Bearer),
    ("/api/v1/users/{id}", Door::Bearer),
    ("/api/v1/users/{id}/factors", Door::Bearer),
    ("/api/v1/users/{id}/factors/{factor_id}", Door::Bearer),
    ("/api/v1/users/{id}/identities", Door::Bearer),
    ("/api/v1/users/{id}/identities/{provider}", Door::Bearer),
    ("/consent", Door::Page),
    ("/forgot-password", Door::Page),
    ("/login", Door::Page),
    ("/login/{provider}", Door::Page),
    ("/login/{provider}/callback", Door::Page),
    ("/mfa", Door::Page),
    ("/mfa/totp", Door::Page),
    ("/mfa/webauthn", Door::Page),
    ("/oauth2/authorize", Door::Page),
    ("/oauth2/bc-authorize", Door::Client),
    ("/oauth2/device", Door::Page),
    ("/oauth2/device_authorization", Door::Client),
    ("/oauth2/introspect", Door::Client),
    ("/oauth2/logout", Door::Page),
    ("/oauth2/par", Door::Client),
    ("/oauth2/register", Door::Registration),
    ("/oauth2/register/{client_id}", Door::Bearer),
    ("/oauth2/revoke", Door::Client),
    ("/oauth2/token", Door::Client),
    ("/oauth2/userinfo", Door::Bearer),
    ("/register", Door::Page),
    ("/reset-password", Door::Page),
    ("/verify-email", Door::Page),
];

/// The paths of a tenant's endpoints, as the data plane mounts them.
pub(super) fn routes() -> BTreeSet<String> {
    tests::routes::tenant_routes().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn every_endpoint_has_a_row() {
    let rows = DOORS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(routes(), rows, "the routes (left) and the rows here (right)");
}

/// All that people and clients of one tenant hold.
struct Held {
    credentials: Vec<(&'static str, String)>,
    cookies: String,
}

async fn hold(tenant: &Tenant) -> Held {
    let alice = tenant.user("alice").await;
    let (jwts, own) = (tenant.app.sign_in(&alice).await, tenant.service.client_credentials("hj:users.read").await);
    for client in ["backend", "service"] {
        tenant.patch_client(client, &json!({ "access_token_format": "opaque" })).await;
    }
    let opaque = tenant.backend.sign_in(&alice).await;
    let own_opaque = tenant.service.client_credentials("hj:users.read hj:users.write").await;
    let browser = Browser::new();
    let attempt = tenant.backend.attempt();
    let callback = browser.authorize(&attempt.url, &alice).await;
    let cookies = browser.cookies(&attempt.url);
    assert!(cookies.contains("hj_session"), "{cookies}");
    let code = tests::relying_party::parameters(&callback).remove("code").expect("a code");
    let credentials = vec![
        ("a user's JWT", jwts.access.clone()),
        ("a client's JWT", own),
        ("a user's opaque token", opaque.access.clone()),
        ("a client's opaque token", own_opaque),
        ("a public client's refresh token", jwts.refresh().to_owned()),
        ("a confidential client's refresh token", opaque.refresh().to_owned()),
        ("an ID token", jwts.id().to_owned()),
        ("a code", code),
    ];
    Held { credentials, cookies }
}

#[tokio::test]
async fn every_credential_is_refused_at_every_endpoint_of_another_tenant() {
    let world = world::shared().await;
    let (a, b) = (world.tenant("ours").await, world.tenant("theirs").await);
    let held = hold(&a).await;
    // A client that only A has, whose secret is good there.
    let client = json!({ "client_id": "only-ours", "name": "Ours", "grant_types": ["client_credentials"] });
    let secret = a.admin.create_client(&a.slug, &client).await.secret;
    let ours = RelyingParty::new(&b.issuer, "only-ours", secret, "");
    assert_eq!(ours.at(&a.issuer).token(&[("grant_type", "client_credentials")]).await.status, 200);
    let mut table = Table::new();
    for (path, door) in DOORS {
        let url = format!("{}{}", b.issuer, path.replace("{id}", "x").replace("{resource:.+}", "oauth2/userinfo"));
        match door {
            Door::Public => public(&mut table, &url, &held).await,
            Door::Bearer => bearer(&mut table, &url, &held).await,
            Door::Client => client_door(&mut table, path, &url, &held, &ours, &b).await,
            Door::Page => page(&mut table, &url, &held, &b).await,
            Door::Registration => registration(&mut table, &url, &held).await,
        }
    }
    // And all of it was good where it belongs.
    let (_, token) = &held.credentials[0];
    table.row("at home", a.app.http.get(a.app.endpoint("userinfo")).bearer_auth(token), &[200]).await;
    table.finish(&world).await;
}

async fn public(table: &mut Table, url: &str, held: &Held) {
    let plain = table.row(url, web::client().get(url), &[200]).await;
    for (what, value) in &held.credentials {
        let shown = table.row(&format!("{what} at {url}"), web::client().get(url).bearer_auth(value), &[200]).await;
        table.check(url, shown.text == plain.text, || format!("{what} changes the answer"));
    }
}

async fn bearer(table: &mut Table, url: &str, held: &Held) {
    for (what, value) in &held.credentials {
        table.row(&format!("{what} at {url}"), web::client().get(url).bearer_auth(value), &[401]).await;
    }
    let cookies = web::client().get(url).header("cookie", &held.cookies);
    table.row(&format!("cookies at {url}"), cookies, &[401]).await;
}

async fn registration(table: &mut Table, url: &str, held: &Held) {
    for (what, value) in &held.credentials {
        let metadata = json!({ "redirect_uris": ["https://app.example/cb"] });
        let asked = web::client().post(url).bearer_auth(value).json(&metadata);
        table.row(&format!("{what} at {url}"), asked, &[401, 403, 404]).await;
    }
}

/// The other tenant's client is unknown; and with a client of this tenant, nothing of the other's is known.
async fn client_door(table: &mut Table, path: &str, url: &str, held: &Held, ours: &RelyingParty, b: &Tenant) {
    let unknown = ours.http.post(url).basic_auth(&ours.client_id, ours.secret.as_ref()).form(&[("token", "x")]);
    table.oauth(&format!("a client at {url}"), unknown, &[401], &["invalid_client"]).await;
    for (what, value) in &held.credentials {
        for party in [&b.backend, &b.service, &b.app] {
            for (what, form) in forms(path, what, value) {
                let form: Vec<(&str, &str)> =
                    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let name = path.rsplit('/').next().expect("a path");
                let answer =
                    table.row(&format!("{what} at {url}"), party.back_channel(name, &form), &[200, 400, 401]).await;
                table.check(&what, is_nothing(path, &answer), || format!("{} {}", answer.status, answer.text));
            }
        }
    }
}

fn forms(path: &str, what: &str, value: &str) -> Vec<(String, Vec<(String, String)>)> {
    let form =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    if path != "/oauth2/token" {
        return vec![(what.to_owned(), form(&[("token", value)]))];
    }
    let redirect = tests::tenant::BACKEND_REDIRECT;
    let mut all = vec![
        (
            format!("{what} as a code"),
            form(&[("grant_type", "authorization_code"), ("code", value), ("redirect_uri", redirect)]),
        ),
        (format!("{what} as a refresh token"), form(&[("grant_type", "refresh_token"), ("refresh_token", value)])),
        (
            format!("{what} as an assertion"),
            form(&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", value)]),
        ),
    ];
    for kind in ["access_token", "refresh_token", "id_token", "jwt"] {
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
        let pairs = [("grant_type", grant), ("subject_token", value), ("subject_token_type", kind.as_str())];
        all.push((format!("{what} to exchange"), form(&pairs)));
    }
    all
}

fn is_nothing(path: &str, answer: &Answer) -> bool {
    match path {
        "/oauth2/introspect" => answer.status == 401 || answer.text == r#"{"active":false}"#,
        // An unknown token is as good as revoked; that nothing was, is seen at home.
        "/oauth2/revoke" => answer.status == 200 && answer.text.is_empty(),
        _ => answer.status != 200,
    }
}

/// The other tenant's cookies are nobody's: the page is the one that everybody gets.
async fn page(table: &mut Table, url: &str, held: &Held, b: &Tenant) {
    let url = if url.ends_with("/authorize") {
        b.backend.attempt_with(&[("prompt", Some("none"))]).url
    } else {
        Url::parse(url).expect("a URL")
    };
    let answer = web::send(Browser::request_with_cookies(&url, &held.cookies)).await;
    let plain = web::send(web::client().get(url.clone())).await;
    let location =
        |answer: &Answer| answer.header("location").map(|to| to.split("state=").next().unwrap_or(to).to_owned());
    table.check(url.as_str(), answer.status == plain.status, || format!("{} / {}", answer.status, plain.status));
    table.check(url.as_str(), location(&answer) == location(&plain), || {
        format!("{:?} / {:?}", answer.headers, plain.headers)
    });
    if url.path().ends_with("/authorize") {
        let refused = answer.header("location").is_some_and(|to| to.contains("error=login_required"));
        table.check(url.as_str(), refused, || format!("{answer:?}"));
    }
}

/// Whatever is out when a tenant ends opens nothing, anywhere.
#[tokio::test]
async fn a_tenant_that_is_suspended_or_gone_has_no_open_endpoint() {
    let world = world::shared().await;
    let tenant = world.tenant("ended").await;
    let held = hold(&tenant).await;
    let mut table = Table::new();
    let (_, token) = &held.credentials[0];
    let everywhere = async |table: &mut Table, when: &str, status: u16| {
        for (path, _) in DOORS {
            let url =
                format!("{}{}", tenant.issuer, path.replace("{id}", "x").replace("{resource:.+}", "oauth2/userinfo"));
            let http = web::client();
            let get = http.get(&url).bearer_auth(token).header("cookie", &held.cookies);
            table.row(&format!("{when}: GET {path}"), get, &[status, 405]).await;
            for (what, credential) in &held.credentials {
                let form = [("token", credential.as_str()), ("refresh_token", credential), ("code", credential)];
                let post = http.post(&url).basic_auth("service", tenant.service.secret.as_deref()).form(&form);
                table.row(&format!("{when}: POST {path} with {what}"), post, &[status, 405]).await;
            }
        }
    };
    tenant.patch(&json!({ "status": "suspended" })).await;
    everywhere(&mut table, "suspended", 403).await;
    let path = format!("/tenants/{}?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.delete(&path).await.expect_one_of(&[200, 204]);
    everywhere(&mut table, "gone", 404).await;
    table.finish(&world).await;
}
