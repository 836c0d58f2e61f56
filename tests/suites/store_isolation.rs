//! Every public function of every store, tried with one tenant's values from another tenant: in a database of its own,
//! and (for whatever a browser or client holds) in the very same database under another tenant's id.

#[path = "store_isolation/keys.rs"]
mod keys;
#[path = "store_isolation/links.rs"]
mod links;
#[path = "store_isolation/tried.rs"]
mod tried;
#[path = "store_isolation/upstream.rs"]
mod upstream;

use dataplane_service::email::Email;
use dataplane_service::password::PasswordHash;
use dataplane_service::store::access_tokens::{self, NewAccessToken};
use dataplane_service::store::change_mails::{self, Change, News};
use dataplane_service::store::ciba::{self, NewRequest};
use dataplane_service::store::codes::{self, NewCode, Taken};
use dataplane_service::store::consents::{self, Consent};
use dataplane_service::store::credentials::{self, Active, NewPassword};
use dataplane_service::store::device::{self, NewDevice};
use dataplane_service::store::factors::{self, Added, Method, NewFactor};
use dataplane_service::store::grants::NewGrant;
use dataplane_service::store::interactions::{Key, NewInteraction};
use dataplane_service::store::proofs::Proof;
use dataplane_service::store::refresh::{self, Follows, NewRefreshToken};
use dataplane_service::store::sessions::{self, NewSession};
use dataplane_service::store::sign_ins::{self, NewSignIn};
use dataplane_service::store::waiting::{self, Approval, Found, Outright};
use dataplane_service::store::{
    TenantDb, denied, grants, interactions, outbox, outright, proofs, pushed_requests, reseal, users,
};
use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::authorize::AuthorizationRequest;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::grant::RevokedBecause;
use oauth_core::grant::outright::{CodeTerms, Terms};
use oauth_core::grant::waiting::Code;
use oauth_core::scope::ScopeSet;
use oauth_core::waiting::Asked;
use tests::postgres;
use tests::stores::{NOW, add_user, open};
use uuid::Uuid;
use vocab::Secret;

/// The `jti` of an access token.
const TOKEN: Uuid = Uuid::from_u128(0x70CE);

/// All that one tenant's people and clients hold.
struct Held {
    user: Uuid,
    cookie: Secret<String>,
    interaction: Secret<String>,
    pushed: Secret<String>,
    code: Secret<String>,
    refresh_token: NewRefreshToken,
    grant: Uuid,
    /// Of the outbox: somebody was signed out.
    message: Uuid,
    device: device::Codes,
    /// Of a client of CIBA, and the request's id.
    auth_req_id: Secret<String>,
    asked: Uuid,
    sign_in: Secret<String>,
    /// With the recovery code below.
    factor: Uuid,
}

const NEWS: News = News { change: Some(Change::PasswordReset), now: NOW };
const RECOVERY: &str = "a recovery code";

fn factor(user: Uuid, codes: &[String]) -> NewFactor<'_> {
    NewFactor {
        id: Uuid::from_u128(0xFAC),
        user_id: user,
        method: Method::Totp { step: 7 },
        sealed: "sealed",
        recovery_codes: codes,
        news: NEWS,
    }
}

fn next(value: &str) -> NewRefreshToken {
    NewRefreshToken { value: Secret::new(value.to_owned()), idle_until: NOW.plus_secs(500), confirmation: None }
}

async fn issue(db: &TenantDb, user: Uuid, sid: Option<Uuid>) -> Secret<String> {
    let new = NewCode {
        user_id: user,
        client_id: "web",
        sid,
        scopes: vec!["openid".to_owned()],
        audience: &[],
        nonce: None,
        claims: &ClaimsRequest::default(),
        details: &AuthorizationDetails::default(),
        auth_time: NOW,
        amr: &[],
        redirect_uri: "https://app.example/cb",
        dpop_jkt: None,
        code_challenge: None,
        now: NOW,
        expires_at: NOW.plus_secs(60),
        grant_expires_at: NOW.plus_secs(1000),
    };
    codes::issue(db, &new).await.expect("the database does as told")
}

