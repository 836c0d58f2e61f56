//! Sign-ins at other providers, and the identities they leave behind.

use dataplane_service::email::Email;
use dataplane_service::store::federation::{self, Identity, Known, NewLogin};
use dataplane_service::store::identities::{self, Linking};
use dataplane_service::store::users::NewUser;
use tests::postgres;
use tests::stores::{NOW, open};
use uuid::Uuid;

#[tokio::test]
async fn what_another_provider_says_is_true_in_the_tenant_alone_that_asked_it() {
    let server = postgres::server().await;
    let (a, b) = (&open(&server.database("a").await, 1), &open(&server.database("b").await, 2));
    let browser = "browser";
    let new = NewLogin { browser, provider: "corp", issuer: "https://corp.example", sealed: "x", now: NOW };
    let state = federation::begin(a, new).await.unwrap();
    let key = federation::Key { state: state.expose(), browser, provider: "corp" };
    assert!(federation::take(b, key, NOW).await.unwrap().is_none());
    for wrong in [federation::Key { browser: "another", ..key }, federation::Key { provider: "other", ..key }] {
        assert!(federation::take(a, wrong, NOW).await.unwrap().is_none());
    }
    assert!(federation::take(a, key, NOW.plus_secs(600)).await.unwrap().is_none());
    assert!(federation::take(a, key, NOW).await.unwrap().is_some());
    assert!(federation::take(a, key, NOW).await.unwrap().is_none(), "once");

    let identity = Identity { issuer: "https://corp.example", subject: "ada" };
    assert_eq!(federation::link(a, identity, "ada@example.com", NOW).await.unwrap(), None, "not verified");
    let (email, claims) = (Email::parse("eve@example.com").unwrap(), serde_json::Map::new());
    let id = Uuid::from_u128(77);
    let new = NewUser { id, email: &email, email_verified: true, password_hash: None, claims: &claims, now: NOW };
    assert_eq!(federation::create(a, identity, &new).await.unwrap(), Some(id));
    assert_eq!(federation::create(a, Identity { subject: "x", ..identity }, &new).await.unwrap(), None, "taken");
    let again = Identity { subject: "again", ..identity };
    assert_eq!(federation::link(b, again, "eve@example.com", NOW).await.unwrap(), None);
    assert_eq!(federation::link(a, again, "eve@example.com", NOW).await.unwrap(), Some(id));
    assert_eq!(federation::find(b, identity).await.unwrap(), None);
    assert_eq!(federation::find(a, identity).await.unwrap(), Some(Known::Active(id)));

    assert_eq!(identities::of_user(b, id).await.unwrap(), None);
    assert_eq!(identities::link(b, id, identity, NOW).await.unwrap(), Linking::NoSuchUser);
    assert!(!identities::unlink(b, id, identity.issuer, None).await.unwrap());
    assert!(!identities::unlink(b, id, again.issuer, Some(again.subject)).await.unwrap());
    assert_eq!(identities::of_user(a, id).await.unwrap().map(|linked| linked.len()), Some(2));
    assert!(matches!(identities::link(a, id, again, NOW).await.unwrap(), Linking::Linked(_)), "the only one now");
    assert_eq!(federation::find(a, identity).await.unwrap(), None);
    assert!(!identities::unlink(a, id, again.issuer, Some(identity.subject)).await.unwrap(), "it went with the other");
    assert!(!identities::unlink(a, id, "https://other.example", Some(again.subject)).await.unwrap());
    assert!(identities::unlink(a, id, identity.issuer, None).await.unwrap());
    assert_eq!(federation::find(a, again).await.unwrap(), None);
}
