//! Links by mail: to choose another password, and to show that an address is one's own. Each works once, within an hour,
//! leads below the issuer, and nobody learns by them who has an account.

use serde_json::json;
use tests::browser::{Browser, Page};
use tests::pki::Authority;
use tests::relying_party::{Tokens, parameters};
use tests::tenant::User;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::webdriver::Chromium;
use url::Url;

use super::{Mailbox, Received, Stage};

/// The server, and pods that send by it.
async fn stage(name: &str, pods: usize) -> (Mailbox, Stage) {
    let authority = Authority::new(name);
    let mut mailbox = Mailbox::new(&format!("{name}-box"), Some(&authority.certify("mail")));
    mailbox.start().await;
    let stage = Stage::set(name, &mailbox, &authority, pods).await;
    (mailbox, stage)
}

fn at(stage: &Stage, path: &str) -> Url {
    format!("{}{path}", stage.tenant.issuer).parse().expect("a URL")
}

/// Asks for a link as somebody does who would like it to lead elsewhere.
async fn forgot(stage: &Stage, email: &str) -> Page {
    let browser = Browser::with_header("host", "evil.example");
    let form = browser.open_page(&at(stage, "/forgot-password")).await.expect_form();
    // The page believes the header for its own address at most; the form is sent where the pod is.
    let action = at(stage, "/forgot-password");
    let form = tests::browser::Form { action, ..form };
    browser.submit(&form, &[("email", email)], form.buttons.first()).await
}

async fn choose(browser: &Browser, page: &Page, password: &str) -> Page {
    let form = page.expect_form();
    browser.submit(&form, &[("new", password)], form.buttons.first()).await
}

async fn silently(stage: &Stage, browser: &Browser) -> String {
    let asked = stage.tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let answer = parameters(&browser.open(&asked.url).await.expect_callback());
    answer.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
}

async fn change(stage: &Stage, sql: &str) {
    stage.tenant.database.connect().await.execute(sql, &[]).await.expect("the statement fits the tables");
}

/// There is one link to somebody's mailbox, and its end is within the hour.
async fn it_lives_an_hour_at_most(stage: &Stage) {
    assert_eq!(stage.count("select count(*) from mail_links where user_id is not null").await, 1);
    let longer = "select count(*) from mail_links where expires_at > least(created_at, now()) + interval '1 hour'";
    assert_eq!(stage.count(longer).await, 0);
}

fn code(link: &Url) -> String {
    link.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
}

