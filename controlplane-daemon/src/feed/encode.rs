//! The model as the watch shows it. Administrators and nodes are the control plane's own business: of them nothing
//! is shown.

use bytes::{BufMut as _, Bytes, BytesMut};
use controlplane_core::model::{
    Client, ClientSecret, ClusterSettings, FailMode, IssuerMode, KeyOwner, KeyStatus, Lifetimes, RateLimit, Scope,
    SigningKey, Smtp, Staleness, Tenant, TenantStatus,
};
use controlplane_core::{Change, Resource};
use prost::Message as _;
use serde::Serialize;
use shared_proto::watch;
use vocab::{Revision, Timestamp};

/// A complete gRPC message: flag, length, protobuf. It goes to every subscriber as it is.
pub fn frame(kind: watch::event::Kind) -> Bytes {
    let event = watch::Event { kind: Some(kind) };
    let len = event.encoded_len();
    let mut frame = BytesMut::with_capacity(len + 5);
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(u32::try_from(len).expect("an event is smaller than 4 GiB: every size in the model has a cap"));
    event.encode(&mut frame).expect("a BytesMut grows as needed");
    frame.freeze()
}

/// All changes of one revision; possibly none, so that acknowledgements advance with every entry.
/// `traceparent`: of the request that made them, if it is traced.
pub fn delta(revision: Revision, stamped_at: Timestamp, changes: &[Change], traceparent: Option<String>) -> Bytes {
    frame(watch::event::Kind::Delta(watch::Delta {
        revision: revision.0,
        changes: changes.iter().filter_map(change).collect(),
        stamped_at_ms: stamped_at.millis(),
        traceparent,
    }))
}

/// When the change of a frame was made; `None` when the frame is of no change.
pub fn stamp_of(frame: &Bytes) -> Option<Timestamp> {
    let event = watch::Event::decode(frame.get(5..)?).ok()?;
    match event.kind? {
        watch::event::Kind::Delta(delta) => Some(Timestamp::from_millis(delta.stamped_at_ms)),
        _ => None,
    }
}

fn change(change: &Change) -> Option<watch::Change> {
    use watch::change::Kind::{Deleted, Put};
    use watch::deleted::Kind as Gone;
    use watch::resource::Kind as Resource;
    let put = |kind| Put(watch::Resource { kind: Some(kind) });
    let deleted = |kind| Deleted(watch::Deleted { kind: Some(kind) });
    let kind = match change {
        Change::TenantPut(it) => put(Resource::Tenant(tenant(it))),
        Change::ClientPut(it) => put(Resource::Client(client(it))),
        Change::ScopePut(it) => put(Resource::Scope(scope(it))),
        Change::KeyPut(it) => put(Resource::SigningKey(key(it))),
        Change::TenantDeleted { id, .. } => deleted(Gone::Tenant(watch::TenantRef { tenant_id: id.to_string() })),
        Change::ClientDeleted { tenant_id, client_id } => deleted(Gone::Client(watch::ClientRef {
            tenant_id: tenant_id.to_string(),
            client_id: client_id.to_string(),
        })),
        Change::ScopeDeleted { tenant_id, name } => {
            deleted(Gone::Scope(watch::ScopeRef { tenant_id: tenant_id.to_string(), name: name.to_string() }))
        }
        Change::KeyDeleted { owner: whose, kid } => {
            deleted(Gone::SigningKey(watch::KeyRef { tenant_id: owner(*whose), kid: kid.to_string() }))
        }
        Change::SettingsPut(it) => put(Resource::ClusterSettings(settings(it))),
        Change::AdminPut(_)
        | Change::AdminDeleted { .. }
        | Change::PodPut(_)
        | Change::PodDeleted { .. }
        | Change::NodePut(_)
        | Change::NodeDeleted { .. }
        | Change::ReceiptPut { .. } => return None,
    };
    Some(watch::Change { kind: Some(kind) })
}

/// A resource as part of a snapshot; `None` for what the watch does not show.
pub fn resource(resource: &Resource<'_>) -> Option<watch::Resource> {
    use watch::resource::Kind;
    let kind = match resource {
        Resource::Tenant(it) => Kind::Tenant(tenant(it)),
        Resource::Client(it) => Kind::Client(client(it)),
        Resource::Scope(it) => Kind::Scope(scope(it)),
        Resource::Key(it) => Kind::SigningKey(key(it)),
        Resource::Settings(it) => Kind::ClusterSettings(settings(it)),
        Resource::Admin(_) | Resource::Pod(_) | Resource::Node(_) => return None,
    };
    Some(watch::Resource { kind: Some(kind) })
}

