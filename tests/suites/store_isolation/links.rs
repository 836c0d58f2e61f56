//! Links by mail of one tenant are worth nothing at another, not even in the same database.

use dataplane_service::password::PasswordHash;
use dataplane_service::store::credentials::{self, ByLink};
use dataplane_service::store::mail_links::{self, NewLink, Purpose, Whom};
use tests::postgres;
use tests::stores::{NOW, add_user, open};
use uuid::Uuid;

use super::NEWS;

#[tokio::test]
async fn a_link_of_one_tenant_is_none_at_another() {
    let (ours, theirs) =
        (postgres::server().await.database("ours").await, postgres::server().await.database("theirs").await);
    let (a, elsewhere, successor) = (open(&ours, 1), open(&theirs, 2), open(&ours, 2));
    let user = add_user(&a, "ada@example.com").await.expect("the address is free");
    let id = Uuid::from_u128(7);
    mail_links::ask(&a, &NewLink { id, purpose: Purpose::VerifyEmail, whom: Whom::User(user), now: NOW })
        .await
        .unwrap();
    assert!(mail_links::put_code(&elsewhere, id, "x", NOW).await.unwrap().is_none());
    assert!(mail_links::put_code(&a, id, "x", NOW).await.unwrap().is_some());
    let hash = PasswordHash::stored("x".to_owned());
    for b in [&elsewhere, &successor] {
        assert!(mail_links::find(b, "x", Purpose::VerifyEmail, NOW).await.unwrap().is_none());
        assert!(mail_links::verify_email(b, "x", &NEWS).await.unwrap().is_none());
        let new = ByLink { code: "x", hash: &hash, tell: &[], news: NEWS };
        assert!(credentials::reset(b, &new).await.unwrap().is_none());
    }
    assert!(credentials::reset(&a, &ByLink { code: "x", hash: &hash, tell: &[], news: NEWS }).await.unwrap().is_none());
    assert!(mail_links::find(&a, "x", Purpose::ResetPassword, NOW).await.unwrap().is_none(), "another purpose");
    assert_eq!(mail_links::find(&a, "x", Purpose::VerifyEmail, NOW).await.unwrap().as_deref(), Some("ada@example.com"));
    assert_eq!(mail_links::verify_email(&a, "x", &NEWS).await.unwrap(), Some(user));
    assert!(mail_links::verify_email(&a, "x", &NEWS).await.unwrap().is_none(), "once");
}
