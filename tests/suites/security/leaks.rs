//! Nothing secret in any log, metric, trace, file, backup or record of the audit, and nothing but hashes in the database:
//! after a whole flow with what is really secret, and after every endpoint was fed what is marked.

#[path = "leaks/marked.rs"]
mod marked;
#[path = "leaks/needles.rs"]
mod needles;
#[path = "leaks/packed.rs"]
mod packed;
#[path = "leaks/watched.rs"]
mod watched;

use serde_json::{Value, json};
use tests::authenticator_app::{AuthenticatorApp, recovery_codes};
use tests::browser::Browser;
use tests::relying_party::{Tokens, parameters};
use tests::security_key::{PRESENT, Says, SecurityKey, VERIFIED, bring};
use tests::tenant::Tenant;
use tests::web;
use url::Url;

use self::needles::forms;
use self::watched::Watched;

/// Has no account.
const STRANGER: &str = "stranger@elsewhere.example";
/// Where nobody looks who may know the tenant's people.
const TOLD: &[&str] = &["the node's log", "the pod's log", "the traces", "metrics", "what the pod says of itself"];

/// By every page and route that takes an address, right or wrong.
async fn people_who_ask_for_mail(tenant: &Tenant, known: &str) {
    let token = tenant.service.client_credentials("hj:users.write").await;
    let users = format!("{}/api/v1/users", tenant.issuer);
    for email in [known, STRANGER] {
        for page in ["forgot-password", "register"] {
            let url: Url = format!("{}/{page}", tenant.issuer).parse().expect("a URL");
            let browser = Browser::new();
            if let Some(form) = browser.open(&url).await.form() {
                let _ = browser.submit(&form, &[("email", email)], form.buttons.first()).await;
            }
            // Where the address must not stand, somebody may put it.
            let _ = web::send(web::client().get(url).query(&[("email", email)])).await;
        }
        let hinted = tenant.backend.attempt_with(&[("login_hint", Some(email))]);
        let _ = Browser::new().open(&hinted.url).await;
    }
    let made = |body: Value| web::client().post(&users).bearer_auth(&token).json(&body);
    // Taken, and wrong in another member: refusals name what is wrong, to who sent it.
    let _ = web::send(made(json!({ "email": known, "password": "a horse with a staple" }))).await.expect(409);
    let _ = web::send(made(json!({ "email": STRANGER, "password": "x" }))).await.expect(422);
}

/// Of requests that wait, clients that registered themselves, and tokens that are no JWTs.
async fn other_secrets(tenant: &Tenant, email: &str) -> Vec<(&'static str, String)> {
    let (device, ciba) = ("urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba");
    let patch = json!({
        "grant_types": ["authorization_code", device, ciba], "backchannel_token_delivery_mode": "poll",
    });
    tenant.patch_client("backend", &patch).await;
    tenant.patch_client("service", &json!({ "access_token_format": "opaque" })).await;
    tenant.patch(&json!({ "settings": { "oauth": { "registration": { "mode": "token" } } } })).await;
    let provider = json!([{
        "id": "corp", "display_name": "Corp", "issuer": "https://127.0.0.1:1", "client_id": "us",
        "token_endpoint_auth_method": "client_secret_post", "client_secret": "a-secret-of-an-identity-provider",
    }]);
    tenant.patch(&json!({ "settings": { "oauth": { "identity_providers": provider } } })).await;
    let _ = web::send(web::client().get(format!("{}/login/corp", tenant.issuer))).await.expect(503);
    let party = &tenant.backend;
    let begin = async |name: &str, form: &[(&str, &str)]| web::send(party.back_channel(name, form)).await;
    let begun = begin("device_authorization", &[("scope", "openid")]).await.expect(200);
    let asked = begin("bc-authorize", &[("scope", "openid"), ("login_hint", email)]).await.expect(200);
    let (device_code, auth_req_id) = (begun.text_of("device_code"), asked.text_of("auth_req_id"));
    for form in [
        [("grant_type", device), ("device_code", device_code.as_str())],
        [("grant_type", ciba), ("auth_req_id", auth_req_id.as_str())],
    ] {
        let _ = party.token(&form).await.expect(400);
    }
    let attempt = party.attempt();
    let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pushed = begin("par", &form).await.expect(201).text_of("request_uri");
    let uri = [("client_id", party.client_id.as_str()), ("request_uri", pushed.as_str())];
    let opened = Url::parse_with_params(&party.endpoint("authorize"), uri).expect("a URL");
    let _ = Browser::new().open_page(&opened).await;
    let opaque = tenant.service.client_credentials("hj:users.read").await;
    let users = tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&opaque);
    let _ = web::send(users).await.expect(200);
    let tokens = format!("/tenants/{}/registration-tokens", tenant.slug);
    let initial = tenant.admin.post(&tokens, &json!({ "name": "partners" })).await.expect(201).text_of("token");
    let metadata = json!({ "redirect_uris": ["https://rp.example/callback"] });
    let register = party.http.post(party.endpoint("register")).bearer_auth(&initial).json(&metadata);
    let registered = web::send(register).await.expect(201);
    let management = registered.text_of("registration_access_token");
    let uri = registered.text_of("registration_client_uri");
    let _ = web::send(party.http.get(&uri).bearer_auth(&management)).await.expect(200);
    let proof = "eyJhIjoxfQ.eyJhIHByb29mIHRoYXQgaXMgbm9uZSJ9.AAAA";
    let _ = web::send(
        party.token_request(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).header("dpop", proof),
    )
    .await;
    vec![
        ("a device code", device_code),
        ("a user code", begun.text_of("user_code")),
        ("an auth_req_id", auth_req_id),
        ("a pushed request's name", pushed.rsplit(':').next().expect("a name").to_owned()),
        ("an opaque access token", opaque),
        ("an initial access token", initial),
        ("a registration access token", management),
        ("a registered client's secret", registered.text_of("client_secret")),
        ("a proof", proof.to_owned()),
        ("a client secret at an identity provider", "a-secret-of-an-identity-provider".to_owned()),
    ]
}

