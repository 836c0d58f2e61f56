//! The form of every answer: what caches may keep, how errors look, what challenges say, and whose pages may read it. By
//! list: an endpoint without a row fails.

use reqwest::Method;
use serde_json::{Value, json};
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web::{self, Answer};
use tests::world;

use super::tenants::routes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Forms from clients that authenticate, JSON for them (RFC 6749 §5).
    Client,
    /// By an access token (RFC 6750, RFC 9449) with that scope.
    Protected(&'static str),
    /// By a token of its own, JSON (RFC 7591, 7592).
    Registration,
    /// The same for everybody.
    Public,
    /// HTML, or a redirect.
    Page,
    /// The same, to a form of a page.
    Posted,
}

/// Whose pages may read the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Those at origins of the tenant's clients.
    Clients,
    Everybody,
    Nobody,
}

use Form::{Client, Page, Posted, Protected, Public, Registration};
use Readers::{Clients, Everybody, Nobody};

/// Every endpoint of a tenant. A new one needs its row here.
const ENDPOINTS: &[(&str, Form, Readers)] = &[
    ("/.well-known/jwks.json", Public, Everybody),
    ("/.well-known/oauth-authorization-server", Public, Everybody),
    ("/.well-known/oauth-protected-resource", Public, Everybody),
    ("/.well-known/oauth-protected-resource/{resource:.+}", Public, Everybody),
    ("/.well-known/openid-configuration", Public, Everybody),
    ("/account", Page, Nobody),
    ("/account/access", Posted, Nobody),
    ("/account/factors", Page, Nobody),
    ("/account/password", Page, Nobody),
    ("/account/request", Page, Nobody),
    ("/api/v1/users", Protected("hj:users.read"), Nobody),
    ("/api/v1/users/{id}", Protected("hj:users.read"), Nobody),
    ("/api/v1/users/{id}/factors", Protected("hj:users.read"), Nobody),
    ("/api/v1/users/{id}/factors/{factor_id}", Protected("hj:users.read"), Nobody),
    ("/api/v1/users/{id}/identities", Protected("hj:users.read"), Nobody),
    ("/api/v1/users/{id}/identities/{provider}", Protected("hj:users.read"), Nobody),
    ("/consent", Page, Nobody),
    ("/forgot-password", Page, Nobody),
    ("/login", Page, Nobody),
    ("/login/{provider}", Page, Nobody),
    ("/login/{provider}/callback", Page, Nobody),
    ("/mfa", Page, Nobody),
    ("/mfa/totp", Page, Nobody),
    ("/mfa/webauthn", Page, Nobody),
    ("/oauth2/authorize", Page, Nobody),
    ("/oauth2/bc-authorize", Client, Nobody),
    ("/oauth2/device", Page, Nobody),
    ("/oauth2/device_authorization", Client, Nobody),
    ("/oauth2/introspect", Client, Nobody),
    ("/oauth2/logout", Page, Nobody),
    ("/oauth2/par", Client, Clients),
    ("/oauth2/register", Registration, Everybody),
    ("/oauth2/register/{client_id}", Registration, Everybody),
    ("/oauth2/revoke", Client, Clients),
    ("/oauth2/token", Client, Clients),
    ("/oauth2/userinfo", Protected("openid"), Clients),
    ("/register", Page, Nobody),
    ("/reset-password", Page, Nobody),
    ("/verify-email", Page, Nobody),
];

const ORIGIN: &str = "https://app.example";

#[test]
fn every_endpoint_has_a_form() {
    let rows = ENDPOINTS.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(routes(), rows, "the routes (left) and the rows here (right)");
}

