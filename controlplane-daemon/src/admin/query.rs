//! What stands around a request's document: query parameters, `If-Match`, `Idempotency-Key`. Each kind of request takes
//! its own and refuses the rest.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, IF_MATCH};
use actix_web::{FromRequest, HttpRequest, web};
use manifest::Plain;
use vocab::{ErrorCode, RequestId, Revision};

use super::declarative::{Ownership, Prune};
use super::problem::Problem;
use crate::backup::steps::Mode;
use crate::control_plane::Consistency;
use crate::membership::Caution;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// A read of one thing.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) consistency: Consistency,
    pub(super) timeout: Duration,
}

/// A read of a page of a list.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) read: Read,
    pub(super) limit: usize,
    /// As it was given out; see `page`.
    pub(super) cursor: Option<String>,
}

/// A read of a page, with a search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) list: List,
    pub(super) q: Option<String>,
}

/// A wait for the fleet to have a revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitFor {
    pub(super) revision: Revision,
    pub(super) timeout: Duration,
}

/// A change of the control plane's own members: `?force=true` does what could cost the quorum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cautiously(pub(super) Caution);

/// A change.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) request_id: Option<RequestId>,
    pub(super) expected_revision: Option<Revision>,
    /// The revision that a handler judged the request by, when the requester names none.
    pub(super) based_on: Option<Revision>,
    /// How long to wait for every pod.
    pub(super) wait_for_fleet: Option<Duration>,
}

impl Read {
    fn take(query: &mut Query) -> Result<Self, Problem> {
        let linearizable = match query.take("consistency").as_deref() {
            None | Some("local") => false,
            Some("linearizable") => true,
            Some(_) => return Err(Problem::bad_request("consistency must be local or linearizable")),
        };
        let min_revision = match query.take("min_revision") {
            None => None,
            Some(text) => {
                let number =
                    text.parse().map_err(|_| Problem::bad_request("min_revision must be a revision number"))?;
                Some(Revision(number))
            }
        };
        let timeout = query.timeout()?;
        let consistency = match (linearizable, min_revision) {
            (true, Some(_)) => {
                return Err(Problem::bad_request("give consistency=linearizable or min_revision, not both"));
            }
            (true, None) => Consistency::Linearizable,
            (false, Some(revision)) => Consistency::AtLeast(revision),
            (false, None) => Consistency::Local,
        };
        Ok(Self { consistency, timeout })
    }
}

impl List {
    fn take(query: &mut Query) -> Result<Self, Problem> {
        let limit = query.limit()?;
        Ok(Self { read: Read::take(query)?, limit, cursor: query.take("cursor") })
    }
}

impl Write {
    fn take(request: &HttpRequest, query: &mut Query) -> Result<Self, Problem> {
        let wait_for_fleet = wait_for_fleet(query)?;
        let request_id = match header(request, &HeaderName::from_static("idempotency-key"))? {
            None => None,
            Some(text) => {
                Some(text.parse().map_err(|error| Problem::bad_request(format!("Idempotency-Key: {error}")))?)
            }
        };
        Ok(Self { request_id, expected_revision: if_match(request)?, based_on: None, wait_for_fleet })
    }
}

fn wait_for_fleet(query: &mut Query) -> Result<Option<Duration>, Problem> {
    match query.take("wait").as_deref() {
        None if query.has("timeout") => Err(Problem::bad_request("timeout is for wait=fleet")),
        None => Ok(None),
        Some("fleet") => Ok(Some(query.timeout()?)),
        Some(_) => Err(Problem::bad_request("wait must be fleet")),
    }
}

/// RFC 9110 §13.1.1. `*` asks only that the resource exists, which every change but a creation demands anyway.
fn if_match(request: &HttpRequest) -> Result<Option<Revision>, Problem> {
    let Some(text) = header(request, &IF_MATCH)? else { return Ok(None) };
    if text.contains(',') {
        return Err(Problem::bad_request("If-Match: give one entity tag"));
    }
    if text == "*" {
        return Ok(None);
    }
    let never = || Problem::new(ErrorCode::PreconditionFailed, format!("If-Match: {text} is no current entity tag"));
    if text.starts_with("W/") {
        // The comparison is the strong one: a weak tag matches nothing.
        return Err(never());
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = quoted.ok_or_else(|| Problem::bad_request("If-Match must be an entity tag, such as \"42\", or *"))?;
    inner.parse().map(|number| Some(Revision(number))).map_err(|_| never())
}

fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = request.headers().get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("{name} stands there twice")));
    }
    value.to_str().map(Some).map_err(|_| Problem::bad_request(format!("{name} must be visible ASCII")))
}

