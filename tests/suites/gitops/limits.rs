//! How much the files may say.

use serde_json::json;

use super::*;

/// Such an entry would be in the leader's log, and no follower could ever be sent it.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_makes_too_large_an_entry_is_refused_and_writes_go_on() {
    let dir = scratch::folder("too-large");
    let text = "x".repeat(32_000);
    let mail = json!({"subject": "Hello", "text": "{{ link }}", "html": format!("{{{{ link }}}}{text}")});
    let tenant = |number: usize| {
        let mails = json!({"reset_password": mail, "verify_email": mail});
        let settings = json!({"branding": {"mails": mails}});
        json!({"kind": "Tenant", "slug": format!("t{number}"), "display_name": "x", "settings": settings})
    };
    for file in 0..3 {
        let tenants: Vec<Value> = (0..100).map(|number| tenant(file * 100 + number)).collect();
        fs::write(dir.join(format!("{file}.json")), json!(tenants).to_string()).expect("written");
    }
    let cluster = Cluster::start_with(1, &["--gitops-dir", dir.to_str().expect("UTF-8")]).await;
    let admin = cluster.admin(0).await;
    let seen = status(&admin, "the refusal is reported", |status| status["error"].is_string()).await;
    assert!(seen["error"].as_str().is_some_and(|error| error.contains("16 MiB")), "{}", seen["error"]);
    assert_eq!(seen["result"], "failed");
    let _ = admin.get("/tenants/t0").await.expect(404);
    let _ = admin.create_tenant("by-hand", json!({})).await;

    for file in 0..3 {
        fs::remove_file(dir.join(format!("{file}.json"))).expect("removed");
    }
    write(&dir.join("tenant.yaml"), TENANT);
    shows(&admin, "/tenants/acme", "/slug", "acme").await;
}
