//! Who manages users links them to a provider's people by hand, and takes that back.

use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::tenant::{Tenant, User};
use tests::web::{self, Answer};
use uuid::Uuid;

use super::{Pair, add_user, sub, trust};

async fn ask(tenant: &Tenant, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let token = tenant.service.client_credentials("hj:users.read hj:users.write").await;
    let request = web::client().request(method, format!("{}/api/v1/users/{path}", tenant.issuer)).bearer_auth(token);
    web::send(if let Some(body) = body { request.json(body) } else { request }).await
}

async fn put(tenant: &Tenant, user: &str, subject: &str) -> Answer {
    ask(tenant, Method::PUT, &format!("{user}/identities/corp"), Some(&json!({ "subject": subject }))).await
}

async fn is_nobody(pair: &Pair, user: &User) {
    let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, user).await;
    assert_eq!((page.status, &page.leaves_to), (403, &None), "{page:#?}");
}

#[tokio::test]
async fn a_user_is_linked_by_hand_and_unlinked_again() {
    let pair = Pair::new("linked", "known").await;
    let (alice, bob) = (pair.up.user("alice").await, pair.up.user("bob").await);
    // Under addresses that the provider does not know, or that nobody verified.
    let ada = add_user(&pair.down, "ada@elsewhere.example", false).await;
    let ben = add_user(&pair.down, &bob.email, false).await;
    is_nobody(&pair, &alice).await;
    let (identities, at_corp) = (format!("{ada}/identities"), format!("{ada}/identities/corp"));
    assert_eq!(ask(&pair.down, Method::GET, &identities, None).await.expect(200).json, json!({ "items": [] }));
    let _ = ask(&pair.down, Method::GET, &at_corp, None).await.expect(404);

    let linked = put(&pair.down, &ada, &alice.id).await.expect(200).json;
    assert_eq!((&linked["provider"], &linked["issuer"]), (&json!("corp"), &json!(pair.up.issuer)));
    assert_eq!(linked["subject"], alice.id);
    assert_eq!(sub(&pair.sign_in(&alice).await), ada);
    assert_eq!(put(&pair.down, &ada, &alice.id).await.expect(200).json, linked, "the same again");
    assert_eq!(ask(&pair.down, Method::GET, &identities, None).await.json, json!({ "items": [linked] }));
    assert_eq!(ask(&pair.down, Method::GET, &at_corp, None).await.expect(200).json, linked);

    let taken = put(&pair.down, &ben, &alice.id).await.expect(409);
    assert!(taken.code() == "already_exists" && taken.text.contains("another user"), "{taken:?}");
    let subject = json!({ "subject": "x" });
    for (path, body, status, words) in [
        (format!("{ada}/identities/other"), &subject, 404, "identity_providers"),
        (format!("{}/identities/corp", Uuid::from_u128(7)), &subject, 404, "no such user"),
        (at_corp.clone(), &json!({}), 422, "/subject"),
        (at_corp.clone(), &json!({ "subject": "" }), 422, "/subject"),
        (at_corp.clone(), &json!({ "subject": "x".repeat(256) }), 422, "/subject"),
        (at_corp.clone(), &json!({ "subject": "x\u{0}" }), 422, "/subject"),
        (at_corp.clone(), &json!({ "subject": "x", "issuer": "https://evil.example" }), 422, "/issuer"),
    ] {
        let answer = ask(&pair.down, Method::PUT, &path, Some(body)).await;
        assert!(answer.status == status && answer.text.contains(words), "{path} {body}: {answer:?}");
    }
    assert_eq!(sub(&pair.sign_in(&alice).await), ada, "nothing was changed");

    // Another one in its place; and of two users who want one at once, one alone gets it.
    assert_eq!(put(&pair.down, &ada, "somebody").await.expect(200).json["subject"], "somebody");
    is_nobody(&pair, &alice).await;
    let both = futures::join!(put(&pair.down, &ada, &alice.id), put(&pair.down, &ben, &alice.id));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (winner, other) = if both.0.status == 200 { (&ada, &ben) } else { (&ben, &ada) };
    assert_eq!(&sub(&pair.sign_in(&alice).await), winner);

    let path = format!("{winner}/identities/corp");
    assert_eq!(ask(&pair.down, Method::DELETE, &path, None).await.expect(204).text, "");
    let _ = ask(&pair.down, Method::DELETE, &path, None).await.expect(404);
    let _ = ask(&pair.down, Method::DELETE, &format!("{other}/identities/other"), None).await.expect(404);
    is_nobody(&pair, &alice).await;
}

