//! Which build understands what: the feature level that a cluster agrees on while its nodes are replaced one by one.
//!
//! A node that meets an entry it does not understand stops. So each node tells its level in the table of nodes, and the
//! leader proposes nothing that a voter would stop at; once the last voter is replaced, everything goes.
//!
//! * 1: the first build.
//! * 2: where a command came from, notes, and the mutations of cluster operation ([`crate::entry::FORMAT`] 2).
//! * 3: what clients and tenants say of OAuth beyond the first build's fields, and tenants of their load and mail; keys by
//!   family.
//! * 4: tenants say how their pages and mail look, how long passwords are, and which claims are of other providers.

use vocab::NodeId;
use vocab::claims::ClaimSource;

use crate::model::{AuthMethod, ClientSpec, GrantType, SigningAlgorithm, TenantSpec};
use crate::mutation::{Mutation, NewSecret, Restored};
use crate::seals::SealedPlace;
use crate::state::State;

/// What every build understands.
pub const FIRST_LEVEL: u16 = 1;
/// What this build understands.
pub const FEATURE_LEVEL: u16 = 4;

/// The members of a client's JSON that there were at first.
const FIRST_FIELDS: [&str; 10] = [
    "name",
    "enabled",
    "token_endpoint_auth_method",
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "scopes",
    "audiences",
    "allowed_origins",
    "require_consent",
];

impl State {
    /// What all of these voters understand. One that has not told its level yet is new, and of this build: an older one
    /// told it in its time.
    pub fn agreed_level(&self, voters: impl IntoIterator<Item = NodeId>) -> u16 {
        let level = |voter| self.node(voter).map(|node| node.spec.feature_level).filter(|level| *level > 0);
        voters.into_iter().filter_map(level).min().unwrap_or(FEATURE_LEVEL).min(FEATURE_LEVEL)
    }
}

impl Mutation {
    /// What every voter must understand before this is proposed.
    pub fn needed_level(&self) -> u16 {
        match self {
            Self::TenantCreate { spec, .. } | Self::TenantUpdate { spec, .. } => level_of_tenant(spec).max(FIRST_LEVEL),
            Self::ClientCreate { spec, .. } | Self::ClientUpdate { spec, .. } => level_of_client(spec).max(FIRST_LEVEL),
            Self::TenantDelete { .. }
            | Self::ClientDelete { .. }
            | Self::ClientSecretAdd { secret: NewSecret { sealed: None, .. }, .. }
            | Self::ClientSecretRemove { .. }
            | Self::ScopeCreate { .. }
            | Self::ScopeUpdate { .. }
            | Self::ScopeDelete { .. }
            | Self::KeyRevoke { .. }
            | Self::AdminCreate { .. }
            | Self::AdminUpdate { .. }
            | Self::AdminDelete { .. }
            // Whoever told a level has the table; it must always be able to tell a higher one.
            | Self::NodePut { .. }
            | Self::NodeSeen { .. }
            | Self::NodeRemove { .. } => FIRST_LEVEL,
            Self::KeyRotate { family: Some(_), .. }
            | Self::ClientSecretAdd { .. }
            | Self::ClientRegister { .. }
            | Self::ClientReregister { .. }
            | Self::ClientUnregister { .. }
            | Self::RegistrationTokenCreate { .. }
            | Self::RegistrationTokenRevoke { .. } => 3,
            Self::KeyReseal { moves } if moves.iter().any(|it| is_of_level_3(&it.place)) => 3,
            Self::KeyRotate { family: None, .. }
            | Self::KeyActivate { .. }
            | Self::AdminUsed { .. }
            | Self::KeyReseal { .. }
            | Self::AuditNote { .. }
            | Self::SettingsUpdate { .. }
            | Self::FleetUpdate { .. }
            | Self::AuditTruncate { .. }
            | Self::AuditCursor { .. } => 2,
            Self::Batch { items, .. } => items.iter().map(Self::needed_level).max().unwrap_or(2).max(2),
            Self::Restore { resources } => resources.iter().map(level_of_restored).max().unwrap_or(2).max(2),
        }
    }
}

const fn is_of_level_3(place: &SealedPlace) -> bool {
    match place {
        SealedPlace::ClientSecret { .. } | SealedPlace::Smtp { .. } | SealedPlace::IdentityProvider { .. } => true,
        SealedPlace::Database { .. } | SealedPlace::SigningKey { .. } | SealedPlace::Receipt { .. } => false,
    }
}

