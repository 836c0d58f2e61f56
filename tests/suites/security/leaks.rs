//! After a whole flow: nothing secret in any log or metric, and nothing but hashes in the database.

use tests::browser::Browser;
use tests::pod::Pod;
use tests::relying_party::{Tokens, parameters};
use tests::web;
use tests::world::World;

#[tokio::test]
async fn logs_metrics_and_databases_hold_no_secret() {
    let world = World::start(1, 1).await;
    // As talkative as they can be made.
    for url in [world.cluster.nodes[0].ops_url(), world.pods[0].ops_url()] {
        let _ = web::send(web::client().put(format!("{url}/debug/log")).body("trace")).await.expect(200);
    }
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

    let mut places = vec![("the nodes' logs", world.cluster.logs())];
    places.push(("the pod's log", world.pods.iter().map(|pod| pod.process().log()).collect()));
    let http = web::client();
    for url in [world.cluster.nodes[0].ops_url(), world.pods.first().map(Pod::ops_url).expect("a pod")] {
        places.push(("metrics", web::send(http.get(format!("{url}/metrics"))).await.expect(200).text));
    }
    places.push(("the database", tenant.database.dump().await));
    let mut files = String::new();
    let mut folders = vec![world.cluster.nodes[0].data_dir(), world.pods[0].state_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files += &String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    places.push(("files", files));
    let mut found = Vec::new();
    for (place, text) in &places {
        for (what, secret) in secrets.iter().filter(|(_, secret)| text.contains(secret.as_str())) {
            found.push(format!("{what} ({} characters) is in {place}", secret.len()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