async fn hold(db: &TenantDb) -> Held {
    let user = add_user(db, "ada@example.com").await.expect("the database is empty");
    let new =
        NewSession { user_id: user, amr: &[], now: NOW, expires_at: NOW.plus_secs(1000), replaces: None, tell: &[] };
    let cookie = sessions::begin(db, &new).await.expect("the database does as told").cookie;
    let request = AuthorizationRequest::new(
        "web".parse().expect("the database does as told"),
        "https://app.example/cb".to_owned(),
        ScopeSet::parse("openid").expect("the database does as told"),
    );
    let interaction =
        interactions::begin(db, NewInteraction { browser: "browser", request: &request, pushed: None, now: NOW })
            .await
            .expect("the database does as told");
    let pushed = pushed_requests::keep(db, &request, NOW, NOW.plus_secs(90)).await.expect("the database does as told");
    consents::remember(db, user, "web", &allowed(), NOW).await.expect("the database does as told");
    let other = sessions::begin(db, &new).await.expect("the database does as told");
    issue(db, user, Some(other.facts.sid)).await;
    sessions::end(db, other.cookie.expose(), &["web"], NOW).await.expect("the database does as told");
    let later = NOW.plus_secs(30);
    let claimed = outbox::claim(db, NOW, later, 9).await.expect("the database does as told");
    let message = claimed.first().expect("the client is to be told").id;
    outbox::postpone(db, message, NOW).await.expect("the database does as told");
    let (used, refresh_token) = (issue(db, user, None).await, next("first"));
    assert_eq!(
        codes::redeem(db, used.expose(), Follows::refresh_token(&refresh_token), NOW)
            .await
            .expect("the database does as told"),
        Taken::Won
    );
    let grant = refresh::find(db, refresh_token.value.expose())
        .await
        .expect("the database does as told")
        .expect("it was stored")
        .grant
        .id;
    let asked = Asked {
        scope: ScopeSet::parse("openid").expect("it is one"),
        resources: Vec::new(),
        details: AuthorizationDetails::default(),
    };
    let new = NewDevice { client_id: "web", asked: &asked, interval_secs: 5, now: NOW, expires_at: NOW.plus_secs(60) };
    let device = device::begin(db, &new).await.expect("the database does as told");
    let auth_req_id = Secret::new("auth_req_id".to_owned());
    let new = NewRequest {
        auth_req_id: &auth_req_id,
        client_id: "web",
        user_id: user,
        asked: &asked,
        binding_message: None,
        sealed: None,
        interval_secs: 5,
        channel: ciba::Channel::AccountPage,
        now: NOW,
        expires_at: NOW.plus_secs(60),
    };
    assert!(ciba::begin(db, &new).await.expect("the database does as told"));
    let asked = ciba::pending(db, user, NOW).await.expect("the database does as told")[0].id;
    let code = issue(db, user, None).await;
    let new = NewSignIn { user_id: user, interaction: None, amr: &["pwd"], now: NOW };
    let sign_in = sign_ins::begin(db, &new).await.expect("the database does as told");
    let codes = [RECOVERY.to_owned()];
    let new = factor(user, &codes);
    assert_eq!(factors::add(db, &new).await.expect("the database does as told"), Added::WithCodes);
    let factor = new.id;
    keys::hold(db, user).await;
    Held {
        user,
        cookie,
        interaction,
        pushed,
        code,
        refresh_token,
        grant,
        message,
        device,
        auth_req_id,
        asked,
        sign_in,
        factor,
    }
}

fn allowed() -> Consent {
    Consent { scopes: ScopeSet::parse("openid").expect("it is one"), details: AuthorizationDetails::default() }
}

