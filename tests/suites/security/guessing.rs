//! Guessing passwords, at one account and at many: it is slowed down where it comes from, and nowhere else.

use std::net::{IpAddr, Ipv4Addr};

use futures::{StreamExt as _, stream};
use tests::browser::{Browser, Form, Page};
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world;
use url::Url;

/// How many of a spray are under way together.
const AT_ONCE: usize = 8;

fn login(tenant: &Tenant) -> Url {
    format!("{}/login", tenant.issuer).parse().expect("a URL")
}

fn elsewhere() -> Browser {
    Browser::from_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))
}

/// Whether the password was looked at. Otherwise it is told how long to wait.
fn was_judged(page: &Page) -> bool {
    match page.status {
        403 => true,
        429 => {
            let wait = page.headers.get("retry-after").and_then(|secs| secs.to_str().ok()?.parse::<u32>().ok());
            assert!(wait.is_some_and(|secs| (1..=300).contains(&secs)), "{page:#?}");
            false
        }
        other => panic!("{other}: {page:#?}"),
    }
}

/// The status of a sign-in with the right password, by one who claims to be at another address.
async fn with_the_right_one(browser: &Browser, form: &Form, email: &str, alice: &User) -> u16 {
    let fill = [("email", email), ("password", alice.password.as_str())];
    let request = browser.submission(form, &fill, None).header("x-forwarded-for", "203.0.113.9");
    web::send(request.header("forwarded", "for=203.0.113.9")).await.status
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owner_elsewhere_is_not() {
    let world = world::shared().await;
    let tenant = world.tenant("guessing").await;
    let alice = tenant.user("alice").await;
    let guesser = Browser::new();
    let form = guesser.open_page(&login(&tenant)).await.expect_form();
    let mut judged = Vec::new();
    for _ in 0..100 {
        judged.push(was_judged(&guesser.sign_in(&form, &alice.email, "a wrong guess").await));
    }
    let first = judged.iter().position(|it| !it).expect("one is refused");
    assert!((5..=13).contains(&first), "slowed down at {first}");
    // Each takes twice the wait of the one before: the twentieth half an hour.
    let judged = judged.into_iter().filter(|it| *it).count();
    assert!(judged < 20, "{judged} of 100 were looked at");
    // Not even the right one is looked at now, nor one in other letters, nor with headers that claim another address.
    until("the right one is not looked at", PATIENCE, async || {
        if was_judged(&guesser.sign_in(&form, &alice.email, "a wrong guess").await) {
            return Err("the wait was over".to_owned());
        }
        for email in [alice.email.clone(), alice.email.to_uppercase()] {
            let status = with_the_right_one(&guesser, &form, &email, &alice).await;
            if status != 429 {
                return Err(format!("{email}: {status}"));
            }
        }
        Ok(())
    })
    .await;
    let _ = elsewhere().authorize(&tenant.backend.attempt().url, &alice).await;
}

#[tokio::test]
async fn one_password_is_not_tried_at_everybodys_account() {
    let world = world::shared().await;
    let tenant = world.tenant("spraying").await;
    let alice = tenant.user("alice").await;
    // At each account once, of as many as there may be, and each time with another claim of who asks.
    let sprayer = Browser::new();
    let form = sprayer.open_page(&login(&tenant)).await.expect_form();
    let attempt = async |account: u32| {
        let email = format!("user-{account}@{}.example", tenant.slug);
        let fill = [("email", email.as_str()), ("password", "Summer2026!")];
        let claimed = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + account);
        let request = sprayer.submission(&form, &fill, None).header("x-forwarded-for", claimed.to_string());
        let answer = web::send(request).await.expect_one_of(&[403, 429]);
        assert!(answer.status == 403 || answer.header("retry-after").is_some(), "{answer:#?}");
        usize::from(answer.status == 403)
    };
    let answers = stream::iter(0..10_000).map(attempt).buffer_unordered(AT_ONCE);
    let judged = answers.fold(0, async |judged, one| judged + one).await;
    // Sixty, and then each takes twice the wait of the one before; so many may be under way when it is the sixtieth's turn.
    assert!((50..=72 + AT_ONCE).contains(&judged), "{judged} of 10 000 accounts were tried");
    until("an account that nobody tried is not tried either", PATIENCE, async || {
        was_judged(&sprayer.sign_in(&form, "another@spraying.example", "Summer2026!").await);
        let status = with_the_right_one(&sprayer, &form, &alice.email, &alice).await;
        if status == 429 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let _ = elsewhere().authorize(&tenant.backend.attempt().url, &alice).await;
}
