//! A client whose registered key could sign by RS256, which the profile forbids (FAPI 2.0 Security Profile §5.4.1).

use serde_json::json;

use super::super::keys::RsaKey;
use super::super::{Outcome, ensure};
use super::checks::{Op, refused};

impl Op {
    /// The same key, which is registered, by PS256 and by RS256: it is the algorithm that is refused.
    pub(super) async fn by_rs256(&self) -> Outcome {
        let key = RsaKey::new("rsa");
        let patch = json!({ "jwks": { "keys": [self.bank.key.jwk, key.jwk] } });
        self.tenant.patch_client(&self.bank.party.client_id, &patch).await;
        let (client_id, issuer) = (&self.bank.party.client_id, &self.bank.party.base);
        let by_ps256 = self.answer_to(&key.assertion("PS256", client_id, issuer)).await?;
        ensure(by_ps256.status == 200, || format!("{by_ps256:?}"))?;
        let by_rs256 = self.answer_to(&key.assertion("RS256", client_id, issuer)).await?;
        refused(&by_rs256, &["invalid_client", "invalid_request"])
    }
}
