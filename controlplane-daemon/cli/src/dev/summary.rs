//! What the operator needs now that everything runs. On stdout.

use std::fmt::Write as _;

use reqwest::Url;

use super::demo::{CONFIDENTIAL, PUBLIC, REDIRECT_URI, USER};
use super::environment;
use super::folder::Folder;
use super::layout::Layout;
use super::postgres::Postgres;
use crate::failure::Failure;
use crate::output::say;

pub(crate) fn print(layout: &Layout, folder: &Folder, postgres: &Postgres) -> Result<(), Failure> {
    say(render(layout, folder, postgres)?.trim_end())
}

fn render(layout: &Layout, folder: &Folder, postgres: &Postgres) -> anyhow::Result<String> {
    let issuer = layout.issuer();
    let secret = folder.secret(CONFIDENTIAL)?;
    let password = folder.secret("user-password")?;
    let owner = folder.secret("owner-credential")?;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| writeln!(text, "  {name:<22} {value}");
    row("Issuer", &issuer)?;
    row("Discovery", &format!("{issuer}/.well-known/openid-configuration"))?;
    for node in &layout.nodes {
        row(&format!("Admin API, node {}", node.id), &format!("http://127.0.0.1:{}/api/v1", node.admin))?;
    }
    for pod in &layout.pods {
        row(&format!("Pod {}", pod.id), &format!("http://127.0.0.1:{}", pod.http))?;
    }
    row("PostgreSQL", &format!("127.0.0.1:{}", postgres.port()))?;
    row("Data, logs, secrets", &folder.path().display().to_string())?;
    text.push('\n');
    let mut row = |name: &str, value: &str| writeln!(text, "  {name:<22} {value}");
    row("Owner credential", &owner)?;
    row("Confidential client", &format!("{CONFIDENTIAL}  secret {secret}"))?;
    row("Public client (PKCE)", PUBLIC)?;
    row("Demo user", &format!("{USER}  password {password}"))?;
    text.push('\n');
    writeln!(text, "Get a token:\n")?;
    writeln!(text, "  curl -s -u {CONFIDENTIAL}:{secret} -d grant_type=client_credentials {issuer}/oauth2/token\n")?;
    writeln!(text, "Log in: run this, then open the URL that it prints:\n")?;
    writeln!(
        text,
        "  {} token --grant authorization-code --issuer {issuer} --client-id {PUBLIC} --scope 'openid profile email'\n",
        this()
    )?;
    writeln!(text, "or open the login page alone:\n\n  {}\n", login_url(&issuer)?)?;
    writeln!(text, "Operate it, in another terminal:\n")?;
    writeln!(text, "  . {}\n  hellojohn tenant list\n", folder.path().join(environment::FILE).display())?;
    writeln!(text, "Ready. Ctrl-C stops everything.")?;
    Ok(text)
}

fn this() -> String {
    std::env::current_exe().map_or_else(|_| "hellojohn".to_owned(), |path| path.display().to_string())
}

/// An authorization request of the public client; its challenge is that of RFC 7636, appendix B.
fn login_url(issuer: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(&format!("{issuer}/oauth2/authorize"))?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", PUBLIC)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("scope", "openid profile email")
        .append_pair("state", "demo")
        .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        .append_pair("code_challenge_method", "S256");
    Ok(url)
}
