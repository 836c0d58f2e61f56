//! `hellojohn client`, with the secrets of confidential clients.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::Precondition;
use crate::api::{Api, Change};
use crate::document::{Fields, FileArg};
use crate::failure::Failure;
use crate::output::Column;

const COLUMNS: &[Column] = &[
    ("CLIENT ID", "/client_id"),
    ("NAME", "/name"),
    ("ENABLED", "/enabled"),
    ("AUTHENTICATION", "/token_endpoint_auth_method"),
    ("GRANTS", "/grant_types"),
    ("SCOPES", "/scopes"),
    ("REVISION", "/revision"),
];

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The tenant's slug
    #[arg(short, long, env = "HJ_TENANT", value_name = "SLUG")]
    tenant: String,
}

impl Of {
    pub(super) fn slug(&self) -> &str {
        &self.tenant
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All clients of a tenant
    List {
        #[command(flatten)]
        of: Of,
    },
    /// One client
    Get {
        client_id: String,
        #[command(flatten)]
        of: Of,
    },
    /// Create a client; a confidential one's secret is shown once
    Create {
        /// Chosen by the server when not given
        client_id: Option<String>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
    },
    /// Change what flags name, or replace the whole with -f
    Update {
        client_id: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
        #[command(flatten)]
        precondition: Precondition,
    },
    /// Delete a client
    Delete {
        client_id: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        precondition: Precondition,
    },
    /// A client's secrets: two may overlap, so that one is rotated without an outage
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Initial access tokens: whoever has one registers clients by itself, as the tenant's policy allows
    #[command(subcommand)]
    RegistrationToken(RegistrationTokenCommand),
}

const TOKEN_COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("USES", "/uses"),
    ("MAX USES", "/max_uses"),
    ("EXPIRES", "/expires_at"),
    ("CREATED", "/created_at"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum RegistrationTokenCommand {
    /// All initial access tokens of a tenant
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Make one, shown once
    Create {
        /// Who gets it
        name: String,
        #[command(flatten)]
        of: Of,
        /// How many clients it lets in
        #[arg(long, value_name = "NUMBER")]
        max_uses: Option<u32>,
        /// When it stops working (RFC 3339)
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Make one worthless; clients that it let in stay
    Revoke {
        id: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Add a second secret, shown once
    Add {
        client_id: String,
        #[command(flatten)]
        of: Of,
        /// When the secret there is stops working (RFC 3339)
        #[arg(long, value_name = "TIME")]
        previous_expires_at: Option<String>,
    },
    /// Remove a secret
    Remove {
        client_id: String,
        secret_id: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[arg(long)]
    name: Option<String>,
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// A public client: authenticates by PKCE alone
    #[arg(long, conflicts_with = "auth_method")]
    public: bool,
    /// How the client authenticates at the token endpoint
    #[arg(long, value_parser = ["none", "client_secret_basic", "client_secret_post"])]
    auth_method: Option<String>,
    /// Repeat for more, '' for none; so with every list here
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    #[arg(long = "grant", value_name = "GRANT", value_parser = ["", "authorization_code", "refresh_token", "client_credentials"])]
    grants: Vec<String>,
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A resource server the client may ask tokens for
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// A browser origin that may call the token endpoint
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    #[arg(long, value_name = "BOOL")]
    require_consent: Option<bool>,
}

impl From<Flags> for Fields {
    fn from(flags: Flags) -> Self {
        let auth_method = if flags.public { Some("none".to_owned()) } else { flags.auth_method };
        Self::default()
            .set("name", flags.name)
            .set("enabled", flags.enabled)
            .set("token_endpoint_auth_method", auth_method)
            .set_list("redirect_uris", flags.redirect_uris)
            .set_list("post_logout_redirect_uris", flags.post_logout_redirect_uris)
            .set_list("grant_types", flags.grants)
            .set_list("scopes", flags.scopes)
            .set_list("audiences", flags.audiences)
            .set_list("allowed_origins", flags.allowed_origins)
            .set("require_consent", flags.require_consent)
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { of } => api.output.list(&api.list(&["tenants", of.slug(), "clients"]).await?, COLUMNS),
        Command::Get { client_id, of } => {
            api.output.document(&api.get(&["tenants", of.slug(), "clients", &client_id]).await?)
        }
        Command::Create { client_id, of, flags, file } => {
            let mut body = file.merged(Fields::from(flags).set("client_id", client_id))?;
            if body.get("name").is_none()
                && let Some(id) = body.get("client_id").cloned()
            {
                body["name"] = id;
            }
            super::create(api, &["tenants", of.slug(), "clients"], body).await
        }
        Command::Update { client_id, of, flags, file, precondition } => {
            let whole = file.file.is_some();
            let path = ["tenants", of.slug(), "clients", &client_id];
            super::update(api, &path, file.merged(flags.into())?, whole, precondition).await
        }
        Command::Delete { client_id, of, precondition } => {
            super::delete(api, &["tenants", of.slug(), "clients", &client_id], precondition).await
        }
        Command::Secret(command) => secret(api, command).await,
        Command::RegistrationToken(command) => registration_token(api, command).await,
    }
}

async fn secret(api: &Api, command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Add { client_id, of, previous_expires_at } => {
            let body = previous_expires_at.map_or_else(|| json!({}), |time| json!({ "previous_expires_at": time }));
            let path = ["tenants", of.slug(), "clients", &client_id, "secrets"];
            super::create(api, &path, body).await
        }
        SecretCommand::Remove { client_id, secret_id, of } => {
            let path = ["tenants", of.slug(), "clients", &client_id, "secrets", &secret_id];
            let change = Change { method: Method::DELETE, path: &path, body: None, if_match: None };
            api.output.answer(&api.change(change).await?, "removed")
        }
    }
}

async fn registration_token(api: &Api, command: RegistrationTokenCommand) -> Result<(), Failure> {
    const TOKENS: &str = "registration-tokens";
    match command {
        RegistrationTokenCommand::List { of } => {
            api.output.list(&api.list(&["tenants", of.slug(), TOKENS]).await?, TOKEN_COLUMNS)
        }
        RegistrationTokenCommand::Create { name, of, max_uses, expires_at } => {
            let body = json!({ "name": name, "max_uses": max_uses, "expires_at": expires_at });
            super::create(api, &["tenants", of.slug(), TOKENS], body).await
        }
        RegistrationTokenCommand::Revoke { id, of } => {
            let change = Change {
                method: Method::DELETE,
                path: &["tenants", of.slug(), TOKENS, &id],
                body: None,
                if_match: None,
            };
            api.output.answer(&api.change(change).await?, "revoked")
        }
    }
}
