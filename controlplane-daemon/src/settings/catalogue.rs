//! The settings there are, in one table: the flags, variables, keys, help and defaults all come from it.

/// One setting. Its variable is `HJ_` + the flag in capitals, its TOML key the flag with `_`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) flag: &'static str,
    /// Also read from the environment under its name without `HJ_`.
    pub(super) bare: bool,
    /// Its `-file` form: only secrets have one, and secrets are never shown.
    pub(super) file_flag: Option<&'static str>,
    pub(super) default: Option<&'static str>,
    /// What the flag means when it stands there without `=VALUE`.
    pub(super) alone: Option<&'static str>,
    pub(super) help: &'static str,
}

impl Setting {
    pub(super) fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    pub(super) const fn is_secret(&self) -> bool {
        self.file_flag.is_some()
    }

    /// In order of precedence.
    pub(super) fn variables(&self) -> Vec<String> {
        let name = self.key().to_uppercase();
        if self.bare { vec![format!("HJ_{name}"), name] } else { vec![format!("HJ_{name}")] }
    }
}

const fn plain(flag: &'static str, default: Option<&'static str>, help: &'static str) -> Setting {
    Setting { flag, bare: false, file_flag: None, default, alone: None, help }
}

const fn bare(flag: &'static str, default: Option<&'static str>, help: &'static str) -> Setting {
    Setting { flag, bare: true, file_flag: None, default, alone: None, help }
}

const fn switch(flag: &'static str, help: &'static str) -> Setting {
    Setting { flag, bare: false, file_flag: None, default: Some("false"), alone: Some("true"), help }
}

const fn secret(flag: &'static str, file_flag: &'static str, help: &'static str) -> Setting {
    Setting { flag, bare: false, file_flag: Some(file_flag), default: None, alone: None, help }
}

const fn bare_secret(flag: &'static str, file_flag: &'static str, help: &'static str) -> Setting {
    Setting { flag, bare: true, file_flag: Some(file_flag), default: None, alone: None, help }
}

