//! What is asked of a set of documents, and what comes of it: a plan, or everything that is wrong.

use controlplane_core::mutation::Precondition;
use controlplane_core::{Mutation, ResourceRef};
use manifest::Document;
use vocab::{ErrorCode, Revision, Slug};

use super::diff::Difference;
use crate::admin::problem::Problem;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub documents: &'a [Document],
    /// The manifest set that the documents are.
    pub set: &'a str,
    pub prune: Prune,
    pub ownership: Ownership,
    pub bounds: Bounds,
}

/// Whether what the set made and no longer states is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    Keep,
    Delete,
}

/// Whether a resource that another set manages may become this one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Respect,
    TakeOver,
}

/// What the asker may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bounds {
    Everything,
    /// Of this tenant all but what concerns others: a tenant's own administrator.
    Tenant(Slug),
}

/// Where something is stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub document: usize,
    pub pointer: String,
}

impl Source {
    /// Of what no document states.
    pub(super) const fn nowhere() -> Self {
        Self { document: usize::MAX, pointer: String::new() }
    }

    pub(super) fn below(&self, pointer: &str) -> Self {
        Self { document: self.document, pointer: format!("{}{pointer}", self.pointer) }
    }
}

/// Why there is no plan; one of the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: ErrorCode,
    pub source: Source,
    pub detail: String,
}

impl Fault {
    pub(super) fn invalid(source: Source, detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::ValidationFailed, source, detail: detail.into() }
    }

    pub(super) fn all_of(problem: Problem, source: &Source, faults: &mut Vec<Self>) {
        let code = problem.code();
        faults.extend(problem.into_violations().iter().map(|violation| Self {
            code,
            source: source.below(&violation.pointer),
            detail: violation.detail.clone(),
        }));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
    Unchanged,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What becomes of one resource.
#[derive(Clone, Debug)]
pub struct Step {
    pub action: Action,
    pub resource: ResourceRef,
    /// `None`: pruned.
    pub source: Option<Source>,
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub(super) items: Vec<(Mutation, Source)>,
    pub(super) planned_on: Vec<Precondition>,
}

impl Plan {
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.steps.append(&mut other.steps);
        self.items.append(&mut other.items);
        self.planned_on.append(&mut other.planned_on);
    }

    pub(super) fn add(&mut self, source: &Source, resource: ResourceRef, revision: Revision, change: Change) {
        let action = match (change.mutations.is_empty(), revision) {
            (true, _) => Action::Unchanged,
            (false, Revision::ZERO) => Action::Create,
            (false, _) => Action::Update,
        };
        if action != Action::Unchanged {
            self.planned_on.push(Precondition::new(resource.clone(), revision));
        }
        self.items.extend(change.mutations.into_iter().map(|mutation| (mutation, source.clone())));
        self.steps.push(Step { action, resource, source: Some(source.clone()), differences: change.differences });
    }
}

/// What makes one resource what it should be; no mutation if it is.
#[derive(Default)]
pub(super) struct Change {
    pub(super) mutations: Vec<Mutation>,
    pub(super) differences: Vec<Difference>,
}
