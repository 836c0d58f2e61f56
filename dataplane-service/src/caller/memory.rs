//! Proofs that were used at tenants without a database, which have no place to note them: in this pod's memory, so such a
//! proof counts once per pod. Whoever runs several pods and needs more gives the tenant a database.

use std::collections::HashMap;

use parking_lot::Mutex;
use vocab::{SecretDigest, TenantId, Timestamp};

use crate::store::proofs::Proof;

/// Of all tenants together. At the bound nothing new is accepted: forgetting would let old proofs count again.
const CAPACITY: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Memory {
    seen: Mutex<HashMap<(TenantId, SecretDigest), Timestamp>>,
}

/// There is no room to remember another proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Memory {
    /// Notes the proof; whether this was its first use.
    pub(super) fn first_use(
        &self,
        tenant: TenantId,
        proof: Proof<'_>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Full> {
        let key = (tenant, SecretDigest::of(proof.name().as_bytes()));
        let mut seen = self.seen.lock();
        if seen.len() >= CAPACITY {
            seen.retain(|_, end| *end > now);
        }
        if seen.contains_key(&key) {
            return Ok(false);
        }
        if seen.len() >= CAPACITY {
            return Err(Full);
        }
        seen.insert(key, expires_at);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    #[test]
    fn a_proof_counts_once_with_each_tenant_and_there_is_a_bound() {
        let memory = Memory::default();
        let tenant = |number| TenantId::from_uuid(uuid::Uuid::from_u128(number));
        let used = |tenant_id, jti: &str, end: i64, now: Timestamp| {
            let proof = Proof { kind: "dpop", owner: "key", jti };
            memory.first_use(tenant_id, proof, NOW.plus_secs(end), now)
        };
        assert_eq!(used(tenant(1), "a", 10, NOW), Ok(true));
        assert_eq!(used(tenant(1), "a", 10, NOW), Ok(false));
        assert_eq!(used(tenant(2), "a", 10, NOW), Ok(true));
        for number in 2..CAPACITY {
            assert_eq!(used(tenant(1), &number.to_string(), 20, NOW), Ok(true));
        }
        assert_eq!(used(tenant(1), "one too many", 20, NOW), Err(Full));
        assert_eq!(used(tenant(1), "2", 20, NOW), Ok(false));
        assert_eq!(used(tenant(1), "room again", 20, NOW.plus_secs(10)), Ok(true));
    }
}
