//! `hellojohn token`: gets a token as a client would, to try a set-up.
//!
//! The endpoints come from the issuer's discovery document; the authorization-code grant is [`authorization_code`]'s.
//!
//! [`authorization_code`]: crate::authorization_code

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;
use vocab::Secret;

use crate::api;
use crate::args::Connection;
use crate::authorization_code::{Discovery, Request, Shown, authorize, discover, listen, read};
use crate::failure::Failure;
use crate::output::{Output, say};
use crate::private_file;

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The tenant's issuer, such as http://127.0.0.1:8080/t/local
    #[arg(long, env = "HJ_ISSUER", value_name = "URL")]
    issuer: String,
    #[arg(long, env = "HJ_CLIENT_ID", value_name = "ID")]
    client_id: String,
    /// Better in HJ_CLIENT_SECRET or a file, where `ps` does not show it
    #[arg(long, env = "HJ_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    client_secret: Option<String>,
    #[arg(long, value_name = "FILE", conflicts_with = "client_secret")]
    client_secret_file: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    grant: Grant,
    /// Space-separated scopes
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// The resource server the token is for (RFC 8707)
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// Where the code comes back: registered for the client, and a loopback address
    #[arg(long, value_name = "URI", default_value = "http://127.0.0.1:8400/callback")]
    redirect_uri: String,
    /// Print the access token and nothing else
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Grant {
    #[default]
    #[value(alias = "client_credentials")]
    ClientCredentials,
    #[value(alias = "authorization_code")]
    AuthorizationCode,
}

pub(crate) async fn run(connection: &Connection, args: TokenArgs) -> Result<(), Failure> {
    let http = api::http_client(connection.ca_file.as_deref())?;
    let discovery = discover(&http, &args.issuer).await?;
    let mut form = vec![];
    if let Some(resource) = args.resource.clone() {
        form.push(("resource", resource));
    }
    match args.grant {
        Grant::ClientCredentials => {
            form.push(("grant_type", "client_credentials".to_owned()));
            form.extend(args.scope.clone().map(|scope| ("scope", scope)));
        }
        Grant::AuthorizationCode => {
            let request = Request {
                client_id: &args.client_id,
                scope: args.scope.as_deref().unwrap_or("openid"),
                redirect_uri: &args.redirect_uri,
                nonce: None,
            };
            let listener = listen(&args.redirect_uri).await?;
            form.extend(authorize(&discovery, &request, &listener, Shown::Printed).await?.form(&request));
        }
    }
    let answer = redeem(&http, &discovery, &args, form).await?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) if args.raw => say(token)?,
        _ => Output::new(connection.output).document(&answer)?,
    }
    Ok(())
}

async fn redeem(
    http: &reqwest::Client,
    discovery: &Discovery,
    args: &TokenArgs,
    mut form: Vec<(&str, String)>,
) -> Result<Value, Failure> {
    let secret = match (&args.client_secret, &args.client_secret_file) {
        (Some(secret), _) => Some(Secret::new(secret.clone())),
        (None, Some(file)) => Some(Secret::new(private_file::read(file)?)),
        (None, None) => None,
    };
    let url = discovery.token_endpoint.clone();
    let request = http.post(url.clone());
    // Ids and secrets of HelloJohn need no encoding in Basic (RFC 6749 §2.3.1): their alphabets are safe.
    let request = if let Some(secret) = &secret {
        request.basic_auth(&args.client_id, Some(secret.expose()))
    } else {
        form.push(("client_id", args.client_id.clone()));
        request
    };
    read(request.form(&form).send().await.map_err(|error| api::unreachable(url.as_str(), &error))?).await
}
