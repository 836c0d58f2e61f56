//! Who is asking, and may they: before anything of the request is read.

use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, LOCATION};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use controlplane_core::{Actor, Note, Origin, Role};
use futures::FutureExt as _;
use vocab::{ErrorCode, SecretDigest};

use super::Api;
use super::problem::{Presented, Problem};
use super::routes::Access;
use super::token::{self, Holder, Verified};
use super::{audit, origin, sign_in};
use crate::control_plane::NodeRole;
use crate::settings::FollowerWrites;

const MAX_NOTED_PATH: usize = 256;

/// An administrator whose token was verified and whose role was looked up just now.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    verified: Verified,
    pub(super) role: Role,
    /// Where the request came from, for the audit.
    pub(super) origin: Origin,
}

impl Principal {
    pub(super) fn actor(&self) -> Actor {
        self.verified.holder.actor()
    }

    /// What it may do by now; `None`: nothing any more.
    pub(super) fn role_now(&self, api: &Api) -> Option<Role> {
        let now = api.clock.now();
        api.control.read(|state| self.verified.holder.role(state, api.oidc.as_ref(), now))
    }

    /// Whether its token's time has gone, or the key that signed it.
    pub(super) fn is_over(&self, api: &Api) -> bool {
        let now = api.clock.now();
        api.control.read(|state| self.verified.check(state, now)).is_err()
    }

    /// The credential's id, or the issuer's subject.
    pub(super) fn name(&self) -> String {
        self.verified.holder.name()
    }
}

impl FromRequest for Principal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(principal.ok_or_else(|| Problem::unauthenticated(Presented::Nothing, "a token is needed")))
    }
}

/// Wrapped around every route of the table.
pub(super) async fn guard(
    access: Access,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let head = request.request().clone();
    let answer = async {
        match admit(access, request.request()).await {
            Ok(None) => next.call(request).await.map(|answer| recheck(access, answer.map_into_boxed_body())),
            Ok(Some(redirect)) => Ok(request.into_response(redirect)),
            Err(problem) => {
                note_refusal(access, request.request(), &problem);
                Ok(request.into_response(problem.error_response()))
            }
        }
    };
    // A handler must not panic; should one, its caller alone hears of it. The cause is in the log by the panic hook.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        let problem = Problem::internal(format_args!("{} {} panicked", head.method(), head.path()));
        Ok(ServiceResponse::new(head, problem.error_response()))
    })
}

/// A read that waited for a revision must not show it to whom that revision has shut out.
fn recheck(access: Access, answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let request = answer.request();
    let waited = ["min_revision", "consistency"].iter().any(|name| request.query_string().contains(name));
    let Some(api) = request.app_data::<web::Data<Api>>().filter(|_| waited && access != Access::Anyone) else {
        return answer;
    };
    let principal = request.extensions().get::<Principal>().cloned();
    let still = principal.ok_or_else(no_longer_valid).and_then(|principal| {
        let role = principal.role_now(api).ok_or_else(no_longer_valid)?;
        authorize(access, &Principal { role, ..principal }, request)
    });
    match still {
        Ok(()) => answer,
        Err(problem) => answer.into_response(problem.error_response()),
    }
}

fn no_longer_valid() -> Problem {
    Problem::unauthenticated(Presented::Token, "the token is not valid, or not any more")
}

/// `Some`: the answer is a redirect to the leader.
async fn admit(access: Access, request: &HttpRequest) -> Result<Option<HttpResponse>, Problem> {
    if matches!(access, Access::Anyone | Access::Nodes) {
        return Ok(None);
    }
    let api = request.app_data::<web::Data<Api>>().ok_or_else(|| Problem::internal("the app has no Api"))?.clone();
    if matches!(access, Access::Audit | Access::WholeAudit) && bears_audit_token(&api, request) {
        request.extensions_mut().insert(audit::Reader::Everything);
        return Ok(None);
    }
    let principal = authenticate(&api, request)?;
    request.extensions_mut().insert(principal.clone());
    authorize(access, &principal, request)?;
    if request.method() != Method::GET && api.follower_writes == FollowerWrites::Redirect {
        return redirect(&api, request).await;
    }
    Ok(None)
}

