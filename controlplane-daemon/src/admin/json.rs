//! Bodies: one JSON document, read strictly and at a bounded cost, before anybody looks at its members.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, web};
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use serde_json::{Map, Value};
use vocab::{ErrorCode, Violations};

use super::problem::Problem;

const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Of documents to apply: many resources at once, and still one entry of the log.
const MAX_MANIFEST_BYTES: usize = 8 * 1024 * 1024;
/// From the end of the head to the end of the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A request's JSON document.
pub(super) struct Document(pub(super) Value);

/// A request's JSON document, where a request without body is fine, too: then an empty object.
pub(super) struct OptionalDocument(pub(super) Value);

/// A body as it came, for who must check a signature over it first.
pub(super) struct Raw(pub(super) web::BytesMut);

/// A merge patch (RFC 7396).
pub(super) struct Patch(pub(super) Value);

/// Documents to apply: YAML, or a JSON object with the list `documents`.
pub(super) struct Manifests(pub(super) Vec<manifest::Document>);

impl FromRequest for Manifests {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            expect_json(&request, &["application/json", "application/yaml"])?;
            let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_json = given.trim_start().to_ascii_lowercase().starts_with("application/json");
            let body = read(&request, payload, MAX_MANIFEST_BYTES).await?;
            let documents = if is_json { manifest::of_values(listed(parse(&body)?)?) } else { read_yaml(&body)? };
            documents.map(Self).map_err(|faults| {
                let mut violations = Violations::new();
                for (index, fault) in faults.into_iter().enumerate() {
                    let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                    let pointer = if is_json { format!("/documents/{index}{}", fault.pointer) } else { fault.pointer };
                    violations.add(pointer, format!("{line}{}", fault.detail));
                }
                Problem::invalid(violations)
            })
        })
    }
}

fn listed(body: Value) -> Result<Vec<Value>, Problem> {
    let wanted =
        || Problem::invalid(Violations::one("/documents", "must be the list of documents, and the only member"));
    let Value::Object(mut members) = body else { return Err(wanted()) };
    match members.remove("documents") {
        Some(Value::Array(documents)) if members.is_empty() => Ok(documents),
        _ => Err(wanted()),
    }
}

type Documents = Result<Vec<manifest::Document>, Vec<manifest::Fault>>;

fn read_yaml(body: &[u8]) -> Result<Documents, Problem> {
    Ok(manifest::read("", text(body)?, manifest::Format::Yaml))
}

fn text(body: &[u8]) -> Result<&str, Problem> {
    simdutf8::basic::from_utf8(body).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

impl FromRequest for Document {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            expect_json(&request, &["application/json"])?;
            parse(&read(&request, payload, MAX_BODY_BYTES).await?).map(Self)
        })
    }
}

impl FromRequest for Raw {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { read(&request, payload, MAX_BODY_BYTES).await.map(Self) })
    }
}

impl FromRequest for OptionalDocument {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read(&request, payload, MAX_BODY_BYTES).await?;
            if body.is_empty() {
                return Ok(Self(Value::Object(Map::new())));
            }
            expect_json(&request, &["application/json"])?;
            parse(&body).map(Self)
        })
    }
}

impl FromRequest for Patch {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            expect_json(&request, &["application/merge-patch+json", "application/json"])?;
            parse(&read(&request, payload, MAX_BODY_BYTES).await?).map(Self)
        })
    }
}

fn expect_json(request: &HttpRequest, types: &[&str]) -> Result<(), Problem> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let encoded = request.headers().get_all(CONTENT_ENCODING).any(|value| value != "identity");
    if encoded || !types.iter().any(|name| essence.eq_ignore_ascii_case(name)) {
        let detail = format!("send {} without content encoding", types.join(" or "));
        return Err(Problem::new(ErrorCode::UnsupportedMediaType, detail));
    }
    Ok(())
}

async fn read(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<web::BytesMut, Problem> {
    let too_large = || Problem::new(ErrorCode::PayloadTooLarge, format!("the body may have at most {limit} bytes"));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let all = async {
        let mut body = web::BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(BODY_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| Err(Problem::new(ErrorCode::RequestTimeout, "the body did not arrive within 20 seconds")))
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    let refused = |error| Problem::bad_request(format!("the body is not JSON as it is taken here: {error}"));
    manifest::strict_json::parse(text(body)?).map_err(refused)
}

/// RFC 7396 §2.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strange_json_is_refused_cheaply() {
        let deep = "[".repeat(100_000);
        let deep_object = "{\"a\":".repeat(100_000);
        for bad in [
            "",
            "{",
            "nul",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "{\"b\":{\"a\":1,\"a\":1}}",
            "NaN",
            "1e400",
            "\"\\ud800\"",
            "{a:1}",
            "[1,]",
            deep.as_str(),
            deep_object.as_str(),
        ] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().code(), ErrorCode::InvalidRequest, "{bad:.20}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert_eq!(parse(b"{\"a\":[1,-2,0.5,null,true,\"x\"]}").unwrap(), json!({"a": [1, -2, 0.5, null, true, "x"]}));
    }

    /// The table of RFC 7396 appendix A.
    #[test]
    fn merge_patch_does_what_the_rfcs_examples_say() {
        let rows = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut target, patch, result) in rows {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
