//! A tenant's JSON. The secrets of its database, mail server and identity providers go in and never come out.

use controlplane_core::Tenant;
use controlplane_core::model::{
    Branding, Database, IssuerMode, KeyRotation, Lifetimes, OAuthSettings, RateLimit, SigningAlgorithm, Staleness,
    TenantSettings, TenantSpec, TenantStatus,
};
use serde::Serialize;
use serde_json::{Value, json};
use vocab::claims::OF_OTHERS;
use vocab::json_schema::{self, JsonSchema};
use vocab::{Keyring, Revision, Secret, Slug, TenantId};

use super::identity_provider::{self, oauth};
use super::policy::{key_rotation, rate_limit, staleness};
use super::smtp::{SmtpView, smtp};
use super::{ALGORITHMS, rfc3339, seal, unchanged};
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

const DEFAULT_MAX_CONNECTIONS: u32 = 10;
const MAX_DSN_BYTES: usize = 4096;

#[derive(Serialize)]
pub(in crate::admin) struct TenantView {
    id: TenantId,
    pub(in crate::admin) slug: Slug,
    display_name: String,
    status: TenantStatus,
    settings: SettingsView,
    created_at: String,
    updated_at: String,
    pub(in crate::admin) revision: Revision,
}

#[derive(Serialize)]
struct SettingsView {
    database: Option<DatabaseView>,
    issuer_mode: IssuerMode,
    hosts: Vec<String>,
    registration_enabled: bool,
    lifetimes: Lifetimes,
    signing_algorithm: SigningAlgorithm,
    key_rotation: Option<KeyRotation>,
    staleness: Option<Staleness>,
    rate_limit: Option<RateLimit>,
    smtp: Option<SmtpView>,
    oauth: OAuthSettings,
    branding: Branding,
}

#[derive(Serialize)]
struct DatabaseView {
    configured: bool,
    max_connections: u32,
}

impl TenantView {
    pub(in crate::admin) fn of(tenant: &Tenant) -> Self {
        let TenantSettings {
            database,
            issuer_mode,
            hosts,
            registration_enabled,
            lifetimes,
            signing_algorithm,
            key_rotation,
            staleness,
            rate_limit,
            smtp,
            oauth,
            branding,
        } = tenant.spec.settings.clone();
        Self {
            id: tenant.id,
            slug: tenant.slug.clone(),
            display_name: tenant.spec.display_name.clone(),
            status: tenant.spec.status,
            settings: SettingsView {
                database: database
                    .map(|Database { max_connections, .. }| DatabaseView { configured: true, max_connections }),
                issuer_mode,
                hosts,
                registration_enabled,
                lifetimes,
                signing_algorithm,
                key_rotation,
                staleness,
                rate_limit,
                smtp: smtp.map(SmtpView::of),
                oauth: identity_provider::shown(oauth),
                branding,
            },
            created_at: rfc3339(tenant.created_at),
            updated_at: rfc3339(tenant.updated_at),
            revision: tenant.revision,
        }
    }
}

/// The document of a creation.
pub(in crate::admin) fn read_tenant(document: &Value, keyring: &Keyring) -> Result<(Slug, TenantSpec), Problem> {
    let problems = Problems::default();
    let read = Fields::of(document, "", &problems).and_then(|fields| {
        fields.require("slug");
        let slug: Option<Slug> = fields.parsed("slug");
        let spec = spec(&fields, None, keyring);
        fields.finish();
        Some((slug?, spec?))
    });
    problems.settle(read)
}

/// The document of a full replacement.
pub(in crate::admin) fn replace_tenant(
    document: &Value,
    current: &Tenant,
    keyring: &Keyring,
) -> Result<TenantSpec, Problem> {
    let problems = Problems::default();
    let read = Fields::of(document, "", &problems).and_then(|fields| {
        unchanged(&fields, &["id", "slug", "created_at", "updated_at", "revision"], &TenantView::of(current));
        let spec = spec(&fields, Some(&current.spec.settings), keyring);
        fields.finish();
        spec
    });
    problems.settle(read)
}

fn spec(fields: &Fields<'_>, stored: Option<&TenantSettings>, keyring: &Keyring) -> Option<TenantSpec> {
    fields.require("display_name");
    let display_name = fields.text("display_name");
    let status = fields.word("status", "active or suspended").unwrap_or_default();
    let settings = fields.object("settings").map(|fields| settings(fields, stored, keyring)).unwrap_or_default();
    Some(TenantSpec { display_name: display_name?, status, settings })
}

