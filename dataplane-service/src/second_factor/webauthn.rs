//! Authenticators that sign (WebAuthn): security keys, phones, what unlocks the computer.
//!
//! The rules of WebAuthn Level 2 §7 are `webauthn-rs`'s: the challenge, the origin, the relying party's id, that the person
//! was there and verified, and the signature. The counter is judged by the database, which all pods share. The relying party
//! is the issuer's host, so tenants of one host are one there; a tenant asks for its own users' credentials alone.

use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use webauthn_rs::prelude::{AuthenticationResult, Credential, Passkey};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::store::TenantDb;
use crate::tenant::TenantContext;

/// `None`: browsers know no authenticators at this issuer, whose host is no name or is not reached by https.
pub fn relying_party(tenant: &TenantContext) -> Option<Webauthn> {
    at(&tenant.issuer, &tenant.display_name)
}

fn at(issuer: &str, name: &str) -> Option<Webauthn> {
    let issuer = Url::parse(issuer).ok()?;
    let host = issuer.domain()?;
    let is_this_machine = host == "localhost" || host.ends_with(".localhost");
    if issuer.scheme() != "https" && !is_this_machine {
        return None;
    }
    let origin = Url::parse(&issuer.origin().ascii_serialization()).ok()?;
    WebauthnBuilder::new(host, &origin).ok()?.rp_name(name).build().ok()
}

/// As it is kept, with the newest master key.
pub fn seal<T: Serialize>(db: &TenantDb, value: &T) -> String {
    db.seal(&serde_json::to_vec(value).expect("what WebAuthn keeps is JSON"))
}

/// `None`: the master key is another, or another build kept something else.
pub fn open<T: DeserializeOwned>(db: &TenantDb, sealed: &str) -> Option<T> {
    serde_json::from_slice(db.open(sealed).ok()?.expose()).ok()
}

/// The credential after it signed, if it is this one.
pub fn signed(mut passkey: Passkey, result: &AuthenticationResult) -> Option<Passkey> {
    passkey.update_credential(result).map(|_| passkey)
}

/// How a user signs in by it (RFC 8176 §2), and how often it signed so far, by its own account. A key that may be copied to
/// other devices is one in software. That the person is there is a part of each signature.
pub fn facts(passkey: &Passkey) -> ([&'static str; 2], u32) {
    let credential = Credential::from(passkey.clone());
    ([if credential.backup_eligible { "swk" } else { "hwk" }, "user"], credential.counter)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case("https://id.example", Some("https://id.example"))]
    #[case("https://id.example:8443/t/acme", Some("https://id.example:8443"))]
    #[case("http://localhost:9000/t/acme", Some("http://localhost:9000"))]
    #[case("http://acme.localhost:9000", Some("http://acme.localhost:9000"))]
    #[case("http://id.example/t/acme", None)]
    #[case("http://localhost.example", None)]
    #[case("https://192.0.2.1/t/acme", None)]
    #[case("https://[2001:db8::1]/t/acme", None)]
    #[case("http://127.0.0.1:9000/t/acme", None)]
    fn where_browsers_know_authenticators(#[case] issuer: &str, #[case] origin: Option<&str>) {
        let relying_party = super::at(issuer, "Acme");
        let origins = relying_party.map(|it| it.get_allowed_origins()[0].origin().ascii_serialization());
        assert_eq!(origins.as_deref(), origin);
    }
}
