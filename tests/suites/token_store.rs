//! Codes, refresh tokens and grants in a real PostgreSQL: one use each, both or neither, and never in another tenant.

use std::time::Duration;

use dataplane_service::store::TenantDb;
use dataplane_service::store::codes::{self, NewCode, Taken};
use dataplane_service::store::migrate::Mode;
use dataplane_service::store::pool::{Limits, PodPools};
use dataplane_service::store::refresh::{self, Follows, NewRefreshToken};
use dataplane_service::store::{denied, grants};
use dataplane_service::sync::decode;
use futures::future::join_all;
use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::grant::RevokedBecause;
use tests::postgres::{self, Database};
use uuid::Uuid;
use vocab::{Keyring, MasterKey, Secret, TenantId, Timestamp};

#[path = "token_store/outright.rs"]
mod outright;
#[path = "token_store/waiting.rs"]
mod waiting;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const ALICE: Uuid = Uuid::from_u128(0xA11CE);
/// The `jti` of some access token.
const TOKEN: Uuid = Uuid::from_u128(0x70CE);

struct Store {
    database: Database,
    db: TenantDb,
}

fn tenant_id() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(1))
}

/// A migrated database with one active user.
async fn store(name: &str) -> Store {
    let database = postgres::server().await.database(name).await;
    let keyring = Keyring::new(MasterKey::new([1; 32]), vec![]);
    let dsn = keyring.seal(database.dsn().as_bytes(), [2; 24]);
    let limits = Limits { per_tenant: 20, total: 20, idle: Duration::from_mins(1) };
    let pools = PodPools::new(limits, keyring, Mode::Auto);
    let db =
        pools.database(tenant_id(), &"acme".parse().expect("a slug"), decode::Database { dsn, max_connections: 20 });
    db.migrate().await.expect("the database does as told");
    let client = database.connect().await;
    let user = "insert into users values ($1, 'a@b.example', 'a@b.example', true, null, 'active', '{\"name\": \"Alice\"}', $2, $2)";
    client.execute(user, &[&ALICE, &NOW.system_time()]).await.expect("the database does as told");
    Store { database, db }
}

impl Store {
    async fn code(&self) -> Secret<String> {
        let new = NewCode {
            user_id: ALICE,
            client_id: "web",
            sid: None,
            scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
            audience: &[],
            nonce: Some("n"),
            details: &AuthorizationDetails::default(),
            claims: &ClaimsRequest::parse(r#"{"userinfo":{"name":null}}"#).expect("a claims parameter"),
            auth_time: NOW,
            amr: &["pwd".to_owned()],
            redirect_uri: "https://app.example/cb",
            dpop_jkt: None,
            code_challenge: None,
            now: NOW,
            expires_at: NOW.plus_secs(60),
            grant_expires_at: NOW.plus_secs(1000),
        };
        codes::issue(&self.db, &new).await.expect("the database does as told")
    }

    async fn refresh_token(&self) -> NewRefreshToken {
        let (code, token) = (self.code().await, token("first"));
        assert_eq!(
            codes::redeem(&self.db, code.expose(), Follows::refresh_token(&token), NOW)
                .await
                .expect("the database does as told"),
            Taken::Won
        );
        token
    }

    async fn grant_of(&self, token: &NewRefreshToken) -> Uuid {
        refresh::find(&self.db, token.value.expose())
            .await
            .expect("the database does as told")
            .expect("the token is stored")
            .grant
            .id
    }

    async fn execute(&self, sql: &str) {
        self.database.connect().await.batch_execute(sql).await.expect("the database does as told");
    }

    /// From now on no refresh token can be stored.
    async fn break_refresh_tokens(&self) {
        self.execute("alter table refresh_tokens add constraint broken check (false) not valid").await;
    }
}

fn token(value: &str) -> NewRefreshToken {
    NewRefreshToken { value: Secret::new(value.to_owned()), idle_until: NOW.plus_secs(5000), confirmation: None }
}

#[tokio::test]
async fn a_code_is_stored_as_a_hash_and_found_with_its_grant() {
    let store = store("code").await;
    let code = store.code().await;
    let found = codes::find(&store.db, code.expose()).await.unwrap().expect("it was just issued");
    assert_eq!(found.redirect_uri, "https://app.example/cb");
    assert_eq!(found.expires_at, NOW.plus_secs(60));
    assert_eq!(found.code_challenge, None);
    assert_eq!(found.grant.scope.to_string(), "offline_access openid");
    assert_eq!((found.grant.user_id, found.grant.client_id.as_str()), (ALICE, "web"));
    assert!(!found.is_redeemed && !found.grant.is_revoked && found.grant.user_is_active);
    assert!(!store.database.dump().await.contains(code.expose().as_str()));
    assert_eq!(codes::find(&store.db, "' OR 1=1--").await.unwrap(), None);
}

#[tokio::test]
async fn of_many_redemptions_one_wins_and_one_refresh_token_follows() {
    let store = store("redeem").await;
    let code = store.code().await;
    let followers: Vec<_> = (0..10).map(|n| token(&format!("r{n}"))).collect();
    let attempts =
        followers.iter().map(|next| codes::redeem(&store.db, code.expose(), Follows::refresh_token(next), NOW));
    let answers: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|taken| **taken == Taken::Won).count(), 1, "{answers:?}");
    let rows = store.database.connect().await.query("select 1 from refresh_tokens", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(codes::find(&store.db, code.expose()).await.unwrap().unwrap().is_redeemed);
}

