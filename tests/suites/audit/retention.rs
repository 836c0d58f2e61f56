//! What is removed, when, and who signs for it.

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::wait::{PATIENCE, until};
use vocab::{ChainHash, Link};

use super::{DIFFERENT, FLAGS, TOKEN, admins, alike, export, verified};

/// The least that may be asked for.
const ROOM: u64 = 65_536;

/// Waits until every node keeps nothing that is older than record `first`, and finds what it keeps in order.
async fn begins_after(all: &[Admin], first: u64) -> Value {
    until(&format!("records before {first} are gone"), PATIENCE, async || {
        let mut last = Value::Null;
        for admin in all {
            last = verified(admin).await;
            if last["first_seq"].as_u64() < Some(first) {
                return Err(last.to_string());
            }
            assert_eq!((&last["valid"], &last["complete"]), (&true.into(), &true.into()), "{last:#}");
        }
        Ok(last)
    })
    .await
}

/// Who signed for what is gone.
fn signer(report: &Value) -> String {
    use base64::Engine as _;
    let jws = report["truncation"]["signature"].as_str().expect("a signature");
    let header = jws.split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key").to_owned()
}

/// The lines as somebody would leave them who changes one and hides it: every hash from there on is made anew.
fn rewritten(lines: &[&str], change: impl Fn(&str) -> String) -> String {
    let mut previous: Option<ChainHash> = None;
    let mut text = String::new();
    for line in lines {
        let link = Link::read(line).expect("it was right");
        let begin = line.find("\"revision\"").expect("the first member");
        let end = line.rfind(",\"hash\":").expect("the last member");
        let (new, line) = Link::write(link.seq, previous.unwrap_or(link.previous), &change(&line[begin..end]));
        previous = Some(new.hash);
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_or_too_old_goes_on_every_node_and_is_signed_for() {
    let mut cluster = Cluster::start_with(3, FLAGS).await;
    let leader = cluster.leader().await;
    let all = admins(&cluster).await;
    let cli = Cli::new(&cluster);
    let _ = all[0].create_tenant("acme", json!({})).await;
    let refused = all[0].patch("/settings", &json!({"audit": {"max_bytes": 1, "max_age_secs": 0}})).await.expect(422);
    assert_eq!(refused.json["errors"].as_array().map(Vec::len), Some(2), "{}", refused.text);
    cli.text(&["settings", "set", "--audit-max-bytes", &ROOM.to_string()]);
    let shown = all[0].get("/settings").await.expect(200).json;
    assert_eq!(shown["audit"], json!({"max_age_secs": null, "max_bytes": ROOM}));

    // By room. Whoever verifies meanwhile finds everything in order at each moment.
    let verifying = all[0].clone();
    let verifying = tokio::spawn(async move {
        loop {
            let report = verified(&verifying).await;
            assert_eq!(report["valid"], true, "{report:#}");
        }
    });
    for n in 0..150 {
        let _ = all[1].patch("/tenants/acme", &json!({"display_name": format!("Acme {n}")})).await.expect(200);
    }
    until("there is room again", PATIENCE, async || {
        let kept = export(&all[2], TOKEN).await?;
        let bytes = (kept.len() - kept.lines().count()) as u64;
        if bytes <= ROOM { Ok(()) } else { Err(format!("{bytes} bytes")) }
    })
    .await;
    let report = begins_after(&all, 20).await;
    assert!(!verifying.is_finished(), "{:?}", verifying.await);
    verifying.abort();
    let kept = alike(&all, "audit.truncate").await;
    assert!(kept.len() > 50, "no more than needed goes: {}", kept.len());
    assert_eq!(kept[0]["seq"], report["first_seq"]);
    let newest = kept.iter().rfind(|record| record["action"] == "audit.truncate").expect("it is on record");
    assert_eq!(newest["actor"]["kind"], "system");
    assert_eq!(newest["truncation"]["through_seq"].as_u64().map(|seq| seq + 1), kept[0]["seq"].as_u64());

    // Without a server: the keys are needed, and neither the signature nor the beginning can be another one.
    let file = cli.home.join("audit.jsonl");
    let keys = cli.home.join("keys.json");
    let verify = ["audit", "verify", "--file", file.to_str().expect("UTF-8"), "-o", "json"];
    let with_keys = [&verify[..], &["--keys", keys.to_str().expect("UTF-8")]].concat();
    std::fs::write(&keys, cli.text(&["key", "list", "--global", "-o", "json"])).expect("written");
    let exported = export(&all[0], TOKEN).await.expect("an export");
    std::fs::write(&file, &exported).expect("written");
    assert!(cli.text(&verify).contains("not checked: give --keys"));
    assert!(cli.text(&with_keys).contains("\"beginning\": \"signed\""));
    let lines: Vec<&str> = exported.lines().collect();
    let forged = rewritten(&lines, |members| match members.split_once("\"signature\":\"") {
        Some((before, signature)) => {
            let (jws, after) = signature.split_once('"').expect("a string");
            let (signed, _) = jws.rsplit_once('.').expect("a JWS");
            format!("{before}\"signature\":\"{signed}.{}\"{after}", "A".repeat(86))
        }
        None => members.to_owned(),
    });
    for spoilt in [forged, rewritten(&lines[5..], str::to_owned)] {
        std::fs::write(&file, &spoilt).expect("written");
        assert!(cli.text(&verify).contains("\"valid\": true"), "no hash is wrong");
        let output = cli.run(&with_keys);
        assert_eq!(output.status.code(), DIFFERENT, "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"valid\": false"), "{output:?}");
    }

    // The key that signed is taken back: another signs, whoever leads by then.
    let old = signer(&report);
    cluster.nodes[leader].kill();
    let survivors: Vec<Admin> = (0..3).filter(|place| *place != leader).map(|place| all[place].clone()).collect();
    cluster.leader().await;
    let _ = survivors[0].post("/keys/rotate", &json!({})).await.expect(200);
    let survivors = {
        let mut signed_in = Vec::new();
        for place in (0..3).filter(|place| *place != leader) {
            signed_in.push(cluster.admin(place).await);
        }
        signed_in
    };
    let _ = survivors[0].post(&format!("/keys/{old}/revoke"), &json!({})).await.expect(200);
    until("another key signs", PATIENCE, async || {
        let report = verified(&survivors[1]).await;
        assert_eq!(report["valid"], true, "{report:#}");
        if signer(&report) == old { Err(report.to_string()) } else { Ok(()) }
    })
    .await;

    // By age, and a node that was away finds the same.
    let before = begins_after(&survivors, 20).await["last_seq"].as_u64().expect("a number");
    let age = json!({"kind": "Settings", "audit": {"max_age_secs": 1}});
    let _ = survivors[0].post("/apply", &json!({ "documents": [age] })).await.expect(200);
    begins_after(&survivors, before).await;
    cluster.nodes[leader].start().await;
    cluster.nodes[leader].ready().await;
    let all = admins(&cluster).await;
    begins_after(&all, before).await;
    alike(&all, "audit.truncate").await;
}
