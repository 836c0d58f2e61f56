//! A tenant's own words in its mail: filled in with what is known, as text; and what cannot be filled in is not taken.

use serde_json::json;
use tests::browser::Browser;
use tests::pki::Authority;

use super::{Mailbox, Stage};

#[tokio::test]
async fn mail_says_what_the_tenant_wants_it_to() {
    let authority = Authority::new("words");
    let mut mailbox = Mailbox::new("words", Some(&authority.certify("mail")));
    mailbox.start().await;
    let stage = Stage::set("words", &mailbox, &authority, 1).await;
    let (tenant, alice) = (&stage.tenant, &stage.alice);
    let path = format!("/tenants/{}", tenant.slug);

    let wrong = json!({ "settings": { "branding": { "mails": {
        "reset_password": { "subject": "Hi {{ name }}", "text": "no way on" },
        "verify_email": { "subject": "Hi", "text": "{{ link }}", "html": "{{ 7 * 7 }} {{ link }}" },
    } } } });
    let refused = tenant.admin.patch(&path, &wrong).await.expect(422);
    let expected = ["reset_password/subject", "reset_password/text", "verify_email/html"];
    assert_eq!(refused.pointers(), expected.map(|at| format!("/settings/branding/mails/{at}")));

    let words = json!({
        "subject": "Neues Passwort bei {{ tenant }}",
        "text": "Hier entlang ({{ minutes }} Minuten):\n{{ link }}\n",
        "html": "<h1>{{ tenant }}</h1><a href=\"{{ link }}\">Hier entlang</a>",
    });
    let mails = json!({
        "reset_password": words,
        "sign_in_request": { "subject": "{{ client }}", "text": "{{ binding_message }}\n{{ link }}\n" },
    });
    let branding = json!({ "display_name": "Bread & <b>Butter</b>", "settings": { "branding": { "mails": mails } } });
    tenant.patch(&branding).await;
    let browser = Browser::new();
    let url = format!("{}/forgot-password", tenant.issuer).parse().expect("a URL");
    let form = browser.open_page(&url).await.expect_form();
    let page = browser.submit(&form, &[("email", alice.email.as_str())], form.buttons.first()).await;
    assert_eq!(page.status, 200, "{page:#?}");
    let mail = mailbox.got(1).await;
    assert!(mail.text.contains("Hier entlang (60 Minuten):"), "{mail:#?}");
    assert!(mail.html.contains("<h1>Bread &#38; &#60;b&#62;Butter&#60;/b&#62;</h1>"), "{mail:#?}");
    assert!(browser.open_page(&mail.link()).await.expect_form().asks_for_password(), "the link works");

    // Without HTML there is only the text; what a client says is in it as it is.
    let _ = stage.ask(&[("binding_message", "{{ link }}")]).await;
    let mail = mailbox.got(2).await;
    assert!(mail.text.starts_with("{{ link }}\nhttp") && mail.html.is_empty(), "{mail:#?}");
}
