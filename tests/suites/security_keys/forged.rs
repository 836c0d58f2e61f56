//! What does not count: answers that were not signed for this very question, here, by that person's key.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::relying_party::parameters;
use tests::security_key::{PRESENT, SYNCED, Says, SecurityKey, VERIFIED, asked, bring, form_at};
use tests::tenant::{Tenant, User};
use tests::web;
use tests::world;
use uuid::Uuid;

use super::{enrolled, page_url, show_password};

/// What somebody says in place of an honest key.
type Lie<'a> = Box<dyn Fn(Says) -> Says + 'a>;
type PlainLie = (&'static str, fn(Says) -> Says);

fn is_in(page: &Page) -> bool {
    page.leaves_to.as_ref().is_some_and(|url| parameters(url).contains_key("code"))
}

/// A fresh browser of who has shown the password, where the key is asked for.
async fn at_the_question(tenant: &Tenant, user: &User) -> (Browser, Page) {
    let browser = Browser::new();
    let page = show_password(&browser, &tenant.backend.attempt().url, user).await;
    (browser, page)
}

/// As the answer to what another page asked.
async fn bring_as(browser: &Browser, page: &Page, other: &Page, assertion: &Value) -> Page {
    let question = other.form_with("question").fields.into_iter().find(|field| field.name == "question");
    let question = question.expect("it has one").value;
    let fill = [("credential", assertion.to_string()), ("question", question)];
    browser
        .submit(&page.form_with("credential"), &fill.each_ref().map(|(name, value)| (*name, value.as_str())), None)
        .await
}

/// The honest key lets in after that: what was refused was refused for itself, and did no harm.
async fn is_refused(what: &str, browser: &Browser, page: &Page, assertion: &Value, honest: &SecurityKey) {
    let refused = bring(browser, page, assertion).await;
    assert!(refused.status == 403 && refused.leaves_to.is_none(), "{what}: {refused:#?}");
    assert!(!browser.cookies(&page.url).contains("hj_session"), "{what}: there is a session");
    let done = honest.show(browser, &refused).await;
    assert!(is_in(&done), "{what}: then the honest one: {done:#?}");
}

/// The signature with one bit of it, or of what it is about, turned.
fn spoilt(mut assertion: Value, member: &str) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let text = assertion["response"][member].as_str().expect("base64url").to_owned();
    let mut bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
    *bytes.last_mut().expect("bytes") ^= 1;
    assertion["response"][member] = json!(URL_SAFE_NO_PAD.encode(bytes));
    assertion
}

#[tokio::test]
async fn an_answer_that_is_not_about_this_question_is_refused() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("forged").await;
    let alice = tenant.user("alice").await;
    let (_, key, _) = enrolled(&tenant, &alice).await;
    let other_port = format!("http://localhost:{}", tests::postgres::free_port());
    let lies: Vec<(&str, Lie<'_>)> = vec![
        ("another site", Box::new(|says| Says { origin: "https://evil.example".into(), ..says })),
        ("another port", Box::new(|says| Says { origin: other_port.clone(), ..says })),
        ("a site below", Box::new(|says| Says { origin: says.origin.replace("localhost", "evil.localhost"), ..says })),
        (
            "over TLS, which this is not",
            Box::new(|says| Says { origin: says.origin.replace("http:", "https:"), ..says }),
        ),
        ("another relying party", Box::new(|says| Says { rp_id: "evil.example".into(), ..says })),
        ("nobody verified", Box::new(|says| Says { flags: PRESENT, ..says })),
        ("nobody there", Box::new(|says| Says { flags: VERIFIED, ..says })),
        ("backed up, and never to be", Box::new(|says| Says { flags: PRESENT | VERIFIED | SYNCED << 1, ..says })),
        ("another challenge", Box::new(|says| Says { challenge: says.challenge.chars().rev().collect(), ..says })),
        ("no challenge", Box::new(|says| Says { challenge: String::new(), ..says })),
        ("a new credential", Box::new(|says| Says { kind: "webauthn.create", ..says })),
        ("the counter stands", Box::new(|says| Says { count: says.count - 1, ..says })),
        ("the counter goes back", Box::new(|says| Says { count: says.count - 2, ..says })),
        ("it counts no more", Box::new(|says| Says { count: 0, ..says })),
        ("it is somebody else's", Box::new(|says| Says { user_handle: Some("AAAAAAAAAAAAAAAAAAAAAA".into()), ..says })),
    ];
    // So that there is a counter to go back to.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    assert!(is_in(&key.show(&browser, &page).await));
    for (what, lie) in &lies {
        let (browser, page) = at_the_question(&tenant, &alice).await;
        let assertion = key.sign(&lie(key.says(&page)));
        is_refused(what, &browser, &page, &assertion, &key).await;
    }
    for member in ["signature", "authenticatorData", "clientDataJSON"] {
        let (browser, page) = at_the_question(&tenant, &alice).await;
        let assertion = spoilt(key.sign(&key.says(&page)), member);
        is_refused(member, &browser, &page, &assertion, &key).await;
    }
    for garbage in [json!(null), json!({}), json!({ "id": "x" }), json!("x".repeat(10_000))] {
        let (browser, page) = at_the_question(&tenant, &alice).await;
        is_refused("no assertion", &browser, &page, &garbage, &key).await;
    }
    // It says whose it is, and rightly.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let handle = alice.id.parse::<Uuid>().expect("a UUID");
    let handle = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, handle.as_bytes());
    let says = Says { user_handle: Some(handle), ..key.says(&page) };
    assert!(is_in(&bring(&browser, &page, &key.sign(&says)).await));
}

