//! What every request handler can reach: built once by `server.rs`, shared by all workers.

use std::fmt;
use std::sync::Arc;

use transport::forwarded::TrustedProxies;
use vocab::{Clock, Keyring, Slug};

use crate::caller::Verifier;
use crate::client_certificates::ClientCertificates;
use crate::directory::LiveDirectory;
use crate::fetch::Fetcher;
use crate::mail::MailServer;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::password::Hasher;
use crate::registrar::Registrar;
use crate::settings::Settings;
use crate::store::change_mails::{Change, News};
use crate::sync::status::Status;
use crate::tenant::TenantContext;
use crate::throttle::Throttle;

pub struct App {
    pub directory: Arc<LiveDirectory>,
    /// How old the configuration is.
    pub status: Arc<Status>,
    pub clock: Arc<dyn Clock>,
    /// The tenant of requests that name none; `None` in production.
    pub default_tenant: Option<Slug>,
    pub hasher: Hasher,
    pub throttle: Throttle,
    pub trusted_proxies: TrustedProxies,
    /// For addresses that clients registered.
    pub fetcher: Arc<Fetcher>,
    pub outbox: Outbox,
    /// Whether this pod has a mail server for tenants that have none of their own.
    pub has_mail_server: bool,
    /// Seals what goes to the control plane.
    pub keyring: Keyring,
    /// What it takes to check callers.
    pub verifier: Verifier,
    pub client_certificates: ClientCertificates,
    /// Whether any can come in, from here or from a proxy.
    pub takes_certificates: bool,
    /// The control plane, for clients that register themselves; without nodes in tests.
    pub registrar: Arc<Registrar>,
    pub registrations: Pace,
    /// Mails that people ask for.
    pub mails: Pace,
}

impl App {
    pub fn new(
        settings: &Settings,
        directory: Arc<LiveDirectory>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        fetcher: Arc<Fetcher>,
        outbox: Outbox,
    ) -> std::io::Result<Self> {
        Ok(Self {
            directory,
            status,
            clock,
            default_tenant: settings.default_tenant.clone(),
            hasher: Hasher::start(settings.password_hash_concurrency)?,
            throttle: Throttle::default(),
            trusted_proxies: settings.trusted_proxies.clone(),
            keyring: settings.keyring.clone(),
            verifier: Verifier::new(Arc::clone(&fetcher), &settings.keyring, settings.mutual_tls.public_url.clone()),
            takes_certificates: settings.takes_certificates(),
            client_certificates: settings.mutual_tls.certificates.clone(),
            fetcher,
            outbox,
            has_mail_server: settings.smtp.is_some(),
            registrar: Arc::default(),
            registrations: Pace::default(),
            mails: Pace::default(),
        })
    }
}

impl App {
    /// Whether mail of this tenant goes anywhere.
    pub fn sends_mail(&self, tenant: &TenantContext) -> bool {
        match tenant.mail {
            MailServer::OfThePod => self.has_mail_server,
            MailServer::Own(_) => true,
            MailServer::Unusable => false,
        }
    }

    /// What a person of the tenant is told of a change that is made now.
    pub fn news(&self, tenant: &TenantContext, change: Change) -> News {
        News { change: self.sends_mail(tenant).then_some(change), now: self.clock.now() }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("default_tenant", &self.default_tenant).finish_non_exhaustive()
    }
}
