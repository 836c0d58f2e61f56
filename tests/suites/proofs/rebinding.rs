//! Names whose addresses change between the check and the connection (DNS rebinding). The pod asks a name server of the
//! test, and may reach one address of this machine; at another one listens who must never be connected to.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, RecordType};
use serde_json::json;
use tests::name_server::{NameServer, Zone, nobody};
use tests::pki::{Authority, Wanted};
use tests::pod::{Plan, Pod};
use tests::published::Published;
use tests::scratch;
use tests::web;
use tests::world::World;

use super::assertions::{register, request};
use super::keys::Key;

const HOST: &str = "keys.rebinds.test";
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const INSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Each question for the host's addresses gets the next answer, and after the last one the first again.
fn turning(answers: &[&[Ipv4Addr]]) -> Zone {
    let answers: Vec<Vec<Ipv4Addr>> = answers.iter().map(|addresses| addresses.to_vec()).collect();
    let mut turn = answers.into_iter().cycle();
    Box::new(move |question| {
        if question.name().to_utf8().trim_end_matches('.') != HOST {
            return None;
        }
        let asked = question.query_type() == RecordType::A;
        let addresses = if asked { turn.next() } else { None };
        Some(addresses.into_iter().flatten().map(|address| RData::A(A(address))).collect())
    })
}

/// It looks names up at `names`. A question is not repeated: that would be a turn more.
async fn add_pod(world: &mut World, names: &NameServer, ca: &str) {
    let resolver = scratch::folder("resolver").join("resolv.conf");
    let text = format!("nameserver {}\noptions timeout:30 attempts:1\n", names.address().ip());
    std::fs::write(&resolver, text).expect("a scratch file can be written");
    let allowed = format!("{ALLOWED}/32");
    let control_plane = world.cluster.watch_urls();
    let flags = ["--outbound-allowed-networks", allowed.as_str(), "--outbound-ca-file", ca];
    let plan = Plan { name: "pod-0", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let mut pod = Pod::prepare(&plan, &world.cluster.secrets);
    pod.launch_mut().resolve_by(&resolver);
    pod.start_again().await;
    pod.ready().await;
    world.pods.push(pod);
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    if std::env::var_os("HJ_SKIP_NETWORK_TESTS").is_some() {
        eprintln!("skipped: HJ_SKIP_NETWORK_TESTS is set");
        return;
    }
    // A resolver knows no ports: an address of this process' own.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let names = NameServer::start(&format!("127.53.{high}.{low}:53"), nobody()).await;
    let authority = Authority::new("rebinding");
    let certified = authority.certify_as("keys", &Wanted { names: &[HOST], ..Wanted::default() });
    let [_, _, ca] = &certified.files;
    let mut world = World::start(1, 0).await;
    add_pod(&mut world, &names, ca).await;
    let tenant = world.tenant("rebinding").await;
    let key = Key::new("1");
    let keys = json!({ "keys": [key.jwk] }).to_string();
    let inside = Published::serve(&format!("{INSIDE}:0"), &certified, &keys).await;
    let allowed = Published::serve(&format!("{ALLOWED}:{}", inside.port), &certified, &keys).await;
    let connections = || (allowed.connections(), inside.connections());
    for (client_id, answers, status, expected) in [
        ("turns", &[&[ALLOWED][..], &[INSIDE]][..], 200, (1, 0)),
        ("turned", &[&[INSIDE][..], &[ALLOWED]], 401, (1, 0)),
        ("mixed", &[&[ALLOWED, INSIDE][..]], 401, (1, 0)),
        ("none", &[&[][..]], 401, (1, 0)),
        ("stays", &[&[ALLOWED][..]], 200, (2, 0)),
    ] {
        names.set(turning(answers));
        let asked = names.questions();
        register(&tenant, client_id, json!({ "jwks_uri": format!("{}?{client_id}", allowed.url(HOST)) })).await;
        let assertion = key.assertion(client_id, &tenant.issuer, &json!({}));
        let answer = web::send(request(&tenant.issuer, &assertion)).await.expect(status);
        assert!(status == 200 || answer.text_of("error") == "invalid_client", "{client_id}: {}", answer.text);
        assert!(names.questions() > asked, "{client_id}: nobody asked the name server");
        assert_eq!(connections(), expected, "{client_id}: where it may, and where it may not");
    }
}