impl Held {
    fn key(&self) -> Key<'_> {
        Key { id: self.interaction.expose(), browser: "browser" }
    }

    /// The same proof, used with `db` for the first time.
    async fn proof_is_new_at(&self, db: &TenantDb) -> bool {
        let jti = self.code.expose();
        let proof = Proof { kind: "assertion", owner: "web", jti };
        proofs::first_use(db, proof, NOW.plus_secs(60), NOW).await.expect("the database does as told")
    }

    fn approval(&self) -> Approval<'_> {
        Approval { user_id: self.user, auth_time: NOW, amr: &[], grant_expires_at: NOW.plus_secs(100) }
    }

    /// Everything that takes an opaque value: `db` knows none of these, and cannot end them either.
    async fn try_values_at(&self, db: &TenantDb) {
        let idle_since = NOW.plus_secs(-60);
        assert!(
            sessions::find_live(db, self.cookie.expose(), NOW, idle_since)
                .await
                .expect("the database does as told")
                .is_none()
        );
        sessions::touch(db, self.cookie.expose(), NOW.plus_secs(900)).await.expect("the database does as told");
        assert_eq!(
            sessions::end(db, self.cookie.expose(), &["web"], NOW).await.expect("the database does as told"),
            None
        );
        let amr = ["mfa".to_owned()];
        let strengthened = sessions::strengthen(db, self.cookie.expose(), &amr, NOW).await;
        assert!(strengthened.expect("the database does as told").is_none());
        let sign_in = self.sign_in.expose();
        assert!(sign_ins::find(db, sign_in, None, NOW).await.expect("the database does as told").is_none());
        assert!(!sign_ins::finish(db, sign_in).await.expect("the database does as told"));
        assert!(!factors::spend_code(db, self.user, RECOVERY).await.expect("the database does as told"));
        keys::is_asked_nothing_at(db).await;
        assert!(interactions::find(db, self.key(), NOW).await.expect("the database does as told").is_none());
        let pushed = pushed_requests::Key { name: self.pushed.expose(), browser: "browser" };
        let opened = pushed_requests::open(db, pushed, "web", NOW).await.expect("the database does as told");
        assert!(opened.is_none());
        assert!(!pushed_requests::use_up(db, pushed).await.expect("the database does as told"));
        interactions::authenticated(db, self.key(), Uuid::from_u128(666)).await.expect("the database does as told");
        interactions::selected(db, self.key(), Uuid::from_u128(666)).await.expect("the database does as told");
        assert!(!interactions::finish(db, self.key()).await.expect("the database does as told"));
        assert!(codes::find(db, self.code.expose()).await.expect("the database does as told").is_none());
        assert_eq!(
            codes::redeem(db, self.code.expose(), Follows::default(), NOW).await.expect("the database does as told"),
            Taken::Lost
        );
        codes::burn(db, self.code.expose(), NOW).await.expect("the database does as told");
        assert!(outbox::claim(db, NOW, NOW.plus_secs(30), 9).await.expect("the database does as told").is_empty());
        outbox::postpone(db, self.message, NOW.plus_secs(900)).await.expect("the database does as told");
        outbox::remove(db, self.message).await.expect("the database does as told");
        let (user_code, approval) = (&self.device.user_code, self.approval());
        assert_eq!(device::find(db, user_code, NOW).await.expect("the database does as told"), None);
        assert!(!device::approve(db, user_code, &approval, NOW).await.expect("the database does as told"));
        assert!(!device::deny(db, user_code, NOW).await.expect("the database does as told"));
        for code in [Code::Device(self.device.device_code.expose()), Code::Ciba(self.auth_req_id.expose())] {
            let (terms, next) = (Terms { client_id: "web", confirmation: None, resources: Vec::new() }, next("stolen"));
            let outright = Some(Outright { terms: &terms, refresh_token: Some(&next) });
            for outright in [None, outright] {
                let found = waiting::ask(db, code, "web", outright, NOW).await;
                assert_eq!(found.expect("the database does as told"), None);
            }
            assert_eq!(
                waiting::take(db, code, Follows::default(), NOW).await.expect("the database does as told"),
                Taken::Lost
            );
        }
        let left = outbox::left(db).await.expect("the database does as told");
        assert_eq!((left.messages, left.next_due_at), (0, None));
        assert!(self.proof_is_new_at(db).await, "what is used with one tenant is not used with another");
        let token = self.refresh_token.value.expose();
        assert!(refresh::find(db, token).await.expect("the database does as told").is_none());
        let terms = Terms { client_id: "web", confirmation: None, resources: Vec::new() };
        let rotated = outright::rotate(db, token, &terms, &next("stolen"), None, NOW).await;
        assert_eq!(rotated.expect("the database does as told"), None);
        let terms = CodeTerms { grant: terms, redirect_uri: "https://app.example/cb", challenge: None };
        let redeemed = outright::redeem(db, self.code.expose(), &terms, Some(&next("stolen")), NOW).await;
        assert_eq!(redeemed.expect("the database does as told"), None);
        let kept = refresh::keep(db, token, NOW.plus_secs(900), None, NOW).await;
        assert_eq!(kept.expect("the database does as told"), Taken::Lost);
        assert_eq!(
            refresh::rotate(db, token, Follows::refresh_token(&next("stolen")), NOW)
                .await
                .expect("the database does as told"),
            Taken::Lost
        );
    }

    /// Whose they are, they still serve.
    async fn are_unharmed_at(&self, db: &TenantDb) {
        let session = sessions::find_live(db, self.cookie.expose(), NOW, NOW.plus_secs(-60))
            .await
            .expect("the database does as told");
        let session = session.expect("it lives");
        assert!(session.last_seen_at == NOW && session.facts.amr.is_empty());
        let sign_in = self.sign_in.expose();
        assert!(sign_ins::find(db, sign_in, None, NOW).await.expect("the database does as told").is_some());
        assert!(sign_ins::find(db, sign_in, Some("x"), NOW).await.expect("the database does as told").is_none());
        assert!(sign_ins::finish(db, sign_in).await.expect("the database does as told"));
        assert!(!sign_ins::finish(db, sign_in).await.expect("the database does as told"));
        assert!(factors::spend_code(db, self.user, RECOVERY).await.expect("the database does as told"));
        assert!(!factors::spend_code(db, self.user, RECOVERY).await.expect("the database does as told"));
        for (step, is_new) in [(7, false), (9, true), (9, false), (8, false)] {
            let spent = factors::spend_step(db, self.factor, step, "sealed", NOW).await;
            assert_eq!(spent.expect("the database does as told"), is_new, "{step}");
        }
        keys::are_unharmed_at(db, self.user).await;
        let (user_code, approval) = (&self.device.user_code, self.approval());
        assert!(device::find(db, user_code, NOW).await.expect("the database does as told").is_some());
        assert!(device::approve(db, user_code, &approval, NOW).await.expect("the database does as told"));
        assert!(ciba::approve(db, self.asked, &approval, NOW).await.expect("the database does as told"));
        for code in [Code::Device(self.device.device_code.expose()), Code::Ciba(self.auth_req_id.expose())] {
            let found = waiting::ask(db, code, "web", None, NOW).await.expect("the database does as told");
            assert!(matches!(found, Some(Found::Waits(waiting)) if !waiting.asked_too_soon));
            assert_eq!(waiting::ask(db, code, "other", None, NOW).await.expect("the database does as told"), None);
            assert_eq!(
                waiting::take(db, code, Follows::default(), NOW).await.expect("the database does as told"),
                Taken::Won
            );
        }
        let claimed = outbox::claim(db, NOW, NOW.plus_secs(30), 9).await.expect("the database does as told");
        assert_eq!(claimed.iter().map(|message| message.id).collect::<Vec<_>>(), [self.message]);
        assert!(self.proof_is_new_at(db).await);
        assert!(!self.proof_is_new_at(db).await);
        let interaction =
            interactions::find(db, self.key(), NOW).await.expect("the database does as told").expect("it stands");
        assert_eq!((interaction.authenticated_sid, interaction.selected_sid), (None, None));
        assert!(grants::live_user(db, self.grant, TOKEN).await.expect("the database does as told").is_some());
        assert_eq!(
            codes::redeem(db, self.code.expose(), Follows::default(), NOW).await.expect("the database does as told"),
            Taken::Won
        );
        let token = self.refresh_token.value.expose();
        assert_eq!(
            refresh::rotate(db, token, Follows::refresh_token(&next("second")), NOW)
                .await
                .expect("the database does as told"),
            Taken::Won
        );
        assert!(interactions::finish(db, self.key()).await.expect("the database does as told"));
        let pushed = pushed_requests::Key { name: self.pushed.expose(), browser: "browser" };
        let opened = pushed_requests::open(db, pushed, "web", NOW).await.expect("the database does as told");
        assert!(opened.is_some());
        assert!(pushed_requests::use_up(db, pushed).await.expect("the database does as told"));
    }
}

