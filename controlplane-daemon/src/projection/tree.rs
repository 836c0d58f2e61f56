//! The folder and what stands in it. Every file is replaced whole (a file beside it, renamed), so that whoever reads
//! finds the old one or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use controlplane_core::State;
use controlplane_core::model::KeyOwner;
use controlplane_core::state::Touched;
use serde_json::{Value, json};
use vocab::{KeyId, Revision, TenantId};

use crate::admin::shown;

/// Says that the folder is ours: everything else below `tenants` and `keys` is removed at the start.
const MARKER: &str = ".hellojohn-projection";

pub(super) struct Tree {
    root: PathBuf,
    /// What the files say; `None`: not known yet.
    written: Option<State>,
}

/// What a file shows.
enum Shows {
    Tenant(TenantId),
    Clients(TenantId),
    Scopes(TenantId),
    Key(KeyOwner, KeyId),
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, written: None }
    }

    pub(super) fn write(&mut self, revision: Revision, state: State) -> io::Result<()> {
        // After an error it is not known what was written, and of which state: the next time begins anew.
        let known = self.written.take();
        let before = known.clone().unwrap_or_default();
        let touched = state.touched_since(&before);
        let (old, new) = (self.files(&before, &touched), self.files(&state, &touched));
        if known.is_none() {
            self.claim()?;
            self.sweep(&new)?;
        }
        // A file of something that is gone may by now be that of something else, of the same name.
        for path in old.keys().filter(|path| !new.contains_key(*path)) {
            remove(path)?;
        }
        // The tenants' own first: whoever sees what is a tenant's finds the tenant, too.
        let (tenants, rest): (Vec<_>, Vec<_>) = new.iter().partition(|(_, shows)| matches!(shows, Shows::Tenant(_)));
        for (path, shows) in tenants.into_iter().chain(rest) {
            put(path, &shows.value(&state, revision))?;
        }
        self.written = Some(state);
        Ok(())
    }

    /// The files that there are, in that state, of what was touched.
    fn files(&self, state: &State, touched: &Touched) -> BTreeMap<PathBuf, Shows> {
        let mut files = BTreeMap::new();
        let mut add = |id: TenantId, name: &str, shows: Shows| {
            if let Some(tenant) = state.tenant_by_id(id) {
                files.insert(self.root.join("tenants").join(tenant.slug.as_str()).join(name), shows);
            }
        };
        touched.tenants.iter().for_each(|id| add(*id, "tenant.json", Shows::Tenant(*id)));
        let clients = touched.clients.iter().filter(|id| state.client_count(**id) > 0);
        clients.for_each(|id| add(*id, "clients.json", Shows::Clients(*id)));
        let scopes = touched.scopes.iter().filter(|id| state.scope_count(**id) > 0);
        scopes.for_each(|id| add(*id, "scopes.json", Shows::Scopes(*id)));
        for owner in &touched.keys {
            let name = match owner {
                KeyOwner::Global => Some("global"),
                KeyOwner::Tenant(id) => state.tenant_by_id(*id).map(|tenant| tenant.slug.as_str()),
            };
            let Some(folder) = name.map(|name| self.root.join("keys").join(name)) else { continue };
            let shown = |key: &KeyId| (folder.join(format!("{key}.json")), Shows::Key(*owner, key.clone()));
            files.extend(state.keys_of(*owner).map(|key| shown(&key.kid)));
        }
        files
    }

    /// The folder must be empty or ours.
    fn claim(&self) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let marker = self.root.join(MARKER);
        if !marker.exists() {
            if fs::read_dir(&self.root)?.next().is_some() {
                let why = format!("{} is not empty and not a projection of ours", self.root.display());
                return Err(io::Error::other(why));
            }
            fs::write(marker, "Written by HelloJohn, never read back; anything else in here is removed.\n")?;
        }
        Ok(())
    }

    /// Removes what was left from before and is no longer so, and what is in the way.
    fn sweep(&self, expected: &BTreeMap<PathBuf, Shows>) -> io::Result<()> {
        for kind in ["tenants", "keys"].map(|kind| self.root.join(kind)) {
            if !is_folder(&kind) {
                clear(&kind)?;
                continue;
            }
            for folder in children(&kind)? {
                if !is_folder(&folder) {
                    clear(&folder)?;
                    continue;
                }
                let stays = |file: &PathBuf| expected.contains_key(file) && is_file(file);
                for file in children(&folder)?.iter().filter(|file| !stays(file)) {
                    clear(file)?;
                }
                remove_if_empty(&folder);
            }
        }
        Ok(())
    }
}

impl Shows {
    fn value(&self, state: &State, revision: Revision) -> Value {
        match self {
            Self::Tenant(id) => {
                let tenant = state.tenant_by_id(*id).map(|tenant| shown::tenant(tenant));
                json!({"revision": revision, "tenant": tenant})
            }
            Self::Clients(id) => {
                let clients: Vec<Value> = state.clients_of(*id, None).map(|client| shown::client(client)).collect();
                json!({"revision": revision, "clients": clients})
            }
            Self::Scopes(id) => {
                let scopes: Vec<Value> = state.scopes_of(*id, None).map(|scope| shown::scope(scope)).collect();
                json!({"revision": revision, "scopes": scopes})
            }
            Self::Key(owner, kid) => {
                json!({"revision": revision, "key": state.key(*owner, kid).map(|key| shown::key(key))})
            }
        }
    }
}

fn put(path: &Path, value: &Value) -> io::Result<()> {
    let folder = path.parent().expect("every file stands in a folder of the tree");
    fs::create_dir_all(folder)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    fs::write(&temporary, format!("{value:#}\n"))?;
    fs::rename(&temporary, path)
}

/// And its folder, if it was the last in it.
fn remove(path: &Path) -> io::Result<()> {
    gone(fs::remove_file(path))?;
    path.parent().into_iter().for_each(remove_if_empty);
    Ok(())
}

/// Whatever it is. Links are removed, not followed.
fn clear(path: &Path) -> io::Result<()> {
    gone(if is_folder(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

/// That it was not there is fine.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove_if_empty(folder: &Path) {
    // Not empty, or gone: both are fine.
    let _ = fs::remove_dir(folder);
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests;
