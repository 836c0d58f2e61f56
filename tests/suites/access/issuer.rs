//! A tenant of the installation as the administrators' sign-in: a person, a browser, the command line.

use std::io::BufRead as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::browser::Browser;
use tests::pki::Authority;
use tests::pod::{Plan, Pod};
use tests::postgres::free_port;
use tests::programs;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::scratch;
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::world::World;
use url::Url;

const STOP: Duration = Duration::from_secs(20);
const CLIENT: &str = "hellojohn-cli";
const REDIRECT: &str = "http://127.0.0.1/callback";

async fn exchange(node: &str, body: &Value) -> Answer {
    web::send(web::client().post(format!("{node}/api/v1/auth/token")).json(body)).await
}

/// What the command line signs in as.
async fn public_client(tenant: &Tenant, scopes: &[&str]) {
    let client = json!({
        "client_id": CLIENT, "name": "hellojohn", "token_endpoint_auth_method": "none", "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"], "scopes": scopes,
    });
    let _ = tenant.admin.create_client(&tenant.slug, &client).await;
}

/// The first node trusts the tenant's issuer from now on, with these roles of whom the claim says so.
async fn trust(world: &mut World, tenant: &Tenant, claim: Option<&str>, roles: &str) {
    let node = &mut world.cluster.nodes[0];
    assert_eq!(node.stop(STOP).await, Some(0));
    let named = claim.map(|claim| ("--admin-oidc-claim", claim));
    let flags = [
        ("--admin-oidc-issuer", tenant.issuer.as_str()),
        ("--admin-oidc-audience", CLIENT),
        ("--admin-oidc-roles", roles),
    ];
    let flags = flags.into_iter().chain(named);
    node.launch_mut().args.extend(flags.flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]));
    node.start().await;
    node.ready().await;
}

fn cli(world: &World, home: &std::path::Path) -> Command {
    let mut command = Command::new(programs::hellojohn());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).env("NO_COLOR", "1");
    command.env("HJ_CONFIG_DIR", home.join("config")).env("HJ_SERVER", world.cluster.nodes[0].admin_url());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_tenant_administer_the_installation() {
    let mut world = World::start(1, 1).await;
    let tenant = Tenant::create(&world, "staff").await;
    public_client(&tenant, &["openid", "profile", "email", "offline_access"]).await;
    let (ada, bob, eve) = (tenant.user("ada").await, tenant.user("bob").await, tenant.user("eve").await);
    let node = world.cluster.nodes[0].admin_url();
    let none = web::send(web::client().get(format!("{node}/api/v1/auth/methods"))).await.expect(200);
    assert_eq!(none.json["oidc"], Value::Null);
    assert_eq!(exchange(&node, &json!({ "id_token": "x.y.z" })).await.expect(501).code(), "not_configured");
    let roles = format!("{}=operator,{}=tenant-admin:{}", ada.id, bob.id, tenant.slug);
    trust(&mut world, &tenant, None, &roles).await;
    let node = world.cluster.nodes[0].admin_url();

    // By the book: a code with PKCE, an ID token, and one of ours for it.
    let party = RelyingParty::new(&tenant.issuer, CLIENT, None, REDIRECT);
    let tokens = party.sign_in(&ada).await;
    let signed_in = exchange(&node, &json!({ "id_token": tokens.id() })).await.expect(200);
    let owner = world.cluster.admin(0).await;
    let ours = owner.with_token(&signed_in.text_of("access_token"));
    let made = ours.post("/tenants", &json!({ "slug": "by-ada", "display_name": "By Ada" })).await.expect(201);
    let _ = ours.get("/admins").await.expect(403);
    // The issuer's own token is good for that and nothing else.
    let _ = owner.with_token(tokens.id()).get("/tenants").await.expect(401);
    assert!(made.revision() > 0);
    // Another person has another role; a third none.
    let bobs = party.sign_in(&bob).await;
    let bobs = exchange(&node, &json!({ "id_token": bobs.id() })).await.expect(200).text_of("access_token");
    let bobs = owner.with_token(&bobs);
    let _ = bobs.get(&format!("/tenants/{}", tenant.slug)).await.expect(200);
    let _ = bobs.get("/tenants/by-ada").await.expect(403);
    let eves = party.sign_in(&eve).await;
    assert_eq!(exchange(&node, &json!({ "id_token": eves.id() })).await.expect(403).code(), "forbidden");

    // Tokens that are not for us, not of that kind, or not whole.
    let other = tenant.backend.sign_in(&ada).await;
    let (head, tail) = tokens.id().split_at(tokens.id().len() - 10);
    let broken = format!("{head}{}", tail.chars().rev().collect::<String>());
    for body in [
        json!({ "id_token": other.id() }),
        json!({ "id_token": tokens.access }),
        json!({ "access_token": tokens.access }),
        json!({ "id_token": broken }),
        json!({ "id_token": "e30.e30." }),
        json!({ "id_token": ours.token() }),
    ] {
        assert_eq!(exchange(&node, &body).await.expect(401).code(), "unauthenticated", "{body}");
    }
    let both = json!({ "id_token": tokens.id(), "credential": world.cluster.secrets.owner });
    let _ = exchange(&node, &both).await.expect(422);

    by_the_command_line(&world, &tenant, &ada).await;

    // Nobody is mapped any more once the node runs with another mapping: also tokens that are out end.
    let roles = world.cluster.nodes[0].launch_mut();
    roles.set("--admin-oidc-roles", &format!("{}=auditor", eve.id));
    let running = &mut world.cluster.nodes[0];
    assert_eq!(running.stop(STOP).await, Some(0));
    running.start().await;
    running.ready().await;
    let owner = world.cluster.admin(0).await;
    let _ = owner.with_token(ours.token()).get("/tenants").await.expect(401);
}