#[tokio::test]
async fn of_many_rotations_one_wins() {
    let store = store("rotate").await;
    let old = store.refresh_token().await;
    let followers: Vec<_> = (0..10).map(|n| token(&format!("r{n}"))).collect();
    let attempts =
        followers.iter().map(|next| refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(next), NOW));
    let answers: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|taken| **taken == Taken::Won).count(), 1, "{answers:?}");
    let won = answers.iter().position(|taken| *taken == Taken::Won).unwrap();
    let next = refresh::find(&store.db, followers[won].value.expose()).await.unwrap().unwrap();
    assert!(next.rotated_at.is_none());
    assert_eq!(next.expires_at, NOW.plus_secs(1000), "the absolute end of the grant comes before the idle one");
    assert!(refresh::find(&store.db, old.value.expose()).await.unwrap().unwrap().rotated_at.is_some());
    // The same rotation again, as after a broken connection, knows itself.
    let again =
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&followers[won]), NOW).await.unwrap();
    assert_eq!(again, Taken::Won);
}

#[tokio::test]
async fn a_fault_consumes_nothing() {
    let store = store("fault").await;
    let (code, old) = (store.code().await, store.refresh_token().await);
    store.break_refresh_tokens().await;
    codes::redeem(&store.db, code.expose(), Follows::refresh_token(&token("x")), NOW).await.unwrap_err();
    refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&token("y")), NOW).await.unwrap_err();
    store.execute("alter table refresh_tokens drop constraint broken").await;
    assert_eq!(
        codes::redeem(&store.db, code.expose(), Follows::refresh_token(&token("x")), NOW).await.unwrap(),
        Taken::Won
    );
    assert_eq!(
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&token("y")), NOW).await.unwrap(),
        Taken::Won
    );
}

#[tokio::test]
async fn a_rotation_survives_that_every_connection_is_cut() {
    let store = store("cut").await;
    let old = store.refresh_token().await;
    store.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
    assert_eq!(
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&token("next")), NOW).await.unwrap(),
        Taken::Won
    );
}

#[tokio::test]
async fn with_its_grant_everything_dies() {
    let store = store("revoked").await;
    let (code, old) = (store.code().await, store.refresh_token().await);
    let grant = store.grant_of(&old).await;
    let live = grants::live_user(&store.db, grant, TOKEN).await.unwrap().expect("the grant stands");
    assert!(live.claims.userinfo.contains_key("name"), "{live:?}");
    let user = live.user;
    assert_eq!((user.email.as_str(), user.claims["name"].as_str()), ("a@b.example", Some("Alice")));

    // One token of several may be revoked alone.
    denied::deny(&store.db, TOKEN, NOW.plus_secs(600), NOW).await.unwrap();
    assert_eq!(grants::live_user(&store.db, grant, TOKEN).await.unwrap(), None);
    assert!(grants::live_user(&store.db, grant, Uuid::from_u128(8)).await.unwrap().is_some());

    grants::revoke(&store.db, grant, RevokedBecause::RefreshTokenReused, NOW).await.unwrap();
    assert_eq!(grants::live_user(&store.db, grant, TOKEN).await.unwrap(), None);
    assert_eq!(
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&token("next")), NOW).await.unwrap(),
        Taken::Lost
    );
    // Another grant of the same user is untouched until its code is burnt.
    codes::burn(&store.db, code.expose(), NOW).await.unwrap();
    assert_eq!(codes::redeem(&store.db, code.expose(), Follows::default(), NOW).await.unwrap(), Taken::Lost);
}

