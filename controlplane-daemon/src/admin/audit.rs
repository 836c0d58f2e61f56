//! `/audit`: what is on record, and whether it is what it was.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use controlplane_core::Role;
use controlplane_core::mutation::Truncation;
use serde::Serialize;
use serde_json::value::RawValue;
use vocab::{ErrorCode, Slug, Timestamp};

use super::Api;
use super::auth::Principal;
use super::problem::{Presented, Problem};
use super::query::{self, Query};
use super::view;
use crate::audit::{self, Extent, Filter, Order};

/// Records per piece of an export.
const EXPORT_PIECE: usize = 1_000;
const NDJSON: &str = "application/x-ndjson";

/// Who reads, and what there is to read for it.
#[derive(Clone, Debug)]
pub(super) enum Reader {
    /// Owners, auditors, and who has the token of the audit.
    Everything,
    /// A tenant's administrator.
    OfTenant(Slug),
}

impl FromRequest for Reader {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let reader = extensions.get::<Self>().cloned().or_else(|| {
            extensions.get::<Principal>().map(|who| match &who.role {
                Role::TenantAdmin(slug) => Self::OfTenant(slug.clone()),
                _ => Self::Everything,
            })
        });
        ready(reader.ok_or_else(|| Problem::unauthenticated(Presented::Nothing, "a token is needed")))
    }
}

/// `?actor=…&action=…&since=…`: see `docs/audit.md`.
#[derive(Clone, Debug)]
pub(super) struct Search(audit::Query);

impl FromRequest for Search {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        query::extract(request, Self::take)
    }
}

/// What a tenant's administrator may know of: its tenant, and not one that had the same slug before it.
pub(super) fn confine(filter: &mut Filter, slug: &Slug, api: &Api) {
    let created_at = api.control.read(|state| state.tenant(slug).map(|tenant| tenant.created_at));
    // Of a tenant that is gone there is nothing to tell.
    let since = as_recorded(created_at.unwrap_or_else(|| api.clock.now()));
    let later = filter.since_time.take().filter(|asked| *asked > since);
    filter.since_time = Some(later.unwrap_or(since));
    filter.tenant = Some(slug.to_string());
}

/// So that text compares like time.
fn as_recorded(time: Timestamp) -> String {
    // Out of jiff's range (years -9999 to 9999) only by a corrupted clock.
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| time.to_string(), |time| format!("{time:.3}"))
}

impl Search {
    fn take(query: &mut Query) -> Result<Self, Problem> {
        let order = match query.take("order").as_deref() {
            None | Some("newest") => Order::NewestFirst,
            Some("oldest") => Order::OldestFirst,
            Some(_) => return Err(Problem::bad_request("order must be newest or oldest")),
        };
        let filter = Filter {
            actor: query.take("actor"),
            action: query.take("action"),
            resource: query.take("resource").map(|path| path.trim_matches('/').to_owned()),
            tenant: query.take("tenant"),
            code: query.take("code"),
            since_time: time(query, "since")?,
            until_time: time(query, "until")?,
            since_seq: number(query, "since_seq")?,
            until_seq: number(query, "until_seq")?,
        };
        let after = number(query, "cursor")?;
        Ok(Self(audit::Query { filter, order, after, limit: query.limit()? }))
    }

    fn of(mut self, reader: &Reader, api: &Api) -> Result<audit::Query, Problem> {
        if let Reader::OfTenant(slug) = reader {
            if self.0.filter.tenant.as_deref().is_some_and(|asked| asked != slug.as_str()) {
                return Err(Problem::forbidden("your role does not allow this"));
            }
            confine(&mut self.0.filter, slug, api);
        }
        Ok(self.0)
    }
}

/// As records have it, so that text compares like time.
fn time(query: &mut Query, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = query.take(name) else { return Ok(None) };
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| Problem::bad_request(format!("{name} must be a time, such as 2026-01-31T12:00:00Z")))?;
    Ok(Some(format!("{time:.3}")))
}

fn number(query: &mut Query, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query.take(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::bad_request(format!("{name} must be a number")))
}

#[derive(Serialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
    /// False: this node is still getting older records from its peers.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_through_seq: Option<u64>,
}

/// `GET /audit/logs`
pub(super) async fn logs(
    api: web::Data<Api>,
    request: HttpRequest,
    reader: Reader,
    search: Search,
) -> Result<HttpResponse, Problem> {
    let query = search.of(&reader, &api)?;
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.split(',').any(|kind| kind.trim().split(';').next() == Some(NDJSON)) {
        return export(&api, query);
    }
    let page = read(&api, query).await?;
    let items =
        page.lines.into_iter().map(RawValue::from_string).collect::<Result<_, _>>().map_err(Problem::internal)?;
    let missing = page.extent.missing();
    Ok(HttpResponse::Ok().json(Page {
        items,
        next_cursor: page.go_on_after.map(|seq| seq.to_string()),
        complete: missing.is_none(),
        missing_through_seq: missing.map(|missing| *missing.end()),
    }))
}

async fn read(api: &Api, query: audit::Query) -> Result<audit::Page, Problem> {
    let store = api.control.records().clone();
    let read = web::block(move || audit::page(&store, &query)).await.map_err(Problem::internal)?;
    read.map_err(Problem::internal)
}

/// Everything that passes, a line each, byte for byte as it was hashed.
fn export(api: &web::Data<Api>, query: audit::Query) -> Result<HttpResponse, Problem> {
    refuse_gap(api.control.records().extent())?;
    let begin = Some(audit::Query { limit: EXPORT_PIECE, ..query });
    let api = api.clone();
    let pieces = futures::stream::try_unfold(begin, move |query| {
        let api = api.clone();
        async move {
            let Some(query) = query else { return Ok::<_, actix_web::Error>(None) };
            let page = read(&api, query.clone()).await?;
            let mut piece = String::new();
            for line in page.lines {
                piece.push_str(&line);
                piece.push('\n');
            }
            let next = page.go_on_after.map(|after| audit::Query { after: Some(after), ..query });
            Ok(Some((Bytes::from(piece), next)))
        }
    });
    Ok(HttpResponse::Ok().content_type(NDJSON).streaming(Box::pin(pieces)))
}

/// An export that lacks what is missing would look whole.
fn refuse_gap(extent: Extent) -> Result<(), Problem> {
    let Some(missing) = extent.missing() else { return Ok(()) };
    let (from, through) = (missing.start(), missing.end());
    Err(Problem::new(
        ErrorCode::Unavailable,
        format!("this node is still getting records {from} to {through} from its peers; ask another node"),
    ))
}

/// `GET /audit/verify`
pub(super) async fn verify(api: web::Data<Api>, _: Reader) -> Result<HttpResponse, Problem> {
    let checking = api.clone();
    let report = web::block(move || {
        let control = &checking.control;
        let signed = |truncation: &Truncation| {
            control.read(|state| audit::check(truncation, state)).map_err(|why| why.to_string())
        };
        audit::verify(control.records(), || control.read(|state| state.audit().clone()), signed)
    });
    let report = report.await.map_err(Problem::internal)?.map_err(Problem::internal)?;
    if let Some(seq) = report.broken_at {
        tracing::error!(seq, why = report.why.as_deref(), "the audit's chain is broken");
    }
    let now = view::rfc3339(api.clock.now());
    Ok(HttpResponse::Ok().insert_header(("x-verified-at", now)).json(report))
}
