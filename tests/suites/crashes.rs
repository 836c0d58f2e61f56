//! `kill -9` of the pod, or of PostgreSQL, between any two steps of an exchange that uses something up: there are never two
//! live successors, and always a way on.
//!
//! Five exchanges, each of a tenant of its own, are stopped at the same step by the [`Wire`]s to their databases; then one
//! blow hits them all. Then the next step, until an exchange has no more steps.

#[path = "crashes/changes.rs"]
mod changes;

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::json;
use tests::browser::Browser;
use tests::postgres;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::wire::Wire;
use tests::world::World;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CIBA: &str = "urn:openid:params:grant-type:ciba";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Code,
    Refresh,
    RefreshWithGrace,
    Device,
    Ciba,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Code, Self::Refresh, Self::RefreshWithGrace, Self::Device, Self::Ciba];
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Pod,
    Server,
}

/// A tenant whose pods are at the other end of a wire from its database.
struct Place {
    tenant: Tenant,
    wire: Wire,
}

impl Place {
    async fn of(tenant: Tenant, background: &'static [&'static str]) -> Self {
        // What was acknowledged is on disk, as it is on a server that is meant to last.
        let durable = format!("alter database \"{}\" set synchronous_commit = on", tenant.database.name);
        postgres::server().await.execute(&durable).await;
        let wire = Wire::to(tenant.database.port(), background).await;
        let dsn = tenant.database.dsn_through(wire.port());
        tenant.patch(&json!({ "settings": { "database": { "dsn": dsn, "max_connections": 5 } } })).await;
        Self { tenant, wire }
    }

    /// Asks while the wire holds the step after these. The answer, if one comes in spite of the blow; `None` where all is
    /// over before that step.
    async fn attempt(&self, steps: usize, request: reqwest::RequestBuilder) -> Option<Asking> {
        self.wire.hold(steps);
        let mut asking = tokio::spawn(web::try_send(request));
        tokio::select! {
            () = self.wire.holds() => Some(asking),
            answer = &mut asking => {
                let _ = answer.expect("it ends").expect("an answer").expect_one_of(&[200, 204]);
                None
            }
        }
    }
}

/// One kind of exchange, with all that it takes.
struct Stage {
    kind: Kind,
    place: Place,
    alice: User,
    /// She is signed in there.
    browser: Browser,
    party: RelyingParty,
}

/// What came of the attempt, and of the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The client was answered in spite of all.
    Answered,
    /// Nothing had been used up: the client asked again.
    Again,
    /// It had been used up: the client began anew.
    Anew,
}

impl Stage {
    async fn set(world: &World, kind: Kind) -> Self {
        let tenant = world.tenant("crash").await;
        let grants = |grant: &str| json!([grant, "refresh_token"]);
        let scopes = json!(["openid", "offline_access"]);
        let changes = match kind {
            Kind::Code | Kind::Refresh => json!({}),
            Kind::RefreshWithGrace => json!({ "refresh_token_grace_secs": 300 }),
            Kind::Device => json!({ "grant_types": grants(DEVICE), "scopes": scopes, "redirect_uris": [] }),
            Kind::Ciba => json!({
                "grant_types": grants(CIBA), "scopes": scopes, "redirect_uris": [],
                "backchannel_token_delivery_mode": "poll",
            }),
        };
        let (alice, browser) = (tenant.user("alice").await, Browser::new());
        browser.authorize(&tenant.backend.attempt().url, &alice).await;
        tenant.patch_client("backend", &changes).await;
        let place = Place::of(tenant, &["from outbox", "update outbox"]).await;
        let party = place.tenant.backend.clone();
        Self { kind, place, alice, browser, party }
    }

