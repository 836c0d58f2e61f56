//! The table of the admin API: what there is, who may use it, who handles it. Nothing is served that does not stand here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig, to};
use actix_web::{Error, HttpMessage as _, HttpRequest};
use controlplane_core::Role;
use telemetry::context::TRACEPARENT;
use telemetry::held::Held;
use tracing::Instrument as _;
use transport::head;
use vocab::Revision;

use super::answer::X_REVISION;
use super::auth::guard;
use super::origin::{AskedAs, X_REQUEST_ID};
use super::problem::Problem;
use super::{
    Api, admins, apply, audit, backup, clients, cluster, events, fleet, keys, members, openapi, registration_tokens,
    scopes, seals, settings, sign_in, tenants, transfer,
};

pub const PREFIX: &str = "/api/v1";

/// Which roles a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Without a token.
    Anyone,
    /// Nodes of the cluster, by their signature (`X-Cluster-Signature`), which the handler verifies.
    Nodes,
    /// Owners.
    Owners,
    /// Owners; auditors look.
    OwnersAndAuditors,
    /// Owners and operators.
    Staff,
    /// Owners and operators; auditors look.
    StaffAndAuditors,
    /// Owners, operators, and the tenant's own administrators.
    Tenant,
    /// The same; auditors look.
    TenantAndAuditors,
    /// Owners and operators; a tenant's administrators for what is their tenant's.
    StaffAndTenants,
    /// Owners and auditors, who bears the token of the audit, and a tenant's administrators for their tenant.
    Audit,
    /// The same without the tenants' administrators.
    WholeAudit,
    /// Every role; a tenant's administrator is shown its tenant only.
    Everyone,
}

impl Access {
    pub fn is_for_auditors(self) -> bool {
        self.allows(&Role::Auditor, None)
    }

    /// For people: the contract and the documentation say it like this.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Anyone => "without a token",
            Self::Nodes => "nodes of the cluster, by their signature",
            Self::Owners => "owner",
            Self::OwnersAndAuditors => "owner, auditor",
            Self::Staff => "owner, operator",
            Self::StaffAndAuditors => "owner, operator, auditor",
            Self::Tenant => "owner, operator, tenant-admin of the tenant",
            Self::TenantAndAuditors => "owner, operator, tenant-admin of the tenant, auditor",
            Self::StaffAndTenants => "owner, operator, tenant-admin for its own tenant",
            Self::Audit => "owner, auditor, the audit's token; a tenant-admin sees its own tenant only",
            Self::WholeAudit => "owner, auditor, the audit's token",
            Self::Everyone => "every role; a tenant-admin sees its own tenant only",
        }
    }

    /// Whether `role` may use the route. `tenant` is the one in the path.
    pub fn allows(self, role: &Role, tenant: Option<&str>) -> bool {
        match role {
            Role::Owner => self != Self::Nodes,
            Role::Operator => {
                !matches!(self, Self::Owners | Self::OwnersAndAuditors | Self::Audit | Self::WholeAudit | Self::Nodes)
            }
            Role::Auditor => matches!(
                self,
                Self::Anyone
                    | Self::OwnersAndAuditors
                    | Self::Audit
                    | Self::WholeAudit
                    | Self::StaffAndAuditors
                    | Self::TenantAndAuditors
                    | Self::Everyone
            ),
            Role::TenantAdmin(own) => match self {
                Self::Anyone | Self::Audit | Self::Everyone | Self::StaffAndTenants => true,
                Self::Tenant | Self::TenantAndAuditors => tenant == Some(own.as_str()),
                _ => false,
            },
        }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    pub method: Method,
    /// Below [`PREFIX`].
    pub path: &'static str,
    pub access: Access,
    handler: fn() -> actix_web::Route,
}

const fn row(method: Method, path: &'static str, access: Access, handler: fn() -> actix_web::Route) -> Row {
    Row { method, path, access, handler }
}

use Access::{
    Anyone, Audit, Everyone, Nodes, Owners, OwnersAndAuditors, Staff, StaffAndAuditors, StaffAndTenants, Tenant,
    TenantAndAuditors, WholeAudit,
};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

