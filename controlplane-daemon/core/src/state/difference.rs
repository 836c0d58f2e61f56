//! What differs between two states of the same configuration, at the cost of the difference: what two persistent maps
//! share is not looked at.

use std::collections::BTreeSet;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use vocab::TenantId;

use crate::model::KeyOwner;
use crate::state::State;

/// Whose resources differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub tenants: BTreeSet<TenantId>,
    /// Tenants whose clients differ.
    pub clients: BTreeSet<TenantId>,
    /// Tenants whose scopes differ.
    pub scopes: BTreeSet<TenantId>,
    pub keys: BTreeSet<KeyOwner>,
}

impl Touched {
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.clients.is_empty() && self.scopes.is_empty() && self.keys.is_empty()
    }
}

impl State {
    /// What is other than it was in `before`, what came and went included.
    pub fn touched_since(&self, before: &Self) -> Touched {
        Touched {
            tenants: different(&before.tenants, &self.tenants),
            clients: different(&before.clients, &self.clients),
            scopes: different(&before.scopes, &self.scopes),
            keys: different(&before.keys, &self.keys),
        }
    }
}

fn different<K: Ord + Copy, V: PartialEq>(before: &OrdMap<K, V>, after: &OrdMap<K, V>) -> BTreeSet<K> {
    let key = |item: DiffItem<'_, '_, K, V>| match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => *key,
    };
    before.diff(after).map(key).collect()
}
