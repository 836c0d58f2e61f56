//! `hellojohn token`: gets a token as a client would, to try a set-up.
//!
//! The endpoints come from the issuer's discovery document. The authorization-code grant listens on the redirect URI,
//! which must be a loopback address (RFC 8252 §7.3), prints the URL to open, and redeems the code that comes back.

use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vocab::{Secret, SecretDigest};

use crate::api;
use crate::args::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::private_file;
use crate::problem::Problem;
use crate::random;

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

/// What is used of a discovery document (OpenID Connect Discovery §3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Option<Url>,
    token_endpoint: Url,
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
            let (code, verifier) = authorize(&discovery, &args).await?;
            form.push(("grant_type", "authorization_code".to_owned()));
            form.push(("code", code));
            form.push(("code_verifier", verifier));
            form.push(("redirect_uri", args.redirect_uri.clone()));
        }
    }
    let answer = redeem(&http, &discovery, &args, form).await?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) if args.raw => println!("{token}"),
        _ => Output::new(connection.output).document(&answer)?,
    }
    Ok(())
}

async fn discover(http: &reqwest::Client, issuer: &str) -> Result<Discovery, Failure> {
    let issuer = issuer.trim_end_matches('/');
    let url = api::parse_server(&format!("{issuer}/.well-known/openid-configuration"))?;
    let body =
        read(http.get(url.clone()).send().await.map_err(|error| api::unreachable(url.as_str(), &error))?).await?;
    let discovery: Discovery =
        serde_json::from_value(body).with_context(|| format!("{url} is not a discovery document"))?;
    // OpenID Connect Discovery §4.3: else one issuer could pass for another.
    if discovery.issuer == issuer {
        Ok(discovery)
    } else {
        Err(anyhow::anyhow!("{url} is the document of another issuer, {}", discovery.issuer).into())
    }
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

async fn read(response: reqwest::Response) -> Result<Value, Failure> {
    let status = response.status();
    let bytes = response.bytes().await.context("the answer broke off")?;
    if !status.is_success() {
        return Err(Failure::Problem(Box::new(Problem::read(status.as_u16(), &bytes))));
    }
    Ok(serde_json::from_slice(&bytes).context("the answer is not JSON")?)
}

/// Sends the user's browser to the authorization endpoint and waits for the code: (code, PKCE verifier).
async fn authorize(discovery: &Discovery, args: &TokenArgs) -> Result<(String, String), Failure> {
    let (listener, path) = listen(&args.redirect_uri).await?;
    let (verifier, state) = (random::token(), random::token());
    let mut url = discovery.authorization_endpoint.clone().context("the issuer has no authorization endpoint")?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &args.client_id)
        .append_pair("redirect_uri", &args.redirect_uri)
        .append_pair("scope", args.scope.as_deref().unwrap_or("openid"))
        .append_pair("state", &state)
        .append_pair("code_challenge", &challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    eprintln!("Open this in a browser on this machine, log in, and come back:\n\n  {url}\n");
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
        if let Some(query) = callback(stream, &path).await {
            let code = code_of(&query, &state, &discovery.issuer)?;
            return Ok((code, verifier));
        }
    }
}

/// RFC 7636 §4.2: the base64url form of the verifier's SHA-256.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(SecretDigest::of(verifier.as_bytes()).as_bytes())
}

async fn listen(redirect_uri: &str) -> Result<(TcpListener, String), Failure> {
    let wrong = || Failure::Usage(format!("--redirect-uri {redirect_uri}: want http://127.0.0.1:PORT/PATH"));
    let url = Url::parse(redirect_uri).map_err(|_| wrong())?;
    let port = url.port().ok_or_else(wrong)?;
    if url.scheme() != "http" || !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
        return Err(wrong());
    }
    let host = if url.host_str() == Some("[::1]") { "::1" } else { "127.0.0.1" };
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on port {port}, where the code comes back"))?;
    Ok((listener, url.path().to_owned()))
}

/// Answers one request of the browser; the query when it was the redirect and not, say, for a favicon.
async fn callback(stream: TcpStream, path: &str) -> Option<Url> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let url = Url::parse("http://127.0.0.1/").and_then(|base| base.join(target)).ok()?;
    let ours = url.path() == path;
    // The headers are read to their end, else closing the socket could reset the answer on its way.
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await.ok()? <= 2 {
            break;
        }
    }
    let (status, text) = if ours { ("200 OK", "Done. Go back to the terminal.\n") } else { ("404 Not Found", "") };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    ours.then_some(url)
}

/// The code of an authorization response that is ours (`state`) and the issuer's (`iss`, RFC 9207 §2.4).
fn code_of(response: &Url, state: &str, issuer: &str) -> Result<String, Failure> {
    let parameter =
        |name: &str| response.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if parameter("state").as_deref() != Some(state) {
        return Err(anyhow::anyhow!("the answer is not to our request: its state is another").into());
    }
    if parameter("iss").is_some_and(|iss| iss != issuer) {
        return Err(anyhow::anyhow!("the answer comes from another issuer").into());
    }
    if let Some(error) = parameter("error") {
        let detail = parameter("error_description").unwrap_or_default();
        return Err(Failure::Problem(Box::new(Problem { status: 403, title: error, detail, ..Problem::default() })));
    }
    Ok(parameter("code").context("the answer has no code")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_response_is_taken_only_with_our_state_from_our_issuer() {
        let of = |query: &str| code_of(&Url::parse(&format!("http://127.0.0.1/cb?{query}")).unwrap(), "s", "https://i");
        assert_eq!(of("code=c&state=s&iss=https%3A%2F%2Fi").unwrap(), "c");
        assert_eq!(of("code=c&state=s").unwrap(), "c");
        assert!(of("code=c&state=x").is_err());
        assert!(of("code=c&state=s&iss=https%3A%2F%2Fevil").is_err());
        assert_eq!(of("error=access_denied&state=s").unwrap_err().exit_code(), 5);
    }
}
