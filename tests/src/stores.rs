//! A tenant's database as the data plane's own functions see it, without a pod around.

use std::time::Duration;

use dataplane_service::email::Email;
use dataplane_service::store::TenantDb;
use dataplane_service::store::migrate::Mode;
use dataplane_service::store::pool::{Limits, PodPools};
use dataplane_service::store::users::{self, NewUser};
use dataplane_service::sync::decode;
use uuid::Uuid;
use vocab::{Keyring, MasterKey, TenantId, Timestamp};

use crate::postgres::Database;

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// That database, migrated, as the tenant of this number sees it.
pub fn open(database: &Database, tenant: u128) -> TenantDb {
    let keyring = Keyring::new(MasterKey::new([1; 32]), vec![]);
    let dsn = keyring.seal(database.dsn().as_bytes(), [2; 24]);
    let limits = Limits { per_tenant: 20, total: 20, idle: Duration::from_mins(1) };
    let pools = PodPools::new(limits, keyring, Mode::Auto);
    let slug = "acme".parse().expect("a slug");
    let database = decode::Database { dsn, max_connections: 20 };
    pools.database(TenantId::from_uuid(Uuid::from_u128(tenant)), &slug, database)
}

/// A new user without a password; `None` when the address is taken.
pub async fn add_user(db: &TenantDb, email: &str) -> Option<Uuid> {
    let email = Email::parse(email).expect("an address");
    let (id, claims) = (Uuid::from_u128(rand::random()), serde_json::Map::new());
    let new = NewUser { id, email: &email, email_verified: false, password_hash: None, claims: &claims, now: NOW };
    users::create(db, &new).await.expect("the database does as told").map(|row| row.user.id)
}
