//! Envelopes of one master key become envelopes of another, without anything else changing.

use std::sync::Arc;

use vocab::Revision;

use super::{Context, Decision, check_room, conflict};
use crate::limits;
use crate::model::{Client, SigningKey, Tenant};
use crate::mutation::{Change, Reseal, ResourceRef};
use crate::rejection::Rejection;
use crate::seals::SealedPlace;
use crate::state::State;

/// Compare and swap, place by place: who wrote a new secret meanwhile has sealed it himself. The resources keep their
/// revisions, since nobody who reads them sees a difference.
pub(super) fn reseal(cx: &Context<'_>, moves: Vec<Reseal>) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    check_room("envelopes of one reseal", moves.len(), limits::RESEALED_TOGETHER + 1)?;
    if moves.iter().any(|one| one.to.to_string().len() > limits::SEALED_BYTES) {
        return Err(conflict("an envelope is too long"));
    }
    // One resource may hold several: each change stands on those before it.
    let mut state = cx.state.clone();
    let mut changes = Vec::with_capacity(moves.len());
    for one in moves {
        if state.sealed_at(&one.place) == Some(&one.from)
            && let Some(change) = change(&state, one)
        {
            state.absorb(change.clone());
            changes.push(change);
        }
    }
    Ok(Decision { resource: ResourceRef::Configuration, changes })
}

fn change(state: &State, Reseal { place, to, .. }: Reseal) -> Option<Change> {
    Some(match place {
        SealedPlace::Database { tenant } => {
            let mut tenant = Tenant::clone(state.tenant_by_id(tenant)?);
            tenant.spec.settings.database.as_mut()?.dsn = to;
            tenant.into()
        }
        SealedPlace::Smtp { tenant } => {
            let mut tenant = Tenant::clone(state.tenant_by_id(tenant)?);
            tenant.spec.settings.smtp.as_mut()?.account.as_mut()?.password = to;
            tenant.into()
        }
        SealedPlace::IdentityProvider { tenant, provider } => {
            let mut tenant = Tenant::clone(state.tenant_by_id(tenant)?);
            let mut providers = tenant.spec.settings.oauth.identity_providers.iter_mut();
            providers.find(|it| it.id == provider)?.client_secret = Some(to);
            tenant.into()
        }
        SealedPlace::SigningKey { owner, kid } => {
            let key = Arc::clone(state.key(owner, &kid)?);
            SigningKey { private_key: to, ..SigningKey::clone(&key) }.into()
        }
        SealedPlace::ClientSecret { tenant, client, secret } => {
            let mut client = Client::clone(state.client(tenant, &client)?);
            client.secrets.iter_mut().find(|kept| kept.id == secret)?.sealed = Some(to);
            client.into()
        }
        SealedPlace::Receipt { actor, request_id } => Change::ReceiptPut { actor, request_id, receipt: to },
    })
}