/// The query string, taken apart name by name; what is left over is refused.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Problem::bad_request(format!("the query string cannot be read: {error}")))?;
        let mut all = BTreeMap::new();
        for (name, value) in pairs.into_inner() {
            if let Some(_first) = all.insert(name.clone(), value) {
                return Err(Problem::bad_request(format!("the query parameter {name:?} stands there twice")));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        let Some(text) = self.take("limit") else { return Ok(DEFAULT_LIMIT) };
        text.parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Problem::bad_request(format!("limit must be a number from 1 to {MAX_LIMIT}")))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} must be true or false"))),
        }
    }

    fn timeout(&mut self) -> Result<Duration, Problem> {
        let Some(text) = self.take("timeout") else { return Ok(DEFAULT_TIMEOUT) };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => Some(1_u64),
            "s" => Some(1000),
            "m" => Some(60_000),
            _ => None,
        };
        number
            .parse::<u64>()
            .ok()
            .zip(unit_ms)
            .and_then(|(number, unit_ms)| number.checked_mul(unit_ms))
            .map(Duration::from_millis)
            .filter(|timeout| (Duration::from_millis(1)..=MAX_TIMEOUT).contains(timeout))
            .ok_or_else(|| Problem::bad_request("timeout must be from 1ms to 60s, such as 500ms or 5s"))
    }

    fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        Err(Problem::bad_request(format!("unknown query parameters: {}", names.join(", "))))
    }
}

pub(super) fn extract<T>(
    request: &HttpRequest,
    take: impl FnOnce(&mut Query) -> Result<T, Problem>,
) -> Ready<Result<T, Problem>> {
    let extract = || {
        let mut query = Query::of(request)?;
        let taken = take(&mut query)?;
        query.finish()?;
        Ok(taken)
    };
    ready(extract())
}

impl FromRequest for Read {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, Self::take)
    }
}

impl FromRequest for List {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, Self::take)
    }
}

impl FromRequest for Search {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| Ok(Self { q: query.take("q"), list: List::take(query)? }))
    }
}

impl FromRequest for WaitFor {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| {
            let revision = query.take("revision").and_then(|text| text.parse().ok()).map(Revision);
            let revision = revision.ok_or_else(|| Problem::bad_request("give revision=NUMBER"))?;
            Ok(Self { revision, timeout: query.timeout()? })
        })
    }
}

impl FromRequest for Cautiously {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| match query.take("force").as_deref() {
            None | Some("false") => Ok(Self(Caution::Careful)),
            Some("true") => Ok(Self(Caution::Forced)),
            Some(_) => Err(Problem::bad_request("force must be true or false")),
        })
    }
}

impl FromRequest for Write {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        debug_assert!(request.method() != Method::GET, "a GET is a Read or a List");
        extract(request, |query| Self::take(request, query))
    }
}

/// A change that makes something: there is nothing yet that could have a revision.
#[derive(Clone, Debug)]
pub(super) struct Create(pub(super) Write);

impl FromRequest for Create {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| {
            if request.headers().contains_key(IF_MATCH) {
                return Err(Problem::bad_request("If-Match has no meaning where something is made"));
            }
            Ok(Self(Write::take(request, query)?))
        })
    }
}

/// Documents to apply.
#[derive(Clone, Debug)]
pub(super) struct Apply {
    pub(super) write: Write,
    pub(super) dry_run: bool,
    pub(super) set: String,
    pub(super) prune: Prune,
    pub(super) ownership: Ownership,
    pub(super) plain: Plain,
}

/// A file to import.
#[derive(Clone, Copy, Debug)]
pub(super) struct Import {
    pub(super) mode: Mode,
    pub(super) dry_run: bool,
    pub(super) wait_for_fleet: Option<Duration>,
}

impl FromRequest for Import {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| {
            let mode = match query.take("mode").as_deref() {
                None | Some("add") => Mode::Add,
                Some("merge") => Mode::Merge,
                Some("replace") => Mode::Replace,
                Some(_) => return Err(Problem::bad_request("mode must be add, merge or replace")),
            };
            Ok(Self { mode, dry_run: query.flag("dry_run")?, wait_for_fleet: wait_for_fleet(query)? })
        })
    }
}

