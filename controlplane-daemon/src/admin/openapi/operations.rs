//! What each route does, in a line, and what its request looks like.

use actix_web::http::Method;

/// The shape of request and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    List,
    Create,
    Replace,
    Patch,
    Delete,
    /// Something is done; the body may be left out.
    Act,
    /// Reads nothing that could be fresher.
    Plain,
    Post,
    /// A page, or JSON lines.
    Lines,
    Upload,
    File,
    Html,
    Stream,
}

pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    pub(super) kind: Kind,
    pub(super) summary: &'static str,
    /// Parameters that others have, too.
    pub(super) common: &'static [&'static str],
    /// Parameters of its own: name and meaning.
    pub(super) query: &'static [(&'static str, &'static str)],
}

pub(super) fn of(method: &Method, path: &str) -> Option<&'static Operation> {
    ALL.iter().find(|operation| operation.method == method.as_str() && operation.path == path)
}

const fn is(method: &'static str, path: &'static str, kind: Kind, summary: &'static str) -> Operation {
    with(method, path, kind, summary, &[])
}

const fn with(
    method: &'static str,
    path: &'static str,
    kind: Kind,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { method, path, kind, summary, common: kind.parameters(), query }
}

impl Operation {
    /// Of the nodes themselves: no pod is told of it, and no request of it is remembered.
    const fn of_nodes(self) -> Self {
        Self { common: &[], ..self }
    }

    /// It can be tied to a revision, or not, unlike others of its kind.
    const fn with_parameters_of(self, kind: Kind) -> Self {
        Self { common: kind.parameters(), ..self }
    }
}

use Kind::{Act, Create, Delete, File, Html, Lines, List, Patch, Plain, Post, Read, Replace, Stream, Upload};

const SEARCH: &[(&str, &str)] = &[("q", "Part of the slug or the name")];
const FORCE: &[(&str, &str)] = &[("force", "true: also what could cost the quorum")];
const RECORDS: &[(&str, &str)] = &[
    ("actor", "An administrator's id, or system"),
    ("action", "Exactly, or all that begin so: client.*"),
    ("resource", "Exactly, and what lies below"),
    ("tenant", "Its slug"),
    ("code", "Of what was refused"),
    ("since", "A time (RFC 3339)"),
    ("until", "A time (RFC 3339)"),
    ("since_seq", "A record's number"),
    ("until_seq", "A record's number"),
    ("order", "newest (default) or oldest first"),
    ("limit", "1 to 500"),
    ("cursor", "As next_cursor of the page before"),
];
const APPLY: &[(&str, &str)] = &[
    ("dry_run", "true: only says what would change"),
    ("set", "Whose the resources become [default: default]"),
    ("prune", "true: deletes what the set made and the documents no longer state"),
    ("take_over", "true: also what another set manages"),
    ("plain_secrets", "true: takes secrets as they stand in the documents"),
];
const IMPORT: &[(&str, &str)] = &[
    ("mode", "add (default), merge or replace"),
    ("dry_run", "true: only says what would change"),
    ("wait", "fleet: answers when every connected pod has it"),
    ("timeout", "How long to wait, such as 5s"),
];