fn tenant(tenant: &Tenant) -> watch::Tenant {
    let settings = &tenant.spec.settings;
    watch::Tenant {
        id: tenant.id.to_string(),
        slug: tenant.slug.to_string(),
        display_name: tenant.spec.display_name.clone(),
        status: match tenant.spec.status {
            TenantStatus::Active => watch::TenantStatus::Active,
            TenantStatus::Suspended => watch::TenantStatus::Suspended,
        }
        .into(),
        issuer_mode: match settings.issuer_mode {
            IssuerMode::Path => watch::IssuerMode::Path,
            IssuerMode::Host => watch::IssuerMode::Host,
        }
        .into(),
        hosts: settings.hosts.clone(),
        database: settings.database.as_ref().map(|database| watch::Database {
            sealed_dsn: database.dsn.to_string(),
            max_connections: database.max_connections,
        }),
        registration_enabled: settings.registration_enabled,
        lifetimes: Some(lifetimes(&settings.lifetimes)),
        revision: tenant.revision.0,
        staleness: settings.staleness.as_ref().map(staleness),
        signing_algorithm: settings.signing_algorithm.as_str().to_owned(),
        smtp: settings.smtp.as_ref().map(smtp),
        rate_limit: settings
            .rate_limit
            .map(|RateLimit { requests_per_second, burst }| watch::RateLimit { requests_per_second, burst }),
        oauth_json: if settings.oauth.is_default() { Bytes::new() } else { json(&settings.oauth) },
        branding_json: if settings.branding.is_default() { Bytes::new() } else { json(&settings.branding) },
    }
}

fn smtp(smtp: &Smtp) -> watch::Smtp {
    let account = smtp.account.as_ref();
    watch::Smtp {
        host: smtp.host.clone(),
        port: smtp.port.unwrap_or_default().into(),
        security: smtp.security.as_str().to_owned(),
        from: smtp.from.clone(),
        username: account.map(|account| account.username.clone()).unwrap_or_default(),
        sealed_password: account.map(|account| account.password.to_string()).unwrap_or_default(),
    }
}

fn settings(settings: &ClusterSettings) -> watch::ClusterSettings {
    watch::ClusterSettings { staleness: Some(staleness(&settings.spec.staleness)), revision: settings.revision.0 }
}

fn staleness(staleness: &Staleness) -> watch::Staleness {
    watch::Staleness {
        warn_after_secs: staleness.warn_after_secs,
        refuse_after_secs: staleness.refuse_after_secs,
        fail_mode: match staleness.fail_mode {
            FailMode::Serve => watch::FailMode::Serve,
            FailMode::NotReady => watch::FailMode::NotReady,
            FailMode::Refuse => watch::FailMode::Refuse,
        }
        .into(),
    }
}

const fn lifetimes(lifetimes: &Lifetimes) -> watch::Lifetimes {
    watch::Lifetimes {
        access_token_secs: lifetimes.access_token_secs,
        id_token_secs: lifetimes.id_token_secs,
        refresh_token_idle_secs: lifetimes.refresh_token_idle_secs,
        refresh_token_absolute_secs: lifetimes.refresh_token_absolute_secs,
        session_idle_secs: lifetimes.session_idle_secs,
        session_absolute_secs: lifetimes.session_absolute_secs,
        authorization_code_secs: lifetimes.authorization_code_secs,
        jwks_cache_secs: lifetimes.jwks_cache_secs,
    }
}

fn client(client: &Client) -> watch::Client {
    watch::Client {
        tenant_id: client.tenant_id.to_string(),
        client_id: client.client_id.to_string(),
        secrets: client.secrets.iter().map(secret).collect(),
        revision: client.revision.0,
        spec_json: json(&client.spec),
        ..watch::Client::default()
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("the model's types have string keys and no numbers that JSON lacks").into()
}

fn secret(secret: &ClientSecret) -> watch::ClientSecret {
    watch::ClientSecret {
        id: secret.id.to_string(),
        digest: Bytes::copy_from_slice(secret.digest.as_bytes()),
        expires_at_ms: secret.expires_at.map(Timestamp::millis),
        sealed: secret.sealed.as_ref().map(ToString::to_string),
    }
}

fn scope(scope: &Scope) -> watch::Scope {
    watch::Scope {
        tenant_id: scope.tenant_id.to_string(),
        name: scope.name.to_string(),
        description: scope.spec.description.clone(),
        claims: scope.spec.claims.clone(),
        revision: scope.revision.0,
    }
}

fn key(key: &SigningKey) -> watch::SigningKey {
    watch::SigningKey {
        tenant_id: owner(key.owner),
        kid: key.kid.to_string(),
        algorithm: key.family.as_str().to_owned(),
        status: match key.status {
            KeyStatus::Next => watch::KeyStatus::Next,
            KeyStatus::Active => watch::KeyStatus::Active,
            KeyStatus::Retiring => watch::KeyStatus::Retiring,
            KeyStatus::Revoked => watch::KeyStatus::Revoked,
        }
        .into(),
        public_jwk: key.public_jwk.clone(),
        sealed_private_key: key.private_key.to_string(),
        revision: key.revision.0,
    }
}

fn owner(owner: KeyOwner) -> Option<String> {
    match owner {
        KeyOwner::Global => None,
        KeyOwner::Tenant(id) => Some(id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_uncompressed_grpc_message() {
        let frame = delta(Revision(7), Timestamp::from_millis(9), &[], None);
        let (prefix, message) = frame.split_at(5);
        assert_eq!(prefix, [0, 0, 0, 0, u8::try_from(message.len()).unwrap()]);
        let event = watch::Event::decode(message).unwrap();
        let Some(watch::event::Kind::Delta(delta)) = event.kind else { panic!("{event:?}") };
        assert_eq!((delta.revision, delta.stamped_at_ms, delta.changes.len()), (7, 9, 0));
    }
}