/// A tenant whose client `all` may use every endpoint for clients, and whose client `app` runs in pages.
async fn stage(name: &str) -> (Tenant, RelyingParty) {
    let world = world::shared().await;
    // Nobody asks the mail server for anything.
    let settings = json!({
        "oauth": { "registration": { "mode": "token" } }, "registration_enabled": true,
        "smtp": { "host": "mail.example", "from": "no-reply@mail.example" },
    });
    let tenant = Tenant::create_with(&world, name, settings).await;
    tenant.user("alice").await;
    let all = json!({
        "client_id": "all", "name": "All", "scopes": ["openid"], "backchannel_token_delivery_mode": "poll",
        "redirect_uris": [tests::tenant::BACKEND_REDIRECT],
        "grant_types": ["authorization_code", "client_credentials", "urn:openid:params:grant-type:ciba",
                        "urn:ietf:params:oauth:grant-type:device_code"],
    });
    let secret = tenant.admin.create_client(&tenant.slug, &all).await.secret;
    tenant.patch_client("app", &json!({ "allowed_origins": [ORIGIN] })).await;
    let all = RelyingParty::new(&tenant.issuer, "all", secret, tests::tenant::BACKEND_REDIRECT);
    (tenant, all)
}

fn url(tenant: &Tenant, path: &str) -> String {
    let path = path.replace("{resource:.+}", "oauth2/userinfo").replace("{id}", "x").replace("{client_id}", "x");
    format!("{}{path}", tenant.issuer)
}

fn of(form: impl Fn(Form) -> bool) -> impl Iterator<Item = &'static str> {
    ENDPOINTS.iter().filter(move |(_, its, _)| form(*its)).map(|(path, ..)| *path)
}

/// RFC 6749 §5.1: no cache keeps it, old ones neither.
fn is_private(table: &mut Table, what: &str, answer: &Answer) {
    let headers = (answer.header("cache-control"), answer.header("pragma"));
    table.check(what, headers == (Some("no-store"), Some("no-cache")), || format!("{headers:?} {}", answer.status));
}

/// RFC 6749 §5.2, and nothing beside it but the platform's own code.
fn is_error(table: &mut Table, what: &str, answer: &Answer) {
    is_private(table, what, answer);
    let kind = answer.header("content-type").unwrap_or_default();
    table.check(what, kind == "application/json", || kind.to_owned());
    let members: Vec<_> = answer.json.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let known = |name: &&str| ["error", "error_description", "code"].contains(name);
    table.check(what, members.len() >= 2 && members.iter().all(known), || answer.text.clone());
    // §5.2: %x20-21 / %x23-5B / %x5D-7E
    let plain = |text: &Value| {
        let mut bytes = text.as_str().unwrap_or("\"").bytes();
        bytes.all(|byte| (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\')
    };
    let texts = [&answer.json["error"], &answer.json["error_description"]];
    table.check(what, texts.into_iter().all(plain), || answer.text.clone());
    let challenged = answer.header("www-authenticate").is_some_and(|told| told.starts_with("Basic realm="));
    table.check(what, challenged == (answer.status == 401), || format!("{:?}", answer.headers));
}

fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok()).collect()
}

