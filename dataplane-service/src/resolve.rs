//! Whose request is it? The extractor that every tenant route begins with.
//!
//! Path `/t/{slug}` → a tenant's own host → `X-Tenant-Slug` → `?tenant=` → the default tenant. Whatever of the first
//! four is there must name the same tenant: a header can never turn a request away from the tenant its path names.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::http::uri::Authority;
use actix_web::{FromRequest, HttpRequest, web};
use vocab::{ErrorCode, Slug};

use crate::app::App;
use crate::directory::Directory;
use crate::http::unread::{self, Extracted};
use crate::http::{directory_of, origin};
use crate::problem::Problem;
use crate::recorder::tenant_label;
use crate::staleness::Verdict;
use crate::tenant::{TenantContext, TenantStatus};

/// The tenant of this request: known, active, within its limit, and unchanging until the answer.
#[derive(Clone, Debug)]
pub struct Tenant(pub Arc<TenantContext>);

impl Deref for Tenant {
    type Target = TenantContext;

    fn deref(&self) -> &TenantContext {
        &self.0
    }
}

impl FromRequest for Tenant {
    type Error = Problem;
    type Future = Extracted<Self, Problem>;

    /// Stands before the body among what a handler takes, so that there is one to take away.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        unread::after(Self::admitted(request), request, payload)
    }
}

impl Tenant {
    /// Whose the request is, whether or not there is room for it.
    pub(crate) fn known(request: &HttpRequest) -> Result<Self, Problem> {
        known(request)
    }

    /// The same, counted.
    pub(crate) fn admitted(request: &HttpRequest) -> Result<Self, Problem> {
        let tenant = known(request)?;
        if let Some(Err(wait)) = tenant.limiter.as_ref().map(|limiter| limiter.admit()) {
            metrics::counter!("hj_dp_rate_limited_total", "tenant" => tenant_label(&tenant.slug)).increment(1);
            let problem = Problem::too_many(wait);
            return Err(if is_oauth(request) { problem.as_oauth() } else { problem });
        }
        Ok(tenant)
    }
}

fn known(request: &HttpRequest) -> Result<Tenant, Problem> {
    let directory = directory_of(request).unwrap_or_default();
    let default = request.app_data::<web::Data<App>>().and_then(|app| app.default_tenant.clone());
    let mut headers = request.headers().get_all("x-tenant-slug").map(|value| value.to_str().map_err(|_| ()));
    let query_tenants = form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _)| name == "tenant");
    let mut query_tenants = query_tenants.map(|(_, value)| value.into_owned());
    let host = host(request)?;
    let forwarded_host = origin::of(request).and_then(|origin| origin.host);
    let hints = Hints {
        path: request.match_info().get("slug"),
        host: forwarded_host.as_deref().unwrap_or(host),
        header: single("the header X-Tenant-Slug", &mut headers)?
            .transpose()
            .map_err(|()| bad("the header X-Tenant-Slug is not a slug"))?,
        query: single("the parameter tenant", &mut query_tenants)?,
    };
    let tenant = resolve(&directory, default.as_ref(), &hints)?;
    let age = request.app_data::<web::Data<App>>().map_or(Duration::MAX, |app| app.status.staleness());
    if directory.staleness_of(&tenant).judge(age) == Verdict::Refuse {
        metrics::counter!("hj_dp_stale_refusals_total", "tenant" => tenant_label(&tenant.slug)).increment(1);
        let problem = Problem::new(ErrorCode::Unavailable, "the configuration of this pod is too old; try again");
        return Err(if is_oauth(request) { problem.as_oauth() } else { problem });
    }
    Ok(Tenant(tenant))
}

/// Whose callers read the errors of RFC 6749.
fn is_oauth(request: &HttpRequest) -> bool {
    request.match_pattern().is_some_and(|pattern| pattern.contains("/oauth2/"))
}

/// The authority the request was sent to (RFC 9112 §3.2.2 and §3.3). What a forwarding header claims is [`origin`]'s to
/// judge: anybody can send those.
fn host(request: &HttpRequest) -> Result<&str, Problem> {
    let mut headers = request.headers().get_all(header::HOST);
    let header = single("the header Host", &mut headers)?;
    let authority = request.uri().authority().map(Authority::as_str);
    // What is no host was refused with the head.
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(authority.unwrap_or(header))
}

fn single<T>(what: &str, values: &mut impl Iterator<Item = T>) -> Result<Option<T>, Problem> {
    let first = values.next();
    if values.next().is_some() { Err(bad(&format!("{what} is given more than once"))) } else { Ok(first) }
}

/// All that a request says about its tenant.
#[derive(Debug, Default)]
struct Hints<'a> {
    path: Option<&'a str>,
    /// As the request has it, a port included.
    host: &'a str,
    header: Option<&'a str>,
    query: Option<String>,
}

fn resolve(directory: &Directory, default: Option<&Slug>, hints: &Hints<'_>) -> Result<Arc<TenantContext>, Problem> {
    if !directory.is_ready() {
        return Err(Problem::new(ErrorCode::Unavailable, "no configuration has been received yet"));
    }
    let unknown = || Problem::new(ErrorCode::NotFound, "there is no such tenant");
    // In a path a malformed slug is just a path that does not exist.
    let path = hints.path.map(str::parse::<Slug>).transpose().map_err(|_| unknown())?;
    let host = directory.by_host(&host_name(hints.host)).map(|tenant| tenant.slug.clone());
    let header = hints.header.map(str::parse::<Slug>).transpose();
    let header = header.map_err(|error| bad(&format!("the header X-Tenant-Slug: {error}")))?;
    let query = hints.query.as_deref().map(str::parse::<Slug>).transpose();
    let query = query.map_err(|error| bad(&format!("the parameter tenant: {error}")))?;

    let mut named = [path, host, header, query].into_iter().flatten();
    let slug = match named.next() {
        Some(first) if named.all(|other| other == first) => first,
        Some(_) => return Err(bad("the request names two different tenants")),
        None => default.cloned().ok_or_else(unknown)?,
    };
    let tenant = directory.by_slug(slug.as_str()).ok_or_else(unknown)?;
    match tenant.status {
        TenantStatus::Active => Ok(Arc::clone(tenant)),
        TenantStatus::Suspended => Err(Problem::new(ErrorCode::TenantSuspended, "this tenant is suspended")),
    }
}

fn bad(detail: &str) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, detail)
}

/// The host without its port, in lower case. An IPv6 address keeps its brackets (RFC 3986 §3.2.2).
fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
