//! An authenticator that signs (WebAuthn Level 2), with the browser that asks it: honest, or saying whatever a test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scraper::{Html, Selector};
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};
use url::Url;

use crate::browser::{Browser, Page};

/// Bits of the authenticator data (§6.1).
pub const PRESENT: u8 = 1;
pub const VERIFIED: u8 = 1 << 2;
/// It may be copied to other devices.
pub const SYNCED: u8 = 1 << 3;
const HAS_CREDENTIAL: u8 = 1 << 6;

pub struct SecurityKey {
    key: EcdsaKeyPair,
    pub id: Vec<u8>,
    count: AtomicU32,
}

impl std::fmt::Debug for SecurityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecurityKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is signed. An honest key signs what it is asked, where it is asked.
#[derive(Clone, Debug)]
pub struct Says {
    pub kind: &'static str,
    pub challenge: String,
    pub origin: String,
    pub rp_id: String,
    pub flags: u8,
    pub count: u32,
    pub user_handle: Option<String>,
}

/// What the page asks of authenticators.
#[track_caller]
pub fn asked(page: &Page) -> Value {
    let selector = Selector::parse("form[data-options]").expect("a CSS selector");
    let document = Html::parse_document(&page.body);
    let form = document.select(&selector).next().unwrap_or_else(|| panic!("asks for no authenticator: {page:#?}"));
    let options = form.attr("data-options").unwrap_or_default();
    serde_json::from_str::<Value>(options).expect("the options are JSON")["publicKey"].take()
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl SecurityKey {
    pub fn new() -> Self {
        Self::with_id((0..32).map(|_| rand::random()).collect())
    }

    /// Another key that says it is that one.
    pub fn with_id(id: Vec<u8>) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("keys can be made");
        Self { key, id, count: AtomicU32::new(0) }
    }

    /// What an honest one says to that page. Each time it counts on.
    #[track_caller]
    pub fn says(&self, page: &Page) -> Says {
        let asked = asked(page);
        let is_new = asked.get("rp").is_some();
        let rp_id = if is_new { &asked["rp"]["id"] } else { &asked["rpId"] };
        assert_eq!(*rp_id, page.url.host_str().expect("a host"));
        let wanted =
            if is_new { &asked["authenticatorSelection"]["userVerification"] } else { &asked["userVerification"] };
        assert_eq!(*wanted, "required");
        Says {
            kind: if is_new { "webauthn.create" } else { "webauthn.get" },
            challenge: asked["challenge"].as_str().expect("a challenge").to_owned(),
            origin: page.url.origin().ascii_serialization(),
            rp_id: rp_id.as_str().expect("a host").to_owned(),
            flags: PRESENT | VERIFIED,
            count: self.count.fetch_add(1, Ordering::SeqCst) + 1,
            user_handle: None,
        }
    }

    fn data(says: &Says, flags: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, says.rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(says.count.to_be_bytes());
        data
    }

    fn client_data(says: &Says) -> Vec<u8> {
        let Says { kind, challenge, origin, .. } = says;
        json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false }).to_string().into_bytes()
    }

    fn answer(&self, response: &Value) -> Value {
        let id = base64(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {}, "response": response,
        })
    }

    /// A new credential (§6.5.1), without attestation.
    pub fn create(&self, says: &Says) -> String {
        let point = self.key.public_key().as_ref();
        let (x, y) = (point[1..33].to_vec(), point[33..65].to_vec());
        // RFC 9053 §7.1.1: EC2, ES256, P-256.
        let key = [(1, Cbor::Integer(2)), (3, Cbor::Integer(-7)), (-1, Cbor::Integer(1))];
        let key = key.into_iter().chain([(-2, Cbor::Bytes(x)), (-3, Cbor::Bytes(y))]);
        let key: BTreeMap<Cbor, Cbor> = key.map(|(name, value)| (Cbor::Integer(name), value)).collect();
        let mut data = Self::data(says, says.flags | HAS_CREDENTIAL);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).expect("an id is short").to_be_bytes());
        data.extend(&self.id);
        data.extend(serde_cbor_2::to_vec(&Cbor::Map(key)).expect("a map is CBOR"));
        let object = [
            ("fmt", Cbor::Text("none".to_owned())),
            ("attStmt", Cbor::Map(BTreeMap::new())),
            ("authData", Cbor::Bytes(data)),
        ];
        let object = object.into_iter().map(|(name, value)| (Cbor::Text(name.to_owned()), value)).collect();
        let object = serde_cbor_2::to_vec(&Cbor::Map(object)).expect("a map is CBOR");
        let (client_data, object) = (base64(&Self::client_data(says)), base64(&object));
        let response = json!({ "clientDataJSON": client_data, "attestationObject": object, "transports": ["usb"] });
        self.answer(&response).to_string()
    }

    /// An assertion (§6.3.3).
    pub fn sign(&self, says: &Says) -> Value {
        let (data, client_data) = (Self::data(says, says.flags), Self::client_data(says));
        let message = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).expect("it signs");
        self.answer(&json!({
            "clientDataJSON": base64(&client_data), "authenticatorData": base64(&data),
            "signature": base64(signature.as_ref()), "userHandle": says.user_handle,
        }))
    }

    /// Adds it where the page asks for one, under that name, with the password if that is asked for. Returns what follows.
    pub async fn add(&self, browser: &Browser, page: &Page, name: &str, password: &str) -> Page {
        let credential = self.create(&self.says(page));
        let form = page.form_with("credential");
        let fill = [("credential", credential.as_str()), ("name", name), ("current", password)];
        browser.submit(&form, &fill, form.buttons.first()).await
    }

    /// Shows it where the page asks for it.
    pub async fn show(&self, browser: &Browser, page: &Page) -> Page {
        let assertion = self.sign(&self.says(page));
        bring(browser, page, &assertion).await
    }
}

impl Default for SecurityKey {
    fn default() -> Self {
        Self::new()
    }
}

/// Brings that assertion to the page that asks for one.
pub async fn bring(browser: &Browser, page: &Page, assertion: &Value) -> Page {
    let form = page.form_with("credential");
    browser.submit(&form, &[("credential", &assertion.to_string())], form.buttons.first()).await
}

/// The page's form, sent to another pod.
pub fn form_at(page: &Page, pod: &str) -> crate::browser::Form {
    let mut form = page.form_with("credential");
    let pod: Url = pod.parse().expect("a URL");
    form.action.set_port(pod.port()).expect("a URL with a host");
    form
}