#[tokio::test]
async fn endpoints_for_clients_answer_in_the_form_of_oauth() {
    let world = world::shared().await;
    let (tenant, all) = stage("form").await;
    let secret = all.secret.as_deref();
    let mut table = Table::new();
    for path in of(|form| form == Client) {
        let url = url(&tenant, path);
        let post = || all.http.post(&url);
        let good = || post().basic_auth("all", secret);
        let big = "x".repeat(1 << 20);
        for (what, request, statuses, errors) in [
            ("JSON", good().json(&json!({})), &[400, 415][..], &["invalid_request"][..]),
            ("no media type", good().body("token=x"), &[400, 415], &["invalid_request"]),
            (
                "twice",
                good().form(&[("a", "1"), ("scope", "openid"), ("scope", "openid")]),
                &[400],
                &["invalid_request"],
            ),
            ("no client", post().form(&[("token", "x")]), &[400, 401], &["invalid_client", "invalid_request"]),
            ("an unknown client", post().basic_auth("nobody", secret).form(&[("a", "1")]), &[401], &["invalid_client"]),
            ("a wrong secret", post().basic_auth("all", Some("x")).form(&[("a", "1")]), &[401], &["invalid_client"]),
            (
                "a public client's secret",
                post().basic_auth("app", Some("x")).form(&[("a", "1")]),
                &[401],
                &["invalid_client"],
            ),
            (
                "no Basic",
                post().header("authorization", "Basic ü").form(&[("a", "1")]),
                &[400, 401],
                &["invalid_client", "invalid_request"],
            ),
            (
                "another scheme",
                post().bearer_auth("x").form(&[("a", "1")]),
                &[400, 401],
                &["invalid_client", "invalid_request"],
            ),
            ("two clients", good().form(&[("client_id", "app")]), &[400, 401], &["invalid_client", "invalid_request"]),
            ("two ways", good().form(&[("client_secret", "x")]), &[400], &["invalid_request"]),
            (
                "in the URL",
                post()
                    .query(&[("client_id", "all"), ("client_secret", secret.expect("it has one"))])
                    .form(&[("a", "1")]),
                &[400, 401],
                &["invalid_client", "invalid_request"],
            ),
            ("1 MiB", good().form(&[("a", &big)]), &[400, 413], &["invalid_request"]),
        ] {
            let what = format!("{path}: {what}");
            let answer = table.oauth(&what, request, statuses, errors).await;
            if answer.status != 200 {
                is_error(&mut table, &what, &answer);
            }
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let what = format!("{path}: {method}");
            let answer = table.row(&what, all.http.request(method, &url), &[405]).await;
            let allows = answer.header("allow").is_some_and(|methods| methods.contains("POST"));
            table.check(&what, allows, || format!("{:?}", answer.headers));
        }
    }
    for (path, form) in successes(&all, &tenant) {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = path.rsplit('/').next().expect("a path");
        let answer = table.row(path, all.back_channel(name, &form), &[200, 201]).await;
        is_private(&mut table, path, &answer);
        let kind = answer.header("content-type");
        table.check(path, answer.text.is_empty() || kind == Some("application/json"), || format!("{kind:?}"));
        table.check(path, answer.header("set-cookie").is_none(), || format!("{:?}", answer.headers));
    }
    table.finish(&world).await;
}

/// What each endpoint for clients says yes to.
fn successes(all: &RelyingParty, tenant: &Tenant) -> Vec<(&'static str, Vec<(String, String)>)> {
    let email = format!("alice@{}.example", tenant.slug);
    let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let request = all.attempt_with(&[("scope", Some("openid"))]).url;
    let of = |path| match path {
        "/oauth2/token" => form(&[("grant_type", "client_credentials")]),
        "/oauth2/par" => request.query_pairs().into_owned().collect(),
        "/oauth2/device_authorization" => form(&[("scope", "openid")]),
        "/oauth2/bc-authorize" => form(&[("scope", "openid"), ("login_hint", &email)]),
        "/oauth2/introspect" | "/oauth2/revoke" => form(&[("token", "x")]),
        other => panic!("what does {other} say yes to?"),
    };
    self::of(|form| form == Client).map(|path| (path, of(path))).collect()
}

