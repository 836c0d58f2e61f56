//! One-time passwords by time (RFC 6238), as every authenticator app makes them: SHA-1, six digits, 30 seconds.
//!
//! A code of the step before or after is taken, too (§5.2). That each step counts once is the store's matter.

use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp};
use uuid::Uuid;
use vocab::seal::SealError;
use vocab::{Secret, TenantId, Timestamp};

use crate::store::TenantDb;

/// What the app and the server share.
#[derive(Clone)]
pub struct Seed(totp_rs::Secret);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// 160 random bits (RFC 4226 §4).
    pub fn fresh() -> Self {
        Self(totp_rs::Secret::generate())
    }

    /// For a person to type, in groups of four.
    pub fn grouped(&self) -> String {
        super::recovery::grouped(&self.0.to_base32())
    }

    /// What the QR code says to the app; `None`: an app could not read it. A colon divides issuer and account there.
    pub fn link(&self, issuer: &str, account: &str) -> Option<Secret<String>> {
        let builder = self.builder().with_issuer(Some(issuer.replace(':', " "))).with_account_name(account);
        builder.build().ok()?.to_url().ok().map(Secret::new)
    }

    fn builder(&self) -> Builder {
        Builder::new().with_secret(self.0.clone())
    }

    fn totp(&self) -> Totp {
        self.builder().build().expect("the seed is long enough: it was made here")
    }

    /// The time step that this is the code of.
    pub fn step_of(&self, typed: &str, now: Timestamp) -> Option<i64> {
        let code: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let step = self.totp().check(&code, u64::try_from(now.secs()).ok()?)?;
        i64::try_from(step).ok()
    }

    /// As it is kept, with the newest master key.
    pub fn seal(&self, db: &TenantDb) -> String {
        db.seal(&self.0)
    }

    pub fn open(db: &TenantDb, sealed: &str) -> Result<Self, SealError> {
        let plain = db.open(sealed)?;
        if plain.expose().len() < 16 {
            return Err(SealError::Malformed);
        }
        Ok(Self(totp_rs::Secret::from(plain.expose().as_slice())))
    }
}

/// How long a person may take to set the app up.
const OFFER_SECS: i64 = 600;

/// A seed that was shown to a user and is not confirmed yet. The form keeps it, sealed, and the server nothing.
#[derive(Serialize, Deserialize)]
#[expect(missing_debug_implementations, reason = "it holds the seed")]
pub struct Offer {
    tenant: TenantId,
    user: Uuid,
    seed: String,
    until: i64,
}

impl Offer {
    pub fn seal(db: &TenantDb, tenant: TenantId, user: Uuid, seed: &Seed, now: Timestamp) -> String {
        let offer = Self { tenant, user, seed: seed.0.to_base32(), until: now.plus_secs(OFFER_SECS).secs() };
        db.seal(&serde_json::to_vec(&offer).expect("such an object is JSON"))
    }

    /// The seed, if it was offered to this user, lately.
    pub fn open(db: &TenantDb, sealed: &str, tenant: TenantId, user: Uuid, now: Timestamp) -> Option<Seed> {
        let plain = db.open(sealed).ok()?;
        let offer: Self = serde_json::from_slice(plain.expose()).ok()?;
        let is_good = offer.tenant == tenant && offer.user == user && now.secs() < offer.until;
        let seed = totp_rs::Secret::try_from_base32(&offer.seed).ok()?;
        is_good.then_some(Seed(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[rstest]
    #[case(59, "287082", Some(1))]
    #[case(59, "287 082", Some(1))]
    #[case(1_111_111_109, "081804", Some(37_037_036))]
    #[case(1_111_111_109, "050471", Some(37_037_037))]
    #[case(1_111_111_139, "081804", Some(37_037_036))]
    #[case(1_111_111_199, "081804", None)]
    #[case(59, "287083", None)]
    #[case(59, "94287082", None)]
    #[case(59, "", None)]
    #[case(59, "abcdef", None)]
    fn steps(#[case] secs: i64, #[case] code: &str, #[case] step: Option<i64>) {
        let seed = Seed(totp_rs::Secret::from(*b"12345678901234567890"));
        assert_eq!(seed.step_of(code, Timestamp::from_secs(secs)), step);
    }

    #[test]
    fn what_an_app_is_told() {
        let seed = Seed(totp_rs::Secret::from(*b"12345678901234567890"));
        let link = seed.link("Acme: the shop", "ada@example.com").unwrap();
        assert!(link.expose().starts_with("otpauth://totp/Acme"), "{}", link.expose());
        assert!(link.expose().contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{}", link.expose());
        assert_eq!(seed.grouped(), "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ");
        assert_eq!(format!("{seed:?}"), "Seed(…)");
    }
}
