//! Guessing is made slow for the guesser, not for others.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Method;
use serde_json::json;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};

/// Somebody at another address of this machine.
fn client_at(last: u8) -> reqwest::Client {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    web::builder().local_address(address).build().expect("an HTTP client can be made")
}

async fn sign_in(from: &reqwest::Client, node: &str, credential: &str) -> Answer {
    web::send(from.post(format!("{node}/api/v1/auth/token")).json(&json!({ "credential": credential }))).await
}

fn retry_after(answer: &Answer) -> u64 {
    answer
        .header("retry-after")
        .and_then(|secs| secs.parse().ok())
        .unwrap_or_else(|| panic!("no Retry-After: {answer:?}"))
}

#[tokio::test]
async fn who_guesses_has_to_wait_longer_and_longer_and_the_owner_does_not() {
    let cluster = Cluster::start(1).await;
    let node = cluster.nodes[0].admin_url();
    let owner = &cluster.secrets.owner;
    let id = owner.split('_').nth(1).expect("a credential has an id");
    let wrong = format!("hja_{id}_{}", "x".repeat(43));

    // From many addresses at the owner's credential: it is locked, but not for its holder.
    let guessers: Vec<_> = (20..32).map(client_at).collect();
    for guesser in &guessers {
        let _ = sign_in(guesser, &node, &wrong).await.expect(401);
    }
    let refused = sign_in(&guessers[0], &node, &wrong).await.expect(429);
    assert_eq!((refused.code(), retry_after(&refused) >= 1), ("too_many_requests", true));
    assert_eq!(sign_in(&guessers[0], &node, owner).await.expect(429).code(), "too_many_requests", "even the right one");
    let _ = sign_in(&client_at(2), &node, owner).await.expect(200);

    // From one address: it waits, whatever it presents, until its time is over.
    let guesser = client_at(40);
    let unknown = |n: u128| format!("hja_{}_{}", uuid::Uuid::from_u128(n).simple(), "x".repeat(43));
    for n in 0..30 {
        let _ = sign_in(&guesser, &node, &unknown(n)).await.expect(401);
    }
    assert_eq!(retry_after(&sign_in(&guesser, &node, &unknown(100)).await.expect(429)), 1);
    until("the lock is over, and the next failure locks longer", PATIENCE, async || {
        let answer = sign_in(&guesser, &node, &unknown(101)).await;
        if answer.status == 401 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let locked = sign_in(&guesser, &node, &unknown(102)).await.expect(429);
    assert_eq!(retry_after(&locked), 2, "twice the first wait");

    // It is counted and told.
    let metrics = web::send(web::client().get(format!("{}/metrics", cluster.nodes[0].ops_url()))).await.text;
    for line in ["hj_cp_admin_lockouts_total{of=\"address\"} 1", "hj_cp_admin_lockouts_total{of=\"credential\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(cluster.logs().contains("locked out"), "the log says it");
    assert!(!cluster.logs().contains(&"x".repeat(43)), "what was presented is not in the log");
}

#[tokio::test]
async fn made_up_tokens_lock_their_sender_but_no_token_that_is_in_use() {
    let cluster = Cluster::start(1).await;
    let owner = cluster.admin(0).await;
    let _ = owner.get("/tenants").await.expect(200);
    let url = owner.url("/tenants");
    let guesser = client_at(50);
    let mut refused = None;
    for n in 0..1100 {
        let answer = web::send(guesser.get(&url).bearer_auth(format!("e30.{n}.e30"))).await;
        if answer.status == 429 {
            refused = Some((n, answer));
            break;
        }
        let _ = answer.expect(401);
    }
    let (after, refused) = refused.expect("at last it has to wait");
    assert_eq!((after, refused.code(), retry_after(&refused)), (1000, "too_many_requests", 1));
    // A token that this node knows is none that somebody guesses, wherever it comes from.
    let known = web::send(guesser.get(&url).bearer_auth(owner.token())).await;
    let _ = known.expect(200);
    let _ = owner.get("/tenants").await.expect(200);
    let _ = web::send(owner.anonymous_request(Method::GET, "/tenants")).await.expect(401);
}
