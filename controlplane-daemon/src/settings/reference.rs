//! The catalogue as Markdown: a part of `docs/configuration.md`, which a test keeps equal to it.

use std::fmt::Write as _;

use super::catalogue;

/// What [`super::judge`] takes, in words.
fn allowed(flag: &str) -> &'static str {
    match flag {
        "node-id" => "a number, or a name that ends in `-` and a number, which is then the id (`controlplane-0` is 0)",
        "raft-addr" | "watch-addr" | "admin-addr" | "ops-addr" => {
            "IP:port; port 0 takes any free one; no two listeners on one port"
        }
        "advertise-addr" => "host:port, host being a name, an IPv4 address or a bracketed IPv6 address",
        "advertise-admin-url" => "`http://` or `https://`, host and port, without path or query",
        "peers" => "`ID=host:port`, separated by commas, 7 at most, none twice; with this node's id, or with discovery",
        "join-only" => "`true` or `false`; the flag alone means `true`; not with `--bootstrap-preferred`",
        "bootstrap-preferred" => "`true`, `false`, or the id or name of the one node; the flag alone means `true`",
        "discovery-seeds" => "`host:port`, `http://host:port` or `https://host:port`, separated by commas",
        "discover-dns" => "a host name, or a host name and `:` and the port of the admin API there, if not 7200",
        "dns-resolver" => "IP:port",
        "join-admission" => "`nobody`, `learner` or `voter`",
        "data-dir" => "a folder, made (mode 0700) when it is missing; of one process alone",
        "secretbox-master-key" => "required; each key base64 of 32 bytes",
        "cluster-hmac-secret" => "one or two, separated by a comma, of 32 bytes or more each",
        "audit-stdout" => "`true` or `false`; the flag alone means `true`; alike on every node",
        "audit-http-url" => {
            "an https or http URL without user and password, http with a token on loopback only; alike on every node"
        }
        "audit-http-ca-file" => "a readable PEM file; needs `--audit-http-url`",
        "watch-token" | "audit-api-token" | "audit-http-token" => "16 or more visible ASCII characters",
        "bootstrap-admin-credential" => "`hja_`, a UUID as 32 hex digits, `_`, 22 to 256 of `A-Z a-z 0-9 - _`",
        "tls-cert-file" | "tls-key-file" | "tls-ca-file" => "a readable PEM file; all three or none",
        "tls-peer-names" | "tls-watch-names" => "DNS names, IP addresses or URIs (`spiffe://…`), separated by commas",
        "admin-tls-cert-file" | "admin-tls-key-file" => "a readable PEM file; both or none",
        "events-heartbeat-secs" => "1 to 300; who takes nothing for twice as long is closed",
        "trusted-proxies" => "addresses and networks (`10.0.0.0/8,2001:db8::7`), separated by commas; absent: none",
        "trusted-proxy-header" => "`x-forwarded-for` (with `-proto` and `-host`) or `forwarded` (RFC 7239)",
        "admin-oidc-issuer" => "an https URL (http on loopback only), byte by byte as in the tokens' `iss`",
        "admin-oidc-audience" => "a client id; needed with `--admin-oidc-issuer`",
        "admin-oidc-claim" => {
            "a claim's name, or a JSON pointer such as `/realm_access/roles`; `email` counts only when it is verified"
        }
        "admin-oidc-roles" => {
            "`VALUE=ROLE,…` with `owner`, `operator`, `auditor`, `tenant-admin:SLUG`; needed with `--admin-oidc-issuer`"
        }
        "admin-oidc-ca-file" => "a readable PEM file",
        "gitops-dir" => "a path; the folder may come and go",
        "gitops-set" => "1 to 63 of `a-z 0-9 - _ .`, the first a letter or digit",
        "gitops-prune" => "`true` or `false`",
        "gitops-resync-secs" => "1 to 86400",
        "fs-projection" => "a path; an empty folder, or one that was used for this before",
        "heartbeat-ms" => "10 to 60000",
        "election-timeout-min-ms" => "20 to 600000, at least twice `--heartbeat-ms`",
        "election-timeout-max-ms" => "20 to 600000, more than `--election-timeout-min-ms`",
        "snapshot-every" => "1 to 1000000000",
        "follower-writes" => "`forward` or `redirect`",
        "log-format" => "`human`: on stderr; `json`: one object per line on stdout; `auto`: the former on a terminal",
        "log-level" => "a level, or levels by target, separated by commas; `PUT /debug/log` changes it at run time",
        "otlp-endpoint" => "an `http://` or `https://` URL; absent: nothing is traced",
        "otlp-sample-ratio" => "a number from 0 to 1; a caller that sent `traceparent` has decided already",
        "drain-secs" => "0 to 600; the node is not ready meanwhile, so that balancers learn of it before it refuses",
        "addresses-file" => "a path; its folder must exist; written whole once every listener is bound",
        _ => "",
    }
}

/// Every setting, one section each.
pub fn reference() -> String {
    let mut text = String::new();
    for setting in catalogue::ALL {
        let variables: Vec<String> = setting.variables().iter().map(|name| format!("`{name}`")).collect();
        let default = setting.default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        let _ = writeln!(text, "#### `--{}`\n\n{}.\n", setting.flag, setting.help.trim_end_matches('.'));
        let _ = writeln!(text, "* Environment: {}", variables.join(", "));
        let _ = writeln!(text, "* TOML: `{}`", setting.key());
        if let Some(file_flag) = setting.file_flag {
            let files: Vec<String> = setting.variables().iter().map(|name| format!("`{name}_FILE`")).collect();
            let _ = writeln!(
                text,
                "* From a file: `--{file_flag}`, {},\n  TOML `{}_file`",
                files.join(", "),
                setting.key()
            );
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
        for setting in catalogue::ALL {
            assert!(!allowed(setting.flag).is_empty(), "--{}: say what is allowed", setting.flag);
        }
    }
}
