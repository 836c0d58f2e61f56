//! Why a resource was not taken.

use vocab::SealError;

use crate::signing::KeyFault;
use crate::sync::decode::{ClientFault, Malformed};

#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) reason: String,
    /// Sealed with a master key that this pod was not given.
    pub(super) unopened: bool,
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Self {
        Self { reason: malformed.0, unopened: false }
    }
}

impl From<SealError> for Rejection {
    fn from(error: SealError) -> Self {
        Self { unopened: true, reason: error.to_string() }
    }
}

impl From<ClientFault> for Rejection {
    fn from(fault: ClientFault) -> Self {
        Self { unopened: matches!(fault, ClientFault::Sealed(_)), reason: fault.to_string() }
    }
}

impl From<KeyFault> for Rejection {
    fn from(fault: KeyFault) -> Self {
        Self { unopened: matches!(fault, KeyFault::Sealed(_)), reason: fault.to_string() }
    }
}
