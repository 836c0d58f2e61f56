//! Guessing is made slow for the guesser, not for others.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

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

/// Somebody who fails again and again. However long an answer takes, each is checked: a guess counts only when the wait
/// was over, and who has to wait is told how long.
struct Guesser<G> {
    guess: G,
    /// So many failures cost nothing.
    free: u32,
    failures: u32,
    /// The last of them was counted after this.
    last: Instant,
}

impl<G: AsyncFn(u32) -> Answer> Guesser<G> {
    fn new(free: u32, guess: G) -> Self {
        Self { guess, free, failures: 0, last: Instant::now() }
    }

    /// The wait that the last failure brought: the first is a second, and each is twice as long as the one before.
    fn wait(&self) -> Duration {
        let over = self.failures.checked_sub(self.free);
        over.map_or(Duration::ZERO, |over| Duration::from_secs(1 << over))
    }

    /// `Some`: it has to wait.
    async fn guess(&mut self) -> Option<Answer> {
        let asked = Instant::now();
        let answer = (self.guess)(self.failures).await;
        let (wait, since) = (self.wait(), self.last.elapsed());
        if answer.status == 429 {
            let told = Duration::from_secs(retry_after(&answer));
            let failures = self.failures;
            assert!(!wait.is_zero(), "after {failures} failures: {answer:?}");
            assert!(
                wait.saturating_sub(since) <= told && told <= wait,
                "{wait:?} of which {since:?} are over: {told:?}"
            );
            return Some(answer);
        }
        let answer = answer.expect(401);
        assert!(wait <= since, "after {since:?} of {wait:?}: {answer:?}");
        (self.failures, self.last) = (self.failures + 1, asked);
        None
    }

    /// Guesses until it has to wait. Where answers take longer than a wait, the next one is twice as long.
    async fn locked(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.guess().await {
                return answer;
            }
        }
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait_longer_and_longer_and_the_owner_does_not() {
    let cluster = Cluster::start(1).await;
    let node = cluster.nodes[0].admin_url();
    let owner = &cluster.secrets.owner;
    let id = owner.split('_').nth(1).expect("a credential has an id");
    let wrong = format!("hja_{id}_{}", "x".repeat(43));

    // From many addresses at the owner's credential: it is locked, but not for its holder. So many, that it is for longer
    // than this test takes.
    let guessers: Vec<_> = (60..80).map(client_at).collect();
    for guesser in &guessers {
        let _ = sign_in(guesser, &node, &wrong).await.expect(401);
    }
    let refused = sign_in(&guessers[0], &node, &wrong).await.expect(429);
    assert_eq!((refused.code(), retry_after(&refused) >= 1), ("too_many_requests", true));
    assert_eq!(sign_in(&guessers[0], &node, owner).await.expect(429).code(), "too_many_requests", "even the right one");
    let _ = sign_in(&client_at(2), &node, owner).await.expect(200);

    // From one address: it waits, whatever it presents, until its time is over.
    let from = client_at(40);
    let unknown = |n: u32| format!("hja_{}_{}", uuid::Uuid::from_u128(n.into()).simple(), "x".repeat(43));
    let mut guesser = Guesser::new(30, async |n| sign_in(&from, &node, &unknown(n)).await);
    let _ = guesser.locked().await;
    until("the lock is over, and the next failure locks longer", PATIENCE, async || match guesser.guess().await {
        None => Ok(()),
        Some(answer) => Err(format!("{answer:?}")),
    })
    .await;
    assert_eq!(guesser.locked().await.code(), "too_many_requests");

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
    let from = client_at(50);
    let mut guesser = Guesser::new(1000, async |n| {
        let token = format!("e30.{n}.e30");
        web::send(from.get(&url).bearer_auth(token)).await
    });
    // A token that this node knows is none that somebody guesses, wherever it comes from: also while others have to wait.
    loop {
        assert_eq!(guesser.locked().await.code(), "too_many_requests");
        let known = web::send(from.get(&url).bearer_auth(owner.token())).await;
        let _ = known.expect(200);
        if guesser.guess().await.is_some() {
            break;
        }
    }
    let _ = owner.get("/tenants").await.expect(200);
    let _ = web::send(owner.anonymous_request(Method::GET, "/tenants")).await.expect(401);
}
