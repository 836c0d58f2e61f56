//! `/auth/token`: a credential, or the word of the administrators' issuer, for a short-lived token; `/auth/methods`: which
//! of the two there are. Whoever fails too often has to wait.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use controlplane_core::model::KeyOwner;
use controlplane_core::{Note, Origin};
use serde_json::json;
use vocab::{AdminId, ErrorCode, Secret, SecretDigest};

use super::Api;
use super::fields::{Fields, Problems};
use super::json::Document;
use super::origin;
use super::problem::{Presented, Problem};
use super::throttle::{Failed, Locked};
use super::token::{self, Holder, LIFETIME_SECS, usable};
use crate::credential::Credential;
use crate::oidc::{OidcError, Tokens};

/// What is presented.
enum Proof {
    Credential(Secret<String>),
    Issuer(Tokens),
}

/// `POST /auth/token`
pub(super) async fn issue(api: web::Data<Api>, request: HttpRequest, body: Document) -> Result<HttpResponse, Problem> {
    let (holder, method) = match read(&body)? {
        Proof::Credential(text) => (by_credential(&api, &request, &text)?, "credential"),
        Proof::Issuer(tokens) => (by_issuer(&api, &request, &tokens).await?, "oidc"),
    };
    metrics::counter!("hj_cp_admin_sign_ins_total", "method" => method).increment(1);
    let key = api.control.read(|state| state.active_keys(KeyOwner::Global).next().cloned());
    let key = key.ok_or_else(|| Problem::new(ErrorCode::Unavailable, "the cluster has no signing key yet"))?;
    let token = token::sign(&key, &api.keyring, &holder, api.clock.now())?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": LIFETIME_SECS,
    })))
}

/// `GET /auth/methods`
pub(super) async fn methods(api: web::Data<Api>) -> HttpResponse {
    let oidc = api.oidc.as_ref().map(|oidc| json!({ "issuer": oidc.issuer(), "client_id": oidc.client_id() }));
    HttpResponse::Ok().json(json!({ "credential": true, "oidc": oidc }))
}

fn read(body: &Document) -> Result<Proof, Problem> {
    let problems = Problems::default();
    let proof = Fields::of(&body.0, "", &problems).and_then(|fields| {
        let credential = fields.text("credential").map(Secret::new);
        let tokens = Tokens {
            id_token: fields.text("id_token").map(Secret::new),
            access_token: fields.text("access_token").map(Secret::new),
        };
        let issuer = tokens.id_token.is_some() || tokens.access_token.is_some();
        let proof = match (credential, issuer) {
            (Some(credential), false) => Some(Proof::Credential(credential)),
            (None, true) => Some(Proof::Issuer(tokens)),
            (Some(_), true) => {
                fields.wrong("credential", "give a credential or an issuer's tokens, not both");
                None
            }
            (None, false) => {
                fields.wrong("credential", "is needed, or id_token, or access_token");
                None
            }
        };
        fields.finish();
        proof
    });
    problems.settle(proof)
}

fn by_credential(api: &Api, request: &HttpRequest, text: &Secret<String>) -> Result<Holder, Problem> {
    let credential = text.expose().parse::<Credential>().ok();
    let id = credential.as_ref().map(|credential| credential.id);
    let from = origin::address(request);
    wait(api, from, id)?;
    let now = api.clock.now();
    let holder = api.control.read(|state| {
        let credential = credential.as_ref()?;
        // A digest that nothing matches, so that an unknown id takes as long as a wrong secret.
        let digest = state.admin(credential.id).map_or(SecretDigest::from_bytes([0; 32]), |admin| admin.digest);
        let matches = credential.matches(&digest);
        usable(state, credential.id, now).filter(|_| matches).map(Holder::of)
    });
    match (holder, id) {
        (Some(holder), Some(id)) => {
            if let Some(from) = from {
                api.throttle.succeeded(from, id, Instant::now());
            }
            api.uses.saw(id, now);
            Ok(holder)
        }
        _ => Err(failed(api, request, id, "credential", "this credential is not valid")),
    }
}

