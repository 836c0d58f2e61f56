//! Administrators' tokens as only the control plane can sign them, by somebody who has its keys: the signature of what is
//! forged is right, whatever is wrong with the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use vocab::{Keyring, MasterKey, Sealed};

use crate::admin::Admin;
use crate::cluster::Secrets;
use crate::tokens::Jwt;
use crate::web;

/// What the control plane gives its tokens as `typ`.
pub const TYPE: &str = "hj-admin+jwt";

#[derive(Debug)]
pub struct Forger {
    keyring: Keyring,
    /// The export's records of keys.
    keys: Vec<Value>,
    /// Of a token that is good.
    claims: Value,
}

impl Forger {
    /// By what an owner can export, and the master key.
    pub async fn of(owner: &Admin, secrets: &Secrets) -> Self {
        let export = web::send(owner.request(Method::GET, "/export")).await.expect(200).text;
        let records = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let keys = records.filter(|record| record["kind"] == "key").map(|record| record["value"].clone()).collect();
        let master = STANDARD.decode(&secrets.master_key).expect("base64").try_into().expect("32 bytes");
        let keyring = Keyring::new(MasterKey::new(master), Vec::new());
        Self { keyring, keys, claims: Jwt::parse(owner.token()).claims }
    }

    /// The owner's token anew, but for what is changed.
    pub fn token(&self, typ: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.sign(typ, &claims, |key| key["owner"] == "global")
    }

    /// The owner's token, signed by a tenant.
    pub fn by_a_tenant(&self) -> String {
        self.sign(TYPE, &self.claims, |key| key["owner"] != "global")
    }

    fn sign(&self, typ: &str, claims: &Value, by: impl Fn(&Value) -> bool) -> String {
        let signs = |key: &&Value| by(key) && key["status"] == "active" && key["algorithm"] == "ES256";
        let key = self.keys.iter().find(signs).expect("there is such a key");
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        let sealed: Sealed = text("private_key").parse().expect("it is sealed");
        let private = self.keyring.open(&sealed).expect("by this master key");
        let header = Header { typ: Some(typ.to_owned()), kid: Some(text("kid")), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(private.expose())).expect("a key signs")
    }

    /// The public half of the key that administrators' tokens are signed with, as a JWK.
    pub fn public(&self) -> Value {
        let key = self.keys.iter().find(|key| key["owner"] == "global" && key["status"] == "active");
        let jwk = key.and_then(|key| key["public_jwk"].as_str()).expect("there is one");
        serde_json::from_str(jwk).unwrap_or(json!(null))
    }
}
