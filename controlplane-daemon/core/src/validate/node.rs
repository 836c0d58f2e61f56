//! Rules of a node's record.

use vocab::Violations;

use crate::limits;
use crate::model::NodeSpec;

impl NodeSpec {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        violations.require(is_host_port(&self.peer_addr), "/peer_addr", || {
            "must be host:port, host being a name, an IPv4 address or a bracketed IPv6 address".to_owned()
        });
        violations.require(self.admin_url.as_deref().is_none_or(is_base_url), "/admin_url", || {
            "must be an http or https URL without path".to_owned()
        });
        let version = self.version.as_deref().unwrap_or("0");
        let plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
        violations.require(plain && (1..=limits::VERSION_BYTES).contains(&version.len()), "/version", || {
            format!("must be 1 to {} of A-Z, a-z, 0-9, '.', '-' and '+'", limits::VERSION_BYTES)
        });
        violations
    }
}

/// A host name, IPv4 address or bracketed IPv6 address, and a port other than zero.
pub fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    let host_ok = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => (1..=limits::HOST_BYTES).contains(&host.len()) && host.bytes().all(name),
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    host_ok && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_base_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| is_host_port(rest) || is_host_port(&format!("{rest}:1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a:1", "controlplane-0.cp.svc.cluster.local:7000", "10.0.0.1:65535", "[::1]:7000", "a_b:1"] {
            assert!(is_host_port(good), "{good}");
        }
        let long = format!("{}:1", "a".repeat(254));
        for bad in ["", "a", "a:", ":1", "a:0", "a:65536", "a:+1", "::1:7000", "a/b:1", "a@b:1", "a b:1", long.as_str()]
        {
            assert!(!is_host_port(bad), "{bad}");
        }
        for good in ["http://a:1", "https://a.example", "https://[::1]:7200"] {
            assert!(is_base_url(good), "{good}");
        }
        for bad in ["a:1", "ftp://a:1", "https://a/b", "https://u@a", "https://a:1/"] {
            assert!(!is_base_url(bad), "{bad}");
        }
    }
}
