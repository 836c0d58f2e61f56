//! How a trace goes on in another process or at a later time: W3C Trace Context's `traceparent`.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The name of the header (W3C Trace Context §3.2), and of the field wherever else it stands.
pub const TRACEPARENT: &str = "traceparent";

/// What whoever goes on needs to know; `None` when the current span is not exported.
pub fn current() -> Option<String> {
    let span = Span::current();
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    if !context.span().span_context().is_sampled() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` go on with what `traceparent` says. What cannot be read begins a trace of its own (§4.3).
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    if span.is_disabled() {
        return;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // Refused only where the span has begun or is not exported, and then there is nothing to go on with.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// The next step of something that an earlier request began and stored its `traceparent` with: a span in that trace. It
/// and the current request's own span name each other (links), since neither is a part of the other.
///
/// No span where nobody traces, where nothing was stored, and where the caller brought that trace along.
pub fn next_step(name: &'static str, traceparent: Option<&str>) -> Span {
    let here = Span::current();
    let Some(traceparent) = traceparent.filter(|_| !here.is_disabled()) else { return Span::none() };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let earlier = TraceContextPropagator::new().extract(&carrier);
    let (began, own) = (earlier.span().span_context().clone(), here.context().span().span_context().clone());
    if !began.is_valid() || began.trace_id() == own.trace_id() {
        return Span::none();
    }
    let span = tracing::trace_span!(target: crate::TRACE, parent: None, "step");
    // As in `adopt`.
    let _ = span.set_parent(earlier);
    span.add_link(own);
    here.add_link(began);
    rename(&span, || name.to_owned());
    span
}

/// Names a span for what turned out to be its subject: a route is known only after the request was taken in.
pub fn rename(span: &Span, name: impl FnOnce() -> String) {
    if !span.is_disabled() {
        span.context().span().update_name(name());
    }
}
