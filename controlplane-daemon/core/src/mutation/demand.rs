//! Which keys mutations need made.
//!
//! A tenant has keys of the families that it signs with and of no others: the first of a family comes with the very
//! change that asks for it, so that there is no moment at which a client is told to expect what nobody can sign.

use std::collections::BTreeMap;

use vocab::Slug;

use super::Mutation;
use crate::model::{ClientSpec, KeyFamily, KeyOwner, SigningAlgorithm, TenantSpec};
use crate::state::State;

/// What a tenant signs with, as far as the mutations up to now go.
struct Asked {
    default: SigningAlgorithm,
    has: Vec<KeyFamily>,
}

pub(super) struct Demand<'a> {
    state: &'a State,
    tenants: BTreeMap<&'a Slug, Asked>,
    pub(super) fresh: Vec<KeyFamily>,
}

impl<'a> Demand<'a> {
    pub(super) const fn new(state: &'a State) -> Self {
        Self { state, tenants: BTreeMap::new(), fresh: Vec::new() }
    }

    pub(super) fn of(&mut self, item: &'a Mutation) {
        match item {
            Mutation::TenantCreate { slug, spec } => {
                self.tenants.insert(slug, Asked { default: spec.settings.signing_algorithm, has: Vec::new() });
                self.lacking(slug, [spec.settings.signing_algorithm.family()]);
            }
            Mutation::TenantUpdate { slug, spec } => {
                if let Some(asked) = self.asked(slug) {
                    asked.default = spec.settings.signing_algorithm;
                }
                self.lacking(slug, families_of_tenant(spec));
            }
            Mutation::TenantDelete { slug } => {
                self.tenants.remove(slug);
            }
            Mutation::ClientCreate { tenant, spec, .. }
            | Mutation::ClientUpdate { tenant, spec, .. }
            | Mutation::ClientRegister { tenant, spec, .. }
            | Mutation::ClientReregister { tenant, spec, .. } => {
                self.lacking(tenant, families_of(spec));
            }
            Mutation::KeyRotate { tenant, step, family } if step.needs_key() => {
                let of_tenant = tenant.as_ref().and_then(|slug| self.asked(slug)).map(|asked| asked.default);
                // Where no owner is found it is any: `apply` will refuse.
                let family = family.unwrap_or_else(|| of_tenant.unwrap_or_default().family());
                if let Some(asked) = tenant.as_ref().and_then(|slug| self.asked(slug)) {
                    asked.has.push(family);
                }
                self.fresh.push(family);
            }
            _ => {}
        }
    }

    fn lacking(&mut self, slug: &'a Slug, families: impl IntoIterator<Item = KeyFamily>) {
        for family in families {
            let Some(asked) = self.asked(slug) else { return };
            if !asked.has.contains(&family) {
                asked.has.push(family);
                self.fresh.push(family);
            }
        }
    }

    fn asked(&mut self, slug: &'a Slug) -> Option<&mut Asked> {
        if !self.tenants.contains_key(slug) {
            let tenant = self.state.tenant(slug)?;
            let active = self.state.active_keys(KeyOwner::Tenant(tenant.id));
            let has = active.map(|key| key.family).collect();
            self.tenants.insert(slug, Asked { default: tenant.spec.settings.signing_algorithm, has });
        }
        self.tenants.get_mut(slug)
    }
}

/// What a tenant signs with by its own settings.
pub(crate) fn families_of_tenant(spec: &TenantSpec) -> impl Iterator<Item = KeyFamily> + use<> {
    std::iter::once(spec.settings.signing_algorithm.family())
}

/// What a tenant has keys of for a client.
pub(crate) fn families_of(spec: &ClientSpec) -> impl Iterator<Item = KeyFamily> + use<> {
    spec.key_families()
}
