//! Answers of users who were asked elsewhere, taken by the very question whether they are there: held against the terms that
//! stand for them (`oauth_core::grant::outright`), for devices and for clients of CIBA.

use dataplane_service::store::ciba::{self, Channel, NewRequest};
use dataplane_service::store::device::{self, NewDevice};
use dataplane_service::store::refresh;
use dataplane_service::store::waiting::{self, Approval, Found, Outright};
use futures::future::{join, join_all};
use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::grant::waiting::{Answer, Code};
use oauth_core::scope::ScopeSet;
use oauth_core::waiting::Asked;
use tests::wait::{PATIENCE, until};
use vocab::Secret;

use super::outright::{AT, of_grants, terms};
use super::{ALICE, NOW, NewRefreshToken, Store, store, token};

/// What two clients ask with whose users said yes.
struct Allowed {
    device_code: Secret<String>,
    auth_req_id: Secret<String>,
}

impl Allowed {
    fn codes(&self) -> [Code<'_>; 2] {
        [Code::Device(self.device_code.expose()), Code::Ciba(self.auth_req_id.expose())]
    }
}

impl Store {
    async fn asked(&self) -> (device::Codes, Secret<String>) {
        self.execute("delete from device_codes; delete from ciba_requests; delete from grants").await;
        self.execute("update users set status = 'active'").await;
        let scope = ScopeSet::parse("openid offline_access").expect("a scope");
        let asked = Asked { scope, resources: Vec::new(), details: AuthorizationDetails::default() };
        let expires_at = NOW.plus_secs(60);
        let new = NewDevice { client_id: "web", asked: &asked, interval_secs: 5, now: NOW, expires_at };
        let codes = device::begin(&self.db, &new).await.expect("the database does as told");
        let auth_req_id = Secret::new("auth_req_id".to_owned());
        let new = NewRequest {
            auth_req_id: &auth_req_id,
            client_id: "web",
            user_id: ALICE,
            asked: &asked,
            binding_message: None,
            sealed: None,
            interval_secs: 5,
            channel: Channel::AccountPage,
            now: NOW,
            expires_at,
        };
        assert!(ciba::begin(&self.db, &new).await.expect("the database does as told"));
        (codes, auth_req_id)
    }

    async fn allowed(&self) -> Allowed {
        let (codes, auth_req_id) = self.asked().await;
        let approval = Approval {
            user_id: ALICE,
            auth_time: NOW,
            amr: &["pwd".to_owned()],
            grant_expires_at: NOW.plus_secs(1000),
        };
        assert!(device::approve(&self.db, &codes.user_code, &approval, NOW).await.expect("the database does as told"));
        let id = ciba::pending(&self.db, ALICE, NOW).await.expect("the database does as told")[0].id;
        assert!(ciba::approve(&self.db, id, &approval, NOW).await.expect("the database does as told"));
        Allowed { device_code: codes.device_code, auth_req_id }
    }

    async fn ask(&self, code: Code<'_>, next: &NewRefreshToken) -> Option<Found> {
        let terms = terms();
        let outright = Outright { terms: &terms, refresh_token: Some(next) };
        waiting::ask(&self.db, code, "web", Some(outright), NOW).await.expect("the database does as told")
    }

    /// As it stands; that it was asked for is noted.
    async fn look(&self, code: Code<'_>) -> Option<Found> {
        waiting::ask(&self.db, code, "web", None, NOW).await.expect("the database does as told")
    }
}

