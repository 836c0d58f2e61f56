//! Mail: how a message is written and handed to the operators' SMTP server. When, and how often it is tried, is the
//! [`crate::outbox`]'s business.
//!
//! Law: nothing that a tenant, a client or a user calls itself can end a header or begin another one, and no password or
//! mail goes over a connection that is not encrypted, unless the operators said so (RFC 8314 §3, RFC 3207 §6: TLS that is
//! wanted is demanded).

mod change;
mod envelope;
mod link;
mod request;
mod server;

use std::fmt;
use std::time::Duration;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{PoolConfig, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use vocab::Secret;
use vocab::branding::FillError;

pub use change::ChangeMail;
pub use envelope::Envelope;
pub use link::LinkMail;
pub use request::RequestMail;
pub use server::{MailServer, Mailers, OwnServer};

/// Of one step of the conversation; a delivery ends well within the outbox's lease.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;
const IDLE: Duration = Duration::from_secs(30);

/// The server that takes this pod's mail.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    /// `None`: the one that is usual for the security.
    pub port: Option<u16>,
    pub security: Security,
    /// Whom mail is from.
    pub from: Address,
    pub account: Option<Account>,
}

#[derive(Clone, Debug)]
pub struct Account {
    pub username: String,
    pub password: Secret<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Encrypted before anything else is said, or not at all (RFC 3207).
    #[default]
    StartTls,
    /// From the first byte (RFC 8314 §3.3).
    Tls,
    /// Never: for a server on the same machine.
    None,
}

impl Security {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            _ => Err("must be starttls, tls or none".to_owned()),
        }
    }
}

/// What is sent, and to whom.
#[derive(Debug)]
pub struct Mail<'a> {
    pub envelope: Envelope<'a>,
    pub subject: String,
    pub text: String,
    /// Absent: there is only the text.
    pub html: Option<String>,
}

/// Why it was not taken. The server's own words are left out: they repeat addresses.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("the address is none that mail can be sent to")]
    Address,
    #[error("the mail cannot be written: {0}")]
    Unwritable(#[from] lettre::error::Error),
    #[error("its template cannot be rendered")]
    Template(#[from] askama::Error),
    #[error("the tenant's words for it cannot be filled in: {0}")]
    Words(#[from] FillError),
    #[error("the mail server answered {0}")]
    Refused(u16),
    #[error("the connection to the mail server is not secure")]
    Insecure,
    #[error("the mail server cannot be reached")]
    Unreachable,
}

impl From<lettre::transport::smtp::Error> for MailError {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        match error.status() {
            Some(code) => Self::Refused(u16::from(code)),
            // Not offered counts as a fault of the client's there.
            None if error.is_tls() || error.is_client() => Self::Insecure,
            None => Self::Unreachable,
        }
    }
}

/// Hands mail over; keeps a few connections for a while.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// `authorities` are trusted beside the system's own. Needs the runtime, in which connections are looked after.
    pub fn new(
        server: &SmtpServer,
        authorities: &[CertificateDer<'static>],
    ) -> Result<Self, lettre::transport::smtp::Error> {
        let parameters = || {
            let mut tls = TlsParameters::builder(server.host.clone());
            for authority in authorities {
                tls = tls.add_root_certificate(Certificate::from_der(authority.to_vec())?);
            }
            tls.build_rustls()
        };
        let (tls, usual_port) = match server.security {
            Security::StartTls => (Tls::Required(parameters()?), SUBMISSION_PORT),
            Security::Tls => (Tls::Wrapper(parameters()?), SUBMISSIONS_PORT),
            Security::None => (Tls::None, SMTP_PORT),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.as_str())
            .port(server.port.unwrap_or(usual_port))
            .tls(tls)
            .hello_name(ClientId::Domain(server.from.domain().to_owned()))
            .timeout(Some(TIMEOUT))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS).idle_timeout(IDLE));
        if let Some(Account { username, password }) = &server.account {
            builder = builder.credentials(Credentials::new(username.clone(), password.expose().clone()));
        }
        Ok(Self { transport: builder.build(), from: server.from.clone() })
    }

    pub async fn send(&self, mail: Mail<'_>) -> Result<(), MailError> {
        self.transport.send(write(&self.from, mail)?).await?;
        Ok(())
    }
}

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

fn write(from: &Address, mail: Mail<'_>) -> Result<Message, MailError> {
    let Envelope { id, to, tenant } = mail.envelope;
    let to: Address = to.parse().map_err(|_| MailError::Address)?;
    let head = Message::builder()
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        .date_now()
        .from(Mailbox::new(Some(one_line(tenant)), from.clone()))
        .to(Mailbox::new(None, to))
        .subject(one_line(&mail.subject))
        // RFC 3834 §5: nobody answers that they are on holiday.
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()));
    let message = match mail.html {
        Some(html) => head.multipart(MultiPart::alternative_plain_html(mail.text, html)),
        None => head.singlepart(SinglePart::plain(mail.text)),
    };
    Ok(message?)
}

/// Without what ends a header (RFC 5322 §2.2). The library encodes such characters; that a name has none is not left to it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn written(name: &str, subject: &str, to: &str) -> Result<String, MailError> {
        let mail = Mail {
            envelope: Envelope { id: Uuid::nil(), to, tenant: name },
            subject: subject.to_owned(),
            text: "text".to_owned(),
            html: Some("<p>html".to_owned()),
        };
        let message = write(&"no-reply@id.example".parse().unwrap(), mail)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn no_name_becomes_a_header() {
        let nasty = "Bank\r\nBcc: eve@evil.example\r\n\r\n<a href=x>";
        let mail = written(nasty, nasty, "ada@example.com").unwrap();
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let wanted = ["Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"];
        assert_eq!(names.len(), wanted.len(), "{head}");
        assert!(wanted.iter().all(|name| names.contains(name)), "{head}");
        assert!(head.contains("<no-reply@id.example>") && head.contains("To: ada@example.com"), "{head}");
    }

    #[test]
    fn an_address_is_one_address() {
        for to in ["ada@example.com, eve@evil.example", "ada@example.com\r\nBcc: eve@evil.example", "ada", ""] {
            assert!(matches!(written("Acme", "Hi", to), Err(MailError::Address)), "{to:?}");
        }
    }

    #[test]
    fn both_kinds_of_reader_are_served() {
        let mail = written("Åcme", "Hej", "ada@example.com").unwrap();
        assert!(mail.contains("multipart/alternative") && mail.contains("text/plain") && mail.contains("text/html"));
    }
}