#[tokio::test]
async fn protected_endpoints_challenge_by_the_scheme_that_was_used() {
    let world = world::shared().await;
    let (tenant, _) = stage("challenge").await;
    let other = tenant.service.client_credentials("hj:users.write").await;
    let mut table = Table::new();
    for (path, form, _) in ENDPOINTS {
        let Protected(scope) = form else { continue };
        let get = || tenant.app.http.get(url(&tenant, path));
        for (what, request, status, error, schemes) in [
            ("nothing", get(), 401, "", &["Bearer", "DPoP"][..]),
            ("another scheme", get().basic_auth("app", Some("x")), 401, "", &["Bearer", "DPoP"]),
            ("a token in the URL", get().query(&[("access_token", &other)]), 401, "", &["Bearer", "DPoP"]),
            ("no token", get().header("authorization", "Bearer"), 400, "invalid_request", &["Bearer", "DPoP"]),
            ("garbage", get().bearer_auth("x"), 401, "invalid_token", &["Bearer", "DPoP"]),
            ("garbage by DPoP", get().header("authorization", "DPoP x"), 401, "invalid_token", &["DPoP"]),
            ("unbound", get().header("authorization", format!("DPoP {other}")), 403, "insufficient_scope", &["DPoP"]),
            ("another scope", get().bearer_auth(&other), 403, "insufficient_scope", &["Bearer", "DPoP"]),
        ] {
            let what = format!("{path}: {what}");
            let answer = table.row(&what, request, &[status]).await;
            is_private(&mut table, &what, &answer);
            let told = challenges(&answer);
            let found: Vec<_> = told.iter().filter_map(|one| one.split(' ').next()).collect();
            table.check(&what, found == schemes, || format!("{told:?}"));
            // RFC 6750 §3.1: who shows nothing is told of no error; RFC 9449 §7.1: the scheme that was used says what it was.
            let wrong = told.first().copied().unwrap_or_default();
            let named = wrong.contains(&format!("error=\"{error}\""));
            table.check(&what, if error.is_empty() { !wrong.contains("error") } else { named }, || wrong.to_owned());
            table.check(&what, told.iter().skip(1).all(|one| !one.contains("error")), || format!("{told:?}"));
            table.check(&what, told.iter().all(|one| one.contains("resource_metadata=\"")), || format!("{told:?}"));
            if error == "insufficient_scope" {
                let needed = wrong.contains(&format!("scope=\"{scope}\""));
                table.check(&what, needed, || wrong.to_owned());
            }
            let bare = answer.text.is_empty();
            table.check(&what, if error.is_empty() { bare } else { answer.json["error"] == error }, || {
                answer.text.clone()
            });
        }
    }
    for path in of(|form| form == Registration) {
        let (url, http) = (url(&tenant, path), &tenant.app.http);
        let method = if path.ends_with('}') { Method::GET } else { Method::POST };
        let ask = || http.request(method.clone(), &url).json(&json!({}));
        for (what, request, error) in [("nothing", ask(), ""), ("garbage", ask().bearer_auth("x"), "invalid_token")] {
            let what = format!("{path}: {what}");
            let answer = table.row(&what, request, &[401]).await;
            is_private(&mut table, &what, &answer);
            let told = challenges(&answer).join(", ");
            let named = told.contains("error=");
            table.check(&what, told.starts_with("Bearer realm=") && named != error.is_empty(), || told.clone());
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn documents_are_kept_by_caches_and_pages_by_nobody() {
    let world = world::shared().await;
    let (tenant, _) = stage("caches").await;
    let mut table = Table::new();
    for (path, form, _) in ENDPOINTS {
        let get = tenant.app.http.get(url(&tenant, path));
        let kept = |answer: &Answer| answer.header("cache-control").unwrap_or_default().to_owned();
        match form {
            Public => {
                let answer = table.row(path, get, &[200]).await;
                table.check(path, kept(&answer).starts_with("public, max-age="), || kept(&answer));
                table.check(path, answer.header("set-cookie").is_none(), || format!("{:?}", answer.headers));
                let kind = answer.header("content-type").unwrap_or_default();
                table.check(path, kind == "application/json", || kind.to_owned());
            }
            Page | Posted => {
                let posted = tenant.app.http.post(url(&tenant, path)).form(&[("client_id", "all")]);
                let request = if *form == Page { get } else { posted };
                // 404: of a provider that the tenant has not.
                let answer = table.row(path, request, &[200, 303, 400, 404]).await;
                table.check(path, kept(&answer).contains("no-store"), || format!("{:?}", answer.headers));
                let policy = answer.header("content-security-policy").unwrap_or_default();
                let framed = answer.status == 200 && !policy.contains("frame-ancestors 'none'");
                table.check(path, !framed, || format!("{:?}", answer.headers));
                table.check(path, answer.header("referrer-policy").is_some(), || format!("{:?}", answer.headers));
            }
            Client | Protected(_) | Registration => {}
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn pages_of_known_origins_read_what_is_meant_for_them() {
    let world = world::shared().await;
    let (tenant, _) = stage("origins").await;
    let mut table = Table::new();
    for (path, form, readers) in ENDPOINTS {
        let url = url(&tenant, path);
        let method = match form {
            Client | Registration if !path.ends_with('}') => Method::POST,
            _ => Method::GET,
        };
        for origin in [ORIGIN, "https://evil.example", "null", "https://app.example.evil.example", "http://app.example"]
        {
            let what = format!("{path} for {origin}");
            let expected = match readers {
                Clients => (origin == ORIGIN).then_some(origin),
                Everybody => Some("*"),
                Nobody => None,
            };
            let asked = tenant.app.http.request(method.clone(), &url).header("origin", origin);
            let answer = web::send(asked).await;
            let read = |answer: &Answer| answer.header("access-control-allow-origin").map(ToOwned::to_owned);
            table.check(&what, read(&answer).as_deref() == expected, || format!("{:?}", answer.headers));
            table.check(&what, answer.header("access-control-allow-credentials").is_none(), || "cookies".to_owned());
            if *readers == Clients {
                let varies = answer.header("vary").unwrap_or_default().to_lowercase();
                table.check(&what, varies.contains("origin"), || format!("{:?}", answer.headers));
            }
            let preflight = tenant.app.http.request(Method::OPTIONS, &url).header("origin", origin);
            let preflight = preflight.header("access-control-request-method", method.as_str());
            let answer = web::send(preflight.header("access-control-request-headers", "authorization,dpop")).await;
            // A simple GET needs none; nobody else's page gets a yes.
            let expected = if *form == Public { None } else { expected };
            table.check(&what, read(&answer).as_deref() == expected, || format!("preflight: {:?}", answer.headers));
            if *readers == Clients {
                let headers = answer.header("access-control-allow-headers").unwrap_or_default();
                let named = headers.contains("authorization") && headers.contains("dpop");
                table.check(&what, named == expected.is_some(), || format!("{:?}", answer.headers));
            }
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn pages_of_one_client_do_not_read_what_another_was_answered() {
    const OTHER: &str = "https://backend.example";
    let world = world::shared().await;
    let (tenant, _) = stage("readers").await;
    tenant.patch_client("backend", &json!({ "allowed_origins": [OTHER] })).await;
    let bob = tenant.user("bob").await;
    let access = tenant.app.sign_in(&bob).await.access;
    let by_token = |token: &str| tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(token);
    let mut table = Table::new();
    for (what, status, own, request) in [
        ("a public client's token", 400, ORIGIN, tenant.app.token_request(&[("grant_type", "refresh_token")])),
        ("a confidential one's", 400, OTHER, tenant.backend.token_request(&[("grant_type", "refresh_token")])),
        ("with a wrong secret", 401, OTHER, tenant.backend.with_secret("wrong").token_request(&[("grant_type", "x")])),
        ("revocation", 200, ORIGIN, tenant.app.back_channel("revoke", &[("token", "unknown")])),
        ("a pushed request", 400, ORIGIN, tenant.app.back_channel("par", &[("response_type", "id_token")])),
        ("userinfo", 200, ORIGIN, by_token(&access)),
        ("userinfo for a token of nobody", 401, "", by_token("x")),
        ("a client that is not named", 401, "", tenant.app.http.post(tenant.app.endpoint("token")).form(&[("a", "b")])),
    ] {
        for origin in [ORIGIN, OTHER] {
            let what = format!("{what}, read by {origin}");
            let answer = web::send(request.try_clone().expect("its body is text").header("origin", origin)).await;
            table.check(&what, answer.status == status, || format!("{answer:?}"));
            // Nobody's answer says nothing of anybody: those who build a client may read it.
            let expected = (own.is_empty() || own == origin).then_some(origin);
            let allowed = answer.header("access-control-allow-origin");
            table.check(&what, allowed == expected, || format!("{:?}", answer.headers));
        }
    }
    table.finish(&world).await;
}
