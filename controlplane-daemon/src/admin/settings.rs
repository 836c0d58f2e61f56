//! `/settings`: what is set for the whole installation.

use actix_web::{HttpResponse, web};
use controlplane_core::Mutation;

use super::auth::Principal;
use super::json::{Document, Patch};
use super::patch::{self, Plan, patched};
use super::problem::Problem;
use super::query::{Read, Write};
use super::view::{SettingsView, read_settings};
use super::{Api, answer};

fn view(api: &Api) -> SettingsView {
    SettingsView::of(&api.control.read(controlplane_core::State::settings))
}

pub(super) async fn get(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, settings) = api.read(&read, controlplane_core::State::settings).await?;
    let view = SettingsView::of(&settings);
    Ok(answer::show(revision, Some(view.revision), &view))
}

pub(super) async fn put(
    api: web::Data<Api>,
    who: Principal,
    write: Write,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let spec = read_settings(&body.0, &api.control.read(controlplane_core::State::settings))?;
    let done = api.change(&who, &write, Mutation::SettingsUpdate { spec }, None).await?;
    let view = view(&api);
    Ok(answer::changed(&done, view.revision, &view))
}

pub(super) async fn patch(
    api: web::Data<Api>,
    who: Principal,
    write: Write,
    body: Patch,
) -> Result<HttpResponse, Problem> {
    let done = patch::apply(&api, &who, &write, |state| {
        let settings = state.settings();
        let spec = read_settings(&patched(&SettingsView::of(&settings), &body.0)?, &settings)?;
        let in_force = spec == settings.spec;
        Ok(Plan { mutation: Mutation::SettingsUpdate { spec }, based_on: Some(settings.revision), in_force })
    })
    .await?;
    let view = view(&api);
    Ok(answer::patched(&api, done.as_ref(), view.revision, &view))
}
