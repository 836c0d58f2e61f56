//! What is run once, beside the pods: `dataplane-service migrate` and `dataplane-service reseal`. One line per tenant; any
//! failure makes the exit code 1.

use std::process::ExitCode;
use std::time::Duration;

use telemetry::console::say;
use vocab::Slug;

use super::{Pod, public_url};
use crate::settings::{Job, Settings};
use crate::store::{TenantDb, reseal};

/// How long a job waits for a configuration.
const CONFIGURATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Does it for one tenant, or for all.
pub(super) async fn run(mut settings: Settings, job: Job, only: Option<Slug>) -> anyhow::Result<ExitCode> {
    let public_url = public_url(&settings, 0)?;
    let pod = Pod::start(&mut settings, public_url, String::new())?;
    if tokio::time::timeout(CONFIGURATION_TIMEOUT, pod.status.until_ready()).await.is_err() {
        let reason = pod.status.why_not_ready().unwrap_or_default();
        pod.stop().await;
        anyhow::bail!("no configuration to go by: {reason}");
    }
    let directory = pod.directory.load();
    let mut tenants: Vec<_> =
        directory.tenants().filter(|tenant| only.as_ref().is_none_or(|only| *only == tenant.slug)).cloned().collect();
    tenants.sort_by(|a, b| a.slug.cmp(&b.slug));
    let mut failed = 0;
    if let (Some(only), true) = (&only, tenants.is_empty()) {
        say(format_args!("{only}: there is no such tenant"))?;
        failed += 1;
    }
    for tenant in tenants {
        let done = match (tenant.db(), &only) {
            (Err(_), None) => Ok("has no database".to_owned()),
            (Err(error), Some(_)) => Err(error.to_string()),
            (Ok(database), _) => match job {
                Job::Migrate => migrate(database).await,
                Job::Reseal => reseal(database).await,
            },
        };
        let slug = &tenant.slug;
        match done {
            Ok(line) => say(format_args!("{slug}: {line}"))?,
            Err(line) => {
                say(format_args!("{slug}: failed: {line}"))?;
                failed += 1;
            }
        }
    }
    drop(directory);
    pod.stop().await;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn migrate(database: &TenantDb) -> Result<String, String> {
    let moved = database.migrate().await.map_err(|error| error.to_string())?;
    Ok(if moved.from == moved.to {
        format!("up to date at version {}", moved.to)
    } else {
        format!("migrated from version {} to {}", moved.from, moved.to)
    })
}

/// Succeeds when nothing is left under another key.
async fn reseal(database: &TenantDb) -> Result<String, String> {
    let reseal::Outcome { moved, missed, unopened } =
        reseal::everything(database).await.map_err(|error| error.to_string())?;
    let left = missed + unopened.values().sum::<u64>();
    let mut told = vec![format!("{moved} sealed anew, {left} left")];
    told.extend(unopened.iter().map(|(why, many)| format!("{many}: {why}")));
    if missed > 0 {
        told.push(format!("{missed} were changed meanwhile: run it again"));
    }
    let line = told.join("; ");
    if left == 0 { Ok(line) } else { Err(line) }
}
