//! Mail that people get. Here CIBA by mail: the user learns of a request by a message with a link, which opens the request and answers nothing. By
//! a real SMTP server with STARTTLS and accounts.

#[path = "mail/changes.rs"]
mod changes;
#[path = "mail/links.rs"]
mod links;
#[path = "mail/own.rs"]
mod own;
#[path = "mail/words.rs"]
mod words;

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::pki::{Authority, Certified};
use tests::process::{Launch, Process};
use tests::relying_party::{RelyingParty, Tokens};
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::world::World;
use tests::{scratch, tools};
use url::Url;

const GRANT: &str = "urn:openid:params:grant-type:ciba";
const PASSWORD: &str = "the-mail-servers-password";

/// A mail server that may be down.
struct Mailbox {
    port: u16,
    folder: PathBuf,
    launch: Launch,
    process: Option<Process>,
}

/// One mail that it took.
#[derive(Debug)]
struct Received {
    envelope: Value,
    headers: String,
    text: String,
    html: String,
}

impl Received {
    fn read(envelope: Value) -> Self {
        let data = envelope["data"].as_str().expect("a text").replace("\r\n", "\n");
        let (headers, body) = data.split_once("\n\n").expect("headers and a body");
        let part = |kind: &str| {
            let (_, rest) = body.split_once(&format!("Content-Type: {kind}")).expect("a part of that kind");
            let (head, rest) = rest.split_once("\n\n").expect("its body");
            let text = rest.split("\n--").next().unwrap_or_default();
            if head.contains("quoted-printable") { unquoted(text) } else { text.to_owned() }
        };
        let (text, html) = if headers.contains("multipart/alternative") {
            (part("text/plain"), part("text/html"))
        } else {
            let text = if headers.contains("quoted-printable") { unquoted(body) } else { body.to_owned() };
            (text, String::new())
        };
        Self { headers: headers.to_owned(), text, html, envelope }
    }

    fn tells_of_a_change(&self) -> bool {
        self.text.contains("Was it not you?")
    }

    fn link(&self) -> Url {
        let line = self.text.lines().find(|line| line.starts_with("http")).expect("a link on a line of its own");
        assert!(self.html.contains(&format!("href=\"{line}\"")), "{}", self.html);
        line.parse().expect("a URL")
    }
}

/// RFC 2045 §6.7.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'=').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

impl Mailbox {
    /// Not running yet. Without a certificate it knows no STARTTLS.
    fn new(name: &str, certificate: Option<&Certified>) -> Self {
        let (folder, port) = (scratch::folder(name), tests::postgres::free_port());
        let packages = tools::python("tests/clients/smtp");
        let home = packages.parent().expect("a folder above").to_owned();
        let mut told = json!({ "port": port, "folder": folder });
        if let Some(Certified { files: [cert, key, _], .. }) = certificate {
            told["cert"] = json!(cert);
            told["key"] = json!(key);
            told["user"] = json!("hellojohn");
            told["password"] = json!(PASSWORD);
        }
        let launch = Launch {
            name: name.to_owned(),
            program: home.join("venv/bin/python"),
            args: vec![home.join("server.py").display().to_string(), told.to_string()],
            env: vec![("PYTHONPATH".to_owned(), packages.display().to_string())],
            user: None,
            namespace: None,
            log: folder.join("log"),
        };
        Self { port, folder, launch, process: None }
    }