#[tokio::test]
async fn a_disabled_user_gets_nothing() {
    let store = store("disabled").await;
    let (code, old) = (store.code().await, store.refresh_token().await);
    let grant = store.grant_of(&old).await;
    store.execute("update users set status = 'disabled'").await;
    assert!(!codes::find(&store.db, code.expose()).await.unwrap().unwrap().grant.user_is_active);
    assert_eq!(codes::redeem(&store.db, code.expose(), Follows::default(), NOW).await.unwrap(), Taken::Lost);
    assert_eq!(
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&token("next")), NOW).await.unwrap(),
        Taken::Lost
    );
    assert_eq!(grants::live_user(&store.db, grant, TOKEN).await.unwrap(), None);
}

#[tokio::test]
async fn one_tenants_values_mean_nothing_to_another() {
    let (a, b) = (store("a").await, store("b").await);
    let (code, old) = (a.code().await, a.refresh_token().await);
    let grant = a.grant_of(&old).await;
    assert_eq!(codes::find(&b.db, code.expose()).await.unwrap(), None);
    assert_eq!(codes::redeem(&b.db, code.expose(), Follows::default(), NOW).await.unwrap(), Taken::Lost);
    assert_eq!(refresh::find(&b.db, old.value.expose()).await.unwrap(), None);
    assert_eq!(
        refresh::rotate(&b.db, old.value.expose(), Follows::refresh_token(&token("next")), NOW).await.unwrap(),
        Taken::Lost
    );
    assert_eq!(grants::live_user(&b.db, grant, TOKEN).await.unwrap(), None);
    codes::burn(&b.db, code.expose(), NOW).await.unwrap();
    grants::revoke(&b.db, grant, RevokedBecause::CodeReused, NOW).await.unwrap();
    assert_eq!(codes::redeem(&a.db, code.expose(), Follows::default(), NOW).await.unwrap(), Taken::Won);
}

#[tokio::test]
async fn what_ended_is_swept_up() {
    let store = store("swept").await;
    for _ in 0..5 {
        store.code().await;
    }
    let old = store.refresh_token().await;
    let count = async |table: &str| -> i64 {
        let client = store.database.connect().await;
        client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    };
    // Used before its end, a rotated token stays: it must be known when it comes again.
    let (first, second) = (token("r1"), token("r2"));
    assert_eq!(
        refresh::rotate(&store.db, old.value.expose(), Follows::refresh_token(&first), NOW).await.unwrap(),
        Taken::Won
    );
    assert_eq!(
        refresh::rotate(&store.db, first.value.expose(), Follows::refresh_token(&second), NOW).await.unwrap(),
        Taken::Won
    );
    assert_eq!(count("refresh_tokens").await, 3);
    store
        .execute("update refresh_tokens set expires_at = expires_at - interval '1 day' where rotated_at is not null")
        .await;
    assert_eq!(
        refresh::rotate(&store.db, second.value.expose(), Follows::refresh_token(&token("r3")), NOW).await.unwrap(),
        Taken::Won
    );
    assert_eq!(count("refresh_tokens").await, 2);

    // All six grants have ended, but only a new one makes room.
    store.execute("update grants set expires_at = expires_at - interval '1 day'").await;
    assert_eq!((count("grants").await, count("authorization_codes").await), (6, 6));
    store.code().await;
    assert_eq!((count("grants").await, count("authorization_codes").await, count("refresh_tokens").await), (1, 1, 0));
}