pub(super) const ALL: &[Setting] = &[
    bare("node-id", Some("1"), "This node: a number, or a name that ends in one (controlplane-0)"),
    plain("raft-addr", Some("0.0.0.0:7000"), "Where peers connect (gRPC)"),
    plain("watch-addr", Some("0.0.0.0:7100"), "Where data-plane pods connect (gRPC)"),
    plain("admin-addr", Some("0.0.0.0:7200"), "The admin REST API"),
    plain("ops-addr", Some("0.0.0.0:7300"), "/livez, /readyz and /metrics"),
    bare(
        "advertise-addr",
        None,
        "host:port at which peers reach --raft-addr; with peers, this node's place in --peers",
    ),
    plain("advertise-admin-url", None, "URL of this node's admin API, given to clients that are redirected here"),
    bare("peers", None, "Every voter as 1=host:port,2=host:port,…; absent: a cluster of one"),
    switch("join-only", "Makes no cluster: waits to be taken into one"),
    switch("bootstrap-preferred", "This node makes the cluster, whatever its id; with =ID, the node with that id"),
    bare("discovery-seeds", None, "Admin addresses (host:port or URL) of nodes to ask, comma-separated"),
    plain("discover-dns", None, "Name under which DNS lists the nodes to ask: SRV, or A and AAAA; NAME or NAME:PORT"),
    plain("dns-resolver", None, "IP:port of the DNS server to ask; absent: the system's"),
    plain("join-admission", Some("learner"), "What a node that asks may become: nobody, learner or voter"),
    plain("data-dir", Some("./data/controlplane"), "Log, snapshots and the cluster's identity"),
    bare_secret(
        "secretbox-master-key",
        "secretbox-master-key-file",
        "Base64 of 32 bytes, comma-separated: the first seals, all open",
    ),
    bare_secret(
        "cluster-hmac-secret",
        "cluster-hmac-secret-file",
        "Signs peer calls; needed with --peers; two, comma-separated, while rotating",
    ),
    secret(
        "watch-token",
        "watch-token-file",
        "Bearer token that data-plane pods present; absent: client certificates only",
    ),
    secret(
        "bootstrap-admin-credential",
        "bootstrap-admin-credential-file",
        "The first owner: hja_, a UUID in hex, _ and a secret; absent: one is made and printed once",
    ),
    plain("admin-oidc-issuer", None, "OpenID Connect issuer at which administrators may sign in, too"),
    plain("admin-oidc-audience", None, "Client id at that issuer: what the tokens' aud must name"),
    plain("admin-oidc-claim", Some("sub"), "Claim of the issuer's that --admin-oidc-roles maps to roles"),
    plain("admin-oidc-roles", None, "Values of that claim and the roles they give; the first that matches counts"),
    plain("admin-oidc-ca-file", None, "PEM certificates that the issuer's may be signed by, beside the system's"),
    bare_secret(
        "audit-api-token",
        "audit-api-token-file",
        "Bearer token that reads the audit and nothing else; absent: owners and auditors only",
    ),
    switch("audit-stdout", "The leader prints the audit's records to standard output, a JSON line each"),
    plain("audit-http-url", None, "The leader posts the audit's records there, as CloudEvents in batches"),
    secret("audit-http-token", "audit-http-token-file", "Bearer token that is presented at --audit-http-url"),
    plain("audit-http-ca-file", None, "PEM certificates that that endpoint's may be signed by, beside the system's"),
    bare("tls-cert-file", None, "PEM certificate for peers and pods (mutual TLS)"),
    bare("tls-key-file", None, "Its PEM private key"),
    bare("tls-ca-file", None, "PEM certificates that peers' and pods' must be signed by"),
    plain(
        "tls-peer-names",
        None,
        "Names of which a peer's certificate has one; absent: it is good for servers, and has the called host's name",
    ),
    plain("tls-watch-names", None, "Names of which a pod's certificate has one; absent: any of that authority"),
    plain("admin-tls-cert-file", None, "PEM certificate of the admin API; absent: it speaks plain HTTP"),
    plain("admin-tls-key-file", None, "Its PEM private key"),
    plain("events-heartbeat-secs", Some("10"), "How long a stream of /events is quiet before it says that it is alive"),
    plain("trusted-proxies", None, "Addresses and networks whose forwarding headers are believed, comma-separated"),
    plain(
        "trusted-proxy-header",
        Some("x-forwarded-for"),
        "The header those proxies write: x-forwarded-for or forwarded",
    ),
    plain("gitops-dir", None, "A folder of documents that the leader keeps the configuration equal to"),
    plain("gitops-set", Some("gitops"), "The manifest set that those documents are"),
    plain("gitops-prune", Some("true"), "Whether what the set made and its files no longer state is deleted"),
    plain("gitops-resync-secs", Some("60"), "How often the files are looked at even if nobody says they changed"),
    plain("fs-projection", None, "Keep this node's applied configuration as files in this folder, to look at"),
    plain("heartbeat-ms", Some("100"), "The leader's heartbeat"),
    plain("election-timeout-min-ms", Some("300"), "A follower waits at least this long for a heartbeat"),
    plain("election-timeout-max-ms", Some("600"), "… and at most this long"),
    plain("snapshot-every", Some("10000"), "Log entries between snapshots"),
    plain("follower-writes", Some("forward"), "What a follower does with a write: forward or redirect"),
    plain("log-format", Some("auto"), "auto, human (on stderr) or json (on stdout)"),
    plain("log-level", Some("info"), "error, warn, info, debug, trace, or levels by target such as info,access=info"),
    plain("otlp-endpoint", None, "Send traces to this OTLP/gRPC receiver: http(s)://collector:4317"),
    plain("otlp-sample-ratio", Some("1"), "The part of the traces that begin here which is sent, 0 to 1"),
    plain("drain-secs", Some("0"), "Go on taking requests for this long after being told to stop"),
    plain("addresses-file", None, "Write the bound addresses to this file as JSON"),
];