fn level_of_restored(resource: &Restored) -> u16 {
    match resource {
        Restored::Tenant(tenant) => level_of_tenant(&tenant.spec),
        Restored::Client(client) => level_of_client(&client.spec),
        _ => 2,
    }
}

fn level_of_tenant(spec: &TenantSpec) -> u16 {
    let settings = &spec.settings;
    let first_algorithm = matches!(
        settings.signing_algorithm,
        SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa | SigningAlgorithm::Rs256
    );
    let first_fields = settings.oauth.is_default() && settings.rate_limit.is_none() && settings.smtp.is_none();
    let is_newest = !settings.branding.is_default()
        || settings.oauth.password_min_length.is_some()
        || settings.oauth.claims.values().any(ClaimSource::is_aggregated);
    match (first_fields && first_algorithm, is_newest) {
        (_, true) => 4,
        (true, false) => FIRST_LEVEL,
        (false, false) => 3,
    }
}

fn level_of_client(spec: &ClientSpec) -> u16 {
    let first_method = matches!(
        spec.token_endpoint_auth_method,
        AuthMethod::None | AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost
    );
    let first_grants = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::ClientCredentials];
    // Fields at their defaults are left out of the JSON, so that an older build reads what it knows.
    let fields = serde_json::to_value(spec).ok();
    let first_fields = fields
        .as_ref()
        .and_then(serde_json::Value::as_object)
        .is_some_and(|members| members.keys().all(|name| FIRST_FIELDS.contains(&name.as_str())));
    if first_method && first_fields && spec.grant_types.iter().all(|grant| first_grants.contains(grant)) {
        1
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyFamily;
    use crate::mutation::RotateStep;

    fn client(change: impl FnOnce(&mut ClientSpec)) -> u16 {
        let mut spec = ClientSpec { name: "Web".to_owned(), ..ClientSpec::default() };
        change(&mut spec);
        let tenant = "acme".parse().unwrap();
        Mutation::ClientUpdate { tenant, client_id: "web".parse().unwrap(), spec }.needed_level()
    }

    #[test]
    fn a_client_of_the_first_builds_words_is_understood_by_it() {
        assert_eq!(client(|_| {}), 1);
        assert_eq!(client(|spec| spec.grant_types = vec![GrantType::ClientCredentials]), 1);
    }

    #[test]
    fn a_tenant_that_says_more_of_oauth_needs_the_newest() {
        let mut spec: TenantSpec = serde_json::from_str(r#"{"display_name":"Acme"}"#).unwrap();
        assert_eq!(level_of_tenant(&spec), 1);
        spec.settings.oauth.allow_plain_pkce = true;
        let update = Mutation::TenantUpdate { slug: "acme".parse().unwrap(), spec };
        assert_eq!(update.needed_level(), 3);
        let batch = Mutation::Batch { items: vec![update], planned_on: vec![], managed_by: None };
        assert_eq!(batch.needed_level(), 3);
        let mut spec: TenantSpec = serde_json::from_str(r#"{"display_name":"Acme"}"#).unwrap();
        spec.settings.signing_algorithm = SigningAlgorithm::Es384;
        assert_eq!(level_of_tenant(&spec), 3);
        let limited = r#"{"display_name":"Acme","settings":{"rate_limit":{"requests_per_second":1,"burst":1}}}"#;
        assert_eq!(level_of_tenant(&serde_json::from_str(limited).unwrap()), 3);
        let mailing = r#"{"display_name":"Acme","settings":{"smtp":{"host":"mx","from":"a@b.example"}}}"#;
        assert_eq!(level_of_tenant(&serde_json::from_str(mailing).unwrap()), 3);
        for newest in [
            r##"{"branding":{"accent_color":"#112233"}}"##,
            r#"{"oauth":{"password_min_length":10}}"#,
            r#"{"oauth":{"claims":{"score":{"aggregated":"bank"}}}}"#,
        ] {
            let spec = format!(r#"{{"display_name":"Acme","settings":{newest}}}"#);
            assert_eq!(level_of_tenant(&serde_json::from_str(&spec).unwrap()), 4, "{newest}");
        }
    }

    #[test]
    fn a_rotation_that_names_its_keys_needs_the_newest() {
        let rotate = |family| Mutation::KeyRotate { tenant: None, step: RotateStep::Now, family };
        assert_eq!(rotate(None).needed_level(), 2);
        assert_eq!(rotate(Some(KeyFamily::P256)).needed_level(), 3);
    }

    #[test]
    fn who_has_not_told_a_level_is_of_this_build() {
        assert_eq!(State::default().agreed_level([NodeId(1), NodeId(2)]), FEATURE_LEVEL);
    }
}
