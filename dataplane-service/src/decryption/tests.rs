use picky::jose::jwe::{Jwe, JweAlg, JweEnc};
use picky::jose::jwk::Jwk;

use super::*;
use crate::signing::tests::{record, ring};

fn key(family: KeyFamily, kid: &str, status: KeyStatus) -> Arc<DecryptionKey> {
    Arc::new(DecryptionKey::open(&record(family, kid, status), &ring()).unwrap())
}

/// As a client would, by what is published.
fn encrypt(alg: JweAlg, to: &DecryptionKey, text: &str) -> String {
    let mut jwe = Jwe::new(alg, JweEnc::Aes256Gcm, text.as_bytes().to_vec());
    jwe.header.kid = Some(to.kid.to_string());
    let mut bare = to.public.clone();
    bare.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    let public = Jwk::from_json(&Value::Object(bare).to_string()).unwrap().to_public_key().unwrap();
    jwe.header.apu = Some("QQ".to_owned());
    jwe.header.apv = Some("Qg".to_owned());
    jwe.encode(&public).unwrap()
}

fn open(keys: &DecryptionKeys, token: &str) -> Result<String, Unopened> {
    keys.open(&Encrypted::parse(token).unwrap().unwrap())
}

#[test]
fn what_is_encrypted_to_any_key_that_is_not_revoked_opens() {
    let all = [
        (JweAlg::RsaOaep256, key(KeyFamily::RsaEncryption, "r", KeyStatus::Active)),
        (JweAlg::EcdhEs, key(KeyFamily::P256Encryption, "e", KeyStatus::Active)),
        (JweAlg::EcdhEsAesKeyWrap256, key(KeyFamily::P256Encryption, "old", KeyStatus::Retiring)),
    ];
    let keys = DecryptionKeys::new(all.iter().map(|(_, key)| Arc::clone(key)).collect());
    for (alg, key) in &all {
        let token = encrypt(*alg, key, "text");
        assert_eq!(open(&keys, &token).as_deref(), Ok("text"), "{alg:?}");
        // Each part spoilt, one after the other. The first bytes: in the last character not every bit counts.
        for part in 0..5 {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let spoilt = if parts[part].starts_with('A') { "B" } else { "A" };
            let at = parts[part].len().min(1);
            parts[part].replace_range(..at, spoilt);
            if let Some(Ok(parsed)) = Encrypted::parse(&parts.join(".")) {
                assert_eq!(keys.open(&parsed), Err(Unopened), "{alg:?}: part {part}");
            }
        }
    }
    let stranger = key(KeyFamily::RsaEncryption, "r", KeyStatus::Active);
    assert_eq!(open(&keys, &encrypt(JweAlg::RsaOaep256, &stranger, "text")), Err(Unopened));
    let published: Vec<_> = keys.published().map(|jwk| (jwk["kid"].clone(), jwk["use"].clone())).collect();
    assert_eq!(published, [("e".into(), "enc".into()), ("r".into(), "enc".into())]);
    assert!(keys.published().all(|jwk| !jwk.contains_key("d")));
}

#[test]
fn a_key_that_signs_opens_nothing() {
    assert!(DecryptionKey::open(&record(KeyFamily::P256, "s", KeyStatus::Active), &ring()).is_err());
}
