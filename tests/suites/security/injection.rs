//! SQL in whatever is sent: it is text. A statement that ran it would sleep for longer than anybody here waits.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;
use tests::world;
use url::Url;

const SQL: [&str; 4] = [
    "'; select pg_sleep(60)--",
    "' || pg_sleep(60) || '",
    "1) or pg_sleep(60) is null --",
    // Good enough for an address.
    "a'||pg_sleep(60)||'@x.example",
];
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CIBA: &str = "urn:openid:params:grant-type:ciba";

type Rows = Vec<(&'static str, RequestBuilder, Vec<u16>)>;

async fn stage() -> Tenant {
    let world = world::shared().await;
    let tenant = Tenant::create_with(&world, "injection", json!({ "registration_enabled": true })).await;
    let grants = json!(["authorization_code", "refresh_token", DEVICE, CIBA]);
    tenant.patch_client("backend", &json!({ "grant_types": grants, "backchannel_token_delivery_mode": "poll" })).await;
    tenant
}

/// What clients send, by the back channel.
fn of_clients(tenant: &Tenant, sql: &str) -> Rows {
    let (backend, service) = (&tenant.backend, &tenant.service);
    let verifier = "v".repeat(43);
    let grant = ("grant_type", "client_credentials");
    let code =
        [("grant_type", "authorization_code"), ("code", sql), ("redirect_uri", sql), ("code_verifier", &verifier)];
    let named = |secret: &str| RelyingParty::new(&tenant.issuer, sql, Some(secret.to_owned()), "");
    let refused = || vec![400, 401];
    vec![
        ("client_id", named("x").token_request(&[grant]), refused()),
        ("client_secret", service.with_secret(sql).token_request(&[grant]), refused()),
        (
            "client_id in the form",
            tenant.app.http.post(service.endpoint("token")).form(&[grant, ("client_id", sql)]),
            refused(),
        ),
        ("code", backend.token_request(&code), refused()),
        ("scope", service.token_request(&[grant, ("scope", sql)]), refused()),
        ("resource", service.token_request(&[grant, ("resource", sql)]), refused()),
        ("grant_type", service.token_request(&[("grant_type", sql)]), refused()),
        ("refresh_token", backend.token_request(&[("grant_type", "refresh_token"), ("refresh_token", sql)]), refused()),
        (
            "username",
            backend.token_request(&[("grant_type", "password"), ("username", sql), ("password", sql)]),
            refused(),
        ),
        ("device_code", backend.token_request(&[("grant_type", DEVICE), ("device_code", sql)]), refused()),
        ("auth_req_id", backend.token_request(&[("grant_type", CIBA), ("auth_req_id", sql)]), refused()),
        ("scope of a device", backend.back_channel("device_authorization", &[("scope", sql)]), refused()),
        (
            "login_hint of CIBA",
            backend.back_channel("bc-authorize", &[("scope", "openid"), ("login_hint", sql)]),
            refused(),
        ),
        ("request_uri pushed", backend.back_channel("par", &[("client_id", "backend"), ("scope", sql)]), refused()),
        ("token looked at", backend.back_channel("introspect", &[("token", sql)]), vec![200]),
        ("token given up", backend.back_channel("revoke", &[("token", sql)]), vec![200]),
        ("bearer", backend.http.get(backend.endpoint("userinfo")).bearer_auth(sql), refused()),
    ]
}

/// What browsers send in the address: shown or refused as any other text.
fn of_links(tenant: &Tenant, sql: &str) -> Rows {
    let shown = || vec![200, 302, 303, 400, 404];
    let asked = |name: &str| tenant.app.http.get(tenant.app.attempt_with(&[(name, Some(sql))]).url);
    let page = |path: &str, name: &str| {
        let url = Url::parse_with_params(&format!("{}{path}", tenant.issuer), [(name, sql)]);
        tenant.app.http.get(url.expect("a URL"))
    };
    let mut rows: Rows = ["client_id", "redirect_uri", "scope", "login_hint", "id_token_hint", "request_uri", "state"]
        .map(|name| (name, asked(name), shown()))
        .into();
    rows.extend([
        ("interaction", page("/login", "interaction"), shown()),
        ("interaction at consent", page("/consent", "interaction"), shown()),
        ("user_code", page("/oauth2/device", "user_code"), shown()),
        ("code of a mail", page("/reset-password", "code"), shown()),
        ("client_id at sign-out", page("/oauth2/logout", "client_id"), shown()),
        (
            "cookie",
            tenant.app.http.get(format!("{}/account", tenant.issuer)).header("cookie", format!("hj_session={sql}")),
            shown(),
        ),
    ]);
    rows
}

/// What who manages people sends.
fn of_managers(tenant: &Tenant, token: &str, sql: &str) -> Rows {
    let users = format!("{}/api/v1/users", tenant.issuer);
    let http = &tenant.service.http;
    let password = "a horse with a staple";
    let body = json!({ "email": format!("b{sql}"), "password": password });
    let claims = json!({ "email": "c@x.example", "password": sql, "claims": { "name": sql } });
    let mut user: Url = users.parse().expect("a URL");
    user.path_segments_mut().expect("it has a path").push(sql);
    vec![
        ("id", http.get(user.clone()).bearer_auth(token), vec![400, 404]),
        ("id to change", http.patch(user).bearer_auth(token).json(&json!({ "status": "active" })), vec![400, 404]),
        ("cursor", http.get(&users).query(&[("cursor", sql)]).bearer_auth(token), vec![400, 422]),
        ("limit", http.get(&users).query(&[("limit", sql)]).bearer_auth(token), vec![400, 422]),
        ("email of an account", http.post(&users).bearer_auth(token).json(&body), vec![201, 422]),
        ("claims of an account", http.post(&users).bearer_auth(token).json(&claims), vec![201, 409]),
    ]
}

/// Within a second; where the machine was busy, an answer to the same request tells that, whatever it finds by now.
async fn promptly(table: &mut Table, what: &str, request: RequestBuilder, statuses: &[u16]) {
    let again = || request.try_clone().expect("its body is no stream");
    let began = Instant::now();
    table.row(what, again(), statuses).await;
    if began.elapsed() >= Duration::from_secs(1) {
        web::send_promptly(what, again).await;
    }
}

#[tokio::test]
async fn sql_is_text_wherever_it_is_sent() {
    let world = world::shared().await;
    let tenant = stage().await;
    let alice = tenant.user("alice").await;
    let token = tenant.service.client_credentials("hj:users.write hj:users.read").await;
    let mut table = Table::new();
    let browser = Browser::new();
    let login = browser.open_page(&tenant.backend.attempt().url).await.expect_form();
    let register: Url = format!("{}/register", tenant.issuer).parse().expect("a URL");
    for sql in SQL {
        let rows = [of_clients(&tenant, sql), of_links(&tenant, sql), of_managers(&tenant, &token, sql)];
        for (what, request, statuses) in rows.into_iter().flatten() {
            promptly(&mut table, &format!("{what}: {sql}"), request, &statuses).await;
        }
        // Typed by people: the name, the password, and both of a new account. Each once: guesses are counted.
        for (email, password) in [(sql, "x"), (alice.email.as_str(), sql), (sql, sql)] {
            let fill = [("email", email), ("password", password)];
            let request = browser.submission(&login, &fill, None);
            table.row(&format!("signs in: {email} {password}"), request, &[403]).await;
        }
        let stranger = Browser::new();
        let form = stranger.open_page(&register).await.expect_form();
        let fill = [("email", sql), ("password", sql), ("name", sql)];
        table.row(&format!("registers: {sql}"), stranger.submission(&form, &fill, None), &[303, 422]).await;
    }
    // It is all there still, and nothing sleeps.
    let asleep = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    let asleep: i64 = tenant.database.connect().await.query_one(asleep, &[]).await.expect("it counts").get(0);
    assert_eq!(asleep, 0);
    let _ = browser.sign_in(&login, &alice.email, &alice.password).await.expect_callback();
    let users = tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&token);
    let _ = web::send(users).await.expect(200);
    table.finish(&world).await;
}