/// Of a second factor that is added, refused and used, and of a sign-in that is halfway.
async fn secrets_of_a_factor(tenant: &Tenant) -> Vec<(&'static str, String)> {
    const WRONG: &str = "abcd-efgh-ijkl-mnop-qrst-uvwx";
    let bob = tenant.user("bob").await;
    let factors: Url = format!("{}/login?next=factors", tenant.issuer).parse().expect("a URL");
    let sign_in = async |browser: &Browser| {
        let form = browser.open_page(&factors).await.expect_form();
        browser.sign_in(&form, &bob.email, &bob.password).await
    };
    let (first, second) = (Browser::new(), Browser::new());
    let offer = sign_in(&first).await.link("/mfa/totp").expect("a link to add an app");
    let offer = first.open_page(&offer).await;
    let (app, shown) = AuthenticatorApp::add(&first, &offer, &bob.password).await;
    let codes = recovery_codes(&shown);
    let asked = sign_in(&second).await;
    let halfway = second.cookies(&factors);
    for (code, status) in [(WRONG, 403), (codes[0].as_str(), 200)] {
        let form = asked.form_with("code");
        let answer = second.submit(&form, &[("code", code)], form.buttons.first()).await;
        assert_eq!(answer.status, status, "{answer:#?}");
    }
    let mut secrets = vec![("the seed of an app", app.seed), ("a wrong recovery code", WRONG.to_owned())];
    let forms = codes.into_iter().flat_map(|code| [code.replace('-', ""), code]);
    secrets.extend(forms.map(|code| ("a recovery code", code)));
    let values = halfway.split("; ").filter_map(|pair| pair.split_once('='));
    secrets.extend(values.map(|(_, value)| ("a cookie of half a sign-in", value.to_owned())));
    secrets
}

/// Of an authenticator that is added, refused and used: what it was asked, and what it signed.
async fn secrets_of_a_key(tenant: &Tenant) -> Vec<(&'static str, String)> {
    let carol = tenant.user("carol").await;
    let factors: Url = format!("{}/login?next=factors", tenant.issuer).parse().expect("a URL");
    let sign_in = async |browser: &Browser| {
        let form = browser.open_page(&factors).await.expect_form();
        browser.sign_in(&form, &carol.email, &carol.password).await
    };
    let (first, second) = (Browser::new(), Browser::new());
    let key = SecurityKey::new();
    let add = sign_in(&first).await.link("/mfa/webauthn").expect("a link to add a key");
    let add = first.open_page(&add).await;
    let mut secrets = vec![("a challenge to add a key", key.says(&add).challenge)];
    assert_eq!(key.add(&first, &add, "Blue", &carol.password).await.status, 200);
    let mut page = sign_in(&second).await;
    for (flags, status) in [(PRESENT, 403), (PRESENT | VERIFIED, 200)] {
        let says = Says { flags, ..key.says(&page) };
        let assertion = key.sign(&says);
        secrets.push(("a challenge", says.challenge));
        for member in ["signature", "clientDataJSON"] {
            let text = assertion["response"][member].as_str().expect("text").to_owned();
            secrets.push(("what a key signed", text));
        }
        page = bring(&second, &page, &assertion).await;
        assert_eq!(page.status, status, "{page:#?}");
    }
    secrets
}

