//! The statements that take in one round trip, held against the terms that they stand for (`oauth_core::grant::outright`).

use dataplane_service::store::{codes, outright, refresh};
use futures::future::join_all;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::confirmation::{Confirmation, Thumbprint};
use oauth_core::grant::outright::{CodeTerms, Terms};
use oauth_core::pkce::Challenge;
use vocab::Secret;

use super::{NOW, NewRefreshToken, Store, store, token};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn own_key() -> Thumbprint {
    Thumbprint::of(b"own")
}

pub(super) fn terms() -> Terms<'static> {
    Terms {
        client_id: "web",
        confirmation: Some(Confirmation::Key(own_key())),
        resources: vec!["https://api.example".to_owned(), "https://id.example".to_owned()],
    }
}

fn code_terms() -> CodeTerms<'static> {
    CodeTerms { grant: terms(), redirect_uri: "https://app.example/cb", challenge: Challenge::answered_by(VERIFIER) }
}

/// `NOW` in SQL.
pub(super) const AT: &str = "to_timestamp(1700000000)";

/// What a grant may be, and whether that is good.
pub(super) fn of_grants() -> Vec<(String, bool)> {
    let told = |sql: &str, good: bool| (sql.to_owned(), good);
    let asked = ClaimsRequest::parse(r#"{"userinfo":{"name":null}}"#).expect("a claims parameter");
    let asked = serde_json::to_string(&asked).expect("as it is stored");
    vec![
        told("select", true),
        told("update grants set client_id = 'other'", false),
        (format!("update grants set expires_at = {AT}"), false),
        told("update grants set revoked_at = created_at", false),
        told("update users set status = 'disabled'", false),
        (format!("update grants set requested_claims = '{asked}'"), false),
        told(r#"update grants set authorization_details = '[{"type":"payment"}]'"#, false),
        told("update grants set audience = '{https://api.example}'", true),
        told("update grants set audience = '{https://lost.example}'", false),
        told("update grants set audience = '{https://lost.example,https://id.example}'", true),
    ]
}

impl Store {
    /// A code alone in the database, of a grant without anything out of the ordinary.
    async fn only_code(&self) -> Secret<String> {
        self.execute("delete from grants; update users set status = 'active'").await;
        let code = self.code().await;
        let challenge = Challenge::answered_by(VERIFIER).expect("it is a verifier");
        self.execute(&format!(
            "update grants set requested_claims = null; update authorization_codes set code_challenge = '{}'",
            challenge.as_str()
        ))
        .await;
        code
    }
}

#[tokio::test]
async fn a_refresh_token_is_taken_under_the_terms_and_no_others() {
    let store = store("outright-refresh").await;
    let (own, other) = (own_key(), Thumbprint::of(b"other"));
    let of_tokens = [
        ("update refresh_tokens set rotated_at = created_at".to_owned(), false),
        (format!("update refresh_tokens set expires_at = {AT}"), false),
        (format!(r#"update refresh_tokens set confirmation = '{{"jkt":"{own}"}}'"#), true),
        (format!(r#"update refresh_tokens set confirmation = '{{"jkt":"{other}"}}'"#), false),
    ];
    for (change, good) in of_grants().into_iter().chain(of_tokens) {
        store.execute("delete from grants; update users set status = 'active'").await;
        let old = store.refresh_token().await;
        store.execute("update grants set requested_claims = null").await;
        store.execute(&change).await;
        let old = old.value.expose();
        let found = refresh::find(&store.db, old).await.unwrap().expect("it is stored");
        assert_eq!(terms().are_met_by(NOW, &found), good, "{change}");
        let next = token("next");
        let taken = outright::rotate(&store.db, old, &terms(), &next, Some("sealed"), NOW).await.unwrap();
        assert_eq!(taken, good.then(|| found.clone()), "{change}");
        let after = refresh::find(&store.db, old).await.unwrap().expect("it stays");
        let followed = refresh::find(&store.db, next.value.expose()).await.unwrap();
        if good {
            assert_eq!((after.rotated_at, after.successor.as_deref()), (Some(NOW), Some("sealed")), "{change}");
            assert_eq!(followed.map(|next| next.grant), Some(found.grant), "{change}");
        } else {
            assert_eq!((after, followed), (found, None), "{change}: nothing has changed");
        }
    }
}

#[tokio::test]
async fn a_code_is_taken_under_the_terms_and_no_others() {
    let store = store("outright-code").await;
    let (own, other) = (own_key(), Thumbprint::of(b"other"));
    let plain = Challenge::plain(VERIFIER).expect("it is a verifier");
    let of_codes = [
        ("update authorization_codes set redeemed_at = expires_at".to_owned(), false),
        (format!("update authorization_codes set expires_at = {AT}"), false),
        ("update authorization_codes set redirect_uri = 'https://app.example/cb?'".to_owned(), false),
        ("update authorization_codes set code_challenge = null".to_owned(), false),
        (format!("update authorization_codes set code_challenge = '{}'", plain.as_str()), false),
        (format!("update authorization_codes set dpop_jkt = '{own}'"), true),
        (format!("update authorization_codes set dpop_jkt = '{other}'"), false),
    ];
    for (change, good) in of_grants().into_iter().chain(of_codes) {
        let code = store.only_code().await;
        store.execute(&change).await;
        let code = code.expose();
        let found = codes::find(&store.db, code).await.unwrap().expect("it is stored");
        assert_eq!(code_terms().are_met_by(NOW, &found), good, "{change}");
        let next = token("next");
        let taken = outright::redeem(&store.db, code, &code_terms(), Some(&next), NOW).await.unwrap();
        assert_eq!(taken, good.then(|| found.clone()), "{change}");
        let after = codes::find(&store.db, code).await.unwrap().expect("it stays");
        assert_eq!(after.is_redeemed, good || found.is_redeemed, "{change}");
        assert_eq!(refresh::find(&store.db, next.value.expose()).await.unwrap().is_some(), good, "{change}");
    }
    // Asked for without a challenge, redeemed without a verifier; and without offline_access nothing follows.
    let code = store.only_code().await;
    store.execute("update authorization_codes set code_challenge = null; update grants set scopes = '{openid}'").await;
    let without = CodeTerms { challenge: None, ..code_terms() };
    let next = token("next");
    assert!(outright::redeem(&store.db, code.expose(), &without, Some(&next), NOW).await.unwrap().is_some());
    assert_eq!(refresh::find(&store.db, next.value.expose()).await.unwrap(), None);
}

#[tokio::test]
async fn of_many_at_once_one_takes_and_a_fault_takes_nothing() {
    let store = store("outright-race").await;
    let code = store.only_code().await;
    let terms = code_terms();
    let next = token("next");
    store.break_refresh_tokens().await;
    outright::redeem(&store.db, code.expose(), &terms, Some(&next), NOW).await.unwrap_err();
    store.execute("alter table refresh_tokens drop constraint broken").await;
    let followers: Vec<_> = (0..10).map(|n| token(&format!("c{n}"))).collect();
    let attempts = followers.iter().map(|next| outright::redeem(&store.db, code.expose(), &terms, Some(next), NOW));
    let taken: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");

    let won = taken.iter().position(Option::is_some).unwrap();
    let old = followers[won].value.expose();
    store.break_refresh_tokens().await;
    outright::rotate(&store.db, old, &terms.grant, &next, None, NOW).await.unwrap_err();
    store.execute("alter table refresh_tokens drop constraint broken").await;
    let followers: Vec<_> = (0..10).map(|n| token(&format!("r{n}"))).collect();
    let attempts = followers.iter().map(|next| outright::rotate(&store.db, old, &terms.grant, next, None, NOW));
    let taken: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
}

/// As many as wait for one statement go with the next: each under its own terms, and a fault of one is no other's.
#[tokio::test]
async fn many_at_once_each_get_their_own() {
    let store = store("outright-many").await;
    let (mut codes, terms) = (Vec::new(), code_terms());
    for _ in 0..24 {
        codes.push(store.code().await);
    }
    let challenge = Challenge::answered_by(VERIFIER).expect("it is a verifier");
    let usual = format!(
        "update grants set requested_claims = null; update authorization_codes set code_challenge = '{}'",
        challenge.as_str()
    );
    store.execute(&usual).await;
    let wrong = CodeTerms { redirect_uri: "https://app.example/other", ..code_terms() };
    let followers: Vec<_> = (0..24).map(|n| token(&format!("c{n}"))).collect();
    let redeem = |n: usize| {
        // Some have a refresh token to follow, one is shown with another redirect URI.
        let next = n.is_multiple_of(2).then(|| &followers[n]);
        outright::redeem(&store.db, codes[n].expose(), if n == 4 { &wrong } else { &terms }, next, NOW)
    };
    let taken: Vec<_> = join_all((0..24).map(redeem)).await.into_iter().map(Result::unwrap).collect();
    let mut grants = Vec::new();
    for (n, taken) in taken.iter().enumerate() {
        let found = codes::find(&store.db, codes[n].expose()).await.unwrap().expect("it is stored");
        assert_eq!(taken.as_ref().map(|taken| taken.grant.id), (n != 4).then_some(found.grant.id), "{n}");
        assert_eq!(found.is_redeemed, n != 4, "{n}");
        let followed = refresh::find(&store.db, followers[n].value.expose()).await.unwrap();
        let expected = (n != 4 && n % 2 == 0).then_some(found.grant.id);
        assert_eq!(followed.map(|next| next.grant.id), expected, "{n}");
        grants.extend(expected.map(|_| (n, found.grant)));
    }

    // Each is replaced once, though asked for twice; one successor cannot be stored.
    let faulty = NewRefreshToken { idle_until: NOW.plus_secs(7), ..token("r12") };
    let fault = "alter table refresh_tokens add constraint fault check (expires_at <> to_timestamp(1700000007))";
    store.execute(fault).await;
    let other = Terms { client_id: "other", ..terms.grant.clone() };
    let mut nexts: Vec<_> = (0..48).map(|n| token(&format!("r{n}"))).collect();
    nexts[12] = faulty;
    let rotate = |n: usize| {
        let old = followers[n % 24].value.expose();
        let terms = if n % 24 == 8 { &other } else { &terms.grant };
        outright::rotate(&store.db, old, terms, &nexts[n], Some("sealed"), NOW)
    };
    let answers = join_all((0..48).map(rotate)).await;
    for (old, grant) in grants {
        let won: Vec<_> = [old, old + 24].into_iter().filter(|n| matches!(answers[*n], Ok(Some(_)))).collect();
        assert_eq!(won.len(), usize::from(old != 8), "{old}: {answers:?}");
        assert!(!won.contains(&12), "it cannot be stored");
        for n in won {
            assert_eq!(answers[n].as_ref().unwrap().as_ref().map(|taken| taken.grant.id), Some(grant.id), "{n}");
            let followed = refresh::find(&store.db, nexts[n].value.expose()).await.unwrap();
            assert_eq!(followed.map(|next| next.grant.id), Some(grant.id), "{n}");
        }
    }
}

#[tokio::test]
async fn tokens_that_have_ended_do_not_pile_up() {
    let store = store("outright-sweep").await;
    let mut old = store.refresh_token().await;
    store.execute("update grants set requested_claims = null").await;
    let client = store.database.connect().await;
    let ended = "select count(*) from refresh_tokens where expires_at < to_timestamp(1700000000)";
    // Some rotations sweep, and their tokens' digests say which: of so many of them several do.
    for number in 0..150 {
        let next = token(&format!("s{number}"));
        let taken = outright::rotate(&store.db, old.value.expose(), &terms(), &next, None, NOW).await.unwrap();
        assert!(taken.is_some());
        old = next;
        if number == 50 {
            store
                .execute(
                    "update refresh_tokens set expires_at = expires_at - interval '1 day' where rotated_at is not null",
                )
                .await;
            assert_eq!(client.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 51);
        }
    }
    assert_eq!(client.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 0);
}
