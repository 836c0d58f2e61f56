//! What is told of each request besides its answer: how long it took, a line for those who ask for lines, a span for
//! those who trace. Never its query or body.

use std::time::Duration;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use telemetry::context::{TRACEPARENT, adopt, rename};
use telemetry::request_id;
use tracing::field::Empty;
use tracing::{Level, Span};
use uuid::Uuid;

use super::{X_CONFIG_REVISION, durations};

static X_REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);

/// Goes on with the caller's trace. Costs nothing while nobody traces.
pub(super) fn span(request: &ServiceRequest) -> Span {
    let span = tracing::trace_span!(
        target: telemetry::TRACE,
        "request",
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        adopt(&span, request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()));
    }
    span
}

pub(super) fn answered<B>(response: &mut ServiceResponse<B>, span: &Span, took: Duration) {
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let status = response.status();
    if !span.is_disabled() {
        rename(span, || format!("{} {route}", response.request().method()));
        span.record("http.route", route.as_str());
        span.record("http.response.status_code", status.as_u16());
    }
    if status.is_server_error() || tracing::enabled!(target: telemetry::ACCESS, Level::INFO) {
        line(response, &route, took);
    }
    durations::record(route, status, took);
}

/// The answer carries the id that the line names.
fn line<B>(response: &mut ServiceResponse<B>, route: &str, took: Duration) {
    let request = response.request();
    let method = request.method().clone();
    // The path's own word, as it stands in the issuer: a tenant that there is, or nothing that was asked for.
    let tenant = request.match_info().get("slug").map(ToOwned::to_owned);
    let request_id = id_of(request.headers().get(&X_REQUEST_ID));
    let status = response.status().as_u16();
    let revision =
        response.headers().get(&X_CONFIG_REVISION).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let duration_ms = took.as_secs_f64() * 1000.0;
    if status >= 500 {
        tracing::warn!(target: telemetry::ACCESS, %method, route, tenant, status, request_id, revision, duration_ms, "failed");
    } else {
        tracing::info!(target: telemetry::ACCESS, %method, route, tenant, status, request_id, revision, duration_ms, "answered");
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID.clone(), value);
    }
}

/// The caller's, when it is a word that is safe in logs and headers; else one of ours.
fn id_of(sent: Option<&HeaderValue>) -> String {
    let sent = sent.and_then(|value| value.to_str().ok()).and_then(request_id::taken_over);
    sent.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
}
