//! A tenant with a mail server of its own: its mail goes there and nowhere else; others go by the pods'. The password is
//! sealed on its way and shown to nobody.

use serde_json::json;
use tests::browser::Browser;
use tests::pki::Authority;
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::web;
use url::Url;

use super::{Mailbox, PASSWORD, Stage};

async fn forgot(tenant: &Tenant, email: &str) {
    let url: Url = format!("{}/forgot-password", tenant.issuer).parse().expect("a URL");
    let browser = Browser::new();
    let form = browser.open_page(&url).await.expect_form();
    let page = browser.submit(&form, &[("email", email)], form.buttons.first()).await;
    assert_eq!(page.status, 200, "{page:#?}");
}

#[tokio::test]
async fn mail_goes_by_the_tenants_own_server() {
    let authority = Authority::new("own");
    let certificate = authority.certify("mail");
    let (mut pods, mut own) =
        (Mailbox::new("of-pods", Some(&certificate)), Mailbox::new("of-acme", Some(&certificate)));
    pods.start().await;
    own.start().await;
    let stage = Stage::set("own", &pods, &authority, 1).await;
    let acme = Tenant::create(&stage.world, "acme").await;
    let ada = acme.user("ada").await;
    let smtp = json!({
        "host": "localhost", "port": own.port, "from": "no-reply@acme.example", "username": "hellojohn",
        "password": PASSWORD,
    });
    acme.patch(&json!({ "settings": { "smtp": smtp } })).await;
    let shown = acme.admin.get(&format!("/tenants/{}", acme.slug)).await.expect(200);
    let expected = json!({
        "host": "localhost", "port": own.port, "security": "starttls", "from": "no-reply@acme.example",
        "username": "hellojohn",
    });
    assert_eq!(shown.json["settings"]["smtp"], expected);
    assert!(!shown.text.contains(PASSWORD) && !shown.text.contains("hjs1"), "{shown:#?}");

    forgot(&acme, &ada.email).await;
    let mail = own.got(1).await;
    assert_eq!(mail.envelope["from"], json!("no-reply@acme.example"), "{:#}", mail.envelope);
    assert_eq!((&mail.envelope["tls"], &mail.envelope["authenticated"]), (&json!(true), &json!(true)));
    forgot(&stage.tenant, &stage.alice.email).await;
    assert_eq!(pods.got(1).await.envelope["from"], json!("no-reply@id.example"));
    assert_eq!((own.received().len(), pods.received().len()), (1, 1));

    // What is kept is kept for that server alone: whoever names another must know the password.
    let elsewhere = json!({ "settings": { "smtp": { "host": "evil.example" } } });
    let refused = acme.admin.patch(&format!("/tenants/{}", acme.slug), &elsewhere).await.expect(422);
    assert_eq!(refused.pointers(), ["/settings/smtp/password"]);
    let naked = json!({ "settings": { "smtp": { "security": "none", "password": PASSWORD } } });
    let refused = acme.admin.patch(&format!("/tenants/{}", acme.slug), &naked).await.expect(422);
    assert_eq!(refused.pointers(), ["/settings/smtp/security"]);
    assert!(!refused.text.contains(PASSWORD));
    acme.patch(&json!({ "settings": { "smtp": { "from": "hello@acme.example" } } })).await;
    forgot(&acme, &ada.email).await;
    assert_eq!(own.got(2).await.envelope["from"], json!("hello@acme.example"), "the password was kept");

    // Its own server is down: the mail waits, and goes by no other.
    own.process = None;
    forgot(&acme, &ada.email).await;
    until("it was tried", PATIENCE, async || {
        let row = acme.database.connect().await.query_one("select coalesce(max(attempts), 0) from outbox", &[]).await;
        let tried: i32 = row.expect("it counts").get(0);
        if tried >= 2 { Ok(()) } else { Err(tried.to_string()) }
    })
    .await;
    assert_eq!(pods.received().len(), 1);
    // With none of its own any more, by the pods'.
    acme.patch(&json!({ "settings": { "smtp": null } })).await;
    assert_eq!(pods.got(2).await.envelope["to"], json!([ada.email]));

    // Nowhere a trace of the password: neither in what is told of the changes, nor in logs.
    let audit = web::send(acme.admin.request(reqwest::Method::GET, "/audit/logs?limit=500")).await.expect(200).text;
    assert!(audit.contains("/settings/smtp/account/password") && !audit.contains(PASSWORD), "{audit}");
    assert!(!audit.contains("hjs1"), "{audit}");
    let logs = stage.world.cluster.logs() + &stage.world.pods[0].process().log();
    assert!(!logs.contains(PASSWORD));
}
