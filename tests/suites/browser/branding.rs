//! A tenant's look: its logo on every page, which the content policy lets through, and its colour.

use serde_json::json;
use tests::wait::{PATIENCE, until};
use tests::webdriver::Chromium;
use tests::world;

use super::{look, stage};

#[tokio::test]
async fn pages_look_as_the_tenant_wants_them_to() {
    let world = world::shared().await;
    let (tenant, app, port) = stage(&world, "branding").await;
    tenant.patch(&json!({ "display_name": "Bread & Butter" })).await;
    let chromium = Chromium::start().await;
    let color = "getComputedStyle(document.querySelector('button')).backgroundColor";
    chromium.open(app.attempt().url.as_str()).await;
    chromium.says("Bread & Butter").await;
    assert_eq!(chromium.evaluate("document.querySelectorAll('img').length").await, 0);
    assert_eq!(chromium.evaluate(color).await, "rgb(35, 70, 196)");

    let wrong = json!({ "settings": { "branding": { "logo_uri": "javascript:alert(1)", "accent_color": "red;}" } } });
    let refused = tenant.admin.patch(&format!("/tenants/{}", tenant.slug), &wrong).await.expect(422);
    assert_eq!(refused.pointers(), ["/settings/branding/accent_color"], "a type first, then the rules");
    let logo = format!("http://127.0.0.1:{port}/logo.svg");
    let branding = json!({ "logo_uri": logo, "accent_color": "#ffb000" });
    tenant.patch(&json!({ "settings": { "branding": branding } })).await;
    for (name, url) in [("login", app.attempt().url.to_string()), ("register", format!("{}/register", tenant.issuer))] {
        chromium.open(&url).await;
        until("the logo is there", PATIENCE, async || {
            let width = chromium.evaluate("document.querySelector('img.brand').naturalWidth").await;
            if width == 120 { Ok(()) } else { Err(format!("{url}: {width}")) }
        })
        .await;
        assert_eq!(chromium.evaluate("document.querySelector('img.brand').alt").await, "Bread & Butter", "{url}");
        assert_eq!(chromium.evaluate(color).await, "rgb(255, 176, 0)", "{url}");
        assert_eq!(
            chromium.evaluate("getComputedStyle(document.querySelector('button')).color").await,
            "rgb(0, 0, 0)",
            "white would be hard to read"
        );
        look(&chromium, &format!("branded-{name}")).await;
    }
}