#[tokio::test]
async fn what_is_told_and_kept_of_a_flow_holds_no_secret() {
    let mut watched = Watched::start().await;
    let world = &watched.world;
    let tenant = world.tenant("leaks").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt = tenant.backend.attempt();
    let login = browser.open_page(&attempt.url).await;
    let interaction = parameters(&login.url)["interaction"].clone();
    let form = login.expect_form();
    for email in [&alice.email, STRANGER] {
        let refused = browser.sign_in(&form, email, "a-wrong-password-of-alice").await;
        assert!(refused.leaves_to.is_none(), "{refused:#?}");
    }
    people_who_ask_for_mail(&tenant, &alice.email).await;
    let callback = browser.authorize(&attempt.url, &alice).await;
    let code = parameters(&callback)["code"].clone();
    let first = Tokens::read(tenant.backend.redeem(&code, &attempt.verifier).await);
    let second = Tokens::read(tenant.backend.refresh(first.refresh()).await);
    let _ = tenant.backend.userinfo(&second.access).await.expect(200);
    // Refusals are logged with more words.
    let _ = tenant.backend.redeem(&code, &attempt.verifier).await.expect(400);
    let _ = tenant.backend.with_secret("a-wrong-secret-of-the-client").refresh(first.refresh()).await.expect(401);
    let _ = tenant.backend.userinfo(&second.id().replace('e', "f")).await.expect(401);
    let others = other_secrets(&tenant, &alice.email).await;
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
    secrets.extend(secrets_of_a_factor(&tenant).await);
    secrets.extend(secrets_of_a_key(&tenant).await);
    secrets.extend(others.iter().map(|(what, secret)| (*what, secret.clone())));
    secrets.extend(cookies.into_iter().map(|value| ("a cookie", value)));

    let places = watched.places(&tenant).await;
    let mut found = Vec::new();
    for (place, text) in &places {
        for (what, secret) in &secrets {
            let forms = forms(secret).into_iter().filter(|form| text.contains(form.as_str()));
            found.extend(forms.map(|form| format!("{what} ({} characters) is in {place} as {form}", secret.len())));
        }
    }
    // Who people are stands where they are kept, and nowhere that is read by whoever looks after the machines.
    let mut people: Vec<String> =
        ["alice", "bob", "carol"].map(|name| format!("{name}@{}.example", tenant.slug)).into();
    people.push(STRANGER.to_owned());
    let people: Vec<String> = people.into_iter().flat_map(|email| [email.replace('@', "%40"), email]).collect();
    for (place, text) in places.iter().filter(|(place, _)| TOLD.contains(place)) {
        found.extend(people.iter().filter(|who| text.contains(*who)).map(|who| format!("{who} is in {place}")));
    }
    for (_, metrics) in places.iter().filter(|(place, _)| *place == "metrics") {
        found.extend([&alice.id, &tenant.service.client_id].into_iter().flat_map(|name| {
            let label = format!("\"{name}\"");
            metrics
                .lines()
                .filter(move |line| line.contains(&label))
                .map(|line| format!("a series of one's own: {line}"))
        }));
    }
    assert!(found.is_empty(), "{found:#?}");
    let secrets = &watched.world.cluster.secrets;
    let given = [&secrets.owner, &secrets.master_key, &secrets.cluster_hmac, &secrets.watch_token].map(String::as_str);
    for process in [watched.world.cluster.nodes[0].process_id(), watched.world.pods[0].process().id()] {
        assert_shows_nothing(process, &given);
        assert_no_core_dump(process);
    }
    watched.crash().await;
}

/// proc_pid_environ(5), proc_pid_cmdline(5): what a process was started with, for all of its life.
fn assert_shows_nothing(process: u32, given: &[&str]) {
    for file in ["environ", "cmdline"] {
        let text = std::fs::read(format!("/proc/{process}/{file}")).expect("it runs");
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("HJ_LOG_FORMAT=human") || file == "cmdline", "it is the environment: {text}");
        assert!(!given.iter().any(|secret| text.contains(secret)), "{file}: {text}");
    }
}

/// proc_pid_limits(5): the soft and the hard limit. A dump would be all of the memory.
fn assert_no_core_dump(process: u32) {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit of core files");
    let limits: Vec<&str> = line.split_whitespace().take(2).collect();
    assert_eq!(limits, ["0", "0"]);
}
