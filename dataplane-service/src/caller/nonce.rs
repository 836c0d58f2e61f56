//! Nonces of DPoP (RFC 9449 §8): the time in steps, with a MAC over it and the tenant. Nothing is stored, and every pod that
//! has the master key knows the nonces of every other.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vocab::{Keyring, TenantId, Timestamp};

/// A nonce is good for the rest of its step and all of the next one: two to four minutes.
const STEP_SECS: i64 = 120;
/// Bytes of the step in a nonce.
const STEP_LEN: usize = 8;

/// Makes and knows nonces.
#[derive(Debug)]
pub struct Nonces {
    /// One per master key: the first makes, each knows, so that a rotation of master keys is not noticed.
    keys: Vec<Key>,
}

impl Nonces {
    pub fn new(keyring: &Keyring) -> Self {
        let key = |master: &vocab::MasterKey| Key::new(HMAC_SHA256, master.derive("dpop nonces").expose());
        Self { keys: keyring.keys().map(key).collect() }
    }

    /// To be sent as `DPoP-Nonce`.
    pub fn current(&self, tenant: TenantId, now: Timestamp) -> String {
        let step = now.secs().div_euclid(STEP_SECS).to_be_bytes();
        let mut nonce = step.to_vec();
        if let Some(key) = self.keys.first() {
            nonce.extend_from_slice(sign(key, &message(tenant, step)).as_ref());
        }
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Whether it is one that was given out a moment ago, to a client of this tenant.
    pub fn is_recent(&self, tenant: TenantId, nonce: &str, now: Timestamp) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((step, mac)) = bytes.split_first_chunk::<STEP_LEN>() else { return false };
        let age = now.secs().div_euclid(STEP_SECS).saturating_sub(i64::from_be_bytes(*step));
        // A pod whose clock is a little ahead may have begun the next step already.
        (-1..=1).contains(&age) && self.keys.iter().any(|key| verify(key, &message(tenant, *step), mac).is_ok())
    }
}

fn message(tenant: TenantId, step: [u8; STEP_LEN]) -> Vec<u8> {
    [tenant.as_uuid().as_bytes(), &step[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::MasterKey;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn good_for_a_while_with_its_tenant_on_every_pod() {
        let keyring = |bytes: &[u8]| {
            let mut keys = bytes.iter().map(|byte| MasterKey::new([*byte; 32]));
            Keyring::new(keys.next().unwrap(), keys.collect())
        };
        let nonces = Nonces::new(&keyring(&[1]));
        let nonce = nonces.current(tenant(1), NOW);
        let elsewhere = Nonces::new(&keyring(&[2, 1]));
        for (what, pod, tenant, later, expected) in [
            ("at once", &nonces, tenant(1), 0, true),
            ("in the next step", &nonces, tenant(1), 120, true),
            ("too late", &nonces, tenant(1), 240, false),
            ("on a pod whose master key was rotated", &elsewhere, tenant(1), 0, true),
            ("at another tenant", &nonces, tenant(2), 0, false),
            ("on a pod without the key", &Nonces::new(&keyring(&[2])), tenant(1), 0, false),
        ] {
            assert_eq!(pod.is_recent(tenant, &nonce, NOW.plus_secs(later)), expected, "{what}");
        }
        for garbage in ["", "x", "AAAAAAAAAAA", &nonce[1..], &format!("{nonce}A")] {
            assert!(!nonces.is_recent(tenant(1), garbage, NOW), "{garbage}");
        }
    }
}