#[tokio::test]
async fn a_challenge_counts_once_and_for_who_was_asked() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("replayed").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (session, key, _) = enrolled(&tenant, &alice).await;
    let (_, of_bob, _) = enrolled(&tenant, &bob).await;

    // The same answer once more: in the browser that it let in, in another, and within another sign-in.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let assertion = key.sign(&key.says(&page));
    let done = bring(&browser, &page, &assertion).await;
    assert!(is_in(&done), "{done:#?}");
    assert!(!is_in(&bring(&browser, &page, &assertion).await));
    let (other, there) = at_the_question(&tenant, &alice).await;
    is_refused("once more, elsewhere", &other, &there, &assertion, &key).await;
    // One that was refused is not asked again.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let refused = bring(&browser, &page, &spoilt(key.sign(&key.says(&page)), "signature")).await;
    assert_eq!(refused.status, 403);
    assert_ne!(asked(&refused)["challenge"], asked(&page)["challenge"]);
    let again = key.sign(&key.says(&page));
    assert_eq!(bring(&browser, &page, &again).await.status, 403);
    is_refused("a question of before", &browser, &refused, &again, &key).await;
    // Of two tabs each has its own, and none answers the other's.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let newer = browser.open_page(&page.url).await;
    let crossed = bring(&browser, &newer, &key.sign(&key.says(&page))).await;
    assert_eq!(crossed.status, 403, "{crossed:#?}");
    assert!(is_in(&key.show(&browser, &page).await), "the older one is as good");

    // A question that was put to another session of the same person, to a session for another purpose, to somebody else.
    let (first, of_first) = at_the_question(&tenant, &alice).await;
    let (second, of_second) = at_the_question(&tenant, &alice).await;
    let assertion = key.sign(&key.says(&of_first));
    assert_eq!(bring_as(&second, &of_second, &of_first, &assertion).await.status, 403, "under its name, too");
    is_refused("another session's", &second, &of_second, &assertion, &key).await;
    let add = session.open_page(&page_url(&tenant, "/mfa/webauthn?next=factors")).await;
    let says = Says { challenge: key.says(&add).challenge, ..key.says(&of_first) };
    is_refused("to add one", &first, &of_first, &key.sign(&says), &key).await;
    let (_, of_bobs) = at_the_question(&tenant, &bob).await;
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let assertion = key.sign(&key.says(&of_bobs));
    assert_eq!(bring_as(&browser, &page, &of_bobs, &assertion).await.status, 403, "under its name, too");
    is_refused("asked of another", &browser, &page, &assertion, &key).await;
    // A key of somebody else, who was not asked.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    is_refused("another user's key", &browser, &page, &of_bob.sign(&of_bob.says(&page)), &key).await;
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let posing = SecurityKey::with_id(key.id.clone());
    is_refused("a key that says it is this one", &browser, &page, &posing.sign(&posing.says(&page)), &key).await;

    // In time.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let late = "update factor_challenges set expires_at = now() - interval '1 second'";
    assert!(tenant.database.connect().await.execute(late, &[]).await.expect("a table") > 0);
    is_refused("too late", &browser, &page, &key.sign(&key.says(&page)), &key).await;
    // What nobody answered is swept up by those who come later.
    tenant.database.connect().await.execute(late, &[]).await.expect("a table");
    let _ = at_the_question(&tenant, &alice).await;
    let left = "select count(*) from factor_challenges where expires_at < now()";
    assert_eq!(tenant.database.connect().await.query_one(left, &[]).await.expect("a table").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn tenants_of_one_host_know_their_own_keys_alone() {
    let world = world::shared_on_localhost().await;
    let (ours, theirs) = (world.tenant("ours").await, world.tenant("theirs").await);
    let (alice, mallory) = (ours.user("alice").await, theirs.user("mallory").await);
    let (_, key, _) = enrolled(&ours, &alice).await;
    let (_, foreign, _) = enrolled(&theirs, &mallory).await;
    // The browser could not tell them apart: it is one relying party.
    let (browser, page) = at_the_question(&ours, &alice).await;
    let allowed = asked(&page)["allowCredentials"].clone();
    assert_eq!(allowed.as_array().map(Vec::len), Some(1), "{allowed}");
    is_refused("another tenant's key", &browser, &page, &foreign.sign(&foreign.says(&page)), &key).await;
    // One that was added there under the id of ours.
    let posing = SecurityKey::with_id(key.id.clone());
    let eve = theirs.user("eve").await;
    let (at_theirs, url) = (Browser::new(), page_url(&theirs, "/login?next=factors"));
    let sign_in = at_theirs.open_page(&url).await.expect_form();
    let inside = at_theirs.sign_in(&sign_in, &eve.email, &eve.password).await;
    let add = at_theirs.open_page(&inside.link("/mfa/webauthn").expect("a link to add a key")).await;
    assert_eq!(posing.add(&at_theirs, &add, "mine", &eve.password).await.status, 200);
    let (browser, page) = at_the_question(&ours, &alice).await;
    is_refused("of the same id", &browser, &page, &posing.sign(&posing.says(&page)), &key).await;
    // And a question that another tenant asked.
    let (_, asked_there) = at_the_question(&theirs, &mallory).await;
    let (browser, page) = at_the_question(&ours, &alice).await;
    let assertion = key.sign(&key.says(&asked_there));
    assert_eq!(bring_as(&browser, &page, &asked_there, &assertion).await.status, 403, "under its name, too");
    is_refused("asked elsewhere", &browser, &page, &assertion, &key).await;
}

#[tokio::test]
async fn of_answers_side_by_side_one_counts() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("side-by-side").await;
    let alice = tenant.user("alice").await;
    let (_, key, _) = enrolled(&tenant, &alice).await;
    let pods: Vec<String> = world.pods.iter().map(tests::pod::Pod::url).collect();

    // The same answer twenty times, at both pods.
    let (browser, page) = at_the_question(&tenant, &alice).await;
    let assertion = key.sign(&key.says(&page)).to_string();
    let posts = (0..20).map(|number| {
        let form = form_at(&page, &pods[number % pods.len()]);
        web::send(browser.submission(&form, &[("credential", &assertion)], None))
    });
    let answers = join_all(posts).await;
    let got_code = |answer: &web::Answer| answer.header("location").is_some_and(|location| location.contains("code="));
    assert_eq!(answers.iter().filter(|answer| got_code(answer)).count(), 1, "{answers:#?}");
    let sessions = answers.iter().flat_map(|answer| answer.headers.get_all("set-cookie"));
    let sessions = sessions.filter(|cookie| cookie.to_str().is_ok_and(|it| it.starts_with("hj_session=")));
    assert_eq!(sessions.count(), 1);

    // Two of one key, side by side at two pods, each with its own question: they count alike.
    let (first, of_first) = at_the_question(&tenant, &alice).await;
    let (second, of_second) = at_the_question(&tenant, &alice).await;
    let says = key.says(&of_first);
    let copy = Says { challenge: asked(&of_second)["challenge"].as_str().expect("text").to_owned(), ..says.clone() };
    let (one, two) = (key.sign(&says).to_string(), key.sign(&copy).to_string());
    let answers = futures::join!(
        web::send(first.submission(&form_at(&of_first, &pods[0]), &[("credential", &one)], None)),
        web::send(second.submission(&form_at(&of_second, &pods[1]), &[("credential", &two)], None)),
    );
    assert_eq!([&answers.0, &answers.1].into_iter().filter(|answer| got_code(answer)).count(), 1, "{answers:#?}");

    // A new key, sent several times: it is there once, and its codes are shown once.
    let bob = tenant.user("bob").await;
    let browser = Browser::new();
    let sign_in = browser.open_page(&page_url(&tenant, "/login?next=factors")).await.expect_form();
    let inside = browser.sign_in(&sign_in, &bob.email, &bob.password).await;
    let page = browser.open_page(&inside.link("/mfa/webauthn").expect("a link to add a key")).await;
    let new = SecurityKey::new();
    let made = new.create(&new.says(&page));
    let posts = (0..6).map(|number| {
        let form = form_at(&page, &pods[number % pods.len()]);
        web::send(browser.submission(&form, &[("credential", &made), ("current", &bob.password)], None))
    });
    let answers = join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.text.contains("Keep these codes")).count(), 1, "{answers:#?}");
    let count = "select count(*) from second_factors f join users u on u.id = f.user_id where u.email like 'bob@%'";
    assert_eq!(tenant.database.connect().await.query_one(count, &[]).await.expect("a table").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_new_key_is_judged_as_strictly() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("strange-keys").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let sign_in = browser.open_page(&page_url(&tenant, "/login?next=factors")).await.expect_form();
    let inside = browser.sign_in(&sign_in, &alice.email, &alice.password).await;
    let add = inside.link("/mfa/webauthn").expect("a link to add a key");
    let key = SecurityKey::new();
    let mut page = browser.open_page(&add).await;
    let older = key.create(&key.says(&page));
    let bring_new = async |page: &Page, made: &str| {
        let form = page.form_with("credential");
        browser.submit(&form, &[("credential", made), ("current", &alice.password)], form.buttons.first()).await
    };
    let lies: [PlainLie; 7] = [
        ("another site", |says| Says { origin: "https://evil.example".into(), ..says }),
        ("another relying party", |says| Says { rp_id: "evil.example".into(), ..says }),
        ("nobody verified", |says| Says { flags: PRESENT, ..says }),
        ("nobody there", |says| Says { flags: VERIFIED, ..says }),
        ("another challenge", |says| Says { challenge: says.challenge.chars().rev().collect(), ..says }),
        ("an assertion", |says| Says { kind: "webauthn.get", ..says }),
        ("backed up, and never to be", |says| Says { flags: PRESENT | VERIFIED | SYNCED << 1, ..says }),
    ];
    for (what, lie) in lies {
        page = browser.open_page(&add).await;
        let refused = bring_new(&page, &key.create(&lie(key.says(&page)))).await;
        assert!(refused.status == 422 && refused.text().contains("did not work"), "{what}: {refused:#?}");
        page = refused;
    }
    for (what, made) in [("a question of before", older.as_str()), ("nothing", ""), ("no credential", "{}")] {
        let refused = bring_new(&page, made).await;
        assert_eq!(refused.status, 422, "{what}: {refused:#?}");
        page = refused;
    }
    let bare = page.form_with("credential");
    let elsewhere = Browser::new().submit(&bare, &[("credential", &older)], None).await;
    assert!(elsewhere.url.path().ends_with("/login"), "{elsewhere:#?}");
    let page = key.add(&browser, &page, "", &alice.password).await;
    assert_eq!(page.status, 200, "{page:#?}");
    let inside = browser.open_page(&page_url(&tenant, "/account/factors")).await;
    assert!(inside.text().contains("Security key"), "what has no name is called so: {inside:#?}");
    // Twenty are enough.
    let nineteen = "insert into second_factors (id, user_id, kind, sealed, sign_count, created_at) \
                    select gen_random_uuid(), user_id, kind, 'x', 0, now() from second_factors, generate_series(1, 19)";
    tenant.database.connect().await.batch_execute(nineteen).await.expect("a table");
    let page = browser.open_page(&add).await;
    let refused = SecurityKey::new().add(&browser, &page, "one more", &alice.password).await;
    assert!(refused.status == 409 && refused.text().contains("as many as one may have"), "{refused:#?}");
    let inside = browser.open_page(&page_url(&tenant, "/account/factors")).await;
    assert!(inside.link("/mfa/webauthn").is_none(), "{inside:#?}");
}

#[tokio::test]
async fn guesses_with_keys_and_codes_count_together() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("guesses").await;
    let alice = tenant.user("alice").await;
    let (_, key, _) = enrolled(&tenant, &alice).await;
    let (browser, mut page) = at_the_question(&tenant, &alice).await;
    let mut statuses = Vec::new();
    for _ in 0..15 {
        page = bring(&browser, &page, &spoilt(key.sign(&key.says(&page)), "signature")).await;
        assert_eq!(page.status == 429, page.headers.contains_key("retry-after"), "{page:#?}");
        statuses.push(page.status);
    }
    assert!(statuses[..10].iter().all(|status| *status == 403), "{statuses:?}");
    assert!(statuses[10..].contains(&429), "{statuses:?}");
}
