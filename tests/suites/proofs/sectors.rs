//! A client that registers itself into a sector must stand in the sector's own document (OIDC Registration §5).

use serde_json::json;
use tests::web;

use super::assertions::document::Document;
use super::shared;

#[tokio::test]
async fn who_names_a_sector_must_be_named_by_it() {
    let setting = shared().await;
    let tenant = setting.tenant("sectors").await;
    tenant.patch(&json!({ "settings": { "oauth": { "registration": { "mode": "open", "per_minute": 100 } } } })).await;
    let document = Document::serve("[]").await;
    let redirects = ["https://a.example/cb", "https://b.example/cb"];
    let register = async |sector: &str| {
        let metadata = json!({
            "redirect_uris": redirects, "subject_type": "pairwise", "sector_identifier_uri": sector,
        });
        let request = web::client().post(format!("{}/oauth2/register", tenant.issuer)).json(&metadata);
        let refused = web::send(request).await.expect(400);
        assert_eq!(refused.text_of("error"), "invalid_client_metadata");
        refused.text_of("error_description")
    };
    for listed in [json!([]), json!([redirects[0]]), json!(["https://a.example/cb/", redirects[1]])] {
        document.set(&listed.to_string());
        let told = register(&document.url).await;
        assert!(told.contains("does not name every redirect URI"), "{listed}: {told}");
    }
    document.set("<html>");
    assert!(register(&document.url).await.contains("JSON array"));
    assert!(register("https://10.0.0.1/sector").await.contains("not on the public Internet"));
    assert!(register("http://sector.example/uris").await.contains("not https"));
    let asked = document.requests();
    // The document is right, so it is the control plane's turn, which takes no address of this machine from a stranger.
    document.set(&json!(redirects).to_string());
    let told = register(&document.url).await;
    assert!(told.contains("sector_identifier_uri: must be https"), "{told}");
    assert_eq!(document.requests(), asked + 1);

    // Several hosts without a sector are nobody's.
    let metadata = json!({"redirect_uris": redirects, "subject_type": "pairwise"});
    let request = web::client().post(format!("{}/oauth2/register", tenant.issuer)).json(&metadata);
    let told = web::send(request).await.expect(400).text_of("error_description");
    assert!(told.contains("sector_identifier_uri"), "{told}");
}