fn settings(fields: Fields<'_>, stored: Option<&TenantSettings>, keyring: &Keyring) -> TenantSettings {
    let settings = TenantSettings {
        database: fields.object("database").and_then(|fields| {
            let stored = stored.and_then(|stored| stored.database.as_ref());
            database(fields, stored, keyring)
        }),
        issuer_mode: fields.word("issuer_mode", "path or host").unwrap_or_default(),
        hosts: fields.list("hosts").unwrap_or_default(),
        registration_enabled: fields.flag("registration_enabled").unwrap_or_default(),
        lifetimes: fields.object("lifetimes").map(lifetimes).unwrap_or_default(),
        signing_algorithm: fields.word("signing_algorithm", ALGORITHMS).unwrap_or_default(),
        key_rotation: fields.object("key_rotation").map(key_rotation),
        staleness: fields.object("staleness").map(staleness),
        rate_limit: fields.object("rate_limit").and_then(rate_limit),
        smtp: fields
            .object("smtp")
            .and_then(|fields| smtp(fields, stored.and_then(|stored| stored.smtp.as_ref()), keyring)),
        oauth: oauth(&fields, stored.map(|stored| &stored.oauth), keyring).unwrap_or_default(),
        branding: fields.object("branding").and_then(Fields::rest).unwrap_or_default(),
    };
    check_schemas(&fields, &settings.oauth);
    check_names(&fields, &settings.oauth);
    fields.finish();
    settings
}

/// Here, because the log's own rules must not depend on what one version of a compiler takes.
fn check_schemas(fields: &Fields<'_>, oauth: &OAuthSettings) {
    for (name, kind) in &oauth.authorization_details_types {
        // What cannot be used at all is refused with the other rules.
        if json_schema::unusable(&kind.schema).is_some() {
            continue;
        }
        if let Err(why) = JsonSchema::compile(&kind.schema) {
            let name = name.replace('~', "~0").replace('/', "~1");
            fields.wrong_below("oauth", &format!("/authorization_details_types/{name}/schema"), why);
        }
    }
}

/// Here, because the log may hold claims that were called so when they still could be.
fn check_names(fields: &Fields<'_>, oauth: &OAuthSettings) {
    let of_providers = oauth.identity_providers.iter().enumerate();
    let of_providers = of_providers
        .flat_map(|(at, provider)| provider.claims.keys().map(move |name| (format!("/identity_providers/{at}"), name)));
    let all = oauth.claims.keys().map(|name| (String::new(), name)).chain(of_providers);
    for (at, name) in all.filter(|(_, name)| OF_OTHERS.contains(&name.as_str())) {
        fields.wrong_below("oauth", &format!("{at}/claims/{name}"), "is set by the server itself");
    }
}

fn database(fields: Fields<'_>, stored: Option<&Database>, keyring: &Keyring) -> Option<Database> {
    if stored.is_some() {
        fields.unchanged("configured", &json!(true));
    }
    let max_connections = fields.number("max_connections").unwrap_or(DEFAULT_MAX_CONNECTIONS);
    let dsn = match (fields.any("dsn").is_some(), stored) {
        (true, _) => fields.text("dsn").map(Secret::new).and_then(|dsn| {
            if let Err(why) = check_dsn(dsn.expose()) {
                fields.wrong("dsn", why);
                return None;
            }
            Some(seal(&dsn, stored.map(|stored| &stored.dsn), keyring))
        }),
        (false, Some(current)) => Some(current.dsn.clone()),
        (false, None) => {
            fields.require("dsn");
            None
        }
    };
    fields.finish();
    Some(Database { dsn: dsn?, max_connections })
}

/// Roughly: the data plane parses it. The text is never repeated in an error.
fn check_dsn(dsn: &str) -> Result<(), &'static str> {
    let url = dsn.starts_with("postgres://") || dsn.starts_with("postgresql://");
    if dsn.len() > MAX_DSN_BYTES || dsn.chars().any(char::is_control) || !(url || dsn.contains("host")) {
        return Err("must be a PostgreSQL URL (postgres://…) or connection string with a host, at most 4096 bytes");
    }
    Ok(())
}

fn lifetimes(fields: Fields<'_>) -> Lifetimes {
    let default = Lifetimes::default();
    let read = Lifetimes {
        access_token_secs: fields.number("access_token_secs").unwrap_or(default.access_token_secs),
        id_token_secs: fields.number("id_token_secs").unwrap_or(default.id_token_secs),
        refresh_token_idle_secs: fields.number("refresh_token_idle_secs").unwrap_or(default.refresh_token_idle_secs),
        refresh_token_absolute_secs: fields
            .number("refresh_token_absolute_secs")
            .unwrap_or(default.refresh_token_absolute_secs),
        session_idle_secs: fields.number("session_idle_secs").unwrap_or(default.session_idle_secs),
        session_absolute_secs: fields.number("session_absolute_secs").unwrap_or(default.session_absolute_secs),
        authorization_code_secs: fields.number("authorization_code_secs").unwrap_or(default.authorization_code_secs),
        jwks_cache_secs: fields.number("jwks_cache_secs").unwrap_or(default.jwks_cache_secs),
    };
    fields.finish();
    read
}