/// Of whoever names none.
const DEFAULT_SET: &str = "default";

impl FromRequest for Apply {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, |query| {
            if request.headers().contains_key(IF_MATCH) {
                return Err(Problem::bad_request(
                    "If-Match has no meaning here: a plan is tied to what it was made of",
                ));
            }
            Ok(Self {
                dry_run: query.flag("dry_run")?,
                set: query.take("set").unwrap_or_else(|| DEFAULT_SET.to_owned()),
                prune: if query.flag("prune")? { Prune::Delete } else { Prune::Keep },
                ownership: if query.flag("take_over")? { Ownership::TakeOver } else { Ownership::Respect },
                plain: if query.flag("plain_secrets")? { Plain::Allow } else { Plain::Refuse },
                write: Write::take(request, query)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    async fn read<T: FromRequest<Error = Problem>>(request: TestRequest) -> Result<T, ErrorCode> {
        let request = request.to_http_request();
        T::from_request(&request, &mut Payload::None).await.map_err(|problem| problem.code())
    }

    #[actix_web::test]
    async fn reads_take_what_they_know_and_refuse_the_rest() {
        let at = |query: &str| TestRequest::get().uri(&format!("/x?{query}"));
        assert_eq!(read::<Read>(at("")).await.unwrap().consistency, Consistency::Local);
        let fresh = read::<Read>(at("consistency=linearizable&timeout=100ms")).await.unwrap();
        assert_eq!((fresh.consistency, fresh.timeout), (Consistency::Linearizable, Duration::from_millis(100)));
        assert_eq!(read::<Read>(at("min_revision=7")).await.unwrap().consistency, Consistency::AtLeast(Revision(7)));
        for bad in [
            "limit=3",
            "consistency=strong",
            "min_revision=-1",
            "min_revision=x",
            "timeout=5",
            "timeout=0ms",
            "timeout=61s",
            "timeout=99999999999999999999s",
            "consistency=local&consistency=local",
            "x=1",
            "consistency=linearizable&min_revision=1",
        ] {
            assert_eq!(read::<Read>(at(bad)).await.unwrap_err(), ErrorCode::InvalidRequest, "{bad}");
        }
        for bad in ["limit=0", "limit=501", "limit=-1", "limit=1000000000000000000000", "limit=", "order_by=1;drop"] {
            assert_eq!(read::<List>(at(bad)).await.unwrap_err(), ErrorCode::InvalidRequest, "{bad}");
        }
        assert_eq!(read::<List>(at("limit=500&cursor=abc")).await.unwrap().limit, 500);
        assert_eq!(read::<Search>(at("q=a%20b")).await.unwrap().q.as_deref(), Some("a b"));
    }

    #[actix_web::test]
    async fn writes_take_conditions_and_waits() {
        let with = |name: &'static str, value: &'static str| TestRequest::put().insert_header((name, value));
        assert_eq!(read::<Write>(with("if-match", "\"42\"")).await.unwrap().expected_revision, Some(Revision(42)));
        assert_eq!(read::<Write>(with("if-match", "*")).await.unwrap().expected_revision, None);
        for (value, code) in [
            ("W/\"42\"", ErrorCode::PreconditionFailed),
            ("\"abc\"", ErrorCode::PreconditionFailed),
            ("42", ErrorCode::InvalidRequest),
            ("\"1\", \"2\"", ErrorCode::InvalidRequest),
        ] {
            assert_eq!(read::<Write>(with("if-match", value)).await.unwrap_err(), code, "{value}");
        }
        assert!(read::<Write>(with("idempotency-key", "a-1")).await.unwrap().request_id.is_some());
        assert_eq!(read::<Write>(with("idempotency-key", "a b")).await.unwrap_err(), ErrorCode::InvalidRequest);
        assert_eq!(read::<Create>(with("if-match", "\"1\"")).await.unwrap_err(), ErrorCode::InvalidRequest);
        let waiting = read::<Write>(TestRequest::put().uri("/x?wait=fleet&timeout=2s")).await.unwrap();
        assert_eq!(waiting.wait_for_fleet, Some(Duration::from_secs(2)));
        for bad in ["wait=all", "timeout=1s", "wait=fleet&timeout=2h", "consistency=local"] {
            let request = TestRequest::put().uri(&format!("/x?{bad}"));
            assert_eq!(read::<Write>(request).await.unwrap_err(), ErrorCode::InvalidRequest, "{bad}");
        }
    }
}
