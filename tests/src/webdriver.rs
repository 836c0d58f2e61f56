//! A real Chromium, driven over the W3C WebDriver protocol by Debian's `chromedriver`.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::postgres::free_port;
use crate::process::{Launch, Process};
use crate::wait::{PATIENCE, until};
use crate::{scratch, web};

/// At once in one suite: more would keep each other, and the pods, from being in time. A test has one.
static TURNS: Semaphore = Semaphore::const_new(2);

/// How long a page may take until it is seen.
const SEEN: Duration = PATIENCE;

#[derive(Debug)]
pub struct Chromium {
    http: reqwest::Client,
    /// `http://127.0.0.1:<port>/session/<id>`
    session: String,
    port: u16,
    _driver: Process,
    _turn: SemaphorePermit<'static>,
}

impl Chromium {
    pub async fn start() -> Self {
        let turn = TURNS.acquire().await.expect("it is never closed");
        let folder = scratch::folder("chromium");
        let port = free_port();
        let home = folder.display().to_string();
        let launch = Launch {
            name: "chromedriver".to_owned(),
            program: program(&["chromedriver"], "chromium-driver"),
            args: vec![format!("--port={port}")],
            env: ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"]
                .map(|name| (name.to_owned(), home.clone()))
                .into(),
            user: None,
            namespace: None,
            log: folder.join("log"),
        };
        let mut driver = launch.start();
        let http = web::client();
        let base = format!("http://127.0.0.1:{port}");
        until("chromedriver listens", PATIENCE, async || {
            driver.assert_running();
            web::try_send(http.get(format!("{base}/status"))).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let binary = program(&["chromium", "chromium-browser", "google-chrome"], "chromium");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={home}/profile"),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": binary, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let answer = web::send(http.post(format!("{base}/session")).json(&capabilities)).await.expect(200);
        let id = answer.json["value"]["sessionId"].as_str().expect("a session").to_owned();
        Self { http, session: format!("{base}/session/{id}"), port, _driver: driver, _turn: turn }
    }

    async fn command(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}/{path}", self.session)).json(body);
        web::send(request).await.expect(200).json["value"].take()
    }

    pub async fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url })).await;
    }

    pub async fn url(&self) -> String {
        let answer = web::send(self.http.get(format!("{}/url", self.session))).await.expect(200);
        answer.json["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the address begins like that, and is it.
    pub async fn arrives_at(&self, start: &str) -> String {
        until(&format!("Chromium arrives at {start}"), SEEN, async || {
            let url = self.url().await;
            if url.starts_with(start) { Ok(url) } else { Err(format!("{url}\n{}", self.console().await)) }
        })
        .await
    }

    /// What an expression is worth in the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.command("execute/sync", &json!({ "script": format!("return {expression}"), "args": [] })).await
    }

    /// Nothing while the page has no body yet.
    pub async fn text(&self) -> String {
        self.evaluate("document.body?.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says that.
    pub async fn says(&self, words: &str) {
        until(&format!("the page says {words:?}"), SEEN, async || {
            let text = self.text().await;
            if text.contains(words) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// Waits until the page has it.
    async fn element(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        until(&format!("the page has {selector}"), SEEN, async || {
            let answer = web::send(self.http.post(format!("{}/element", self.session)).json(&by)).await;
            let found = answer.json["value"].as_object().filter(|_| answer.status == 200);
            let id = found.and_then(|found| found.values().next()).and_then(Value::as_str);
            id.map(str::to_owned).ok_or_else(|| answer.text.clone())
        })
        .await
    }

    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command(&format!("element/{element}/clear"), &json!({})).await;
        self.command(&format!("element/{element}/value"), &json!({ "text": text })).await;
    }

    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(&format!("element/{element}/click"), &json!({})).await;
    }

    /// Clicks on what leads to another page, and waits until this one is left: what is seen from then on is the next.
    pub async fn follow(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(&format!("element/{element}/click"), &json!({})).await;
        until(&format!("{selector} leads away"), SEEN, async || {
            let answer = web::send(self.http.get(format!("{}/element/{element}/name", self.session))).await;
            if answer.status == 200 { Err(answer.text) } else { Ok(()) }
        })
        .await;
    }

    /// What the browser complained about since it was last asked.
    pub async fn console(&self) -> String {
        let entries = self.command("se/log", &json!({ "type": "browser" })).await;
        let entries = entries.as_array().into_iter().flatten();
        entries.filter_map(|entry| entry["message"].as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Plugs in an authenticator that signs whatever it is asked, and whose person shows a fingerprint at once (WebAuthn
    /// Level 2 §11.3). Returns its id.
    pub async fn plug_in_security_key(&self) -> String {
        let kind = json!({
            "protocol": "ctap2", "transport": "usb", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "isUserConsenting": true,
        });
        let id = self.command("webauthn/authenticator", &kind).await;
        id.as_str().expect("an authenticator").to_owned()
    }

    /// Whether the person shows the right finger from now on.
    pub async fn set_user_verified(&self, authenticator: &str, is_verified: bool) {
        let body = json!({ "isUserVerified": is_verified });
        self.command(&format!("webauthn/authenticator/{authenticator}/uv"), &body).await;
    }

    async fn protocol(&self, command: &str, parameters: Value) {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await;
    }

    pub async fn set_width(&self, width: u32) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.protocol("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Pages run no scripts from now on; what is asked by the driver is still answered.
    pub async fn disable_scripts(&self) {
        self.protocol("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    pub async fn set_scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.protocol("Emulation.setEmulatedMedia", features).await;
    }

    /// The page on a desk by day and on a phone by night: none of it is cut off at the side, and people get a picture.
    pub async fn look(&self, name: &str) {
        for (width, scheme) in [(1280, "light"), (390, "dark")] {
            self.set_width(width).await;
            self.set_scheme(scheme).await;
            self.expect_to_fit(name, width).await;
            self.screenshot(&format!("{name}-{width}-{scheme}")).await;
        }
    }

    pub async fn expect_to_fit(&self, name: &str, width: u32) {
        let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(self.evaluate(overflow).await, 0, "{name} is wider than {width}");
    }

    /// A PNG of what is seen, for people: written to the folder `HJ_SCREENSHOTS`, if that is set.
    pub async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("HJ_SCREENSHOTS") else { return };
        let answer = web::send(self.http.get(format!("{}/screenshot", self.session))).await.expect(200);
        let png = STANDARD.decode(answer.json["value"].as_str().unwrap_or_default()).expect("base64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), png).expect("the folder is writable");
    }
}

impl Drop for Chromium {
    /// Chromium does not die with its driver: the session is ended by hand.
    fn drop(&mut self) {
        let path = self.session.split_once("/session/").map_or("", |(_, id)| id).to_owned();
        let bytes = format!("DELETE /session/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(bytes.as_bytes());
            let _ = stream.read(&mut [0; 512]);
        }
    }
}

fn program(names: &[&str], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("{} is missing: apt-get install {package}", names.join(" or ")))
}