#[tokio::test]
async fn a_link_lets_its_person_choose_another_password_once() {
    let (mailbox, stage) = stage("forgot", 2).await;
    let (tenant, alice) = (&stage.tenant, stage.alice.clone());
    let (browser, attempt) = (Browser::new(), tenant.app.attempt());
    let code_of_app = parameters(&browser.authorize(&attempt.url, &alice).await).remove("code").expect("a code");
    let tokens = Tokens::read(tenant.app.redeem(&code_of_app, &attempt.verifier).await);
    assert_eq!(silently(&stage, &browser).await, "a code");

    let login = Browser::new().open_page(&at(&stage, "/login")).await;
    assert_eq!(login.link("/forgot-password").expect("a link"), at(&stage, "/forgot-password"));
    let (known, unknown) = (forgot(&stage, &alice.email).await, forgot(&stage, "nobody@there.example").await);
    assert_eq!((known.status, known.text()), (unknown.status, unknown.text()), "who has an account");
    assert!(known.text().contains("If there is an account"), "{known:#?}");
    assert_eq!(forgot(&stage, "no address").await.status, 422);

    let mail = mailbox.got(1).await;
    assert_eq!(mail.envelope["to"], json!([alice.email]), "{:#}", mail.envelope);
    let link = mail.link();
    assert!(link.as_str().starts_with(&format!("{}/reset-password?code=", tenant.issuer)), "{link}");
    assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{mail:#?}");
    assert_eq!(code(&link).len(), 43, "256 bits");
    it_lives_an_hour_at_most(&stage).await;
    stage.outbox_is_empty().await;
    assert!(!tenant.database.dump().await.contains(&code(&link)), "stored as it is");

    // What guards mailboxes opens links; looking uses nothing up.
    let elsewhere = Browser::new();
    let page = elsewhere.open_page(&link).await;
    for (name, value) in [("referrer-policy", "no-referrer"), ("cache-control", "no-store")] {
        assert_eq!(
            page.headers.get(name).map(reqwest::header::HeaderValue::as_bytes),
            Some(value.as_bytes()),
            "{name}"
        );
    }
    assert!(page.headers["content-security-policy"].to_str().is_ok_and(|policy| !policy.contains("script-src")));
    for wrong in ["", "x", &"A".repeat(43)] {
        let url = Url::parse_with_params(at(&stage, "/reset-password").as_str(), [("code", wrong)]).expect("a URL");
        let status = elsewhere.open(&url).await.status;
        assert!([400, 404].contains(&status), "{wrong}: {status}");
    }
    // Not for the other purpose, nor from a page that this browser was not shown.
    let verify = Url::parse_with_params(at(&stage, "/verify-email").as_str(), [("code", code(&link))]).expect("a URL");
    assert_eq!(elsewhere.open(&verify).await.status, 404);
    assert_eq!(choose(&Browser::new(), &page, "a donkey with a paper clip").await.status, 403);
    let short = choose(&elsewhere, &page, "short").await;
    assert!(short.status == 422 && short.text().contains("at least 8 characters"), "{short:#?}");
    assert_eq!(silently(&stage, &browser).await, "a code", "nothing happened yet");

    let done = choose(&elsewhere, &page, "a donkey with a paper clip").await;
    assert!(done.status == 200 && done.text().contains("Your password is changed"), "{done:#?}");
    assert!(done.set_cookies.iter().all(|cookie| !cookie.contains("session")), "a link signs nobody in");
    assert_eq!(silently(&stage, &browser).await, "login_required");
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(400).code(), "invalid_grant");
    assert_eq!(tenant.app.userinfo(&tokens.access).await.status, 401);
    // Once.
    assert_eq!(elsewhere.open(&link).await.status, 404);
    assert_eq!(choose(&elsewhere, &page, "yet another password").await.status, 404);
    let sign_in = elsewhere.open_page(&at(&stage, "/login")).await.expect_form();
    assert_eq!(elsewhere.sign_in(&sign_in, &alice.email, &alice.password).await.status, 403, "the old one");
    let alice = User { password: "a donkey with a paper clip".to_owned(), ..alice };
    tenant.app.sign_in(&alice).await;
    assert_eq!(mailbox.received().len(), 1, "nobody else was written to");

    // After its hour, with the form open already.
    forgot(&stage, &alice.email).await;
    let link = mailbox.got(2).await.link();
    let page = elsewhere.open_page(&link).await;
    change(&stage, "update mail_links set expires_at = now()").await;
    assert_eq!(elsewhere.open(&link).await.status, 404);
    assert_eq!(choose(&elsewhere, &page, "yet another password").await.status, 404);
    // Once the user has another address, or may not sign in.
    forgot(&stage, &alice.email).await;
    let link = mailbox.got(3).await.link();
    assert_eq!(elsewhere.open(&link).await.status, 200);
    change(&stage, "update users set email_normalized = 'b' || email_normalized").await;
    assert_eq!(elsewhere.open(&link).await.status, 404);
    change(&stage, "update users set email_normalized = substr(email_normalized, 2), status = 'disabled'").await;
    assert_eq!(elsewhere.open(&link).await.status, 404);
    for pod in &stage.world.pods {
        assert!(!pod.process().log().contains(&code(&link)), "a code is in the log");
    }
}

#[tokio::test]
async fn of_two_who_use_a_link_at_once_one_wins() {
    let (mailbox, stage) = stage("forgot-race", 1).await;
    forgot(&stage, &stage.alice.email).await;
    let link = mailbox.got(1).await.link();
    let (one, two) = (Browser::new(), Browser::new());
    let (first, second) = (one.open_page(&link).await, two.open_page(&link).await);
    let (a, b) = tokio::join!(choose(&one, &first, "the first password"), choose(&two, &second, "the second password"));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404], "{a:#?} {b:#?}");
}