    /// The form of a token request that would succeed.
    async fn credential(&self) -> Vec<(&'static str, String)> {
        match self.kind {
            Kind::Code => self.code().await,
            Kind::Refresh | Kind::RefreshWithGrace => refreshing(&Tokens::read(self.ask(&self.code().await).await)),
            Kind::Device => {
                let begun = self.begin("device_authorization", &[("scope", "openid offline_access")]).await;
                self.allow(&begun.text_of("verification_uri_complete")).await;
                vec![("grant_type", DEVICE.to_owned()), ("device_code", begun.text_of("device_code"))]
            }
            Kind::Ciba => {
                let form = [("scope", "openid offline_access"), ("login_hint", self.alice.email.as_str())];
                let begun = self.begin("bc-authorize", &form).await;
                self.allow(&format!("{}/account", self.place.tenant.issuer)).await;
                vec![("grant_type", CIBA.to_owned()), ("auth_req_id", begun.text_of("auth_req_id"))]
            }
        }
    }

    async fn code(&self) -> Vec<(&'static str, String)> {
        let attempt = self.party.attempt();
        let callback = self.browser.authorize(&attempt.url, &self.alice).await;
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", parameters(&callback).remove("code").unwrap_or_else(|| panic!("{callback}"))),
            ("redirect_uri", self.party.redirect_uri.clone()),
            ("code_verifier", attempt.verifier),
        ]
    }

    async fn begin(&self, endpoint: &str, form: &[(&str, &str)]) -> Answer {
        web::send(self.party.back_channel(endpoint, form)).await.expect(200)
    }

    /// Alice says yes on that page.
    async fn allow(&self, url: &str) {
        let page = self.browser.open_page(&url.parse().expect("a URL")).await;
        assert_eq!(self.browser.consent(&page.expect_form()).await.status, 200);
    }

    fn request(&self, form: &[(&'static str, String)]) -> reqwest::RequestBuilder {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.party.token_request(&form)
    }

    async fn ask(&self, form: &[(&'static str, String)]) -> Answer {
        web::send(self.request(form)).await
    }

    /// The most live refresh tokens that one grant has.
    async fn live(&self) -> i64 {
        let most = "select coalesce(max(count), 0) from (select count(*) from refresh_tokens t \
                    join grants g on g.id = t.grant_id \
                    where t.rotated_at is null and g.revoked_at is null group by g.id) as families";
        let connection = self.place.tenant.database.connect().await;
        connection.query_one(most, &[]).await.expect("it counts").get(0)
    }

    /// What the client finds afterwards.
    async fn recover(&self, form: &[(&'static str, String)], answer: Option<Answer>) -> Outcome {
        assert!(self.live().await <= 1, "{:?}", self.kind);
        if let Some(answer) = answer.filter(|answer| answer.status != 503) {
            self.goes_on(Tokens::read(answer)).await;
            return Outcome::Answered;
        }
        // It may ask before its time: what is looked at is not that.
        let forget = "update device_codes set last_polled_at = null; update ciba_requests set last_polled_at = null";
        self.place.tenant.database.connect().await.batch_execute(forget).await.expect("the tables are there");
        let again = self.ask(form).await.expect_one_of(&[200, 400]);
        if again.status == 200 {
            self.goes_on(Tokens::read(again)).await;
            return Outcome::Again;
        }
        assert_ne!(self.kind, Kind::RefreshWithGrace, "{again:#?}");
        assert_eq!(again.code(), "invalid_grant", "{again:#?}");
        if matches!(self.kind, Kind::Code | Kind::Refresh) {
            // For all that is known it was somebody else who used it (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
            assert_eq!(self.live().await, 0, "{:?}", self.kind);
        }
        let anew = self.credential().await;
        self.goes_on(Tokens::read(self.ask(&anew).await)).await;
        Outcome::Anew
    }

    /// The client has one live family and can use it.
    async fn goes_on(&self, tokens: Tokens) {
        assert_eq!(self.live().await, 1, "{:?}", self.kind);
        let _ = self.party.userinfo(&tokens.access).await.expect(200);
        let _ = self.ask(&refreshing(&tokens)).await.expect(200);
        let delete = "delete from grants";
        self.place.tenant.database.connect().await.batch_execute(delete).await.expect("the superuser may");
    }
}

type Asking = tokio::task::JoinHandle<Result<Answer, reqwest::Error>>;

fn refreshing(tokens: &Tokens) -> Vec<(&'static str, String)> {
    vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())]
}

/// Kills it while everything is held, and brings it back.
async fn strike(world: &mut World, places: &[&Place], victim: Victim) {
    match victim {
        Victim::Pod => world.pods[0].kill(),
        Victim::Server => postgres::server().await.crash(&places[0].tenant.database).await,
    }
    for place in places {
        place.wire.cut();
    }
    if let Victim::Pod = victim {
        world.pods[0].start_again().await;
        world.pods[0].ready().await;
    }
    // PostgreSQL takes back what a pod left in the middle; and a pod finds out that its connections are gone.
    until("nothing is under way, and every database answers", PATIENCE, async || {
        for Place { tenant, .. } in places {
            let connection = tenant.database.connect().await;
            let busy = "select count(*) from pg_stat_activity where datname = current_database() \
                        and application_name = 'hellojohn' and state not like 'idle'";
            let busy: i64 = connection.query_one(busy, &[]).await.map_err(|error| error.to_string())?.get(0);
            if busy > 0 {
                return Err(format!("{}: {busy} at work", tenant.slug));
            }
            // Each connection of the pool has its turn.
            for _ in 0..6 {
                let unknown = tenant.backend.introspect(&"x".repeat(43)).await;
                if unknown.status != 200 {
                    return Err(format!("{}: {}", tenant.slug, unknown.status));
                }
            }
        }
        Ok(())
    })
    .await;
}

/// Strikes at each step; what came of each kind.
async fn at_every_step(world: &mut World, stages: &[Stage], victim: Victim) -> BTreeMap<Kind, Vec<Outcome>> {
    let mut outcomes: BTreeMap<Kind, Vec<Outcome>> = BTreeMap::new();
    for steps in 0.. {
        let forms = join_all(stages.iter().map(Stage::credential)).await;
        let attempts = stages.iter().zip(&forms).map(|(stage, form)| stage.place.attempt(steps, stage.request(form)));
        let attempts = join_all(attempts).await;
        let held = attempts.iter().flatten().count();
        if held == 0 {
            for stage in stages {
                stage.place.wire.cut();
            }
            break;
        }
        let places: Vec<&Place> = stages.iter().map(|stage| &stage.place).collect();
        strike(world, &places, victim).await;
        let recoveries = stages.iter().zip(&forms).zip(attempts).map(async |((stage, form), asking)| {
            let answer = asking?.await.expect("it ends").ok();
            Some((stage.kind, stage.recover(form, answer).await))
        });
        for (kind, outcome) in join_all(recoveries).await.into_iter().flatten() {
            outcomes.entry(kind).or_default().push(outcome);
        }
    }
    outcomes
}

#[tokio::test]
async fn between_any_two_steps_a_crash_leaves_one_successor_and_a_way_on() {
    use Outcome::{Again, Anew, Answered};

    let mut world = World::start(1, 1).await;
    let mut stages = Vec::new();
    for kind in Kind::ALL {
        stages.push(Stage::set(&world, kind).await);
    }
    // One statement does it, and a statement has three steps. Of a pod that dies nothing is heard.
    let by_pod = at_every_step(&mut world, &stages, Victim::Pod).await;
    for kind in Kind::ALL {
        let expected = [Again, Again, if kind == Kind::RefreshWithGrace { Again } else { Anew }];
        assert_eq!(by_pod[&kind], expected, "{kind:?}: {by_pod:#?}");
    }
    // A pod whose server dies asks once more where that can do no harm.
    let by_server = at_every_step(&mut world, &stages, Victim::Server).await;
    for kind in Kind::ALL {
        let outcomes = &by_server[&kind];
        assert_eq!(outcomes.len(), 3, "{kind:?}: {by_server:#?}");
        assert!(outcomes.iter().all(|outcome| [Answered, Again].contains(outcome)), "{kind:?}: {by_server:#?}");
    }
}
