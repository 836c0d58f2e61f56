//! OIDC RP-Initiated Logout 1.0: who is signed out, who is asked, and where the browser goes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tests::browser::Browser;
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};

use super::{is_signed_in, logout_url, sign_in, world};

const BYE: &str = "https://backend.example/bye";

async fn tenant(name: &str) -> (Tenant, User) {
    let tenant = Tenant::create_with(world().await, name, json!({ "lifetimes": { "id_token_secs": 1 } })).await;
    tenant.patch_client("backend", &json!({ "post_logout_redirect_uris": [BYE] })).await;
    let user = tenant.user("alice").await;
    (tenant, user)
}

#[tokio::test]
async fn a_hint_of_the_session_signs_out_though_it_expired_and_leads_back_with_the_state() {
    let (tenant, alice) = tenant("hint").await;
    let browser = Browser::new();
    let tokens = sign_in(&browser, &tenant.backend, &alice).await;
    let expires = Jwt::parse(tokens.id()).claims["exp"].as_u64().expect("a time");
    until("the ID token expired", PATIENCE, async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        if now > expires { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    let url = logout_url(
        &tenant,
        &[
            ("id_token_hint", tokens.id()),
            ("post_logout_redirect_uri", BYE),
            ("state", "a&b c"),
            ("ui_locales", "../../etc/passwd"),
            ("logout_hint", "alice"),
        ],
    );
    let page = browser.open(&url).await;
    assert_eq!(page.hops.last().map(|(status, _)| *status), Some(303));
    assert_eq!(page.expect_callback().as_str(), format!("{BYE}?state=a%26b+c"));
    assert!(!is_signed_in(&tenant, &browser).await);
    // Once more: nothing is left to end, and the client gets its browser back.
    assert_eq!(browser.open(&url).await.expect_callback().as_str(), format!("{BYE}?state=a%26b+c"));
}

#[tokio::test]
async fn without_a_hint_that_fits_the_user_is_asked() {
    let (tenant, alice) = tenant("asked").await;
    let browser = Browser::new();
    let older = sign_in(&Browser::new(), &tenant.backend, &alice).await;
    sign_in(&browser, &tenant.backend, &alice).await;
    let to = ("post_logout_redirect_uri", BYE);
    let asked = [
        logout_url(&tenant, &[]),
        logout_url(&tenant, &[("state", "x")]),
        logout_url(&tenant, &[to]),
        logout_url(&tenant, &[("client_id", "backend"), to]),
        logout_url(&tenant, &[("id_token_hint", older.id()), to]),
    ];
    for url in &asked {
        let page = browser.open_page(url).await;
        assert!(page.text().contains("Sign out"), "{url}: {page:#?}");
        assert!(is_signed_in(&tenant, &browser).await, "{url}");
    }
    // The user says yes; without a client there is nowhere to go.
    let page = browser.open_page(&asked[2]).await;
    let page = browser.submit(&page.expect_form(), &[], None).await;
    assert!(page.leaves_to.is_none() && page.text().contains("You are signed out"), "{page:#?}");
    assert!(!is_signed_in(&tenant, &browser).await);

    sign_in(&browser, &tenant.backend, &alice).await;
    let page = browser.open_page(&logout_url(&tenant, &[("client_id", "backend"), to, ("state", "s")])).await;
    assert!(page.text().contains("The Backend"), "{page:#?}");
    let form = page.expect_form();
    // What comes back with the form is checked again.
    let evil = browser.submit(&form, &[("post_logout_redirect_uri", "https://evil.example/")], None).await;
    assert!(evil.status == 400 && evil.leaves_to.is_none(), "{evil:#?}");
    assert!(is_signed_in(&tenant, &browser).await);
    let page = browser.submit(&form, &[], None).await;
    assert_eq!(page.expect_callback().as_str(), format!("{BYE}?state=s"));
    assert!(!is_signed_in(&tenant, &browser).await);
}

#[tokio::test]
async fn a_hint_whose_key_is_gone_counts_as_none() {
    let (tenant, alice) = tenant("rotated").await;
    let browser = Browser::new();
    let tokens = sign_in(&browser, &tenant.backend, &alice).await;
    tenant.replace_keys().await;
    let to = [("id_token_hint", tokens.id()), ("post_logout_redirect_uri", BYE), ("client_id", "backend")];
    let page = browser.open_page(&logout_url(&tenant, &to)).await;
    assert!(page.text().contains("Sign out") && is_signed_in(&tenant, &browser).await, "{page:#?}");
    let left = browser.submit(&page.expect_form(), &[], None).await;
    assert_eq!(left.expect_callback().as_str(), BYE);
    assert!(!is_signed_in(&tenant, &browser).await);
    // Nobody may lead a browser anywhere by a hint that cannot be verified.
    let page = browser.open(&logout_url(&tenant, &to[..2])).await;
    assert!(page.status == 200 && page.leaves_to.is_none(), "{page:#?}");
}

#[tokio::test]
async fn a_wrong_request_is_told_on_a_page_and_ends_nothing() {
    let (tenant, alice) = tenant("wrong").await;
    let (other, bob) = self::tenant("other").await;
    let browser = Browser::new();
    let tokens = sign_in(&browser, &tenant.backend, &alice).await;
    let foreign = sign_in(&Browser::new(), &other.backend, &bob).await;
    let id = Jwt::parse(tokens.id());
    let (unsigned, forged) = (id.clone().with_alg_none(), id.signed_with(&[0; 64]));
    let hinted = |hint: &str| logout_url(&tenant, &[("id_token_hint", hint), ("post_logout_redirect_uri", BYE)]);
    let by_client = |uri: &str| logout_url(&tenant, &[("client_id", "backend"), ("post_logout_redirect_uri", uri)]);
    let refused = [
        hinted("garbage"),
        hinted(&unsigned),
        hinted(&forged),
        hinted(foreign.id()),
        // Not an ID token.
        hinted(&tokens.access),
        logout_url(&tenant, &[("id_token_hint", tokens.id()), ("client_id", "app")]),
        logout_url(&tenant, &[("id_token_hint", tokens.id()), ("post_logout_redirect_uri", "https://evil.example/")]),
        logout_url(&tenant, &[("client_id", "nobody")]),
        by_client(&format!("{BYE}?x=1")),
        by_client(&format!("{BYE}/")),
        by_client("javascript:alert(1)"),
        by_client("data:text/html,x"),
        format!("{}&client_id=backend", by_client(BYE)).parse().expect("a URL"),
    ];
    for url in &refused {
        let page = browser.open(url).await;
        assert!(page.status == 400 && page.leaves_to.is_none(), "{url}: {page:#?}");
        assert!(is_signed_in(&tenant, &browser).await, "{url}");
    }
    // Where such an address would be registered.
    for uri in ["javascript:alert(1)", "data:text/html,x", "https://a.example/#x", "http://a.example/"] {
        let patch = json!({ "post_logout_redirect_uris": [uri], "frontchannel_logout_uri": uri });
        let path = format!("/tenants/{}/clients/backend", tenant.slug);
        let answer = tenant.admin.patch(&path, &patch).await.expect_refused();
        assert_eq!(answer.pointers(), ["/frontchannel_logout_uri", "/post_logout_redirect_uris/0"], "{uri}");
    }
}

#[tokio::test]
async fn a_form_of_the_clients_page_is_taken_though_browsers_send_no_cookie_with_it() {
    let (tenant, alice) = tenant("posted").await;
    let browser = Browser::new();
    let tokens = sign_in(&browser, &tenant.backend, &alice).await;
    let form = [("id_token_hint", tokens.id()), ("post_logout_redirect_uri", BYE), ("state", "s")];
    // As SameSite=Lax has it: without cookies.
    let answer = tests::web::send(tenant.backend.http.post(tenant.backend.endpoint("logout")).form(&form)).await;
    let location = answer.expect(303).header("location").expect("a redirect").to_owned();
    let again = logout_url(&tenant, &[]).join(&location).expect("a URL");
    assert_eq!(browser.open(&again).await.expect_callback().as_str(), format!("{BYE}?state=s"));
    assert!(!is_signed_in(&tenant, &browser).await);
}

#[tokio::test]
async fn the_metadata_says_so() {
    let (tenant, _) = tenant("metadata").await;
    let metadata = tenant.backend.discovery().await.json;
    assert_eq!(metadata["end_session_endpoint"], format!("{}/oauth2/logout", tenant.issuer));
    for name in ["frontchannel_logout", "backchannel_logout"] {
        assert_eq!(metadata[format!("{name}_supported")], true);
        assert_eq!(metadata[format!("{name}_session_supported")], true);
    }
}