const TENANT: &str = "/tenants/{slug}";
const CLIENTS: &str = "/tenants/{slug}/clients";
const CLIENT: &str = "/tenants/{slug}/clients/{client_id}";
const SECRETS: &str = "/tenants/{slug}/clients/{client_id}/secrets";
const SECRET: &str = "/tenants/{slug}/clients/{client_id}/secrets/{secret_id}";
const REGISTRATION_TOKENS: &str = "/tenants/{slug}/registration-tokens";
const REGISTRATION_TOKEN: &str = "/tenants/{slug}/registration-tokens/{id}";
const SCOPES: &str = "/tenants/{slug}/scopes";
const SCOPE: &str = "/tenants/{slug}/scopes/{name}";

#[rustfmt::skip]
pub static ROUTES: &[Row] = &[
    row(POST,   "/auth/token",                        Anyone,            || to(sign_in::issue)),
    row(GET,    "/auth/methods",                      Anyone,            || to(sign_in::methods)),
    row(GET,    "/openapi.json",                      Anyone,            || to(openapi::contract)),
    row(GET,    "/docs",                              Anyone,            || to(openapi::docs)),

    row(GET,    "/tenants",                           Everyone,          || to(tenants::list)),
    row(POST,   "/tenants",                           Staff,             || to(tenants::create)),
    row(GET,    TENANT,                               TenantAndAuditors, || to(tenants::get)),
    row(PUT,    TENANT,                               Tenant,            || to(tenants::put)),
    row(PATCH,  TENANT,                               Tenant,            || to(tenants::patch)),
    row(DELETE, TENANT,                               Staff,             || to(tenants::delete)),

    row(GET,    CLIENTS,                              TenantAndAuditors, || to(clients::list)),
    row(POST,   CLIENTS,                              Tenant,            || to(clients::create)),
    row(GET,    CLIENT,                               TenantAndAuditors, || to(clients::get)),
    row(PUT,    CLIENT,                               Tenant,            || to(clients::put)),
    row(PATCH,  CLIENT,                               Tenant,            || to(clients::patch)),
    row(DELETE, CLIENT,                               Tenant,            || to(clients::delete)),
    row(POST,   SECRETS,                              Tenant,            || to(clients::add_secret)),
    row(DELETE, SECRET,                               Tenant,            || to(clients::remove_secret)),

    row(GET,    REGISTRATION_TOKENS,                  TenantAndAuditors, || to(registration_tokens::list)),
    row(POST,   REGISTRATION_TOKENS,                  Tenant,            || to(registration_tokens::create)),
    row(GET,    REGISTRATION_TOKEN,                   TenantAndAuditors, || to(registration_tokens::get)),
    row(DELETE, REGISTRATION_TOKEN,                   Tenant,            || to(registration_tokens::revoke)),

    row(GET,    SCOPES,                               TenantAndAuditors, || to(scopes::list)),
    row(POST,   SCOPES,                               Tenant,            || to(scopes::create)),
    row(GET,    SCOPE,                                TenantAndAuditors, || to(scopes::get)),
    row(PUT,    SCOPE,                                Tenant,            || to(scopes::put)),
    row(DELETE, SCOPE,                                Tenant,            || to(scopes::delete)),

    row(GET,    "/tenants/{slug}/keys",               TenantAndAuditors, || to(keys::list)),
    row(POST,   "/tenants/{slug}/keys/rotate",        Tenant,            || to(keys::rotate)),
    row(GET,    "/tenants/{slug}/keys/{kid}",         TenantAndAuditors, || to(keys::get)),
    row(POST,   "/tenants/{slug}/keys/{kid}/revoke",  Tenant,            || to(keys::revoke)),
    row(GET,    "/keys",                              StaffAndAuditors,  || to(keys::list)),
    row(POST,   "/keys/rotate",                       Staff,             || to(keys::rotate)),
    // Before the keys, whose ids could be any word.
    row(GET,    "/keys/seals",                        StaffAndAuditors,  || to(seals::show)),
    row(POST,   "/keys/reseal",                       Owners,            || to(seals::reseal)),
    row(GET,    "/keys/{kid}",                        StaffAndAuditors,  || to(keys::get)),
    row(POST,   "/keys/{kid}/revoke",                 Staff,             || to(keys::revoke)),

    row(GET,    "/admins",                            OwnersAndAuditors, || to(admins::list)),
    row(POST,   "/admins",                            Owners,            || to(admins::create)),
    row(GET,    "/admins/{id}",                       OwnersAndAuditors, || to(admins::get)),
    row(PUT,    "/admins/{id}",                       Owners,            || to(admins::put)),
    row(PATCH,  "/admins/{id}",                       Owners,            || to(admins::patch)),
    row(DELETE, "/admins/{id}",                       Owners,            || to(admins::delete)),

    row(GET,    "/settings",                          StaffAndAuditors,  || to(settings::get)),
    row(PUT,    "/settings",                          Staff,             || to(settings::put)),
    row(PATCH,  "/settings",                          Staff,             || to(settings::patch)),

    row(POST,   "/apply",                             StaffAndTenants,   || to(apply::apply)),

    row(GET,    "/export",                            Owners,            || to(transfer::export)),
    row(POST,   "/import",                            Owners,            || to(transfer::import)),

    row(GET,    "/audit/logs",                        Audit,             || to(audit::logs)),
    row(GET,    "/audit/verify",                      WholeAudit,        || to(audit::verify)),
    row(GET,    "/events",                            Everyone,          || to(events::events)),

    row(GET,    "/cluster/status",                    StaffAndAuditors,  || to(cluster::status)),
    row(POST,   "/cluster/snapshot",                  Owners,            || to(backup::compact)),
    row(GET,    "/cluster/snapshot",                  Owners,            || to(backup::snapshot)),
    row(GET,    "/cluster/members",                   StaffAndAuditors,  || to(members::list)),
    row(POST,   "/cluster/members",                   Staff,             || to(members::add)),
    row(PATCH,  "/cluster/members/{id}",              Staff,             || to(members::patch)),
    row(DELETE, "/cluster/members/{id}",              Staff,             || to(members::remove)),
    row(POST,   "/cluster/transfer-leader",           Staff,             || to(members::transfer)),
    row(POST,   "/cluster/join",                      Nodes,             || to(members::join)),
    row(GET,    "/fleet",                             StaffAndAuditors,  || to(fleet::list)),
    row(GET,    "/fleet/wait",                        StaffAndAuditors,  || to(fleet::wait)),
    row(DELETE, "/fleet/{pod_id}",                    Staff,             || to(fleet::forget)),
];

