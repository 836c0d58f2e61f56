//! Authenticators that sign, and what they were asked.

use dataplane_service::store::TenantDb;
use dataplane_service::store::challenges::{self, NewChallenge};
use dataplane_service::store::factors::{self, Added, Method, NewFactor, Signed};
use tests::stores::NOW;
use uuid::Uuid;

use super::NEWS;

const KEY: Uuid = Uuid::from_u128(0xFACE);
const OWNER: &str = "what a browser holds";
const TOLD: &str = "the database does as told";

fn challenge(user: Uuid) -> NewChallenge<'static> {
    NewChallenge { owner: OWNER, user_id: user, sealed: "sealed", now: NOW }
}

fn signed(user: Uuid, sign_count: u32) -> Signed<'static> {
    Signed { id: KEY, user_id: user, sign_count, sealed: "sealed", now: NOW }
}

/// The user has one that signed twice, and is asked for it.
pub(super) async fn hold(db: &TenantDb, user: Uuid) {
    let method = Method::Webauthn { credential: b"credential", sign_count: 2, name: "Blue" };
    let mut new = NewFactor { id: KEY, user_id: user, method, sealed: "sealed", recovery_codes: &[], news: NEWS };
    assert_eq!(factors::add(db, &new).await.expect(TOLD), Added::Alone);
    new.id = Uuid::from_u128(0x00FA_CADE);
    assert_eq!(factors::add(db, &new).await.expect(TOLD), Added::Not, "a credential is there once");
    challenges::put(db, &challenge(user)).await.expect(TOLD);
}

/// What that browser holds is nothing here.
pub(super) async fn is_asked_nothing_at(db: &TenantDb) {
    assert_eq!(challenges::take(db, OWNER, NOW).await.expect(TOLD), None);
}

/// Nor is that user anybody here.
pub(super) async fn try_ids_at(db: &TenantDb, user: Uuid) {
    assert!(!factors::use_key(db, &signed(user, 3)).await.expect(TOLD));
    assert!(challenges::put(db, &challenge(user)).await.is_err(), "there is no such user");
}

pub(super) async fn are_unharmed_at(db: &TenantDb, user: Uuid) {
    for (count, is_next) in [(2, false), (1, false), (0, false), (3, true), (3, false), (9, true), (8, false)] {
        assert_eq!(factors::use_key(db, &signed(user, count)).await.expect(TOLD), is_next, "{count}");
    }
    assert!(!factors::use_key(db, &signed(Uuid::nil(), 10)).await.expect(TOLD), "whose?");
    assert_eq!(challenges::take(db, OWNER, NOW).await.expect(TOLD).as_deref(), Some("sealed"));
    assert_eq!(challenges::take(db, OWNER, NOW).await.expect(TOLD), None, "once");
}
