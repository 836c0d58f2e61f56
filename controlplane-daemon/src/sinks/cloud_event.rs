//! A record as a CloudEvent (CloudEvents 1.0.2, JSON format). The pair of source and id is the same however often a record
//! is delivered, so that whoever receives it can tell (§3.1.1).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Several at once (JSON format §4).
pub(super) const BATCH: &str = "application/cloudevents-batch+json";

#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    time: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    datacontenttype: &'static str,
    /// Byte for byte as it was hashed.
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Facts<'a> {
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
}

impl<'a> CloudEvent<'a> {
    pub(super) fn of(source: &'a str, line: &'a str) -> Result<Self, serde_json::Error> {
        let Facts { seq, time, action, resource } = serde_json::from_str(line)?;
        Ok(Self {
            specversion: "1.0",
            id: seq.to_string(),
            source,
            kind: format!("io.hellojohn.audit.{action}"),
            time,
            subject: resource,
            datacontenttype: "application/json",
            data: serde_json::from_str(line)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_cloud_event() {
        let line = r#"{"seq":7,"time":"2026-01-02T03:04:05.678Z","action":"tenant.update","resource":"tenants/acme"}"#;
        let event = serde_json::to_string(&CloudEvent::of("urn:hellojohn:c-1", line).unwrap()).unwrap();
        assert_eq!(
            event,
            format!(
                r#"{{"specversion":"1.0","id":"7","source":"urn:hellojohn:c-1","type":"io.hellojohn.audit.tenant.update","time":"2026-01-02T03:04:05.678Z","subject":"tenants/acme","datacontenttype":"application/json","data":{line}}}"#
            )
        );
        assert!(CloudEvent::of("urn:hellojohn:c-1", "damaged").is_err());
    }
}
