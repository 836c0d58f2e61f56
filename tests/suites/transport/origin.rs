//! Behind a proxy each client is itself; without one nobody is who he says he is.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use tests::browser::Browser;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world;

const MANY: usize = 60;

/// Wrong passwords from that address until one has to wait, or `MANY` were tried.
async fn guess(browser: &Browser, login: &str, email: &str) -> Option<usize> {
    let login = login.parse().expect("a URL");
    let form = browser.open_page(&login).await.expect_form();
    for guesses in 1..=MANY {
        let page = browser.sign_in(&form, email, "wrong").await;
        match page.status {
            429 => return Some(guesses),
            403 => {}
            other => panic!("{other}: {}", page.body),
        }
    }
    None
}

/// Whether it had to wait from the start, as who is known: at the first guess, or soon after if the wait was just over.
fn goes_on(guesses: Option<usize>) -> bool {
    guesses.is_some_and(|guesses| guesses <= 3)
}

#[tokio::test]
async fn the_sign_in_throttle_counts_clients_behind_a_trusted_proxy_apart() {
    let world = world::shared().await;
    let tenant = world.tenant("proxied").await;
    let alice = tenant.user("alice").await;
    let control_plane = world.cluster.watch_urls();
    let start = async |name, flags| {
        let plan = Plan { name, control_plane: &control_plane, flags, ..Plan::default() };
        Pod::start(&plan, &world.cluster.secrets).await
    };
    let behind = start("behind", &["--trusted-proxies", "127.0.0.0/8,::1"]).await;
    let login = format!("{}/t/{}/login", behind.url(), tenant.slug);
    let guesser = guess(&Browser::claiming("203.0.113.1"), &login, &alice.email).await;
    assert!(guesser.is_some(), "guessing is slowed down");
    // What the client itself wrote stands to the left of what the proxy added.
    let twisted = guess(&Browser::claiming("198.51.100.9, 203.0.113.1"), &login, &alice.email).await;
    assert!(goes_on(twisted), "the same client by another claim: {twisted:?}");
    let neighbour = Browser::claiming("203.0.113.2");
    let form = neighbour.open_page(&login.parse().expect("a URL")).await.expect_form();
    let page = neighbour.sign_in(&form, &alice.email, &alice.password).await;
    assert!([200, 302, 303].contains(&page.status), "the owner is not held up: {page:#?}");

    // Nobody is trusted: the claim changes nothing.
    let open = start("open", &[]).await;
    let login = format!("{}/t/{}/login", open.url(), tenant.slug);
    assert!(guess(&Browser::claiming("203.0.113.1"), &login, &alice.email).await.is_some());
    let another = guess(&Browser::claiming("203.0.113.2"), &login, &alice.email).await;
    assert!(goes_on(another), "{another:?}");
}

/// Every header in which somebody once wrote whose request it is.
const CLAIMS: &[(&str, &str)] = &[
    ("x-forwarded-for", "203.0.113.1"),
    ("forwarded", "for=203.0.113.1"),
    ("x-real-ip", "203.0.113.1"),
    ("true-client-ip", "203.0.113.1"),
    ("cf-connecting-ip", "203.0.113.1"),
    ("x-client-ip", "203.0.113.1"),
    ("x-cluster-client-ip", "203.0.113.1"),
    ("client-ip", "203.0.113.1"),
    ("via", "1.1 203.0.113.1"),
];

#[tokio::test]
async fn a_claim_of_nobodys_proxy_counts_for_no_throttle() {
    let world = world::shared().await;
    let tenant = world.tenant("claimed").await;
    let alice = tenant.user("alice").await;
    let login = format!("{}/login", tenant.issuer);
    assert!(guess(&Browser::new(), &login, &alice.email).await.is_some(), "guessing is slowed down");
    for (name, value) in CLAIMS {
        let claimed = guess(&Browser::with_header(name, value), &login, &alice.email).await;
        assert_eq!(claimed, Some(1), "{name} makes somebody else of a guesser");
    }
}

/// The audit names who was there: the other end of the connection, unless a proxy of ours says whom it passed on.
#[tokio::test]
async fn the_audit_believes_no_claim_but_that_of_a_trusted_proxy() {
    const CLIENT: &str = "203.0.113.1";
    for (trusted, believed) in [("127.0.0.1", &CLAIMS[..1]), ("10.0.0.0/8", &[])] {
        let cluster = Cluster::start_with(1, &["--trusted-proxies", trusted]).await;
        let admin = cluster.admin(0).await;
        for (name, value) in CLAIMS {
            let slug = name.to_owned();
            let tenant = json!({ "slug": slug, "display_name": "T" });
            let made = admin.request(Method::POST, "/tenants").header(*name, *value).header("x-request-id", slug);
            let _ = web::send(made.json(&tenant)).await.expect(201);
            let refused = admin.anonymous_request(Method::POST, "/auth/token").header(*name, *value);
            let _ = web::send(refused.json(&json!({ "credential": "none" }))).await.expect(401);
        }
        // Refusals of one sender are told together, so what they must not say is looked for everywhere.
        let mut senders = BTreeSet::from(["127.0.0.1"]);
        senders.extend(believed.iter().map(|_| CLIENT));
        until("all of it is on record", PATIENCE, async || {
            let audit = admin.get("/audit/logs?order=oldest&limit=200").await.expect(200).json;
            let records = audit["items"].as_array().expect("items");
            for (name, _) in CLAIMS {
                let record = records.iter().find(|record| record["request_id"] == *name);
                let record = record.ok_or_else(|| format!("{name}: {audit:#}"))?;
                let from = if believed.iter().any(|(known, _)| known == name) { CLIENT } else { "127.0.0.1" };
                assert_eq!(record["source_address"], from, "{trusted} is trusted, {name} was sent: {record:#}");
            }
            let refused = records.iter().filter(|record| record["action"] == "sign_in.failed");
            let from: BTreeSet<&str> = refused.filter_map(|record| record["source_address"].as_str()).collect();
            assert!(believed.len() == 1 || !audit.to_string().contains(CLIENT), "{audit:#}");
            if from == senders { Ok(()) } else { Err(format!("{from:?}: {audit:#}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn the_admin_api_counts_clients_behind_a_trusted_proxy_apart() {
    for (trusted, is_shared) in [("127.0.0.1", false), ("10.0.0.0/8", true)] {
        let cluster = Cluster::start_with(1, &["--trusted-proxies", trusted]).await;
        let url = format!("{}/api/v1/auth/token", cluster.nodes[0].admin_url());
        let http = web::client();
        let attempt = async |client: &str| {
            // Another each time: a credential has a lock of its own.
            let wrong = format!("hja_{}_{}", uuid::Uuid::from_u128(rand::random()).simple(), "x".repeat(43));
            let request = http.post(&url).header("x-forwarded-for", client).json(&json!({ "credential": wrong }));
            web::send(request).await.status
        };
        let mut shared = false;
        // The wait doubles with each failure, so that it becomes longer than a busy machine takes for two attempts. By
        // himself the other would have to wait after thirty.
        for _ in 0..10 {
            let mut refused = attempt("203.0.113.1").await;
            for _ in 0..200 {
                if refused != 401 {
                    break;
                }
                refused = attempt("203.0.113.1").await;
            }
            assert_eq!(refused, 429, "{trusted}");
            shared |= attempt("203.0.113.2").await == 429;
            if shared {
                break;
            }
        }
        assert_eq!(shared, is_shared, "{trusted}");
    }
}
