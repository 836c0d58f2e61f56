//! The pod dies between any two steps of a change in an account: the person is told of it exactly if it was made.

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tests::postgres;
use tests::tenant::User;
use tests::web;
use tests::world::World;

use super::{Place, Victim, strike};

/// What else is asked of the database, by these requests and in the background: no step of the change.
const BESIDES: &[&str] =
    &["from outbox", "update outbox", "select email from users", "select id, email,", "denied_tokens d"];

struct Account {
    place: Place,
    alice: User,
    method: Method,
    path: &'static str,
    /// The kind of message.
    told: &'static str,
    /// SQL: what it was before, and whether it is something else now.
    before: &'static str,
    changed: &'static str,
}

impl Account {
    /// Mail goes to a server that is down, so that it stays where it can be counted.
    async fn set(world: &World, method: Method, path: &'static str) -> Self {
        let tenant = world.tenant("told").await;
        let nobody = json!({ "host": "localhost", "port": postgres::free_port(), "from": "no-reply@crash.example" });
        tenant.patch(&json!({ "settings": { "smtp": nobody } })).await;
        let alice = tenant.user("alice").await;
        let (told, before, changed) = if method == Method::PATCH {
            let (before, changed) = ("update users set password_hash = 'x'", "select password_hash <> 'x' from users");
            ("change_mail:password_set", before, changed)
        } else {
            let before = "insert into second_factors (id, user_id, kind, sealed, created_at) \
                          select gen_random_uuid(), id, 'totp', 'x', now() from users \
                          where not exists (select from second_factors)";
            ("change_mail:factors_taken_away", before, "select not exists (select from second_factors)")
        };
        Self { place: Place::of(tenant, BESIDES).await, alice, method, path, told, before, changed }
    }

    async fn prepare(&self) -> RequestBuilder {
        let connection = self.place.tenant.database.connect().await;
        let prepare = format!("delete from outbox; {}", self.before);
        connection.batch_execute(&prepare).await.expect("the superuser may");
        let token = self.place.tenant.service.client_credentials("hj:users.write").await;
        let url = format!("{}/api/v1/users/{}{}", self.place.tenant.issuer, self.alice.id, self.path);
        let request = web::client().request(self.method.clone(), url).bearer_auth(token);
        if self.method == Method::PATCH { request.json(&json!({ "password": "a donkey on a roof" })) } else { request }
    }

    /// Whether the change was made, and how many messages tell of it.
    async fn found(&self) -> (bool, i64) {
        let connection = self.place.tenant.database.connect().await;
        let changed = connection.query_one(self.changed, &[]).await.expect("a table").get(0);
        let told = "select count(*) from outbox where kind = $1";
        (changed, connection.query_one(told, &[&self.told]).await.expect("a table").get(0))
    }
}

#[tokio::test]
async fn who_made_a_change_and_died_has_told_of_it() {
    let mut world = World::start(1, 1).await;
    let accounts =
        [Account::set(&world, Method::PATCH, "").await, Account::set(&world, Method::DELETE, "/factors").await];
    let mut found = Vec::new();
    for steps in 0.. {
        let requests = join_all(accounts.iter().map(Account::prepare)).await;
        let attempts = accounts.iter().zip(requests).map(|(account, request)| account.place.attempt(steps, request));
        let attempts = join_all(attempts).await;
        if attempts.iter().all(Option::is_none) {
            break;
        }
        assert!(attempts.iter().all(Option::is_some), "both are one statement");
        let places = accounts.each_ref().map(|account| &account.place);
        strike(&mut world, &places, Victim::Pod).await;
        found.push(join_all(accounts.iter().map(Account::found)).await);
    }
    // The statement is there, then committed.
    let (neither, both) = ([(false, 0); 2], [(true, 1); 2]);
    assert_eq!(found, [neither, neither, both]);
    assert_eq!(join_all(accounts.iter().map(Account::found)).await, both, "nobody dies");
}