#[tokio::test]
async fn nobodys_mailbox_is_filled() {
    let (mailbox, stage) = stage("forgot-often", 1).await;
    let refused = until("too many from one address", PATIENCE, async || {
        let page = forgot(&stage, &stage.alice.email).await;
        if page.status == 429 { Ok(page) } else { Err(page.status.to_string()) }
    })
    .await;
    let wait = refused.headers["retry-after"].to_str().ok().and_then(|secs| secs.parse::<u32>().ok());
    assert!(wait.is_some_and(|secs| (1..=60).contains(&secs)), "{refused:#?}");
    stage.outbox_is_empty().await;
    assert_eq!(mailbox.received().len(), 3, "live links of one account");
    // Whoever has no password here signs in elsewhere, and is given none.
    change(&stage, "update mail_links set expires_at = now() - interval '1 hour'").await;
    change(&stage, "update users set password_hash = null").await;
    until("one more is taken", PATIENCE, async || {
        let page = forgot(&stage, &stage.alice.email).await;
        if page.status == 200 { Ok(()) } else { Err(page.status.to_string()) }
    })
    .await;
    assert_eq!(stage.count("select count(*) from mail_links where user_id is not null").await, 0, "swept up");
    assert_eq!(stage.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn a_link_shows_that_an_address_is_ones_own() {
    let (mailbox, mut stage) = stage("verify", 1).await;
    change(&stage, "update users set email_verified = false").await;
    let (alice, issuer) = (stage.alice.clone(), stage.tenant.issuer.clone());
    let before = stage.tenant.app.sign_in(&alice).await;
    let told = async |stage: &Stage, tokens: &Tokens| stage.tenant.app.userinfo(&tokens.access).await.expect(200).json;
    assert_eq!(told(&stage, &before).await["email_verified"], false);

    let browser = Browser::new();
    let account = stage.sign_in(&browser, &at(&stage, "/account"), &alice).await;
    let page = browser.open_page(&account.link("/verify-email").expect("a link")).await;
    let form = page.expect_form();
    assert_eq!(browser.submit(&form, &[("csrf", "x")], form.buttons.first()).await.status, 403);
    // Whatever the sender would like the link to lead to.
    let sent = web::send(browser.submission(&form, &[], form.buttons.first()).header("host", "evil.example")).await;
    assert!(sent.status == 200 && sent.text.contains("on its way"), "{sent:#?}");
    let leads_here = |mail: &Received| {
        let link = mail.link();
        assert!(link.as_str().starts_with(&format!("{issuer}/verify-email?code=")), "{link}");
        assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{mail:#?}");
        link
    };
    let link = leads_here(&mailbox.got(1).await);
    it_lives_an_hour_at_most(&stage).await;
    // In another browser, where the mail is read; opening alone confirms nothing.
    let phone = Browser::new();
    let page = phone.open_page(&link).await;
    assert!(page.text().contains(&alice.email), "{page:#?}");
    assert_eq!(told(&stage, &before).await["email_verified"], false);
    let form = page.expect_form();
    let done = phone.submit(&form, &[], form.buttons.first()).await;
    assert!(done.text().contains("Your address is confirmed"), "{done:#?}");
    assert_eq!(told(&stage, &before).await["email_verified"], true);
    assert_eq!(phone.open(&link).await.status, 404);
    assert_eq!(phone.submit(&form, &[], form.buttons.first()).await.status, 404);
    assert!(browser.open_page(&at(&stage, "/account")).await.link("/verify-email").is_none());

    // Whoever makes an account is asked at once.
    stage.tenant.patch(&json!({ "settings": { "registration_enabled": true } })).await;
    let carol = Browser::new();
    let form = carol.open_page(&at(&stage, "/register")).await.expect_form();
    let fill = [("email", "carol@verify.example"), ("password", "carol is a horse with a staple")];
    let request = carol.submission(&form, &fill, form.buttons.first());
    let _ = web::send(request.header("host", "evil.example")).await.expect(303);
    let mail = mailbox.got(2).await;
    assert_eq!(mail.envelope["to"], json!(["carol@verify.example"]));
    let link = leads_here(&mail);
    it_lives_an_hour_at_most(&stage).await;
    assert_eq!(phone.open(&link).await.status, 200);
    change(&stage, "update mail_links set expires_at = now()").await;
    assert_eq!(phone.open(&link).await.status, 404, "after its hour");

    // A pod without a mail server says so, and offers nothing.
    stage.world.add_pod("bare", "").await;
    let bare = |path: &str| {
        let pod: &tests::pod::Pod = stage.world.pods.last().expect("it is there");
        format!("{}/t/{}{path}", pod.url(), stage.tenant.slug).parse::<Url>().expect("a URL")
    };
    assert_eq!(Browser::new().open(&bare("/forgot-password")).await.status, 501);
    assert!(Browser::new().open_page(&bare("/login")).await.link("/forgot-password").is_none());
}

#[tokio::test]
async fn a_person_does_it_in_a_browser() {
    let (mailbox, stage) = stage("forgot-look", 1).await;
    let chromium = Chromium::start().await;
    chromium.disable_scripts().await;
    chromium.open(at(&stage, "/login").as_str()).await;
    chromium.says("Forgot your password?").await;
    chromium.look("login-forgot").await;
    chromium.follow("a[href$='/forgot-password']").await;
    chromium.says("we send you a link").await;
    chromium.look("forgot-password").await;
    chromium.fill("#email", &stage.alice.email).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Look into your mailbox").await;
    chromium.look("forgot-password-sent").await;
    chromium.open(mailbox.got(1).await.link().as_str()).await;
    chromium.says("Choose a new password").await;
    chromium.fill("#new", "short").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("must be at least 8 characters").await;
    chromium.look("reset-password").await;
    chromium.fill("#new", "a donkey with a paper clip").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Your password is changed").await;
    chromium.look("reset-password-done").await;
    change(&stage, "update users set email_verified = false").await;
    chromium.follow("a[href$='/login']").await;
    chromium.fill("#email", &stage.alice.email).await;
    chromium.fill("#password", "a donkey with a paper clip").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("You are signed in").await;
    chromium.open(at(&stage, "/account").as_str()).await;
    chromium.says("Confirm this address").await;
    chromium.look("account-unconfirmed").await;
    chromium.follow("a[href$='/verify-email']").await;
    chromium.says("We send a link to this address").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Look into your mailbox").await;
    chromium.open(mailbox.got(2).await.link().as_str()).await;
    chromium.says("Confirm your email address").await;
    chromium.look("verify-email").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Your address is confirmed").await;
    chromium.open(at(&stage, "/reset-password?code=x").as_str()).await;
    chromium.says("The link is not whole").await;
    chromium.look("reset-password-wrong").await;
}
