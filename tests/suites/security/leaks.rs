//! Nothing secret in any log, metric, trace, file, backup or record of the audit, and nothing but hashes in the database:
//! after a whole flow with what is really secret, and after every endpoint was fed what is marked.

#[path = "leaks/marked.rs"]
mod marked;
#[path = "leaks/watched.rs"]
mod watched;

use tests::browser::Browser;
use tests::relying_party::{Tokens, parameters};

use self::watched::Watched;

#[tokio::test]
async fn what_is_told_and_kept_of_a_flow_holds_no_secret() {
    let watched = Watched::start().await;
    let world = &watched.world;
    let tenant = world.tenant("leaks").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt = tenant.backend.attempt();
    let login = browser.open_page(&attempt.url).await;
    let interaction = parameters(&login.url)["interaction"].clone();
    let form = login.expect_form();
    let refused = browser.sign_in(&form, &alice.email, "a-wrong-password-of-alice").await;
    assert!(refused.leaves_to.is_none(), "{refused:#?}");
    let callback = browser.authorize(&attempt.url, &alice).await;
    let code = parameters(&callback)["code"].clone();
    let first = Tokens::read(tenant.backend.redeem(&code, &attempt.verifier).await);
    let second = Tokens::read(tenant.backend.refresh(first.refresh()).await);
    let _ = tenant.backend.userinfo(&second.access).await.expect(200);
    // Refusals are logged with more words.
    let _ = tenant.backend.redeem(&code, &attempt.verifier).await.expect(400);
    let _ = tenant.backend.with_secret("a-wrong-secret-of-the-client").refresh(first.refresh()).await.expect(401);
    let _ = tenant.backend.userinfo(&second.id().replace('e', "f")).await.expect(401);
    let cookies: Vec<String> = browser
        .cookies(&attempt.url)
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value.to_owned())
        .filter(|value| value.len() >= 16)
        .collect();
    assert!(!cookies.is_empty(), "the browser is signed in");

    let mut secrets = vec![
        ("the code", code),
        ("the verifier", attempt.verifier.clone()),
        ("a refresh token", first.refresh().to_owned()),
        ("the next refresh token", second.refresh().to_owned()),
        ("an access token", second.access.clone()),
        ("the ID token", second.id().to_owned()),
        ("the password", alice.password.clone()),
        ("a wrong password", "a-wrong-password-of-alice".to_owned()),
        ("an interaction's id", interaction),
        ("a wrong client secret", "a-wrong-secret-of-the-client".to_owned()),
        ("the client's secret", tenant.backend.secret.clone().expect("confidential")),
        ("the database's password", tenant.database.password.clone()),
        ("the administrator's token", tenant.admin.token().to_owned()),
        ("the owner's credential", world.cluster.secrets.owner.clone()),
        ("the master key", world.cluster.secrets.master_key.clone()),
        ("the cluster's secret", world.cluster.secrets.cluster_hmac.clone()),
        ("the watch's token", world.cluster.secrets.watch_token.clone()),
    ];
    secrets.extend(cookies.into_iter().map(|value| ("a cookie", value)));

    let places = watched.places(&tenant).await;
    let mut found = Vec::new();
    for (place, text) in &places {
        for (what, secret) in secrets.iter().filter(|(_, secret)| text.contains(secret.as_str())) {
            found.push(format!("{what} ({} characters) is in {place}", secret.len()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
