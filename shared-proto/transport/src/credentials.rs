//! The material in use. Everybody who makes a connection asks for the current one; a reload replaces it as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use vocab::Clock;

use crate::material::{Files, Material, Unusable};
use crate::observer::{Observer, Reload};

/// Files and what was in them when they were last good. Clones share it.
#[derive(Clone, Debug)]
pub struct Credentials {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: Files,
    current: ArcSwap<Material>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// What was wrong at the last try, so that the same is not said at each.
    wrong: Mutex<Option<String>>,
}

impl Credentials {
    pub fn load(files: Files, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Result<Self, Unusable> {
        let material = Material::load(&files, clock.now())?;
        tell(&material, &files, &*observer);
        let current = ArcSwap::from_pointee(material);
        Ok(Self { shared: Arc::new(Shared { files, current, clock, observer, wrong: Mutex::default() }) })
    }

    pub(crate) fn current(&self) -> Arc<Material> {
        self.shared.current.load_full()
    }

    /// Reads the files again. What cannot be used changes nothing but the logs and the count.
    pub fn reload(&self) {
        let Shared { files, current, clock, observer, wrong } = &*self.shared;
        match Material::load(files, clock.now()) {
            Ok(material) => {
                wrong.lock().take();
                if material.is_same_as(&current.load()) {
                    return;
                }
                tell(&material, files, &**observer);
                let files: Vec<String> =
                    material.not_after.iter().map(|(file, _)| file.display().to_string()).collect();
                tracing::info!(?files, "certificates were replaced: new connections use them");
                current.store(Arc::new(material));
                observer.reloaded(Reload::Replaced);
            }
            Err(why) => {
                let why = why.to_string();
                let mut wrong = wrong.lock();
                if wrong.as_ref() != Some(&why) {
                    tracing::error!(%why, "new certificates are of no use: those from before stay in use");
                    observer.reloaded(Reload::Refused);
                    *wrong = Some(why);
                }
            }
        }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let files = &self.shared.files;
        let identity = files.identity.iter().flat_map(|files| [&files.cert, &files.key]);
        identity.chain(&files.authorities)
    }
}

/// What is to be known of material that comes into use: when it ends, and whom it fails.
fn tell(material: &Material, files: &Files, observer: &dyn Observer) {
    for (file, end) in &material.not_after {
        observer.not_after(file, *end);
    }
    if let (Some(host), Some(files), Some(own)) = (&files.host, &files.identity, &material.identity)
        && let Ok(certificate) = own.end_entity_cert()
    {
        host.look_for(&files.cert, certificate);
    }
}

/// Something made of the material, and made anew when that is replaced.
pub(crate) struct Derived<T> {
    credentials: Credentials,
    make: Box<dyn Fn(&Material) -> T + Send + Sync>,
    made: Mutex<Option<(Arc<Material>, Arc<T>)>>,
}

impl<T> std::fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Derived").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl<T> Derived<T> {
    pub(crate) fn new(credentials: Credentials, make: impl Fn(&Material) -> T + Send + Sync + 'static) -> Self {
        Self { credentials, make: Box::new(make), made: Mutex::default() }
    }

    pub(crate) fn current(&self) -> Arc<T> {
        let material = self.credentials.current();
        let mut made = self.made.lock();
        match &*made {
            Some((of, value)) if Arc::ptr_eq(of, &material) => Arc::clone(value),
            _ => {
                let value = Arc::new((self.make)(&material));
                *made = Some((material, Arc::clone(&value)));
                value
            }
        }
    }
}
