//! How a handshake ended: the label under which it is counted.

use std::io;

use rustls::{CertificateError, Error, PeerIncompatible};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Established,
    /// The other side showed no certificate.
    NoCertificate,
    Expired,
    NotYetValid,
    /// Signed by none of our authorities.
    UnknownAuthority,
    /// Of our authority, but for another host, or none of the names that are let in here.
    WrongName,
    /// Not made for this end of a connection.
    WrongPurpose,
    BadCertificate,
    /// No TLS at all.
    NotTls,
    /// TLS, but then not HTTP/2.
    NotHttp2,
    /// No version, suite or protocol in common.
    Incompatible,
    /// The other side refused ours.
    RefusedByOther,
    Closed,
    TimedOut,
    /// Too many were under way; this was the oldest.
    Shed,
    Failed,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongName => "wrong_name",
            Self::WrongPurpose => "wrong_purpose",
            Self::BadCertificate => "bad_certificate",
            Self::NotTls => "not_tls",
            Self::NotHttp2 => "not_http2",
            Self::Incompatible => "incompatible",
            Self::RefusedByOther => "refused_by_other",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::Shed => "shed",
            Self::Failed => "failed",
        }
    }

    /// What a failed handshake of tokio-rustls came to.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Failed,
            },
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented
            | Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon) => {
                Self::NoCertificate
            }
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerSentOversizedRecord => {
                Self::NotTls
            }
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::RefusedByOther,
            _ => Self::Failed,
        }
    }

    fn of_certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongPurpose,
            _ => Self::BadCertificate,
        }
    }
}
