//! A person who lost the phone, and whoever helps by the user API.

use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::tenant::{Tenant, User};
use tests::web::{self, Answer};
use tests::world;
use uuid::Uuid;

use super::{enrolled, show_code, show_password};

async fn ask(tenant: &Tenant, method: Method, path: &str, scope: &str) -> Answer {
    let token = tenant.service.client_credentials(scope).await;
    web::send(web::client().request(method, format!("{}/api/v1/users/{path}", tenant.issuer)).bearer_auth(token)).await
}

async fn listed(tenant: &Tenant, user: &User) -> Value {
    ask(tenant, Method::GET, &format!("{}/factors", user.id), "hj:users.read").await.expect(200).json
}

#[tokio::test]
async fn what_a_person_lost_is_seen_and_taken_away_by_who_manages_users() {
    let world = world::shared().await;
    let tenant = world.tenant("helped").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    assert_eq!(listed(&tenant, &alice).await, json!({ "items": [], "recovery_codes_left": 0 }));
    let (_, app, codes) = enrolled(&tenant, &alice).await;
    let _ = enrolled(&tenant, &bob).await;

    let before = listed(&tenant, &alice).await;
    let factor = &before["items"][0];
    assert_eq!((&factor["kind"], &factor["name"]), (&json!("totp"), &json!("Authenticator app")));
    assert!(factor["created_at"].is_string() && factor["last_used_at"].is_null(), "{before}");
    assert_eq!(before["recovery_codes_left"], 8);
    let text = before.to_string();
    assert!(!text.contains("hjs1.") && !text.contains(&app.seed), "{text}");
    for code in [app.code(), codes[0].clone()] {
        let browser = Browser::new();
        let page = show_password(&browser, &tenant.backend.attempt().url, &alice).await;
        let _ = show_code(&browser, &page, &code).await.expect_callback();
    }
    let after = listed(&tenant, &alice).await;
    assert!(after["items"][0]["last_used_at"].is_string() && after["recovery_codes_left"] == 7, "{after}");

    let (hers, bobs) = (factor["id"].as_str().expect("an id"), listed(&tenant, &bob).await);
    let bobs = bobs["items"][0]["id"].as_str().expect("an id");
    let (read, write) = ("hj:users.read", "hj:users.write");
    let own = format!("{}/factors/{hers}", alice.id);
    let of_nobody = format!("{}/factors", Uuid::from_u128(7));
    for (method, path, scope, status) in [
        (Method::DELETE, own.clone(), read, 403),
        (Method::DELETE, format!("{}/factors", alice.id), read, 403),
        (Method::GET, own.clone(), write, 403),
        (Method::GET, format!("{}/factors/{bobs}", alice.id), read, 404),
        (Method::DELETE, format!("{}/factors/{bobs}", alice.id), write, 404),
        (Method::DELETE, format!("{}/factors/x", alice.id), write, 404),
        (Method::GET, of_nobody.clone(), read, 404),
        (Method::DELETE, of_nobody, write, 404),
        (Method::POST, format!("{}/factors", alice.id), write, 405),
    ] {
        let answer = ask(&tenant, method.clone(), &path, scope).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    assert_eq!(ask(&tenant, Method::GET, &own, read).await.expect(200).text_of("id"), hers);

    assert_eq!(ask(&tenant, Method::DELETE, &own, write).await.expect(204).text, "");
    let _ = ask(&tenant, Method::DELETE, &own, write).await.expect(404);
    // With the last one the recovery codes are gone; the password is enough.
    assert_eq!(listed(&tenant, &alice).await, json!({ "items": [], "recovery_codes_left": 0 }));
    let _ = Browser::new().authorize(&tenant.backend.attempt().url, &alice).await;
    assert_eq!(listed(&tenant, &bob).await["recovery_codes_left"], 8, "another's");

    // Several at once, one of them of a kind that only newer pods know.
    let newer = format!(
        "insert into second_factors (id, user_id, kind, sealed, created_at) \
         values (gen_random_uuid(), '{}', 'crystal-ball', 'x', now())",
        bob.id
    );
    tenant.database.connect().await.batch_execute(&newer).await.expect("a table");
    let both = listed(&tenant, &bob).await;
    let kinds: Vec<&Value> = both["items"].as_array().expect("a list").iter().map(|item| &item["kind"]).collect();
    assert!(kinds.len() == 2 && kinds.contains(&&json!("crystal-ball")), "{both}");
    for _ in 0..2 {
        let _ = ask(&tenant, Method::DELETE, &format!("{}/factors", bob.id), write).await.expect(204);
    }
    assert_eq!(listed(&tenant, &bob).await, json!({ "items": [], "recovery_codes_left": 0 }));
    let _ = Browser::new().authorize(&tenant.backend.attempt().url, &bob).await;
}
