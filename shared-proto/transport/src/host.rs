//! The host that callers are told to look for. With a certificate that does not have it nothing is wrong with the files,
//! so they are used; but handshakes end, at our side or the callers', and neither knows which setting is to blame.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use crate::names::{bears, describe};

/// A host, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    setting: &'static str,
    name: String,
}

impl Host {
    /// Of a URL; `None` where no TLS is spoken.
    pub fn of_url(setting: &'static str, url: &str) -> Option<Self> {
        let url: http::Uri = url.parse().ok()?;
        let host = url.host().filter(|_| url.scheme_str() == Some("https"))?;
        Some(Self { setting, name: host.trim_start_matches('[').trim_end_matches(']').to_owned() })
    }

    /// Says so in the log when it is not the certificate's.
    pub(crate) fn look_for(&self, file: &Path, certificate: &CertificateDer<'_>) {
        if bears(certificate, &self.name) {
            return;
        }
        let (setting, host, file) = (self.setting, &self.name, file.display());
        let names = describe(certificate).map(|(_, names)| names).unwrap_or_default();
        let what = "the certificate does not have the host of this setting: connections to that host fail";
        tracing::warn!(%setting, %host, ?names, %file, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://id.example", Some("id.example"))]
    #[case("https://id.example:8443/base/", Some("id.example"))]
    #[case("https://[::1]:8443", Some("::1"))]
    #[case("https://10.0.0.1", Some("10.0.0.1"))]
    #[case("http://id.example", None)]
    #[case("id.example", None)]
    fn urls_of_tls_have_a_host(#[case] url: &str, #[case] host: Option<&str>) {
        assert_eq!(Host::of_url("--public-url", url).as_ref().map(|host| host.name.as_str()), host);
    }
}
