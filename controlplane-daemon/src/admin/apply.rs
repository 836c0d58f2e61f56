//! `POST /apply`: documents in, what was made of them out.

use actix_web::{HttpResponse, web};
use controlplane_core::validate::manifest_set_problems;
use controlplane_core::{ResourceRef, Role};
use manifest::{Document, References};
use serde::Serialize;
use serde_json::{Value, json};
use vocab::{ErrorCode, Revision, Violations};

use super::auth::Principal;
use super::declarative::{Action, ApplyError, Asker, Bounds, Fault, Outcome, Request, Step};
use super::json::Manifests;
use super::problem::Problem;
use super::query::Apply;
use super::{Api, answer};

#[derive(Serialize)]
struct OutcomeView<'a> {
    dry_run: bool,
    set: &'a str,
    revision: Revision,
    summary: Value,
    changes: Vec<Value>,
}

pub(super) async fn apply(
    api: web::Data<Api>,
    who: Principal,
    query: Apply,
    body: Manifests,
) -> Result<HttpResponse, Problem> {
    let mut violations = Violations::new();
    violations.nest("?set", manifest_set_problems(&query.set));
    let mut documents = body.0;
    for (index, document) in documents.iter_mut().enumerate() {
        for fault in manifest::resolve(document, query.plain, References::Refuse) {
            violations.add(format!("/documents/{index}{}", fault.pointer), fault.detail);
        }
    }
    violations.into_result().map_err(Problem::invalid)?;
    let bounds = match &who.role {
        Role::TenantAdmin(own) => Bounds::Tenant(own.clone()),
        _ => Bounds::Everything,
    };
    let request =
        Request { documents: &documents, set: &query.set, prune: query.prune, ownership: query.ownership, bounds };
    let applier = api.applier();
    let outcome = if query.dry_run {
        applier.plan(&request).await
    } else {
        let asker =
            Asker { actor: who.actor(), origin: who.origin.clone(), request_id: query.write.request_id.clone() };
        let outcome = applier.apply(&request, &asker).await;
        let result = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "ok");
        metrics::counter!("hj_cp_admin_changes_total", "mutation" => "batch", "result" => result).increment(1);
        outcome
    };
    let outcome = outcome.map_err(|error| problem(error, &documents))?;
    let fleet = match query.write.wait_for_fleet {
        Some(timeout) if !query.dry_run => Some(api.control.wait_for_fleet(outcome.revision, timeout).await),
        _ => None,
    };
    Ok(answer::applied(outcome.revision, fleet.as_ref(), &view(&outcome, &query)))
}

fn view<'a>(outcome: &Outcome, query: &'a Apply) -> OutcomeView<'a> {
    let count = |action| outcome.plan.steps.iter().filter(|step| step.action == action).count();
    OutcomeView {
        dry_run: query.dry_run,
        set: &query.set,
        revision: outcome.revision,
        summary: json!({
            "create": count(Action::Create),
            "update": count(Action::Update),
            "delete": count(Action::Delete),
            "unchanged": count(Action::Unchanged),
        }),
        changes: outcome.plan.steps.iter().map(step_view).collect(),
    }
}

fn step_view(step: &Step) -> Value {
    let (kind, tenant, name) = match &step.resource {
        ResourceRef::Tenant { slug } => ("Tenant", None, slug.to_string()),
        ResourceRef::Client { tenant, client_id } => ("Client", Some(tenant), client_id.to_string()),
        ResourceRef::Scope { tenant, name } => ("Scope", Some(tenant), name.to_string()),
        other => ("Settings", None, other.to_string()),
    };
    json!({
        "action": step.action.as_str(),
        "kind": kind,
        "tenant": tenant,
        "name": name,
        "document": step.source.as_ref().map(|source| source.document),
        "pointer": step.source.as_ref().map(|source| source.pointer.as_str()),
        "differences": step.differences,
    })
}

/// Every fault with its place: the document's number, and the line where the format tells it.
fn problem(error: ApplyError, documents: &[Document]) -> Problem {
    let code = error.code();
    match error {
        ApplyError::Faults(faults) => {
            let mut violations = Violations::new();
            for Fault { source, detail, .. } in faults {
                match documents.get(source.document) {
                    None => violations.add("", detail),
                    Some(document) => {
                        let line = document.line_of(&source.pointer).map(|line| format!("line {line}: "));
                        let pointer = format!("/documents/{}{}", source.document, source.pointer);
                        violations.add(pointer, format!("{}{detail}", line.unwrap_or_default()));
                    }
                }
            }
            Problem::many(code, violations)
        }
        ApplyError::Propose(error) => error.into(),
        ApplyError::Stale(error) => error.into(),
        ApplyError::KeepsChanging => Problem::new(ErrorCode::Conflict, error.to_string()),
    }
}
