//! Every place of the configuration that holds a sealed secret, and under which master key.
//!
//! What is sealed is listed here and nowhere else: a new kind of secret is a new [`SealedPlace`], and a test holds the
//! list against a snapshot's text.

use serde::{Deserialize, Serialize};
use vocab::{ClientId, KeyId, RequestId, Sealed, SecretId, TenantId};

use crate::entry::Actor;
use crate::model::{ClientSecret, KeyOwner};
use crate::state::State;

/// Where an envelope stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SealedPlace {
    /// A tenant's DSN.
    Database { tenant: TenantId },
    /// The password of a tenant's mail server.
    Smtp { tenant: TenantId },
    /// The tenant's client secret at an identity provider.
    IdentityProvider { tenant: TenantId, provider: String },
    /// A private key.
    SigningKey { owner: KeyOwner, kid: KeyId },
    /// A client's secret.
    ClientSecret { tenant: TenantId, client: ClientId, secret: SecretId },
    /// What a remembered request showed once.
    Receipt { actor: Actor, request_id: RequestId },
}

impl State {
    /// All of them, in one order.
    pub fn seals(&self) -> impl Iterator<Item = (SealedPlace, &Sealed)> {
        let databases = self.tenants().filter_map(|tenant| {
            let database = tenant.spec.settings.database.as_ref()?;
            Some((SealedPlace::Database { tenant: tenant.id }, &database.dsn))
        });
        let mail_servers = self.tenants().filter_map(|tenant| {
            Some((SealedPlace::Smtp { tenant: tenant.id }, tenant.spec.settings.smtp_password()?))
        });
        let providers = self.tenants().flat_map(|tenant| {
            let place = |id: &str| SealedPlace::IdentityProvider { tenant: tenant.id, provider: id.to_owned() };
            tenant.spec.settings.provider_secrets().map(move |(id, secret)| (place(id), secret))
        });
        let keys = self
            .keys()
            .map(|key| (SealedPlace::SigningKey { owner: key.owner, kid: key.kid.clone() }, &key.private_key));
        let receipts = self.remembered_requests().filter_map(|(actor, request_id, answer)| {
            let place = SealedPlace::Receipt { actor: actor.clone(), request_id: request_id.clone() };
            Some((place, answer.receipt.as_ref()?))
        });
        let secrets = self.all_clients().flat_map(|client| {
            let place = |secret: &ClientSecret| SealedPlace::ClientSecret {
                tenant: client.tenant_id,
                client: client.client_id.clone(),
                secret: secret.id,
            };
            client.secrets.iter().filter_map(move |secret| Some((place(secret), secret.sealed.as_ref()?)))
        });
        databases.chain(mail_servers).chain(providers).chain(keys).chain(secrets).chain(receipts)
    }

    /// What stands there now.
    pub fn sealed_at(&self, place: &SealedPlace) -> Option<&Sealed> {
        match place {
            SealedPlace::Database { tenant } => {
                self.tenant_by_id(*tenant)?.spec.settings.database.as_ref().map(|database| &database.dsn)
            }
            SealedPlace::Smtp { tenant } => self.tenant_by_id(*tenant)?.spec.settings.smtp_password(),
            SealedPlace::IdentityProvider { tenant, provider } => {
                self.tenant_by_id(*tenant)?.spec.settings.provider_secret(provider)
            }
            SealedPlace::SigningKey { owner, kid } => self.key(*owner, kid).map(|key| &key.private_key),
            SealedPlace::ClientSecret { tenant, client, secret } => {
                let mut secrets = self.client(*tenant, client)?.secrets.iter();
                secrets.find(|kept| kept.id == *secret)?.sealed.as_ref()
            }
            SealedPlace::Receipt { actor, request_id } => self.remembered(actor, request_id)?.receipt.as_ref(),
        }
    }
}