#[rustfmt::skip]
pub(super) static ALL: &[Operation] = &[
    is("POST", "/auth/token", Post, "A short-lived token for a credential, or for an ID token of the administrators' issuer"),
    is("GET", "/auth/methods", Plain, "How administrators may sign in"),
    is("GET", "/openapi.json", Plain, "This contract"),
    is("GET", "/docs", Html, "This contract, to read"),

    with("GET", "/tenants", List, "Tenants", SEARCH),
    is("POST", "/tenants", Create, "Make a tenant and its first signing key"),
    is("GET", "/tenants/{slug}", Read, "A tenant"),
    is("PUT", "/tenants/{slug}", Replace, "Replace a tenant's settings"),
    is("PATCH", "/tenants/{slug}", Patch, "Change some of a tenant's settings"),
    is("DELETE", "/tenants/{slug}", Delete, "Delete a tenant and all that belongs to it"),

    is("GET", "/tenants/{slug}/clients", List, "A tenant's OAuth clients"),
    is("POST", "/tenants/{slug}/clients", Create, "Make a client; its secret is shown this once"),
    is("GET", "/tenants/{slug}/clients/{client_id}", Read, "A client"),
    is("PUT", "/tenants/{slug}/clients/{client_id}", Replace, "Replace a client's settings"),
    is("PATCH", "/tenants/{slug}/clients/{client_id}", Patch, "Change some of a client's settings"),
    is("DELETE", "/tenants/{slug}/clients/{client_id}", Delete, "Delete a client"),
    is("POST", "/tenants/{slug}/clients/{client_id}/secrets", Create, "A second, overlapping secret; shown this once").with_parameters_of(Patch),
    is("DELETE", "/tenants/{slug}/clients/{client_id}/secrets/{secret_id}", Delete, "Remove a secret"),

    is("GET", "/tenants/{slug}/registration-tokens", List, "Initial access tokens for clients that register themselves"),
    is("POST", "/tenants/{slug}/registration-tokens", Create, "Make an initial access token; it is shown this once"),
    is("GET", "/tenants/{slug}/registration-tokens/{id}", Read, "An initial access token's end and use"),
    is("DELETE", "/tenants/{slug}/registration-tokens/{id}", Delete, "Revoke an initial access token"),

    is("GET", "/tenants/{slug}/scopes", List, "Scopes that a tenant defines"),
    is("POST", "/tenants/{slug}/scopes", Create, "Make a scope"),
    is("GET", "/tenants/{slug}/scopes/{name}", Read, "A scope"),
    is("PUT", "/tenants/{slug}/scopes/{name}", Replace, "Replace a scope"),
    is("DELETE", "/tenants/{slug}/scopes/{name}", Delete, "Delete a scope, and take it out of every client"),

    is("GET", "/tenants/{slug}/keys", List, "A tenant's signing keys, public parts"),
    is("POST", "/tenants/{slug}/keys/rotate", Act, "Rotate a tenant's signing key: now, publish or activate"),
    is("GET", "/tenants/{slug}/keys/{kid}", Read, "A signing key's public part"),
    is("POST", "/tenants/{slug}/keys/{kid}/revoke", Act, "Revoke a key that is not active").with_parameters_of(Patch),
    is("GET", "/keys", List, "The global signing keys, public parts"),
    is("POST", "/keys/rotate", Act, "Rotate the global signing key"),
    is("GET", "/keys/seals", Read, "Which master keys secrets are sealed with, and which node holds which"),
    is("POST", "/keys/reseal", Act, "Seal secrets with the first master key"),
    is("GET", "/keys/{kid}", Read, "A global key's public part"),
    is("POST", "/keys/{kid}/revoke", Act, "Revoke a global key that is not active").with_parameters_of(Patch),

    is("GET", "/admins", List, "Administrators' credentials"),
    is("POST", "/admins", Create, "Make a credential; it is shown this once"),
    is("GET", "/admins/{id}", Read, "A credential's role, end and last use"),
    is("PUT", "/admins/{id}", Replace, "Replace name, role and end"),
    is("PATCH", "/admins/{id}", Patch, "Change some of them"),
    is("DELETE", "/admins/{id}", Delete, "Revoke a credential at once"),

    is("GET", "/settings", Read, "What is set for the whole installation"),
    is("PUT", "/settings", Replace, "Replace it"),
    is("PATCH", "/settings", Patch, "Change some of it"),

    with("POST", "/apply", Act, "Make tenants, clients, scopes and settings what documents say", APPLY),
    is("GET", "/export", File, "The whole configuration, secrets sealed"),
    with("POST", "/import", Upload, "Put back what an export holds", IMPORT),

    with("GET", "/audit/logs", Lines, "What was done and what was turned away", RECORDS),
    is("GET", "/audit/verify", Plain, "Whether the chain of records is what it was"),
    with("GET", "/events", Stream, "What changes, as it changes: server-sent events, or a WebSocket", &[("since", "A revision, or the id of the last event")]),

    is("GET", "/cluster/status", Read, "What this node is at"),
    is("POST", "/cluster/snapshot", Act, "Keep a snapshot now, so that the log can be cut").of_nodes(),
    is("GET", "/cluster/snapshot", File, "Download a snapshot"),
    is("GET", "/cluster/members", Read, "The control plane's own nodes"),
    with("POST", "/cluster/members", Create, "Add a node", FORCE).of_nodes(),
    with("PATCH", "/cluster/members/{id}", Patch, "Make a node a voter or a learner", FORCE).of_nodes(),
    with("DELETE", "/cluster/members/{id}", Delete, "Remove a node", FORCE).of_nodes(),
    is("POST", "/cluster/transfer-leader", Act, "Give leadership to another voter").of_nodes(),
    is("POST", "/cluster/join", Post, "A node says where it is and asks to be taken in"),
    is("GET", "/fleet", Read, "The data plane's pods, and how far each is"),
    with("GET", "/fleet/wait", Plain, "Wait until every connected pod has a revision", &[("revision", "Which"), ("timeout", "How long, such as 5s")]),
    is("DELETE", "/fleet/{pod_id}", Delete, "Strike off a pod that is gone for good").with_parameters_of(Act),
];