#[tokio::test]
async fn an_answer_is_taken_under_the_terms_and_no_others() {
    let store = store("outright-waiting").await;
    let both = |set: &str| format!("update device_codes set {set}; update ciba_requests set {set}");
    let of_requests = [
        (both(&format!("expires_at = {AT}")), false),
        (both("status = 'denied'"), false),
        (both("status = 'pending', grant_id = null"), false),
    ];
    for (change, good) in of_grants().into_iter().chain(of_requests) {
        let allowed = store.allowed().await;
        store.execute(&change).await;
        for code in allowed.codes() {
            let Some(Found::Waits(found)) = store.look(code).await else { panic!("{change}: nothing is taken") };
            assert!(!found.asked_too_soon, "{change}: it is the first question");
            assert_eq!(terms().are_met_by_answer(NOW, &found), good, "{code:?}: {change}");
            let next = token(&format!("{code:?}"));
            let taken = store.ask(code, &next).await.expect("it is there");
            let followed = refresh::find(&store.db, next.value.expose()).await.unwrap();
            match (taken, found.answer) {
                (Found::Taken { grant, .. }, Answer::Approved(allowed)) if good => {
                    assert_eq!(grant, allowed, "{code:?}: {change}");
                    assert_eq!(followed.map(|next| next.grant), Some(*grant), "{code:?}: {change}");
                    assert_eq!(store.look(code).await, None, "{code:?}: it is used up");
                }
                (Found::Waits(after), before) if !good => {
                    assert_eq!((after.answer, after.asked_too_soon), (before, true), "{code:?}: {change}");
                    assert_eq!(followed, None, "{code:?}: {change}");
                }
                other => panic!("{code:?}: {change}: {other:?}"),
            }
        }
    }
    // Of another client it is unknown, and without offline_access nothing follows.
    let allowed = store.allowed().await;
    store.execute("update grants set scopes = '{openid}'").await;
    for code in allowed.codes() {
        let of_other = oauth_core::grant::outright::Terms { client_id: "other", ..terms() };
        let outright = Some(Outright { terms: &of_other, refresh_token: None });
        assert_eq!(waiting::ask(&store.db, code, "other", outright, NOW).await.unwrap(), None);
        let next = token("none");
        assert!(matches!(store.ask(code, &next).await, Some(Found::Taken { .. })), "{code:?}");
        assert_eq!(refresh::find(&store.db, next.value.expose()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_many_questions_at_once_one_takes_and_a_fault_takes_nothing() {
    let store = store("outright-waiting-race").await;
    let allowed = store.allowed().await;
    for code in allowed.codes() {
        let (terms, next) = (terms(), token("broken"));
        let outright = Some(Outright { terms: &terms, refresh_token: Some(&next) });
        store.break_refresh_tokens().await;
        waiting::ask(&store.db, code, "web", outright, NOW).await.unwrap_err();
        store.execute("alter table refresh_tokens drop constraint broken").await;
        let followers: Vec<_> = (0..10).map(|n| token(&format!("{code:?}{n}"))).collect();
        let taken = join_all(followers.iter().map(|next| store.ask(code, next))).await;
        assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
        let won = taken.iter().position(Option::is_some).unwrap();
        assert!(matches!(taken[won], Some(Found::Taken { .. })), "{taken:?}");
        assert!(refresh::find(&store.db, followers[won].value.expose()).await.unwrap().is_some());
    }
}

/// The user says yes while the question waits for the row: the statement sees the answer, and not yet the grant.
#[tokio::test]
async fn an_answer_that_comes_with_the_question_waits_for_the_next() {
    let store = store("outright-waiting-late").await;
    let (codes, _) = store.asked().await;
    let code = Code::Device(codes.device_code.expose());
    let user = store.database.connect().await;
    let answer = format!(
        "begin; insert into grants (id, user_id, client_id, scopes, audience, auth_time, amr, created_at, expires_at) \
         values (gen_random_uuid(), '{ALICE}', 'web', '{{openid}}', '{{}}', {AT}, '{{}}', {AT}, {AT} + interval '1 day'); \
         update device_codes set status = 'approved', grant_id = (select id from grants)"
    );
    user.batch_execute(&answer).await.unwrap();
    let next = token("late");
    let commit = async {
        let waits = "select count(*) from pg_stat_activity \
                     where datname = current_database() and wait_event_type = 'Lock'";
        until("the question waits", PATIENCE, async || {
            let many: i64 = user.query_one(waits, &[]).await.map_err(|error| error.to_string())?.get(0);
            if many == 1 { Ok(()) } else { Err(many.to_string()) }
        })
        .await;
        user.batch_execute("commit").await.unwrap();
    };
    let (found, ()) = join(store.ask(code, &next), commit).await;
    assert!(matches!(found, Some(Found::Waits(waiting)) if waiting.answer == Answer::Pending));
    assert!(matches!(store.ask(code, &next).await, Some(Found::Taken { .. })));
}
