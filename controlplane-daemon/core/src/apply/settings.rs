//! What is set for the whole installation.

use super::{Context, Decision, check};
use crate::model::{ClusterSettings, ClusterSettingsSpec};
use crate::mutation::ResourceRef;
use crate::rejection::Rejection;

pub(super) fn update(cx: &Context<'_>, spec: ClusterSettingsSpec) -> Result<Decision, Rejection> {
    let old = cx.state.settings();
    cx.check_precondition(old.revision)?;
    check(spec.validate())?;
    let longest_stale_secs = old.longest_stale_secs.max(old.spec.staleness.refuse_after_secs);
    let settings = ClusterSettings { spec, updated_at: cx.stamp.at, revision: cx.revision, longest_stale_secs };
    Ok(Decision { resource: ResourceRef::Settings, changes: vec![settings.into()] })
}
