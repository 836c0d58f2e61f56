//! `hellojohn doctor`: looks at everything that can be seen from here, and says what is wrong or soon will be.

mod checks;

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use self::checks::{Seen, check_cluster, check_fleet};
use crate::api::{Api, parse_server};
use crate::failure::Failure;
use crate::output::Column;

const COLUMNS: &[Column] = &[("STATE", "/state"), ("CHECK", "/check"), ("OF", "/of"), ("DETAIL", "/detail")];

/// How bad it is. Only what failed makes the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ok,
    Warning,
    Failed,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    state: State,
    check: &'static str,
    /// A node, a pod, a file; of the whole, nothing.
    of: String,
    detail: String,
}

pub(crate) async fn run(api: &Api) -> Result<(), Failure> {
    let members = api.get(&["cluster", "members"]).await?;
    let items = members["items"].as_array().map_or(&[][..], Vec::as_slice);
    let seen = futures::future::join_all(items.iter().map(|member| look_at(api, member))).await;
    let mut findings = check_cluster(&members, &seen, SystemTime::now());
    findings.extend(check_fleet(&api.get(&["fleet"]).await?));
    let shown: Vec<Value> =
        findings.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(anyhow::Error::from)?;
    api.output.list(&shown, COLUMNS)?;
    match findings.iter().filter(|finding| finding.state == State::Failed).count() {
        0 => Ok(()),
        failed => Err(Failure::Unhealthy(failed)),
    }
}

/// What a node says of itself, asked at its own address.
async fn look_at(api: &Api, member: &Value) -> Seen {
    let id = member["id"].as_u64().unwrap_or_default();
    let Some(url) = member["admin_url"].as_str() else {
        return Seen { id, url: None, status: Err("its admin address is not known".to_owned()), offset_ms: None };
    };
    let url = url.to_owned();
    let base = match parse_server(&url) {
        Ok(base) => base,
        Err(why) => return Seen { id, url: Some(url), status: Err(why.to_string()), offset_ms: None },
    };
    let asked = SystemTime::now();
    let status = api.at(base).get(&["cluster", "status"]).await.map_err(|why| why.to_string());
    // Its clock was read about halfway between question and answer.
    let halfway = asked + asked.elapsed().unwrap_or(Duration::ZERO) / 2;
    let offset_ms = status.as_ref().ok().and_then(|status| checks::offset_ms(status["time"].as_str()?, halfway));
    Seen { id, url: Some(url), status, offset_ms }
}
