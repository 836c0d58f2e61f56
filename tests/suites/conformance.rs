//! What the OpenID Foundation's conformance suite asks of a provider, module by module, each under the name that it has
//! there: https://gitlab.com/openid/conformance-suite. The suite itself is a Java server with a browser of its own; here
//! its checks are made by clients of ours, against real pods. A plan's list of modules is written down beside its rows, and
//! a module without a row fails. What the suite skips, as when a provider does not advertise `none`, is a row that checks
//! that it would be skipped.
//!
//! Left out: modules for countries' profiles, for Grant Management, and for request objects in the FAPI plan, whose variant
//! `unsigned` has none.

#[path = "conformance/basic.rs"]
mod basic;
#[path = "conformance/config.rs"]
mod config;
#[path = "conformance/dynamic.rs"]
mod dynamic;
#[path = "conformance/fapi2.rs"]
mod fapi2;
#[path = "proofs/keys.rs"]
mod keys;
#[path = "conformance/logout.rs"]
mod logout;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use tests::browser::{Browser, Page};
use tests::relying_party::{Attempt, RelyingParty, Tokens, parameters};
use tests::tenant::User;
use tests::tokens;
use tests::world::World;
use tokio::sync::OnceCell;
use url::Url;

/// Two pods that reach listeners of this machine.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::with_outbound(2)).await
}

/// What is wrong with a module.
type Outcome = Result<(), String>;

/// A plan while it is gone through.
#[derive(Default)]
struct Plan {
    done: BTreeSet<&'static str>,
    wrong: Vec<String>,
}

impl Plan {
    fn row(&mut self, module: &'static str, outcome: Outcome) {
        assert!(self.done.insert(module), "{module} has two rows");
        if let Err(why) = outcome {
            self.wrong.push(format!("{module}: {why}"));
        }
    }

    /// Every module of the plan must have had its row, and hold.
    fn finish(self, modules: &[&'static str]) {
        let listed: BTreeSet<&str> = modules.iter().copied().collect();
        assert_eq!(self.done, listed, "rows and modules differ");
        assert!(self.wrong.is_empty(), "{} modules fail:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// How an authorization request ended.
#[derive(Debug)]
struct Came {
    /// What the client got; empty when it ended at a page of the provider's.
    answer: HashMap<String, String>,
    /// The callback, without its parameters' meaning.
    callback: Option<Url>,
    asked_password: bool,
    is_posted: bool,
    page: Page,
}

impl Came {
    fn error(&self) -> &str {
        self.answer.get("error").map_or("", String::as_str)
    }

    /// The user was told, and no client was.
    fn stays(&self) -> Outcome {
        let stays = self.callback.is_none() && self.answer.is_empty() && self.page.status >= 400;
        ensure(stays, || format!("want an error page: {:?} {}", self.callback, self.page.status))
    }

    fn refuses(&self, errors: &[&str]) -> Outcome {
        ensure(errors.contains(&self.error()), || {
            format!("want one of {errors:?}: {:?} {} {}", self.answer, self.page.status, self.page.text())
        })
    }
}

/// Walks on from a page as the user would, to the client or an error.
async fn walk(browser: &Browser, mut page: Page, user: &User) -> Came {
    let mut asked_password = false;
    for _ in 0..5 {
        if let Some(callback) = page.leaves_to.clone() {
            let (answer, callback) = (parameters(&callback), Some(callback));
            return Came { answer, callback, asked_password, is_posted: false, page };
        }
        let Some(form) = page.form().filter(|_| page.status < 400) else { break };
        if form.action.origin() != page.url.origin() {
            let answer = form.fields.into_iter().map(|field| (field.name, field.value)).collect();
            return Came { answer, callback: Some(form.action), asked_password, is_posted: true, page };
        }
        page = if form.asks_for_password() {
            asked_password = true;
            browser.sign_in(&form, &user.email, &user.password).await
        } else {
            browser.consent(&form).await
        };
    }
    Came { answer: HashMap::new(), callback: None, asked_password, is_posted: false, page }
}

async fn visit(browser: &Browser, url: &Url, user: &User) -> Came {
    let page = browser.open(url).await;
    walk(browser, page, user).await
}

/// A sign-in that went well.
struct Signed {
    came: Came,
    tokens: Tokens,
    /// The claims of the ID token.
    id: Value,
}

/// Checks what came back and redeems the code, by HTTP Basic or as a public client.
async fn redeem(party: &RelyingParty, attempt: &Attempt, came: Came) -> Result<Signed, String> {
    let code = came.answer.get("code").ok_or_else(|| format!("no code: {:?} {}", came.answer, came.page.text()))?;
    let answer = party.redeem(code, &attempt.verifier).await;
    ensure(answer.status == 200, || format!("the code is not taken: {answer:?}"))?;
    ensure(answer.header("cache-control") == Some("no-store"), || format!("{:?}", answer.headers))?;
    signed(party, attempt, came, Tokens::read(answer)).await
}

/// The checks of a token response and its ID token that every module makes (OIDC Core §3.1.3.3, §3.1.3.7).
async fn signed(party: &RelyingParty, attempt: &Attempt, came: Came, tokens: Tokens) -> Result<Signed, String> {
    let asked = parameters(&attempt.url);
    ensure(came.answer.get("state") == asked.get("state"), || format!("state: {:?}", came.answer))?;
    ensure(came.answer.get("iss") == Some(&party.base), || format!("iss: {:?}", came.answer))?;
    let jwks = party.jwks().await.json;
    let id = tokens::verify(tokens.id(), &jwks)?;
    let nonce = asked.get("nonce").map_or(Value::Null, |nonce| nonce.as_str().into());
    ensure(id["iss"] == party.base.as_str() && id["nonce"] == nonce, || format!("iss or nonce: {id}"))?;
    let audience = [&id["aud"], &id["aud"][0]].iter().any(|aud| **aud == party.client_id.as_str());
    ensure(audience && id["sub"].is_string() && id["iat"].is_i64(), || format!("aud, sub or iat: {id}"))?;
    let header = tokens::Jwt::parse(tokens.id()).header;
    if let (Some(alg), Some(hash)) = (header["alg"].as_str(), id["at_hash"].as_str()) {
        ensure(hash == tokens::at_hash_by(alg, &tokens.access), || format!("at_hash: {id}"))?;
    }
    Ok(Signed { came, tokens, id })
}
