//! Users, sessions, interactions and consents in a real PostgreSQL.

use dataplane_service::email::Email;
use dataplane_service::store::consents::{self, Consent};
use dataplane_service::store::interactions::NewInteraction;
use dataplane_service::store::sessions::{self, NewSession};
use dataplane_service::store::{TenantDb, interactions, users};
use futures::future::join_all;
use oauth_core::authorize::AuthorizationRequest;
use oauth_core::scope::ScopeSet;
use tests::postgres::{self, Database};
use tests::stores::{NOW, add_user, open};
use uuid::Uuid;
use vocab::Timestamp;

async fn store(name: &str) -> (Database, TenantDb) {
    let database = postgres::server().await.database(name).await;
    let db = open(&database, 1);
    (database, db)
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("as the test wants it")
}

fn begun<'a>(browser: &'a str, request: &'a AuthorizationRequest) -> NewInteraction<'a> {
    NewInteraction { browser, request, pushed: None, now: NOW }
}

fn request() -> AuthorizationRequest {
    let client = "web".parse().expect("as the test wants it");
    let request = AuthorizationRequest::new(client, "https://app.example/cb".to_owned(), scopes("openid"));
    AuthorizationRequest { state: Some("s\"'\\ 👍".to_owned()), ..request }
}

async fn begin(db: &TenantDb, user: Uuid, replaces: Option<&str>) -> sessions::Begun {
    let new =
        NewSession { user_id: user, amr: &["pwd"], now: NOW, expires_at: NOW.plus_secs(1000), replaces, tell: &[] };
    sessions::begin(db, &new).await.expect("as the test wants it")
}

async fn lives(db: &TenantDb, cookie: &str, now: Timestamp, idle_secs: i64) -> bool {
    sessions::find_live(db, cookie, now, now.plus_secs(-idle_secs)).await.expect("as the test wants it").is_some()
}

#[tokio::test]
async fn an_address_is_taken_once_however_it_is_written() {
    let (_database, db) = store("addresses").await;
    let attempts = join_all((0..8).map(|_| add_user(&db, "Ada@Example.com"))).await;
    let made: Vec<Uuid> = attempts.into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(add_user(&db, "ada@example.COM").await, None);
    let row = users::find(&db, made[0]).await.unwrap().expect("it was made");
    assert_eq!((row.user.email.as_str(), row.status.as_str(), row.created_at), ("Ada@Example.com", "active", NOW));
    let found = users::find_for_sign_in(&db, &Email::parse("ADA@example.com").unwrap()).await.unwrap();
    let found = found.expect("found by any spelling");
    assert!(found.id == made[0] && found.password_hash.is_none());
}