/// Registers every row, each behind its guard. What is of a tenant is a scope of its own: the router tries one pattern after
/// the other, and need not read the tenant's name in each of them.
pub fn configure(config: &mut ServiceConfig) {
    let mut scope = web::scope(PREFIX);
    let mut of_tenant = web::scope(TENANT);
    let mut done: Vec<&str> = Vec::new();
    for path in ROUTES.iter().map(|row| row.path) {
        if done.contains(&path) {
            continue;
        }
        done.push(path);
        let below = path.strip_prefix(TENANT);
        let mut resource = web::resource(below.unwrap_or(path));
        let mut methods: Vec<&str> = Vec::new();
        for row in ROUTES.iter().filter(|row| row.path == path) {
            let access = row.access;
            let route = (row.handler)().method(row.method.clone());
            resource = resource.route(route.wrap(from_fn(move |request, next| guard(access, request, next))));
            methods.push(row.method.as_str());
        }
        let allow = methods.join(", ");
        let resource = resource.default_service(to(move || {
            let problem = Problem::method_not_allowed(&allow);
            async move { Err::<&str, _>(problem) }
        }));
        // Known here: to find it out again per request costs a search through all paths.
        let route: Arc<str> = format!("{PREFIX}{path}").into();
        let resource = resource.wrap(from_fn(move |request, next| observe(Arc::clone(&route), request, next)));
        match below {
            Some(_) => of_tenant = of_tenant.service(resource),
            None => scope = scope.service(resource),
        }
    }
    let unmatched: Arc<str> = "unmatched".into();
    let nowhere = || {
        let unmatched = Arc::clone(&unmatched);
        to(no_such_path).wrap(from_fn(move |request, next| observe(Arc::clone(&unmatched), request, next)))
    };
    config.service(scope.service(of_tenant.default_service(nowhere())).default_service(nowhere()));
}

/// What stands outside the table.
pub(crate) async fn no_such_path(request: HttpRequest) -> Result<&'static str, impl actix_web::ResponseError> {
    Err::<&str, _>(Problem::not_found(request.path()))
}

