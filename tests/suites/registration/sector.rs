//! A client that joins a sector on the public Internet (OIDC Registration §5): pod and control plane take its word for
//! nothing, and fetch the sector's document by its name, over TLS, from an address that passes for a public one.

use serde_json::json;
use tests::cluster::Cluster;
use tests::network::Network;
use tests::pki::{Authority, Wanted};
use tests::pod::{Plan, Pod};
use tests::published::Published;
use tests::web;

const HOST: &str = "sector.example";

/// Node and pod, each in a namespace of its own; the pod allows itself nothing beside the public Internet.
async fn start(network: &Network, authority_file: &str) -> (Cluster, Pod) {
    let mut cluster = Cluster::prepare_in(network, 1, &[]);
    cluster.start_all().await;
    cluster.ready().await;
    let address = network.address(2);
    let (control_plane, public_url) = (cluster.watch_urls(), format!("http://{address}:8080"));
    let flags = ["--outbound-ca-file", authority_file];
    let plan = Plan {
        name: "pod-sector",
        control_plane: &control_plane,
        public_url: &public_url,
        flags: &flags,
        ..Plan::default()
    };
    let mut pod = Pod::prepare(&plan, &cluster.secrets);
    let launch = pod.launch_mut();
    launch.namespace = Some(network.namespace(2));
    launch.set("--http-addr", &format!("{address}:8080"));
    launch.set("--ops-addr", &format!("{address}:8081"));
    pod.start_again().await;
    pod.ready().await;
    (cluster, pod)
}

#[tokio::test]
async fn who_stands_in_the_document_of_a_public_sector_joins_it() {
    let Some(network) = Network::new(2) else { return };
    let _ = network.lend_public_address(HOST);
    let authority = Authority::new("sector");
    let [_, _, ca] = authority.certify("unused").files;
    let names = &[HOST, "private.sector.example"];
    let certified = authority.certify_as("sector", &Wanted { names, ..Wanted::default() });
    let sector = Published::serve("0.0.0.0:0", &certified, "[]").await;
    let (cluster, pod) = start(&network, &ca).await;
    let admin = cluster.admin(0).await;
    let settings = json!({ "oauth": { "registration": { "mode": "open", "per_minute": 100 } } });
    let tenant = json!({ "slug": "joins", "display_name": "Joins", "settings": settings });
    let made = admin.post("/tenants?wait=fleet&timeout=15s", &tenant).await.expect(201);
    assert_eq!(made.header("x-fleet"), Some("complete"));

    let redirects = ["https://a.example/cb", "https://b.example/cb"];
    let register = async |host: &str| {
        let metadata = json!({
            "redirect_uris": redirects, "subject_type": "pairwise", "sector_identifier_uri": sector.url(host),
        });
        web::send(web::client().post(format!("{}/t/joins/oauth2/register", pod.url())).json(&metadata)).await
    };
    sector.set(&json!([redirects[0]]).to_string());
    let refused = register(HOST).await.expect(400);
    assert!(refused.text_of("error_description").contains("does not name every redirect URI"), "{}", refused.text);
    sector.set(&json!(redirects).to_string());
    let joined = register(HOST).await.expect(201);
    assert_eq!(
        (joined.text_of("sector_identifier_uri"), joined.text_of("subject_type")),
        (sector.url(HOST), "pairwise".to_owned())
    );
    assert_eq!(sector.connections(), 2, "what was true of others is asked anew");

    // The same server by a name that leads inside is not even connected to.
    let inside = register("private.sector.example").await.expect(400);
    assert!(inside.text_of("error_description").contains("not on the public Internet"), "{}", inside.text);
    assert_eq!(sector.connections(), 2);
}
