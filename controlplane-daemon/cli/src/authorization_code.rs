//! The authorization-code flow of a program on the user's machine (RFC 8252): the browser goes to the issuer, the code comes
//! back to a loopback address, and PKCE (RFC 7636) makes it worthless to whoever else sees it.

use std::process::{Command, Stdio};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vocab::SecretDigest;

use crate::api;
use crate::failure::Failure;
use crate::output::note;
use crate::problem::Problem;
use crate::random;

/// What is used of a discovery document (OpenID Connect Discovery §3).
#[derive(Debug, Deserialize)]
pub(crate) struct Discovery {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Option<Url>,
    pub(crate) token_endpoint: Url,
}

/// What is asked of the issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) redirect_uri: &'a str,
    /// Comes back in the ID token (OIDC Core §3.1.2.1).
    pub(crate) nonce: Option<&'a str>,
}

/// How the user learns where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// On standard error.
    Printed,
    /// There, too, in case no browser opens.
    InBrowser,
}

/// The code that came back, and what proves that we asked for it.
#[derive(Debug)]
pub(crate) struct Granted {
    code: String,
    verifier: String,
}

impl Granted {
    /// Its part of the token request.
    pub(crate) fn form(self, request: &Request<'_>) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", self.code),
            ("code_verifier", self.verifier),
            ("redirect_uri", request.redirect_uri.to_owned()),
        ]
    }
}

/// Where the code comes back.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: TcpListener,
    path: String,
}

impl Listening {
    /// On any free port: issuers must take every port of a loopback address (RFC 8252 §7.3).
    pub(crate) async fn anywhere() -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on a loopback address")?;
        Ok(Self { listener, path: "/callback".to_owned() })
    }

    pub(crate) fn redirect_uri(&self) -> Result<String, Failure> {
        let port = self.listener.local_addr().context("the listener has no address")?.port();
        Ok(format!("http://127.0.0.1:{port}{}", self.path))
    }
}

pub(crate) async fn discover(http: &reqwest::Client, issuer: &str) -> Result<Discovery, Failure> {
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

pub(crate) async fn read(response: reqwest::Response) -> Result<Value, Failure> {
    let status = response.status();
    let bytes = response.bytes().await.context("the answer broke off")?;
    if !status.is_success() {
        return Err(Failure::Problem(Box::new(Problem::read(status.as_u16(), &bytes))));
    }
    Ok(serde_json::from_slice(&bytes).context("the answer is not JSON")?)
}

/// Sends the user's browser to the authorization endpoint and waits for the code.
pub(crate) async fn authorize(
    discovery: &Discovery,
    request: &Request<'_>,
    back: &Listening,
    shown: Shown,
) -> Result<Granted, Failure> {
    let (verifier, state) = (random::token(), random::token());
    let mut url = discovery.authorization_endpoint.clone().context("the issuer has no authorization endpoint")?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", request.client_id)
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("scope", request.scope)
        .append_pair("state", &state)
        .append_pair("code_challenge", &challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    if let Some(nonce) = request.nonce {
        url.query_pairs_mut().append_pair("nonce", nonce);
    }
    note(format_args!("Open this in a browser on this machine, log in, and come back:\n\n  {url}\n"));
    if shown == Shown::InBrowser {
        open_browser(&url);
    }
    loop {
        let (stream, _) = back.listener.accept().await.context("cannot accept a connection")?;
        if let Some(query) = callback(stream, &back.path).await {
            let code = code_of(&query, &state, &discovery.issuer)?;
            return Ok(Granted { code, verifier });
        }
    }
}

/// As the desktop does it. That it did not is no failure: the URL is printed.
fn open_browser(url: &Url) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    let _ = command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

/// RFC 7636 §4.2: the base64url form of the verifier's SHA-256.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(SecretDigest::of(verifier.as_bytes()).as_bytes())
}

pub(crate) async fn listen(redirect_uri: &str) -> Result<Listening, Failure> {
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
    Ok(Listening { listener, path: url.path().to_owned() })
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
