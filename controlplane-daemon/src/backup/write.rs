//! Writing an export, record by record.

use std::io::{self, Write};

use controlplane_core::model::KeyOwner;
use controlplane_core::mutation::Restored;
use controlplane_core::{Resource, State};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use vocab::{ClusterId, Revision};

use super::{MAGIC, VERSION};

/// Writes everything that belongs to the configuration; what a cluster remembers of requests and pods does not.
pub fn export(state: &State, cluster_id: Option<ClusterId>, at: Revision, out: impl Write) -> io::Result<()> {
    let mut lines = Lines { out, hasher: Sha256::new(), records: 0 };
    lines.line(&json!({ "export": MAGIC, "version": VERSION, "cluster_id": cluster_id, "revision": at }))?;
    for resource in state.resources() {
        if let Resource::Settings(settings) = resource {
            lines.record(&Restored::Settings(settings.as_ref().clone()))?;
        }
    }
    for key in state.keys_of(KeyOwner::Global) {
        lines.record(&Restored::Key(key.as_ref().clone()))?;
    }
    for tenant in state.tenants_after(None) {
        lines.record(&Restored::Tenant(tenant.as_ref().clone()))?;
        for key in state.keys_of(KeyOwner::Tenant(tenant.id)) {
            lines.record(&Restored::Key(key.as_ref().clone()))?;
        }
        for scope in state.scopes_of(tenant.id, None) {
            lines.record(&Restored::Scope(scope.as_ref().clone()))?;
        }
        for client in state.clients_of(tenant.id, None) {
            lines.record(&Restored::Client(client.as_ref().clone()))?;
        }
    }
    for admin in state.admins_after(None) {
        lines.record(&Restored::Admin(admin.as_ref().clone()))?;
    }
    lines.end()
}

struct Lines<W> {
    out: W,
    hasher: Sha256,
    records: u64,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hasher.update(&bytes);
        self.out.write_all(&bytes)
    }

    fn record(&mut self, record: &Restored) -> io::Result<()> {
        self.records += 1;
        self.line(record)
    }

    fn end(mut self) -> io::Result<()> {
        let sum = std::mem::take(&mut self.hasher).finalize();
        let hex = super::hex(&sum);
        let records = self.records;
        self.line(&json!({ "kind": "end", "records": records, "sha256": hex }))?;
        self.out.flush()
    }
}
