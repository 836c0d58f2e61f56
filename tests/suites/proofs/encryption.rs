//! Answers that are encrypted to a key which the client publishes: none goes out in the clear while there is none.

use serde_json::json;
use tests::wait::{PATIENCE, until};

use super::assertions::document::Document;
use super::keys::Key;
use super::shared;

#[tokio::test]
async fn without_a_key_that_fits_there_are_no_tokens_and_nothing_is_used_up() {
    let setting = shared().await;
    let tenant = setting.tenant("sealed").await;
    let (alice, backend) = (tenant.user("alice").await, &tenant.backend);
    let signing = Key::new("s").jwk;
    let mut sealing = Key::new("e").jwk;
    sealing["use"] = json!("enc");
    sealing["alg"] = json!("ECDH-ES");
    let document = Document::serve(&json!({"keys": [signing]}).to_string()).await;
    let patch = json!({
        "jwks_uri": document.url,
        "id_token_encrypted_response_alg": "ECDH-ES", "id_token_encrypted_response_enc": "A256GCM",
    });
    tenant.patch_client("backend", &patch).await;
    let (code, attempt) = backend.code(&alice).await;
    let refused = backend.redeem(&code, &attempt.verifier).await.expect(400);
    assert_eq!(refused.text_of("error"), "invalid_request");
    assert!(refused.text_of("error_description").contains("no key"), "{}", refused.text);
    // It is published, and the code is still good.
    document.set(&json!({"keys": [signing, sealing]}).to_string());
    let tokens = until("the key is found", PATIENCE, async || {
        let answer = backend.redeem(&code, &attempt.verifier).await;
        if answer.status == 200 { Ok(answer) } else { Err(answer.text) }
    })
    .await;
    assert_eq!(tokens.text_of("id_token").split('.').count(), 5);
    assert_eq!(tokens.text_of("access_token").split('.').count(), 3, "access tokens are the resource servers'");

    // What could not work is not registered.
    let path = format!("/tenants/{}/clients/backend", tenant.slug);
    for wrong in [
        json!({"id_token_encrypted_response_enc": null}),
        json!({"jwks_uri": null}),
        json!({"jwks_uri": null, "jwks": {"keys": [signing]}}),
        json!({"id_token_encrypted_response_alg": "dir"}),
        json!({"id_token_encrypted_response_alg": "RSA1_5"}),
    ] {
        let answer = tenant.admin.patch(&path, &wrong).await;
        assert!([400, 422].contains(&answer.status), "{wrong}: {} {}", answer.status, answer.text);
    }
}