/// What is left of a provider that the tenant gave up can be seen and taken away; nobody is it any more if it comes back.
#[tokio::test]
async fn what_is_left_of_a_provider_that_is_gone_is_taken_away() {
    let pair = Pair::new("left", "known").await;
    let alice = pair.up.user("alice").await;
    let ada = add_user(&pair.down, "ada@elsewhere.example", false).await;
    let ben = add_user(&pair.down, "ben@elsewhere.example", false).await;
    let _ = put(&pair.down, &ada, &alice.id).await.expect(200);
    let _ = put(&pair.down, &ben, "a subject & more").await.expect(200);
    let shown = pair.down.admin.get(&format!("/tenants/{}", pair.down.slug)).await.expect(200);
    let providers = shown.json["settings"]["oauth"]["identity_providers"].clone();
    trust(&pair.down, &json!([])).await;

    let identities = format!("{ada}/identities");
    let _ = ask(&pair.down, Method::DELETE, &format!("{identities}/corp"), None).await.expect(404);
    let left = ask(&pair.down, Method::GET, &identities, None).await.expect(200);
    let left = &left.json["items"][0];
    assert_eq!((&left["provider"], &left["subject"]), (&Value::Null, &json!(alice.id)));
    let at = |user: &str, parameters: &[(&str, &str)]| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        format!("{user}/identities?{query}")
    };
    let (issuer, subject) = (pair.up.issuer.as_str(), alice.id.as_str());
    let whole = [("issuer", issuer), ("subject", subject)];
    for (path, status, words) in [
        (identities.clone(), 422, "/issuer"),
        (at(&ada, &whole[..1]), 422, "/subject"),
        (at(&ada, &whole[1..]), 422, "/issuer"),
        (at(&ada, &[("issuer", issuer), ("subject", "")]), 422, "/subject"),
        (at(&ada, &[whole[0], whole[1], ("all", "1")]), 422, "/all"),
        (at(&ada, &[whole[0], whole[1], whole[1]]), 400, "invalid_request"),
        (at(&ada, &[("issuer", issuer), ("subject", "somebody")]), 404, "no such identity"),
        (at(&ada, &[("issuer", "https://other.example"), ("subject", subject)]), 404, "no such identity"),
        (at(&ben, &whole), 404, "no such identity"),
        (at(&Uuid::from_u128(7).to_string(), &whole), 404, "no such identity"),
    ] {
        let answer = ask(&pair.down, Method::DELETE, &path, None).await;
        assert!(answer.status == status && answer.text.contains(words), "{path}: {answer:?}");
    }
    let read = pair.down.service.client_credentials("hj:users.read").await;
    let url = format!("{}/api/v1/users/{}", pair.down.issuer, at(&ada, &whole));
    let _ = web::send(web::client().delete(url).bearer_auth(read)).await.expect(403);
    assert_eq!(ask(&pair.down, Method::GET, &identities, None).await.json["items"][0], *left, "nothing was changed");

    assert_eq!(ask(&pair.down, Method::DELETE, &at(&ada, &whole), None).await.expect(204).text, "");
    let _ = ask(&pair.down, Method::DELETE, &at(&ada, &whole), None).await.expect(404);
    assert_eq!(ask(&pair.down, Method::GET, &identities, None).await.json, json!({ "items": [] }));
    let odd = at(&ben, &[("issuer", issuer), ("subject", "a subject & more")]);
    let _ = ask(&pair.down, Method::DELETE, &odd, None).await.expect(204);
    trust(&pair.down, &providers).await;
    is_nobody(&pair, &alice).await;
}
