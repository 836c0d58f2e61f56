//! `hj_dp_http_request_duration_seconds`, by route and status, and `hj_dp_http_requests_in_flight`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use metrics::{Gauge, Histogram};
use telemetry::held::Held;

thread_local! {
    /// Looked up once per worker.
    static IN_FLIGHT: Gauge = metrics::gauge!("hj_dp_http_requests_in_flight");

    /// Each worker keeps what it has looked up: the recorder would want owned labels, and hash them, per request.
    /// There are no more entries than routes times statuses.
    static KNOWN: RefCell<HashMap<(String, u16), Histogram>> = RefCell::default();
}

/// One more request is under way.
pub(super) fn begin() -> Held {
    IN_FLIGHT.with(Held::of)
}

pub(super) fn record(route: String, status: StatusCode, took: Duration) {
    KNOWN.with_borrow_mut(|known| {
        let histogram = known.entry((route, status.as_u16())).or_insert_with_key(|(route, status)| {
            metrics::histogram!(
                "hj_dp_http_request_duration_seconds",
                "route" => route.clone(),
                "status" => status.to_string(),
            )
        });
        histogram.record(took.as_secs_f64());
    });
}