#[tokio::test]
async fn nothing_of_one_tenant_is_seen_or_touched_from_anothers_database() {
    let server = postgres::server().await;
    let (a, b) = (open(&server.database("a").await, 1), open(&server.database("b").await, 2));
    let held = hold(&a).await;
    held.try_values_at(&b).await;
    // By id, address and listing, too.
    assert!(users::find(&b, held.user).await.unwrap().is_none());
    assert!(users::find_for_sign_in(&b, &Email::parse("ada@example.com").unwrap()).await.unwrap().is_none());
    assert!(users::list(&b, None, 10).await.unwrap().is_empty());
    assert_eq!(consents::find(&b, held.user, "web").await.unwrap(), Consent::default());
    assert!(consents::list(&b, held.user, NOW).await.unwrap().is_empty());
    assert!(!consents::revoke(&b, held.user, "web", NOW).await.unwrap());
    assert!(credentials::of_user(&b, held.user).await.unwrap().is_none());
    let hash = PasswordHash::stored("$argon2id$".to_owned());
    let new = NewPassword { user_id: held.user, hash: &hash, replaces: None, keep: None, tell: &[], news: NEWS };
    assert!(!credentials::change(&b, &new).await.unwrap());
    assert!(!credentials::set_active(&b, held.user, Active::Disabled, &[], NOW).await.unwrap());
    assert!(grants::live_user(&b, held.grant, TOKEN).await.unwrap().is_none());
    grants::revoke(&b, held.grant, RevokedBecause::CodeReused, NOW).await.unwrap();
    assert_eq!(sessions::end_all_of(&b, held.user, &["web"], NOW).await.unwrap(), 0);
    assert_eq!(sessions::end_of_disabled(&b, &["web"], NOW).await.unwrap(), 0);
    let claims = serde_json::json!({ "sub": "service" });
    let value = Secret::new("an opaque token".to_owned());
    let opaque =
        NewAccessToken { value, grant: None, client_id: "web".to_owned(), claims, expires_at: NOW.plus_secs(600) };
    access_tokens::store(&a, &opaque, NOW).await.unwrap();
    assert!(access_tokens::find(&b, opaque.value.expose(), NOW).await.unwrap().is_none());
    access_tokens::remove(&b, opaque.value.expose()).await.unwrap();
    assert!(access_tokens::find(&a, opaque.value.expose(), NOW).await.unwrap().is_some());
    assert!(grants::newest_of_session(&b, Uuid::from_u128(1), "web", NOW).await.unwrap().is_none());
    let verified = Email::parse("ada@example.com").unwrap();
    assert!(users::find_active(&b, held.user).await.unwrap().is_none());
    assert!(users::find_verified(&b, &verified).await.unwrap().is_none());
    let scope = ScopeSet::default();
    let new = NewGrant {
        user_id: held.user,
        client_id: "web",
        scope: &scope,
        audience: &[],
        now: NOW,
        expires_at: NOW.plus_secs(9),
    };
    assert!(grants::create(&b, &new).await.is_err(), "B has no such user");
    denied::deny(&b, TOKEN, NOW.plus_secs(600), NOW).await.unwrap();
    assert!(denied::is_denied(&b, TOKEN, NOW).await.unwrap() && !denied::is_denied(&a, TOKEN, NOW).await.unwrap());
    assert!(ciba::pending(&b, held.user, NOW).await.unwrap().is_empty());
    assert!(ciba::put_mail_code(&b, held.asked, "x", NOW).await.unwrap().is_none());
    assert!(ciba::pending_by_code(&b, "x", held.user, NOW).await.unwrap().is_none());
    assert!(!ciba::approve(&b, held.asked, &held.approval(), NOW).await.unwrap());
    assert!(!ciba::deny(&b, held.asked, held.user, NOW).await.unwrap());
    assert!(factors::list(&b, held.user).await.unwrap().is_empty());
    assert_eq!(factors::codes_left(&b, held.user).await.unwrap(), 0);
    assert!(!factors::spend_step(&b, held.factor, 8, "sealed", NOW).await.unwrap());
    keys::try_ids_at(&b, held.user).await;
    assert!(!factors::renew_codes(&b, held.user, &["x".to_owned()], &NEWS).await.unwrap());
    assert_eq!(factors::held::of_user(&b, held.user).await.unwrap(), None);
    assert!(!factors::remove(&b, held.user, held.factor, &NEWS).await.unwrap());
    assert_eq!(factors::remove_all(&b, held.user, &NEWS).await.unwrap(), None);
    assert!(factors::add(&b, &factor(held.user, &[])).await.is_err(), "B has no such user");
    assert_eq!(outbox::left(&b).await.unwrap().messages, 0, "B has nobody to tell");
    assert_eq!(change_mails::addressee(&b, held.user).await.unwrap(), None);
    // Nothing there is sealed at all.
    assert_eq!(reseal::everything(&b).await.unwrap(), reseal::Outcome::default());
    let new = NewSignIn { user_id: held.user, interaction: None, amr: &[], now: NOW };
    assert!(sign_ins::begin(&b, &new).await.is_err());
    // B has no such user to begin anything for.
    let new =
        NewSession { user_id: held.user, amr: &[], now: NOW, expires_at: NOW.plus_secs(9), replaces: None, tell: &[] };
    assert!(sessions::begin(&b, &new).await.is_err());
    assert!(consents::remember(&b, held.user, "web", &Consent::default(), NOW).await.is_err());
    // The same address is free there.
    assert!(add_user(&b, "ada@example.com").await.is_some());
    held.are_unharmed_at(&a).await;
}

#[tokio::test]
async fn a_successor_in_the_same_database_takes_over_no_session_code_or_token() {
    let database = postgres::server().await.database("inherited").await;
    let (former, successor) = (open(&database, 1), open(&database, 2));
    let held = hold(&former).await;
    held.try_values_at(&successor).await;
    // Not even by replacing it at sign-in.
    let replaces = Some(held.cookie.expose().as_str());
    let new = NewSession { user_id: held.user, amr: &[], now: NOW, expires_at: NOW.plus_secs(9), replaces, tell: &[] };
    sessions::begin(&successor, &new).await.unwrap();
    held.are_unharmed_at(&former).await;
}
