//! The table of settings as Markdown: a part of `docs/configuration.md`, which a test keeps equal to it.

use std::fmt::Write as _;

use super::sources::{TABLE, key, variable};

/// What [`super::Settings`] takes, in words.
fn allowed(flag: &str) -> &'static str {
    match flag {
        "http-addr" | "ops-addr" => "IP:port; port 0 takes any free one",
        "tls-addr" => "IP:port; port 0 takes any free one; needs certificate and key",
        "public-tls-cert-file" | "public-tls-key-file" => "a readable PEM file; with `--tls-addr`",
        "control-plane" => "required; `http://host:port` or `https://host:port`, one or more",
        "watch-token" => "the control plane's `--watch-token`; absent: the pod's certificate is its proof",
        "secretbox-master-key" => "required; each key base64 of 32 bytes: the control plane's",
        "state-dir" => "a folder, made when it is missing; absent: nothing is kept, so a start needs the control plane",
        "default-tenant" => "a slug, or empty for none",
        "public-url" | "mtls-public-url" => "`http://` or `https://`, without query, fragment or user",
        "trusted-proxies" => "addresses and networks (`10.0.0.0/8,2001:db8::7`), separated by commas; absent: none",
        "trusted-proxy-header" => "`x-forwarded-for` (with `-proto` and `-host`) or `forwarded` (RFC 7239)",
        "outbound-allowed-networks" => {
            "addresses and networks; absent: none; loopback ones, for development, may then be plain `http`, too"
        }
        "outbound-ca-file" => "a readable PEM file",
        "tls-client-certificates" => {
            "`off`, or `request`: asked for, not required, of any authority or none; browsers may then ask their users"
        }
        "client-ca-file" => "a readable PEM file; needed for `tls_client_auth`",
        "client-cert-header" => {
            "`client-cert` (RFC 9440), or another name for percent-encoded PEM; needs `--trusted-proxies`"
        }
        "smtp-host" => "a host name or an address; needs `--smtp-from`",
        "smtp-port" => "1 to 65535; absent: 587 with `starttls`, 465 with `tls`, 25 with `none`",
        "smtp-security" => {
            "`starttls` or `tls`, demanded, the certificate checked as of `--outbound-ca-file`; `none`, without an account"
        }
        "smtp-from" => "an e-mail address; mail bears the tenant's name beside it",
        "smtp-username" | "smtp-password" => "both or none",
        "pod-name" => "1 to 128 of `A-Z a-z 0-9 . _ ~ -`, different for each pod",
        "migrate" => "`auto` or `off`",
        "pool-max-per-tenant" => "1 to 1000; the tenant's own `max_connections` may ask for fewer",
        "pool-max-total" => "1 to 100000",
        "pool-idle-secs" => "1 to 86400",
        "outbox-every-secs" => "1 to 3600",
        "metrics-tenants" => {
            "0 to 100000; the first that the pod learns of, which are the oldest; each has some twenty series"
        }
        "password-hash-concurrency" => "1 to 1024",
        "tls-ca-file" => "a readable PEM file; required when an address of `--control-plane` is https",
        "tls-cert-file" | "tls-key-file" => "a readable PEM file; both or none",
        "log-format" => "`human`: on stderr; `json`: one object per line on stdout; `auto`: the former on a terminal",
        "log-level" => "a level, or levels by target, separated by commas; `PUT /debug/log` changes it at run time",
        "otlp-endpoint" => "an `http://` or `https://` URL; absent: nothing is traced",
        "otlp-sample-ratio" => "a number from 0 to 1; a caller that sent `traceparent` has decided already",
        "drain-secs" => "0 to 600; the pod is not ready meanwhile, so that balancers learn of it before it refuses",
        "addresses-file" => "a path; its folder must exist; written whole once both listeners are bound",
        "config" => "a readable TOML file",
        _ => "",
    }
}

/// Every setting, one section each.
pub fn reference() -> String {
    let mut text = String::new();
    for setting in TABLE.iter().filter(|setting| setting.flag != "config") {
        let own = variable(setting.flag);
        let variables: Vec<&str> = std::iter::once(own.as_str()).chain(setting.bare).collect();
        let named =
            |suffix: &str| variables.iter().map(|name| format!("`{name}{suffix}`")).collect::<Vec<_>>().join(", ");
        let default = setting.default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        let _ = writeln!(text, "#### `--{}`\n\n{}.\n", setting.flag, setting.help.trim_end_matches('.'));
        let _ = writeln!(text, "* Environment: {}", named(""));
        let _ = writeln!(text, "* TOML: `{}`", key(setting.flag));
        if let Some(file_flag) = setting.file_flag {
            let _ = writeln!(text, "* From a file: `--{file_flag}`, {},\n  TOML `{}`", named("_FILE"), key(file_flag));
        }
        let _ = writeln!(text, "* Default: {default}");
        let _ = writeln!(text, "* Allowed: {}\n", allowed(setting.flag));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_says_what_it_takes() {
        for setting in TABLE {
            assert!(!allowed(setting.flag).is_empty(), "--{}: say what is allowed", setting.flag);
        }
    }
}
