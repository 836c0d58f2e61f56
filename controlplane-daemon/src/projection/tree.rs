//! The folder and what stands in it. Every file is replaced whole (a file beside it, renamed), so that whoever reads
//! finds the old one or the new one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use controlplane_core::State;
use controlplane_core::model::KeyOwner;
use serde_json::{Value, json};
use vocab::{Revision, Slug, TenantId};

use crate::admin::shown;

/// Says that the folder is ours: everything else below `tenants` and `keys` is removed at the start.
const MARKER: &str = ".hellojohn-projection";

pub(super) struct Tree {
    root: PathBuf,
    /// What the files say; `None`: not known yet.
    written: Option<State>,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, written: None }
    }

    /// After an error some files are newer than others; the next time writes them all once more.
    pub(super) fn write(&mut self, revision: Revision, state: State) -> io::Result<()> {
        if self.written.is_none() {
            self.claim()?;
        }
        let before = self.written.clone().unwrap_or_default();
        let touched = state.touched_since(&before);
        let of_tenant = |id: &TenantId| slug(&state, &before, *id);
        for (ids, name) in [(&touched.tenants, "tenant"), (&touched.clients, "clients"), (&touched.scopes, "scopes")] {
            for (id, slug) in ids.iter().filter_map(|id| Some((id, of_tenant(id)?))) {
                let folder = self.root.join("tenants").join(slug.as_str());
                put(&folder.join(format!("{name}.json")), shown_of(&state, *id, name, revision))?;
            }
        }
        for owner in &touched.keys {
            let name = match owner {
                KeyOwner::Global => Some("global".to_owned()),
                KeyOwner::Tenant(id) => of_tenant(id).map(ToString::to_string),
            };
            let Some(name) = name else { continue };
            let folder = self.root.join("keys").join(name);
            let kids = |state: &State| state.keys_of(*owner).map(|key| key.kid.clone()).collect::<BTreeSet<_>>();
            for kid in kids(&before).union(&kids(&state)) {
                let shown = state.key(*owner, kid).map(|key| json!({"revision": revision, "key": shown::key(key)}));
                put(&folder.join(format!("{kid}.json")), shown)?;
            }
        }
        if self.written.is_none() {
            self.sweep(&state)?;
        }
        self.written = Some(state);
        Ok(())
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

    /// Removes what was left from before and is no longer so.
    fn sweep(&self, state: &State) -> io::Result<()> {
        let mut expected = BTreeSet::new();
        for tenant in state.tenants_after(None) {
            let folder = self.root.join("tenants").join(tenant.slug.as_str());
            expected.insert(folder.join("tenant.json"));
            for (name, there) in
                [("clients", state.client_count(tenant.id) > 0), ("scopes", state.scope_count(tenant.id) > 0)]
            {
                if there {
                    expected.insert(folder.join(format!("{name}.json")));
                }
            }
            let keys = self.root.join("keys").join(tenant.slug.as_str());
            expected
                .extend(state.keys_of(KeyOwner::Tenant(tenant.id)).map(|key| keys.join(format!("{}.json", key.kid))));
        }
        let global = self.root.join("keys").join("global");
        expected.extend(state.keys_of(KeyOwner::Global).map(|key| global.join(format!("{}.json", key.kid))));
        for kind in ["tenants", "keys"] {
            for folder in children(&self.root.join(kind))? {
                for file in children(&folder)?.into_iter().filter(|file| !expected.contains(file)) {
                    remove(&file)?;
                }
            }
        }
        Ok(())
    }
}

/// Of a tenant that is there, or was.
fn slug<'a>(state: &'a State, before: &'a State, id: TenantId) -> Option<&'a Slug> {
    state.tenant_by_id(id).or_else(|| before.tenant_by_id(id)).map(|tenant| &tenant.slug)
}

/// `None`: there is nothing to show.
fn shown_of(state: &State, id: TenantId, name: &str, revision: Revision) -> Option<Value> {
    let tenant = state.tenant_by_id(id)?;
    let items: Vec<Value> = match name {
        "clients" => state.clients_of(id, None).map(|client| shown::client(client)).collect(),
        "scopes" => state.scopes_of(id, None).map(|scope| shown::scope(scope)).collect(),
        _ => return Some(json!({"revision": revision, "tenant": shown::tenant(tenant)})),
    };
    (!items.is_empty()).then(|| json!({"revision": revision, name: items}))
}

fn put(path: &Path, value: Option<Value>) -> io::Result<()> {
    let Some(value) = value else { return remove(path) };
    let folder = path.parent().expect("every file stands in a folder of the tree");
    fs::create_dir_all(folder)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    fs::write(&temporary, format!("{value:#}\n"))?;
    fs::rename(&temporary, path)
}

/// And its folder, if it was the last in it.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        // Not empty, or gone: both are fine.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read?.map(|entry| Ok(entry?.path())).collect(),
    }
}