    async fn start(&mut self) {
        let process = self.process.insert(self.launch.start());
        until("the mail server listens", PATIENCE, async || {
            process.assert_running();
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Without what was told of changes.
    fn received(&self) -> Vec<Received> {
        self.all().into_iter().filter(|mail| !mail.tells_of_a_change()).collect()
    }

    fn all(&self) -> Vec<Received> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .expect("the folder is there")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort_by_key(|path| path.metadata().and_then(|it| it.modified()).ok());
        let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
        files.iter().map(|path| Received::read(read(path))).collect()
    }

    /// Waits for so many mails and takes the last.
    async fn got(&self, count: usize) -> Received {
        until(&format!("{count} mails"), PATIENCE, async || {
            let mut received = self.received();
            match received.pop() {
                Some(last) if received.len() + 1 >= count => Ok(last),
                _ => Err(format!("{} came", received.len())),
            }
        })
        .await
    }
}

struct Stage {
    world: World,
    tenant: Tenant,
    bank: RelyingParty,
    alice: User,
}

impl Stage {
    /// Pods that send by that server, and trust that authority.
    async fn set(name: &str, mailbox: &Mailbox, authority: &Authority, pods: usize) -> Self {
        let password = scratch::folder(name).join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).expect("a scratch file can be written");
        let ca = authority.certify("pod").files[2].clone();
        let (port, password) = (mailbox.port.to_string(), password.display().to_string());
        let flags = [
            ["--outbound-ca-file", ca.as_str()],
            ["--outbox-every-secs", "1"],
            ["--smtp-host", "localhost"],
            ["--smtp-port", port.as_str()],
            ["--smtp-from", "no-reply@id.example"],
            ["--smtp-username", "hellojohn"],
            ["--smtp-password-file", password.as_str()],
        ];
        let mut world = World::start(1, 0).await;
        for place in 0..pods {
            world.add_pod_with(&format!("pod-{place}"), "", flags.as_flattened()).await;
        }
        let types = json!({ "payment": { "description": "Make a payment", "schema": {
            "type": "object", "required": ["amount"], "additionalProperties": false,
            "properties": { "type": true, "amount": { "type": "string" } },
        }}});
        let settings = json!({ "oauth": { "polling_interval_secs": 1, "authorization_details_types": types } });
        let tenant = Tenant::create_with(&world, name, settings).await;
        let client = json!({
            "client_id": "bank", "name": "The \"Bank\" <b>of</b> Ödeshög", "scopes": ["openid", "profile"],
            "token_endpoint_auth_method": "client_secret_basic", "grant_types": [GRANT],
            "backchannel_token_delivery_mode": "poll", "authorization_details_types": ["payment"],
        });
        let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
        let answer = tenant.admin.post(&clients, &client).await.expect(201);
        let bank = RelyingParty::new(&tenant.issuer, "bank", Some(answer.text_of("client_secret")), "");
        let alice = tenant.user("alice").await;
        Self { world, tenant, bank, alice }
    }

    async fn ask(&self, more: &[(&str, &str)]) -> String {
        let form = [&[("scope", "openid profile"), ("login_hint", self.alice.email.as_str())], more].concat();
        // As whoever sends a Host header of his own would.
        let request = self.bank.back_channel("bc-authorize", &form).header("host", "evil.example");
        web::send(request).await.expect(200).text_of("auth_req_id")
    }

    async fn tokens(&self, auth_req_id: &str) -> Answer {
        let sql = "update ciba_requests set last_polled_at = null";
        self.tenant.database.connect().await.execute(sql, &[]).await.expect("the table is there");
        self.bank.token(&[("grant_type", GRANT), ("auth_req_id", auth_req_id)]).await
    }

    async fn count(&self, what: &str) -> i64 {
        let row = self.tenant.database.connect().await.query_one(what, &[]).await;
        row.expect("it counts").get(0)
    }

    async fn outbox_is_empty(&self) {
        until("the outbox is empty", PATIENCE, async || {
            let left = self.count("select count(*) from outbox").await;
            if left == 0 { Ok(()) } else { Err(left.to_string()) }
        })
        .await;
    }

    async fn sign_in(&self, browser: &Browser, link: &Url, user: &User) -> Page {
        let page = browser.open_page(link).await;
        browser.sign_in(&page.expect_form(), &user.email, &user.password).await
    }
}

async fn press(browser: &Browser, page: &Page, value: &str) -> Page {
    let form = page.expect_form();
    let button = form.buttons.iter().find(|button| button.value == value);
    browser.submit(&form, &[], Some(button.unwrap_or_else(|| panic!("no {value}: {page:#?}")))).await
}

#[tokio::test]
async fn a_mail_leads_its_user_to_the_request_and_answers_nothing() {
    let authority = Authority::new("mail");
    let mut mailbox = Mailbox::new("mailbox", Some(&authority.certify("mail")));
    mailbox.start().await;
    let stage = Stage::set("by-mail", &mailbox, &authority, 2).await;
    let details = json!([{ "type": "payment", "amount": "12.50" }]);
    let detailed = details.to_string();
    let asked = stage.ask(&[("binding_message", "Pay 12 € & go"), ("authorization_details", &detailed)]).await;

    let mail = mailbox.got(1).await;
    let envelope = &mail.envelope;
    assert_eq!((&envelope["tls"], &envelope["authenticated"]), (&json!(true), &json!(true)), "{envelope:#}");
    assert_eq!((&envelope["from"], &envelope["to"]), (&json!("no-reply@id.example"), &json!([stage.alice.email])));
    assert!(mail.headers.contains("Auto-Submitted: auto-generated"), "{}", mail.headers);
    assert!(mail.headers.contains(&format!("To: {}", stage.alice.email)), "{}", mail.headers);
    for words in ["The \"Bank\" <b>of</b> Ödeshög", "Pay 12 € & go"] {
        assert!(mail.text.contains(words) && !mail.html.contains(words), "{words}: {mail:#?}");
    }
    let link = mail.link();
    assert!(link.as_str().starts_with(&format!("{}/account/request?code=", stage.tenant.issuer)), "{link}");
    let code = link.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    assert_eq!(code.len(), 43, "256 bits");
    stage.outbox_is_empty().await;
    assert!(!stage.tenant.database.dump().await.contains(&code), "stored as it is");

    // What guards mailboxes opens links, and presses what it finds: a sign-in.
    let scanner = Browser::new();
    let page = scanner.open_page(&link).await;
    assert!(page.expect_form().asks_for_password() && !page.text().contains("Pay 12"), "{page:#?}");
    scanner.submit(&page.expect_form(), &[], None).await;
    assert_eq!(stage.tokens(&asked).await.expect(400).code(), "authorization_pending");
    // Who reads her mail signs in as himself and learns nothing, nor from a link that is guessed.
    let eve = stage.tenant.user("eve").await;
    let elsewhere = Browser::new();
    let page = stage.sign_in(&elsewhere, &link, &eve).await;
    assert!(page.status == 404 && !page.text().contains("Bank"), "{page:#?}");
    for wrong in ["", "x", &"A".repeat(43)] {
        let url = Url::parse_with_params(&format!("{}/account/request", stage.tenant.issuer), [("code", wrong)]);
        let page = elsewhere.open(&url.expect("a URL")).await;
        assert!([400, 404].contains(&page.status), "{wrong}: {page:#?}");
    }
    assert_eq!(stage.tokens(&asked).await.expect(400).code(), "authorization_pending");

    let browser = Browser::new();
    let page = stage.sign_in(&browser, &link, &stage.alice).await;
    for words in ["Pay 12 € & go", "Make a payment", "12.50", "Ödeshög"] {
        assert!(page.text().contains(words), "{words}: {page:#?}");
    }
    assert_eq!(stage.tokens(&asked).await.expect(400).code(), "authorization_pending", "looking is no answer");
    let done = press(&browser, &page, "allow").await;
    assert!(done.text().contains("You allowed it."), "{done:#?}");
    let tokens = Tokens::read(stage.tokens(&asked).await);
    assert_eq!(tokens.answer.json["authorization_details"], details);
    // Once.
    assert_eq!(browser.open(&link).await.status, 404);

    // A second mail's link ends with its request.
    let asked = stage.ask(&[]).await;
    let link = mailbox.got(2).await.link();
    assert_eq!(browser.open(&link).await.status, 200);
    let sql = "update ciba_requests set expires_at = now() where status = 'pending'";
    stage.tenant.database.connect().await.execute(sql, &[]).await.expect("the table is there");
    assert_eq!(browser.open(&link).await.status, 404);
    assert_eq!(stage.tokens(&asked).await.expect(400).code(), "expired_token");
    // Nobody who was not seen to own the address is written to.
    let sql = "update users set email_verified = false";
    stage.tenant.database.connect().await.execute(sql, &[]).await.expect("the table is there");
    stage.ask(&[]).await;
    assert_eq!(stage.count("select count(*) from outbox").await, 0);
    assert_eq!(mailbox.received().len(), 2);
    for pod in &stage.world.pods {
        let log = pod.process().log();
        assert!(!log.contains(&code) && !log.contains(PASSWORD), "a secret is in the log");
    }
}

#[tokio::test]
async fn a_server_that_is_down_for_a_while_gets_it_once() {
    let authority = Authority::new("mail-down");
    let mut mailbox = Mailbox::new("down", Some(&authority.certify("mail")));
    let stage = Stage::set("down", &mailbox, &authority, 2).await;
    let asked = stage.ask(&[("binding_message", "W4SCT")]).await;
    until("it was tried", PATIENCE, async || {
        let tried = stage.count("select coalesce(max(attempts), 0)::bigint from outbox").await;
        if tried >= 2 { Ok(()) } else { Err(tried.to_string()) }
    })
    .await;
    mailbox.start().await;
    let link = mailbox.got(1).await.link();
    stage.outbox_is_empty().await;
    assert_eq!(mailbox.received().len(), 1, "once");
    let browser = Browser::new();
    let page = stage.sign_in(&browser, &link, &stage.alice).await;
    press(&browser, &page, "deny").await;
    assert_eq!(stage.tokens(&asked).await.expect(400).code(), "access_denied");
}

/// Whoever sits between is not given the mail, let alone the password.
#[tokio::test]
async fn a_server_that_cannot_prove_itself_gets_nothing() {
    let (authority, impostor) = (Authority::new("mail-real"), Authority::new("mail-impostor"));
    let certificate = impostor.certify("mail");
    for (name, certificate) in [("impostor", Some(&certificate)), ("naked", None)] {
        let mut mailbox = Mailbox::new(name, certificate);
        mailbox.start().await;
        let stage = Stage::set(name, &mailbox, &authority, 1).await;
        let asked = stage.ask(&[]).await;
        until("it was tried", PATIENCE, async || {
            let tried = stage.count("select coalesce(max(attempts), 0)::bigint from outbox").await;
            if tried >= 2 { Ok(()) } else { Err(tried.to_string()) }
        })
        .await;
        assert!(mailbox.received().is_empty(), "{name}");
        // The account page is there all the same.
        let browser = Browser::new();
        let account = format!("{}/account", stage.tenant.issuer).parse().expect("a URL");
        let page = stage.sign_in(&browser, &account, &stage.alice).await;
        press(&browser, &page, "allow").await;
        Tokens::read(stage.tokens(&asked).await);
        // What needs no answer any more is not sent any more.
        stage.outbox_is_empty().await;
    }
}