#[tokio::test]
async fn a_disabled_user_neither_signs_in_nor_stays_signed_in() {
    let (database, db) = store("disabled").await;
    let ada = add_user(&db, "ada@example.com").await.unwrap();
    let session = begin(&db, ada, None).await;
    assert!(lives(&db, session.cookie.expose(), NOW, 60).await);
    database.connect().await.batch_execute("update users set status = 'disabled'").await.unwrap();
    assert!(users::find_for_sign_in(&db, &Email::parse("ada@example.com").unwrap()).await.unwrap().is_none());
    assert!(!lives(&db, session.cookie.expose(), NOW, 60).await);
    assert_eq!(users::find(&db, ada).await.unwrap().unwrap().status, "disabled");
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let (_database, db) = store("pages").await;
    for number in 0..5 {
        add_user(&db, &format!("user-{number}@example.com")).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let page = users::list(&db, seen.last().copied(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|row| row.user.id));
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_session_ends_by_idling_by_age_by_signing_out_and_by_being_replaced() {
    let (database, db) = store("sessions").await;
    let ada = add_user(&db, "ada@example.com").await.unwrap();
    let session = begin(&db, ada, None).await;
    let cookie = session.cookie.expose().as_str();
    let found = sessions::find_live(&db, cookie, NOW, NOW.plus_secs(-60)).await.unwrap().expect("it lives");
    assert_eq!((&found.facts, found.email.as_str()), (&session.facts, "ada@example.com"));

    assert!(lives(&db, cookie, NOW.plus_secs(59), 60).await);
    assert!(!lives(&db, cookie, NOW.plus_secs(60), 60).await, "idle");
    sessions::touch(&db, cookie, NOW.plus_secs(59)).await.unwrap();
    assert!(lives(&db, cookie, NOW.plus_secs(60), 60).await);
    // A slower clock elsewhere does not set it back.
    sessions::touch(&db, cookie, NOW).await.unwrap();
    assert!(lives(&db, cookie, NOW.plus_secs(60), 60).await);
    assert!(!lives(&db, cookie, NOW.plus_secs(1000), 5000).await, "old");

    let next = begin(&db, ada, Some(cookie)).await;
    assert!(!lives(&db, cookie, NOW, 60).await && lives(&db, next.cookie.expose(), NOW, 60).await);
    sessions::end(&db, next.cookie.expose(), &[], NOW).await.unwrap();
    assert!(!lives(&db, next.cookie.expose(), NOW, 60).await);
    assert!(!database.dump().await.contains(cookie), "cookies are stored as hashes");
}

#[tokio::test]
async fn an_interaction_is_its_browsers_and_is_finished_once() {
    let (database, db) = store("interactions").await;
    let id = interactions::begin(&db, begun("ada's browser", &request())).await.unwrap();
    let own = interactions::Key { id: id.expose(), browser: "ada's browser" };
    let other = interactions::Key { id: id.expose(), browser: "eve's browser" };
    assert!(interactions::find(&db, other, NOW).await.unwrap().is_none());
    interactions::authenticated(&db, other, Uuid::from_u128(666)).await.unwrap();
    assert!(!interactions::finish(&db, other).await.unwrap());

    let found = interactions::find(&db, own, NOW).await.unwrap().expect("its own");
    assert_eq!((found.request, found.authenticated_sid), (request(), None));
    interactions::authenticated(&db, own, Uuid::from_u128(7)).await.unwrap();
    let found = interactions::find(&db, own, NOW).await.unwrap().unwrap();
    assert_eq!(found.authenticated_sid, Some(Uuid::from_u128(7)));
    assert!(interactions::find(&db, own, NOW.plus_secs(interactions::LIFETIME_SECS)).await.unwrap().is_none());
    assert!(!database.dump().await.contains(id.expose().as_str()));

    let finished = join_all((0..8).map(|_| interactions::finish(&db, own))).await;
    assert_eq!(finished.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
    assert!(interactions::find(&db, own, NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn consents_add_up_per_client_and_user() {
    let (_database, db) = store("consents").await;
    let (ada, bob) = (add_user(&db, "ada@example.com").await.unwrap(), add_user(&db, "bob@example.com").await.unwrap());
    let nothing = Consent::default();
    let files = |actions: &[&str]| serde_json::json!([{ "type": "files", "actions": actions }]);
    let consent = |names: &str, details: serde_json::Value| Consent {
        scopes: scopes(names),
        details: serde_json::from_value(details).unwrap(),
    };
    assert_eq!(consents::find(&db, ada, "web").await.unwrap(), nothing);
    consents::remember(&db, ada, "web", &consent("openid email", files(&["read"])), NOW).await.unwrap();
    for _ in 0..2 {
        let more = consent("openid profile", files(&["write"]));
        consents::remember(&db, ada, "web", &more, NOW).await.unwrap();
    }
    let found = consents::find(&db, ada, "web").await.unwrap();
    assert_eq!(found.scopes, scopes("openid email profile"));
    let [read, write] = [files(&["read"]), files(&["write"])].map(|one| serde_json::from_value(one).unwrap());
    assert!(found.details.covers(&read) && found.details.covers(&write));
    assert_eq!(serde_json::to_value(&found.details).unwrap().as_array().unwrap().len(), 2, "each once");
    assert_eq!(consents::find(&db, ada, "other").await.unwrap(), nothing);
    assert_eq!(consents::find(&db, bob, "web").await.unwrap(), nothing);
}

#[tokio::test]
async fn what_ended_is_swept_up_by_what_begins() {
    let (database, db) = store("sweep").await;
    let ada = add_user(&db, "ada@example.com").await.unwrap();
    for _ in 0..5 {
        begin(&db, ada, None).await;
        interactions::begin(&db, begun("browser", &request())).await.unwrap();
    }
    let client = database.connect().await;
    client.batch_execute("update sessions set expires_at = expires_at - interval '1 day'").await.unwrap();
    client.batch_execute("update interactions set expires_at = expires_at - interval '1 day'").await.unwrap();
    begin(&db, ada, None).await;
    interactions::begin(&db, begun("browser", &request())).await.unwrap();
    for table in ["sessions", "interactions"] {
        let rows: i64 = client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0);
        assert_eq!(rows, 1, "{table}");
    }
}