async fn by_issuer(api: &Api, request: &HttpRequest, tokens: &Tokens) -> Result<Holder, Problem> {
    let oidc = api.oidc.as_ref().ok_or_else(|| {
        Problem::new(ErrorCode::NotConfigured, "this node takes no issuer's tokens: --admin-oidc-issuer is not set")
    })?;
    wait(api, origin::address(request), None)?;
    match oidc.identify(tokens, api.clock.now()).await {
        Ok(identity) => Ok(Holder::Subject { issuer: oidc.issuer().to_owned(), identity }),
        Err(OidcError::Refused(why)) => {
            tracing::info!(%why, "the token of an issuer was refused");
            Err(failed(api, request, None, "oidc", "this token is not valid here"))
        }
        Err(why @ OidcError::NoRole { .. }) => {
            tracing::info!(%why, "the token of an issuer was refused");
            // Not a guess: the issuer knows the person. So it costs no try.
            Err(Problem::forbidden("the issuer vouches for you, but nothing gives you a role here"))
        }
        Err(OidcError::Unreachable(_)) => {
            Err(Problem::new(ErrorCode::Unavailable, "the issuer does not answer; the cause is in this node's log"))
        }
    }
}

/// Refuses whoever has to wait. Requests of this process's own tests have no address.
fn wait(api: &Api, from: Option<IpAddr>, credential: Option<AdminId>) -> Result<(), Problem> {
    let Some(from) = from else { return Ok(()) };
    api.throttle.check(from, credential, Instant::now()).map_err(too_many)
}

fn too_many(wait: Duration) -> Problem {
    metrics::counter!("hj_cp_admin_throttled_total").increment(1);
    Problem::too_many_requests(wait, "too many failed attempts; wait before the next")
}

fn failed(api: &Api, request: &HttpRequest, id: Option<AdminId>, kind: &'static str, detail: &'static str) -> Problem {
    metrics::counter!("hj_cp_admin_auth_failures_total", "kind" => kind).increment(1);
    let origin = Origin { credential: id.map(|id| id.to_string()), ..origin::of(request) };
    if let Some(from) = origin::address(request) {
        report(api, &origin, &api.throttle.failed(from, Failed::SignIn(id), Instant::now()));
    }
    api.control.notes().note(Note::SignInFailed { origin, count: 1 });
    Problem::unauthenticated(Presented::Token, detail)
}

/// Whether a token that this node has not seen before is looked at.
pub(super) fn wait_for_bearer(api: &Api, request: &HttpRequest) -> Result<(), Problem> {
    let Some(from) = origin::address(request) else { return Ok(()) };
    api.throttle.check_bearer(from, Instant::now()).map_err(too_many)
}

/// A token that is none of ours: somebody tries.
pub(super) fn bearer_failed(api: &Api, request: &HttpRequest) {
    metrics::counter!("hj_cp_admin_auth_failures_total", "kind" => "token").increment(1);
    if let Some(from) = origin::address(request) {
        report(api, &origin::of(request), &api.throttle.failed(from, Failed::Bearer, Instant::now()));
    }
}

/// A request to join that no node has signed. `Err`: there were so many from there that nothing more is said or noted.
pub(super) fn join_failed(api: &Api, request: &HttpRequest) -> Result<(), Problem> {
    let Some(from) = origin::address(request) else { return Ok(()) };
    let now = Instant::now();
    api.throttle.check_join(from, now).map_err(too_many)?;
    api.throttle.failed(from, Failed::Join, now);
    Ok(())
}

fn report(api: &Api, origin: &Origin, locked: &[Locked]) {
    for locked in locked {
        let who = match locked {
            Locked::Address(address) => address.to_string(),
            Locked::Credential(id) => id.to_string(),
        };
        tracing::warn!(of = locked.kind(), %who, "too many failed sign-ins: locked out for a while");
        metrics::counter!("hj_cp_admin_lockouts_total", "of" => locked.kind()).increment(1);
        api.control.notes().note(Note::LockedOut { who, origin: origin.clone() });
    }
}