/// Who has which role is in a list of the issuer's, or deeper: in the ID token, or only at userinfo.
#[tokio::test(flavor = "multi_thread")]
async fn roles_are_mapped_from_a_claim_in_the_id_token_or_at_userinfo() {
    let mut world = World::start(1, 1).await;
    let tenant = Tenant::create(&world, "groups").await;
    let scope = json!({ "name": "staff", "claims": ["groups", "org"] });
    let _ = tenant.admin.post(&format!("/tenants/{}/scopes", tenant.slug), &scope).await.expect(201);
    public_client(&tenant, &["openid", "staff"]).await;
    let ada = tenant.user_with("ada", &json!({ "groups": ["all", "admins"], "org": { "roles": ["eyes"] } })).await;
    let bob = tenant.user_with("bob", &json!({ "groups": ["all"], "org": { "roles": ["nobody"] } })).await;
    let party = RelyingParty::new(&tenant.issuer, CLIENT, None, REDIRECT);
    trust(&mut world, &tenant, Some("groups"), "eyes=auditor,admins=operator").await;
    let by_userinfo = [("scope", Some("openid staff"))];
    let in_the_token = [("scope", Some("openid")), ("claims", Some(r#"{"id_token":{"groups":null,"org":null}}"#))];

    for (claim, may_write) in [("groups", true), ("/org/roles", false)] {
        let node = &mut world.cluster.nodes[0];
        if node.flag("--admin-oidc-claim") != Some(claim) {
            node.launch_mut().set("--admin-oidc-claim", claim);
            assert_eq!(node.stop(STOP).await, Some(0));
            node.start().await;
            node.ready().await;
        }
        let (url, owner) = (node.admin_url(), world.cluster.admin(0).await);
        let is_what_it_says = async |body: Value| {
            let ours = exchange(&url, &body).await.expect(200).text_of("access_token");
            let ours = owner.with_token(&ours);
            let _ = ours.get(&format!("/tenants/{}", tenant.slug)).await.expect(200);
            let patch = json!({ "display_name": claim });
            let written = ours.patch(&format!("/tenants/{}", tenant.slug), &patch).await;
            let _ = written.expect(if may_write { 200 } else { 403 });
        };
        let (adas, bobs) = (sign_in(&party, &ada, &in_the_token).await, sign_in(&party, &bob, &in_the_token).await);
        is_what_it_says(json!({ "id_token": adas.id() })).await;
        assert_eq!(exchange(&url, &json!({ "id_token": bobs.id() })).await.expect(403).code(), "forbidden");

        // The ID token says who it is and no more; the access token opens userinfo, which says the rest.
        let (adas, bobs) = (sign_in(&party, &ada, &by_userinfo).await, sign_in(&party, &bob, &by_userinfo).await);
        assert_eq!(exchange(&url, &json!({ "id_token": adas.id() })).await.expect(403).code(), "forbidden");
        is_what_it_says(json!({ "id_token": adas.id(), "access_token": adas.access })).await;
        let both = json!({ "id_token": bobs.id(), "access_token": bobs.access });
        assert_eq!(exchange(&url, &both).await.expect(403).code(), "forbidden");
        // What it says of somebody else is nothing (OIDC Core §5.3.2), and neither is one that opens nothing.
        let stolen = json!({ "id_token": bobs.id(), "access_token": adas.access });
        assert_eq!(exchange(&url, &stolen).await.expect(401).code(), "unauthenticated");
        let broken = json!({ "id_token": adas.id(), "access_token": "none" });
        assert_eq!(exchange(&url, &broken).await.expect(503).code(), "unavailable");
    }
}

async fn sign_in(party: &RelyingParty, user: &User, changes: &[(&str, Option<&str>)]) -> Tokens {
    let attempt = party.attempt_with(changes);
    let callback = Browser::new().authorize(&attempt.url, user).await;
    Tokens::read(party.redeem(&parameters(&callback)["code"], &attempt.verifier).await)
}

/// `hellojohn login --oidc --no-browser`, and a person who follows the address that it prints.
async fn by_the_command_line(world: &World, tenant: &Tenant, user: &User) {
    let home = scratch::folder("oidc-home");
    let mut login = cli(world, &home);
    login.args(["login", "--oidc", "--no-browser", "--oidc-scope", "openid offline_access"]);
    let mut child = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hellojohn runs");
    let stderr = child.stderr.take().expect("it is piped");
    let printed = tokio::task::spawn_blocking(move || {
        let lines = std::io::BufReader::new(stderr).lines().map_while(Result::ok);
        lines.map(|line| line.trim().to_owned()).find(|line| line.starts_with("http"))
    });
    let address = printed.await.expect("the reader ends").expect("an address is printed");
    let address: Url = address.parse().expect("a URL");
    let challenge = address.query_pairs().any(|(name, value)| name == "code_challenge_method" && value == "S256");
    assert!(challenge && address.as_str().starts_with(&tenant.issuer), "{address}");
    let callback = Browser::new().authorize(&address, user).await;
    assert_eq!(callback.host_str(), Some("127.0.0.1"));
    let _ = web::send(web::client().get(callback)).await.expect(200);
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("it ends").expect("it ends");
    assert!(ended.status.success(), "{ended:?}");

    // Later commands need nobody.
    let list = async || {
        let mut command = cli(world, &home);
        command.args(["tenant", "list"]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("by-ada"), "{output:?}");
    };
    list().await;
    // Also when the token has ended: the issuer gives another one for the refresh token.
    let profiles = home.join("config/profiles.toml");
    let text = std::fs::read_to_string(&profiles).expect("the profile is there");
    assert!(text.contains("refresh_token") && !text.contains("hja_"), "{text}");
    let line = text.lines().find(|line| line.starts_with("expires_at")).expect("when it ends").to_owned();
    std::fs::write(&profiles, text.replace(&line, "expires_at = 1")).expect("it can be written");
    list().await;
    let _ = Admin::sign_in(&world.cluster.nodes[0].admin_url(), &world.cluster.secrets.owner)
        .await
        .expect("still an owner");
}

/// An issuer behind TLS whose certificate our own authority has signed; its keys are fetched when one is unknown, and kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_over_tls_is_believed_by_its_authority_and_its_keys_are_kept() {
    const AUDIENCE: &str = "https://control.example";
    let authority = Authority::new("issuer");
    let (own, stranger) = (authority.certify("issuer"), Authority::new("stranger").certify("stranger"));
    let [cert, key, ca] = own.files.each_ref().map(String::as_str);
    let mut world = World::start(1, 0).await;
    let address = format!("127.0.0.1:{}", free_port());
    let public_url = format!("https://{address}");
    let flags = ["--tls-addr", &address, "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let control_plane = world.cluster.watch_urls();
    let plan = Plan {
        name: "issuer",
        control_plane: &control_plane,
        public_url: &public_url,
        flags: &flags,
        ..Plan::default()
    };
    world.pods.push(Pod::start(&plan, &world.cluster.secrets).await);
    let mut tenant = Tenant::create(&world, "robots").await;
    tenant.issuer = format!("{public_url}/t/{}", tenant.slug);
    let robot = json!({
        "client_id": "robot", "name": "Robot", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.read"], "audiences": [AUDIENCE],
    });
    let path = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let secret = tenant.admin.post(&path, &robot).await.expect(201).text_of("client_secret");
    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let http = web::builder().tls_certs_only([trusted]).build().expect("a client");
    let mint = async || {
        let form = [("grant_type", "client_credentials"), ("resource", AUDIENCE)];
        let request = http.post(format!("{}/oauth2/token", tenant.issuer)).basic_auth("robot", Some(&secret));
        let token = web::send(request.form(&form)).await.expect(200).text_of("access_token");
        let head = token.split('.').next().expect("a JWT has a header").to_owned();
        (head, json!({ "access_token": token }))
    };

    // Nobody signed its certificate whom the node knows; then only somebody else is known; then the right one.
    let node = &mut world.cluster.nodes[0];
    assert_eq!(node.stop(STOP).await, Some(0));
    let flags = [
        ("--admin-oidc-issuer", tenant.issuer.as_str()),
        ("--admin-oidc-audience", AUDIENCE),
        ("--admin-oidc-roles", "robot=operator"),
    ];
    node.launch_mut().args.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]));
    let (first_head, first) = mint().await;
    for trusts in [None, Some(stranger.files[2].as_str()), Some(ca)] {
        let node = &mut world.cluster.nodes[0];
        match trusts {
            None => {}
            Some(file) if node.launch_mut().args.iter().any(|arg| arg == "--admin-oidc-ca-file") => {
                assert_eq!(node.stop(STOP).await, Some(0));
                node.launch_mut().set("--admin-oidc-ca-file", file);
            }
            Some(file) => {
                assert_eq!(node.stop(STOP).await, Some(0));
                node.launch_mut().args.extend(["--admin-oidc-ca-file".to_owned(), file.to_owned()]);
            }
        }
        node.start().await;
        node.ready().await;
        let answer = exchange(&node.admin_url(), &first).await;
        if trusts == Some(ca) {
            let _ = answer.expect(200);
        } else {
            assert_eq!(answer.expect(503).code(), "unavailable");
            let log = node.process().log();
            assert!(log.contains("the administrators' issuer cannot be asked for its keys"), "{log}");
        }
    }
    let node = world.cluster.nodes[0].admin_url();

    // The issuer is gone for a while: its keys are known, one that is not cannot be asked for.
    world.pods[0].kill();
    let _ = exchange(&node, &first).await.expect(200);
    let (head, rest) = first["access_token"].as_str().and_then(|token| token.split_once('.')).expect("a JWT");
    let header = URL_SAFE_NO_PAD.decode(head).expect("base64url");
    let mut header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"] = json!("nobody-has-it");
    let forged = json!({ "access_token": format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())) });
    let _ = exchange(&node, &forged).await.expect_one_of(&[401, 503]);
    let _ = exchange(&node, &first).await.expect(200);
    world.pods[0].start_again().await;
    world.pods[0].ready().await;
    until("a key that nobody has is unknown to the issuer, too", PATIENCE, async || {
        let answer = exchange(&node, &forged).await;
        if answer.status == 401 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;

    // Another key: fetched when a token names it, soon enough, and the old one is good as long as it is published.
    let admin = world.admin().await;
    let _ = admin.post(&format!("/tenants/{}/keys/rotate", tenant.slug), &json!({})).await.expect_one_of(&[200, 201]);
    let second = until("tokens are signed with another key", PATIENCE, async || {
        let (head, token) = mint().await;
        if head == first_head { Err(head) } else { Ok(token) }
    })
    .await;
    until("the new key is known", PATIENCE, async || {
        let answer = exchange(&node, &second).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let _ = exchange(&node, &first).await.expect(200);
}
