//! What a successful answer looks like: the document, and the revision it belongs to.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderName, LOCATION};
use serde::Serialize;
use vocab::Revision;

use super::{Api, Done};
use crate::fleet::FleetWait;

pub(super) const X_REVISION: HeaderName = HeaderName::from_static("x-revision");
const X_FLEET: HeaderName = HeaderName::from_static("x-fleet");
const X_FLEET_LAGGARDS: HeaderName = HeaderName::from_static("x-fleet-laggards");
const X_FLEET_REJECTED: HeaderName = HeaderName::from_static("x-fleet-rejected");

/// A read: as of `revision`.
pub(super) fn show(revision: Revision, etag: Option<Revision>, document: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((X_REVISION, revision.to_string()));
    tag(&mut response, etag);
    response.json(document)
}

/// A change that leaves something to show.
pub(super) fn changed(done: &Done, etag: Revision, document: &impl Serialize) -> HttpResponse {
    let mut response = build(StatusCode::OK, done);
    tag(&mut response, Some(etag));
    response.json(document)
}

/// A change that was about no single resource.
pub(super) fn done(done: &Done, document: &impl Serialize) -> HttpResponse {
    build(StatusCode::OK, done).json(document)
}

/// A patch; without `done` it was in force already.
pub(super) fn patched(api: &Api, done: Option<&Done>, etag: Revision, document: &impl Serialize) -> HttpResponse {
    match done {
        Some(done) => changed(done, etag, document),
        None => show(api.control.applied_revision(), Some(etag), document),
    }
}

/// A change that made something, at `location`.
pub(super) fn created(done: &Done, location: &str, etag: Revision, document: &impl Serialize) -> HttpResponse {
    let mut response = build(StatusCode::CREATED, done);
    response.insert_header((LOCATION, location));
    tag(&mut response, Some(etag));
    response.json(document)
}

/// What came of documents.
pub(super) fn applied(revision: Revision, fleet: Option<&FleetWait>, document: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((X_REVISION, revision.to_string()));
    tell_fleet(&mut response, fleet);
    response.json(document)
}

/// Something is gone that has no revision of its own.
pub(super) fn nothing(revision: Revision) -> HttpResponse {
    HttpResponse::NoContent().insert_header((X_REVISION, revision.to_string())).finish()
}

pub(super) fn deleted(done: &Done) -> HttpResponse {
    build(StatusCode::NO_CONTENT, done).finish()
}

fn tag(response: &mut HttpResponseBuilder, etag: Option<Revision>) {
    if let Some(etag) = etag {
        response.insert_header((ETAG, format!("\"{etag}\"")));
    }
}

fn tell_fleet(response: &mut HttpResponseBuilder, fleet: Option<&FleetWait>) {
    if let Some(fleet) = fleet {
        if fleet.is_complete() {
            response.insert_header((X_FLEET, "complete"));
        } else {
            // A node that did not answer may have pods that lag, too.
            let pods = fleet.laggards.iter().map(ToString::to_string);
            let nodes = fleet.unreachable_nodes.iter().map(|node| format!("node:{node}"));
            let laggards: Vec<String> = pods.chain(nodes).collect();
            response.insert_header((X_FLEET, "timeout"));
            response.insert_header((X_FLEET_LAGGARDS, laggards.join(",")));
        }
        if !fleet.rejecting.is_empty() {
            let pods: Vec<_> = fleet.rejecting.iter().map(ToString::to_string).collect();
            response.insert_header((X_FLEET_REJECTED, pods.join(",")));
        }
    }
}

fn build(status: StatusCode, done: &Done) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((X_REVISION, done.applied.revision.to_string()));
    tell_fleet(&mut response, done.fleet.as_ref());
    response
}

/// A segment of a path, percent-encoded (RFC 3986 §3.3, unreserved characters only).
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