/// In the same time whatever was presented.
fn bears_audit_token(api: &Api, request: &HttpRequest) -> bool {
    let Some(token) = &api.audit_token else { return false };
    let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let presented =
        header.and_then(|header| header.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let digest = SecretDigest::of(token.expose().as_bytes());
    presented.is_some_and(|(_, presented)| digest.matches(presented.trim().as_bytes()))
}

/// Who was turned away goes on record; who merely sent no token at all does not.
fn note_refusal(access: Access, request: &HttpRequest, problem: &Problem) {
    let who = request.extensions().get::<Principal>().cloned();
    let is_refusal = match problem.code() {
        ErrorCode::Forbidden => true,
        ErrorCode::Unauthenticated => access != Access::Anyone && request.headers().contains_key(AUTHORIZATION),
        _ => false,
    };
    let Some(api) = request.app_data::<web::Data<Api>>().filter(|_| is_refusal) else { return };
    // What a stranger asked for is its invention; what a known one asked for is worth knowing.
    let pattern = request.match_pattern().unwrap_or_default();
    let path = if who.is_some() { request.path().chars().take(MAX_NOTED_PATH).collect() } else { pattern };
    api.control.notes().note(Note::RequestRefused {
        actor: who.as_ref().map(Principal::actor),
        origin: who.map_or_else(|| origin::of(request), |who| who.origin),
        method: request.method().to_string(),
        path,
        code: problem.code().as_str().to_owned(),
        count: 1,
    });
}

fn authenticate(api: &Api, request: &HttpRequest) -> Result<Principal, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = match (headers.next(), headers.next()) {
        (None, _) => return Err(Problem::unauthenticated(Presented::Nothing, "send Authorization: Bearer TOKEN")),
        (Some(_), Some(_)) => return Err(Problem::bad_request("Authorization stands there twice")),
        (Some(header), None) => header.to_str().unwrap_or_default(),
    };
    let (scheme, presented) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Problem::unauthenticated(Presented::Nothing, "send Authorization: Bearer TOKEN"));
    }
    let (token, now) = (presented.trim(), api.clock.now());
    let verified = if let Some(verified) = api.tokens.known(token) {
        verified
    } else {
        sign_in::wait_for_bearer(api, request)?;
        let verified = api.control.read(|state| token::verify(token, state)).map_err(|why| {
            tracing::info!(%why, "admin token refused");
            sign_in::bearer_failed(api, request);
            no_longer_valid()
        })?;
        api.tokens.remember(token, verified.clone(), now);
        verified
    };
    let role = api.control.read(|state| {
        verified.check(state, now).map_err(|why| {
            tracing::info!(%why, "admin token refused");
            no_longer_valid()
        })?;
        verified.holder.role(state, api.oidc.as_ref(), now).ok_or_else(no_longer_valid)
    })?;
    let origin = Origin { credential: Some(verified.holder.name()), ..origin::of(request) };
    if let Holder::Credential { id, .. } = &verified.holder {
        api.uses.saw(*id, now);
    }
    Ok(Principal { verified, role, origin })
}

fn authorize(access: Access, principal: &Principal, request: &HttpRequest) -> Result<(), Problem> {
    let of_tenant = request.match_info().get("slug");
    if access.allows(&principal.role, of_tenant) {
        return Ok(());
    }
    tracing::info!(actor = principal.name(), method = %request.method(), path = request.path(), "forbidden");
    Err(Problem::forbidden("your role does not allow this"))
}

/// To the leader, unless that is this node, or it cannot be told: then the write is forwarded after all.
async fn redirect(api: &Api, request: &HttpRequest) -> Result<Option<HttpResponse>, Problem> {
    let status = api.control.status();
    if status.role == NodeRole::Leader {
        return Ok(None);
    }
    if status.leader.is_none() {
        return Err(Problem::new(ErrorCode::NoLeader, "no leader is known; nothing was changed"));
    }
    let Some(base) = api.control.leader_admin_url().await else { return Ok(None) };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let location = format!("{}{target}", base.trim_end_matches('/'));
    Ok(Some(HttpResponse::TemporaryRedirect().insert_header((LOCATION, location)).finish()))
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, web};
    use serde_json::Value;

    use super::*;

    #[actix_web::test]
    async fn a_handler_that_panics_answers_500_with_a_document() {
        async fn handler(asked: web::Path<u32>) -> String {
            assert_ne!(*asked, 1, "this is the test's own panic");
            "fine".to_owned()
        }
        let route = web::get().to(handler).wrap(from_fn(|request, next| guard(Access::Anyone, request, next)));
        let app = init_service(App::new().service(web::resource("/{n}").route(route))).await;
        let answer = call_service(&app, TestRequest::with_uri("/1").to_request()).await;
        assert_eq!(answer.status(), 500);
        let document: Value = read_body_json(answer).await;
        assert_eq!(document["code"], "internal");
        assert!(!document.to_string().contains("own panic"), "the cause stays in the log");
        assert_eq!(call_service(&app, TestRequest::with_uri("/2").to_request()).await.status(), 200);
    }
}
