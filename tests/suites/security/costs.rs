//! What an attempt to sign in, of a person or a client, costs the pod, and so how long it takes: the same for a name that
//! nobody has, and nothing for what is too long to be a password. In processor time of a pod that does nothing else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tests::browser::{Browser, Form, Page};
use tests::cpu;
use tests::relying_party::RelyingParty;
use tests::tenant::Tenant;
use tests::world::World;
use url::Url;

/// Attempts with each kind of name before they are compared.
const EACH: u8 = 15;
/// As often it is tried anew whether they are alike, by all there were: a hash that one of them lacks shows each time.
const BATCHES: u8 = 10;
/// Each has as many wrong guesses as are free.
const PEOPLE: u8 = 5;

struct Stage {
    world: World,
    tenant: Tenant,
}

impl Stage {
    async fn set() -> Self {
        let world = World::start(1, 1).await;
        let tenant = world.tenant("costs").await;
        Self { world, tenant }
    }

    /// At an address that nobody guessed from yet.
    async fn browser(&self, number: u8) -> (Browser, Form) {
        let browser = Browser::from_address(IpAddr::V4(Ipv4Addr::new(127, 0, 9, number)));
        let login: Url = format!("{}/login", self.tenant.issuer).parse().expect("a URL");
        let form = browser.open_page(&login).await.expect_form();
        (browser, form)
    }

    async fn cost(&self, (browser, form): &(Browser, Form), email: &str, password: &str) -> (Page, Duration) {
        let pod = self.world.pods[0].process().id();
        let before = cpu::spent(pod);
        let page = browser.sign_in(form, email, password).await;
        (page, cpu::spent(pod).saturating_sub(before))
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// All that can be told from outside, but for the time.
fn look(page: &Page) -> (u16, String, Vec<String>, usize) {
    let mut headers: Vec<String> = page.headers.keys().map(ToString::to_string).collect();
    headers.sort_unstable();
    (page.status, page.text(), headers, page.set_cookies.len())
}

#[tokio::test]
async fn an_unknown_name_costs_as_much_as_a_wrong_password_and_an_enormous_password_nothing() {
    let stage = Stage::set().await;
    let mut names: [Vec<String>; 2] = [Vec::new(), Vec::new()];
    for person in 0..PEOPLE {
        names[0].push(stage.tenant.user(&format!("user-{person}")).await.email);
        names[1].push(format!("none-{person}@{}.example", stage.tenant.slug));
    }
    let (mut times, mut looks) = ([Vec::new(), Vec::new()], BTreeSet::new());
    let mut apart = f64::INFINITY;
    for batch in 1..=BATCHES {
        let browser = stage.browser(batch).await;
        for round in 0..EACH {
            for (names, times) in names.iter().zip(&mut times) {
                let (page, cost) = stage.cost(&browser, &names[usize::from(round % PEOPLE)], "a wrong one").await;
                looks.insert(look(&page));
                times.push(cost);
            }
        }
        assert!(looks.len() == 1 && looks.iter().all(|look| look.0 == 403), "told apart: {looks:#?}");
        let [known, unknown] = times.each_mut().map(|times| median(times));
        apart = (known - unknown).abs() / known;
        if apart <= 0.1 {
            break;
        }
    }
    let [known, unknown] = times.each_mut().map(|times| median(times));
    assert!(apart <= 0.1, "known {known} s, unknown {unknown} s");

    // The pod may be about something else just then; that it need not cost more is shown by the cheapest.
    let browser = stage.browser(BATCHES + 1).await;
    for (what, length, most) in [("10 MiB", 10 << 20, 0.05), ("over 1 KiB", 1025, known / 2.0)] {
        let password = "x".repeat(length);
        let mut least = f64::INFINITY;
        for _ in 0..5 {
            let (page, cost) = stage.cost(&browser, &names[0][0], &password).await;
            assert!([400, 413].contains(&page.status), "{what}: {}", page.status);
            least = least.min(cost.as_secs_f64());
        }
        assert!(least < most, "{what}: {least} s of {most} s");
    }
}

/// Of a request whose client is not who it says, in the same figures.
#[tokio::test]
async fn an_unknown_client_costs_as_much_as_a_wrong_secret() {
    const TOGETHER: usize = 40;
    let stage = Stage::set().await;
    let pod = stage.world.pods[0].process().id();
    let clients = ["service", "nobody1"].map(|id| {
        let party = RelyingParty::new(&stage.tenant.issuer, id, Some("a-wrong-secret-of-a-client".to_owned()), "");
        (id, party)
    });
    let (mut costs, mut apart) = ([Vec::new(), Vec::new()], f64::INFINITY);
    for _ in 0..BATCHES {
        for _ in 0..EACH {
            for ((id, party), costs) in clients.iter().zip(&mut costs) {
                let before = cpu::spent(pod);
                for _ in 0..TOGETHER {
                    let refused = party.token(&[("grant_type", "client_credentials")]).await.expect(401);
                    assert_eq!(refused.code(), "invalid_client", "{id}");
                }
                costs.push(cpu::spent(pod).saturating_sub(before));
            }
        }
        let [known, unknown] = costs.each_mut().map(|costs| median(costs));
        apart = (known - unknown).abs() / known;
        if apart < 0.2 {
            break;
        }
    }
    assert!(apart < 0.2, "{costs:?}");
}
