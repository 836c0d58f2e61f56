//! Which server takes a tenant's mail: its own, or the pods'.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use vocab::{Keyring, SealError, Sealed, Secret, TenantId};

use super::{Account, Mailer, Security, SmtpServer};
use crate::tenant::TenantContext;

/// A tenant's server as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnServer {
    pub host: String,
    pub port: Option<u16>,
    pub security: Security,
    pub from: lettre::Address,
    pub account: Option<(String, Sealed)>,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("its password is sealed: {0}")]
    Sealed(#[from] SealError),
    #[error("its password is not UTF-8")]
    Text,
}

impl OwnServer {
    pub fn open(&self, keyring: &Keyring) -> Result<SmtpServer, Unusable> {
        let account = match &self.account {
            None => None,
            Some((username, sealed)) => {
                let password = keyring.open(sealed)?;
                let password = str::from_utf8(password.expose()).map_err(|_| Unusable::Text)?;
                Some(Account { username: username.clone(), password: Secret::new(password.to_owned()) })
            }
        };
        let Self { host, port, security, from, .. } = self.clone();
        Ok(SmtpServer { host, port, security, from, account })
    }
}

/// The server of a tenant's mail.
#[derive(Clone, Debug, Default)]
pub enum MailServer {
    /// The pod's own, if it has one.
    #[default]
    OfThePod,
    /// The tenant's, as configured and opened.
    Own(Arc<(OwnServer, SmtpServer)>),
    /// The tenant has one that this pod cannot use, and another's is none of its business.
    Unusable,
}

impl MailServer {
    /// What stands after `self` for a tenant that wants this. One that cannot be used leaves what there was, unless that
    /// was not the tenant's.
    pub fn next(&self, wanted: Option<&OwnServer>, keyring: &Keyring) -> (Self, Option<Unusable>) {
        match (wanted, self) {
            (None, _) => (Self::OfThePod, None),
            (Some(wanted), Self::Own(held)) if held.0 == *wanted => (self.clone(), None),
            (Some(wanted), _) => match (wanted.open(keyring), self) {
                (Ok(server), _) => (Self::Own(Arc::new((wanted.clone(), server))), None),
                (Err(why), Self::Own(_)) => (self.clone(), Some(why)),
                (Err(why), _) => (Self::Unusable, Some(why)),
            },
        }
    }
}

/// A tenant's own server as it was when its connections were made, and they.
type Connected = (Arc<(OwnServer, SmtpServer)>, Arc<Mailer>);

/// The connections to all of these servers.
#[derive(Debug, Default)]
pub struct Mailers {
    of_the_pod: Option<Arc<Mailer>>,
    authorities: Vec<CertificateDer<'static>>,
    own: HashMap<TenantId, Connected>,
}

impl Mailers {
    pub fn new(of_the_pod: Option<Arc<Mailer>>, authorities: Vec<CertificateDer<'static>>) -> Self {
        Self { of_the_pod, authorities, own: HashMap::new() }
    }

    /// Whether mail of this tenant goes anywhere.
    pub fn has(&self, tenant: &TenantContext) -> bool {
        match tenant.mail {
            MailServer::OfThePod => self.of_the_pod.is_some(),
            MailServer::Own(_) => true,
            MailServer::Unusable => false,
        }
    }

    /// `None`: its mail waits.
    pub fn of(&mut self, tenant: &TenantContext) -> Option<Arc<Mailer>> {
        let server = match &tenant.mail {
            MailServer::OfThePod => return self.of_the_pod.clone(),
            MailServer::Unusable => return None,
            MailServer::Own(server) => server,
        };
        if let Some((held, mailer)) = self.own.get(&tenant.id)
            && Arc::ptr_eq(held, server)
        {
            return Some(Arc::clone(mailer));
        }
        match Mailer::new(&server.1, &self.authorities) {
            Ok(mailer) => {
                let mailer = Arc::new(mailer);
                self.own.insert(tenant.id, (Arc::clone(server), Arc::clone(&mailer)));
                Some(mailer)
            }
            Err(error) => {
                tracing::error!(tenant = %tenant.slug, %error, "the tenant's mail server cannot be used");
                None
            }
        }
    }

    /// Lets go of connections of tenants that are gone.
    pub fn keep(&mut self, is_there: impl Fn(&TenantId) -> bool) {
        self.own.retain(|tenant, _| is_there(tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::MasterKey;

    fn ring(byte: u8) -> Keyring {
        Keyring::new(MasterKey::new([byte; 32]), vec![])
    }

    fn server(host: &str, sealed_with: u8) -> OwnServer {
        OwnServer {
            host: host.to_owned(),
            port: None,
            security: Security::StartTls,
            from: "no-reply@acme.example".parse().unwrap(),
            account: Some(("acme".to_owned(), ring(sealed_with).seal(b"geheim", [1; 24]))),
        }
    }

    fn host(server: &MailServer) -> Option<&str> {
        match server {
            MailServer::Own(own) => Some(&own.1.host),
            _ => None,
        }
    }

    #[test]
    fn the_last_good_server_stays_and_the_pods_never_steps_in() {
        let (own, fault) = MailServer::OfThePod.next(Some(&server("mx1", 1)), &ring(1));
        assert!(host(&own) == Some("mx1") && fault.is_none());
        let (kept, fault) = own.next(Some(&server("mx2", 9)), &ring(1));
        assert!(host(&kept) == Some("mx1") && fault.unwrap().to_string().contains("its password is sealed"));
        let (first, fault) = MailServer::OfThePod.next(Some(&server("mx2", 9)), &ring(1));
        assert!(matches!(first, MailServer::Unusable) && fault.is_some());
        assert!(matches!(own.next(None, &ring(1)).0, MailServer::OfThePod));
        let (MailServer::Own(a), MailServer::Own(b)) = (&own, own.next(Some(&server("mx1", 1)), &ring(1)).0) else {
            panic!("both are its own");
        };
        assert!(Arc::ptr_eq(a, &b), "what is the same keeps its connections");
    }
}
