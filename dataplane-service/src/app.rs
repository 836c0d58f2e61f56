//! What every request handler can reach: built once by `server.rs`, shared by all workers.

use std::fmt;
use std::sync::Arc;

use vocab::{Clock, Slug};

use crate::directory::LiveDirectory;

pub struct App {
    pub directory: Arc<LiveDirectory>,
    pub clock: Arc<dyn Clock>,
    /// The tenant of requests that name none; `None` in production.
    pub default_tenant: Option<Slug>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("default_tenant", &self.default_tenant).finish_non_exhaustive()
    }
}
