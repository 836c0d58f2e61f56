//! A person is told by mail of each change in the account, whoever made it; and what a pod cannot deliver waits for one
//! that can.

use reqwest::Method;
use serde_json::{Value, json};
use tests::authenticator_app::{AuthenticatorApp, recovery_codes};
use tests::browser::Browser;
use tests::pki::Authority;
use tests::wait::{PATIENCE, until};
use tests::web;
use url::Url;

use super::{Mailbox, Received, Stage};

impl Mailbox {
    /// Waits for so many mails about changes and takes the last.
    async fn told(&self, count: usize) -> Received {
        until(&format!("{count} mails about changes"), PATIENCE, async || {
            let mut told: Vec<Received> = self.all().into_iter().filter(Received::tells_of_a_change).collect();
            match told.pop() {
                Some(last) if told.len() + 1 == count => Ok(last),
                _ => Err(format!("{} came", told.len())),
            }
        })
        .await
    }
}

fn says(mail: &Received, subject: &str, words: &str) {
    assert!(mail.headers.contains(&format!("Subject: {subject}")), "{}", mail.headers);
    for part in [&mail.text, &mail.html] {
        assert!(part.contains(words) && part.contains(" UTC"), "{part}");
        assert!(!part.contains("http") && !part.contains("href"), "{part}");
    }
}

async fn call(stage: &Stage, method: Method, path: &str, body: Option<&Value>) {
    let token = stage.tenant.service.client_credentials("hj:users.write").await;
    let request = web::client().request(method, format!("{}/api/v1/users/{path}", stage.tenant.issuer));
    let request = request.bearer_auth(token);
    let answer = web::send(if let Some(body) = body { request.json(body) } else { request }).await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_person_is_told_what_changed_and_kinds_of_newer_pods_are_left_alone() {
    let authority = Authority::new("changes");
    let mut mailbox = Mailbox::new("changes-box", Some(&authority.certify("mail")));
    mailbox.start().await;
    let stage = Stage::set("changes", &mailbox, &authority, 1).await;
    let (tenant, alice) = (&stage.tenant, &stage.alice);
    // What a pod of a later release wrote, long due.
    let tenant_id = tenant.admin.get(&format!("/tenants/{}", tenant.slug)).await.expect(200).text_of("id");
    let newer = format!(
        "insert into outbox (id, tenant_id, kind, client_id, user_id, created_at, due_at) \
         select gen_random_uuid(), '{tenant_id}', kind, '', '{}', now(), now() - interval '1 day' \
         from unnest(array['crystal-ball', 'change_mail:soul_sold']) kind",
        alice.id
    );
    let connection = tenant.database.connect().await;
    connection.batch_execute(&newer).await.expect("the outbox takes any kind");

    let at = |path: &str| -> Url { format!("{}{path}", tenant.issuer).parse().expect("a URL") };
    let browser = Browser::new();
    let sign_in = browser.open_page(&at("/login?next=factors")).await.expect_form();
    let page = browser.sign_in(&sign_in, &alice.email, &alice.password).await;
    let add = page.link("/mfa/totp").expect("a link to add an app");
    let (_, page) = AuthenticatorApp::add(&browser, &browser.open_page(&add).await, &alice.password).await;
    assert_eq!(recovery_codes(&page).len(), 8, "{page:#?}");
    let mail = mailbox.told(1).await;
    says(&mail, "A second factor was added to your account", "was added");
    assert_eq!(mail.envelope["to"], json!([alice.email]), "{:#}", mail.envelope);

    let press = async |name: &str| {
        let form = browser.open_page(&at("/account/factors")).await.form_with(name);
        let page = browser.submit(&form, &[("current", &alice.password)], form.buttons.first()).await;
        assert_eq!(page.status, 200, "{page:#?}");
    };
    press("renew").await;
    says(&mailbox.told(2).await, "You have new recovery codes", "let nobody in any more");
    press("remove").await;
    says(&mailbox.told(3).await, "A second factor was removed from your account", "was removed");

    let form = browser.open_page(&at("/account/password")).await.expect_form();
    let wrong = browser.submit(&form, &[("current", "wrong password"), ("new", "a horse on a roof")], None).await;
    assert_eq!(wrong.status, 403, "{wrong:#?}");
    let filled = [("current", alice.password.as_str()), ("new", "a horse on a roof")];
    let page = browser.submit(&form, &filled, form.buttons.first()).await;
    assert_eq!(page.status, 200, "{page:#?}");
    says(&mailbox.told(4).await, "Your password was changed", "Everywhere else you were signed out.");

    // By who manages users; nothing was there to take away, so nothing is told.
    call(&stage, Method::DELETE, &format!("{}/factors", alice.id), None).await;
    call(&stage, Method::PATCH, &alice.id, Some(&json!({ "password": "a donkey on a roof" }))).await;
    says(&mailbox.told(5).await, "Your password was changed", "those who manage the accounts");
    let factor = format!(
        "insert into second_factors (id, user_id, kind, sealed, created_at) \
         values (gen_random_uuid(), '{}', 'totp', 'x', now())",
        alice.id
    );
    connection.batch_execute(&factor).await.expect("a table");
    call(&stage, Method::DELETE, &format!("{}/factors", alice.id), None).await;
    says(&mailbox.told(6).await, "A second factor was removed from your account", "those who manage the accounts");

    // At an address that nobody showed to be hers a stranger may read; but who had the link had the mailbox.
    connection.batch_execute("update users set email_verified = false").await.expect("a table");
    call(&stage, Method::PATCH, &alice.id, Some(&json!({ "password": "a mule on a roof" }))).await;
    let elsewhere = Browser::new();
    let form = elsewhere.open_page(&at("/forgot-password")).await.expect_form();
    elsewhere.submit(&form, &[("email", &alice.email)], form.buttons.first()).await;
    let link = mailbox.got(1).await.link();
    let form = elsewhere.open_page(&link).await.expect_form();
    elsewhere.submit(&form, &[("new", "a goat on a roof")], form.buttons.first()).await;
    says(&mailbox.told(7).await, "Your password was changed", "by the link of a mail");

    // A link to confirm the address, by who signs in with that password.
    let sign_in = elsewhere.open_page(&at("/login")).await.expect_form();
    elsewhere.sign_in(&sign_in, &alice.email, "a goat on a roof").await;
    let form = elsewhere.open_page(&at("/verify-email")).await.expect_form();
    elsewhere.submit(&form, &[], form.buttons.first()).await;
    let link = mailbox.got(2).await.link();
    let form = elsewhere.open_page(&link).await.expect_form();
    elsewhere.submit(&form, &[], form.buttons.first()).await;
    says(&mailbox.told(8).await, "Your email address is confirmed", "known to be yours");

    // All that while nobody touched what is for newer pods, and no other message waits.
    until("the outbox holds those alone", PATIENCE, async || {
        let left = stage.count("select count(*) from outbox").await;
        if left == 2 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    let untouched = "select count(*) from outbox where attempts = 0 and due_at < now() - interval '23 hours'";
    assert_eq!(stage.count(untouched).await, 2);
    let log = stage.world.pods[0].process().log();
    assert!(!log.contains("the outbox cannot be read") && !log.contains("was not delivered"), "{log}");
}