/// Around everything: the revision, the headers that every answer has, the metrics.
async fn observe(
    route: Arc<str>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    head::check(request.headers()).map_err(|refusal| Problem::bad_request(refusal.to_string()))?;
    let began = Instant::now();
    let asked = AskedAs::read(request.request());
    let request_id = HeaderValue::from_str(&asked.0);
    request.extensions_mut().insert(asked);
    let api = request.app_data::<web::Data<Api>>();
    let leaving = api.is_some_and(|api| api.leaving.load(Ordering::Relaxed));
    let revision = api.map(|api| api.control.applied_revision());
    let span = tracing::trace_span!(
        target: telemetry::TRACE,
        "admin request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = %route,
        http.response.status_code = tracing::field::Empty,
    );
    let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    telemetry::context::adopt(&span, traceparent);
    let method = request.method().clone();
    let _held = Held::of(&metrics::gauge!("hj_cp_http_requests_in_flight"));
    let mut response = next.call(request).instrument(span.clone()).await?;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    access_line(&method, &route, status, request_id.as_ref().ok(), revision, began.elapsed());
    let status = status.to_string();
    if leaving {
        // RFC 9112 §9.6: the next request comes by a connection that a balancer leads elsewhere.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    if let (false, Some(revision)) = (headers.contains_key(X_REVISION), revision) {
        headers.insert(X_REVISION, HeaderValue::from(revision.get()));
    }
    if let Ok(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    }
    metrics::histogram!("hj_cp_http_request_duration_seconds", "route" => route, "status" => status)
        .record(began.elapsed().as_secs_f64());
    Ok(response)
}

/// One line per request, for those who ask for them; failures of ours for everybody.
fn access_line(
    method: &Method,
    route: &str,
    status: u16,
    request_id: Option<&HeaderValue>,
    revision: Option<Revision>,
    took: Duration,
) {
    let request_id = request_id.and_then(|id| id.to_str().ok());
    let revision = revision.map(Revision::get);
    let duration_ms = took.as_secs_f64() * 1000.0;
    if status >= 500 {
        tracing::warn!(target: telemetry::ACCESS, %method, route, status, request_id, revision, duration_ms, "failed");
    } else {
        tracing::info!(target: telemetry::ACCESS, %method, route, status, request_id, revision, duration_ms, "answered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole policy once more, from the roles' side.
    #[test]
    fn the_table_gives_each_role_what_it_is_for() {
        let own = Role::TenantAdmin("acme".parse().unwrap());
        for row in ROUTES {
            let (path, access) = (row.path, row.access);
            if access == Anyone {
                assert!(path.starts_with("/auth/") || ["/openapi.json", "/docs"].contains(&path), "{path}");
                continue;
            }
            if access == Nodes {
                assert_eq!(path, "/cluster/join");
                continue;
            }
            let about_admins = path.starts_with("/admins") || path == "/keys/reseal";
            // Whoever holds a backup holds everything: only owners take one or put one back.
            let about_backups = ["/cluster/snapshot", "/export", "/import"].contains(&path);
            assert!(access.allows(&Role::Owner, None), "{path}");
            let about_audit = path.starts_with("/audit");
            assert_eq!(access.allows(&Role::Operator, None), !about_admins && !about_backups && !about_audit, "{path}");
            assert_eq!(
                access.allows(&Role::Auditor, None),
                row.method == GET && !about_backups,
                "{} {path}",
                row.method
            );
            let below_tenant = path.starts_with(TENANT);
            let makes_or_ends_it = path == TENANT && row.method == DELETE;
            let expected = (below_tenant && !makes_or_ends_it)
                || (["/tenants", "/audit/logs", "/events"].contains(&path) && row.method == GET)
                || path == "/apply";
            assert_eq!(access.allows(&own, Some("acme")), expected, "{} {path}", row.method);
            let elsewhere =
                (["/tenants", "/audit/logs", "/events"].contains(&path) && row.method == GET) || path == "/apply";
            assert_eq!(access.allows(&own, Some("other")), elsewhere, "{} {path}", row.method);
        }
    }

    #[test]
    fn no_row_stands_there_twice() {
        for (index, row) in ROUTES.iter().enumerate() {
            let twice = ROUTES.iter().skip(index + 1).any(|other| other.path == row.path && other.method == row.method);
            assert!(!twice, "{} {}", row.method, row.path);
        }
    }
}
