//! Every cap of the configuration, in one table. Raising one is compatible; lowering one leaves what there is alone.

use std::time::Duration;

pub const TENANTS: usize = 100_000;
pub const CLIENTS_PER_TENANT: usize = 10_000;
/// Initial access tokens of a tenant. Those that let nobody in any more make room.
pub const REGISTRATION_TOKENS: usize = 100;
pub const SCOPES_PER_TENANT: usize = 500;
pub const ADMINS: usize = 1_000;
/// Voters of the control plane: seven survive three. More only make each commit wait for more disks.
pub const VOTERS: usize = 7;
/// Nodes in the table, removed ones included; the mark of the one removed first makes room.
pub const NODES: usize = 64;
pub const HOSTS_PER_TENANT: usize = 20;
/// Pods on the roster, those that are gone and not yet forgotten included.
pub const PODS: usize = 50_000;
/// Characters of what a pod says of itself: its build, its address.
pub const POD_TEXT_CHARS: usize = 256;

/// Keys of one owner that no longer sign but are still published. Beyond it, revoke one before rotating again.
pub const RETIRING_KEYS: usize = 8;
/// Revoked keys of one owner kept for the record; the oldest are dropped beyond it.
pub const REVOKED_KEYS: usize = 16;

/// Two, so that a secret can be rotated without an outage.
pub const SECRETS_PER_CLIENT: usize = 2;
pub const REDIRECT_URIS: usize = 50;
pub const REQUEST_URIS: usize = 50;
pub const CLIENT_SCOPES: usize = 100;
pub const AUDIENCES: usize = 20;
pub const TRUSTED_ISSUERS: usize = 20;
pub const IDENTITY_PROVIDERS: usize = 10;
/// Types of authorization details, of a tenant and of a client.
pub const DETAILS_TYPES: usize = 50;
pub const SUBJECT_CLIENTS: usize = 50;
/// Longer, and a stolen refresh token is as good as its successor for too long.
pub const REFRESH_GRACE_SECS: u32 = 300;
pub const ORIGINS: usize = 50;
pub const CLAIMS_PER_SCOPE: usize = 50;

pub const CONTACTS: usize = 20;
/// Texts of a client in other languages.
pub const LOCALIZED: usize = 100;
/// Whose software statements a tenant believes.
pub const STATEMENT_ISSUERS: usize = 20;
/// Bytes of such an issuer's JWK Set.
pub const JWKS_BYTES: usize = 16_384;
/// Registrations in a minute that may be allowed.
pub const REGISTRATIONS_PER_MINUTE: u32 = 10_000;

/// Characters of a name that people read.
pub const NAME_CHARS: usize = 128;
pub const DESCRIPTION_CHARS: usize = 512;
/// Bytes of a mail's words.
pub const MAIL_TEXT_BYTES: usize = 8_192;
pub const MAIL_HTML_BYTES: usize = 32_768;
/// Bytes of a URI, of an audience.
pub const URI_BYTES: usize = 2_048;
pub const HOST_BYTES: usize = 253;
pub const VERSION_BYTES: usize = 64;
pub const CLAIM_BYTES: usize = 64;
/// Bytes of a public JWK.
pub const JWK_BYTES: usize = 4_096;
/// Bytes of a sealed envelope's text (a DSN, a private key, a receipt).
pub const SEALED_BYTES: usize = 16_384;

/// Connections that one pod may open to a tenant's database.
pub const MAX_CONNECTIONS: u32 = 100;

/// Resources that one `restore` puts; whoever imports more does so in chunks.
pub const RESTORED_TOGETHER: usize = 2_000;
/// Mutations of one batch.
pub const BATCH_ITEMS: usize = 10_000;
pub const MANIFEST_SET_CHARS: usize = 63;

/// Envelopes that one `key.reseal` moves; more are moved batch by batch.
pub const RESEALED_TOGETHER: usize = 1_000;

/// Answered requests kept for replays.
pub const REQUESTS: usize = 10_000;
/// Notes that one entry carries.
pub const NOTES: usize = 1_000;
/// Places that the audit is delivered to.
pub const SINKS: usize = 16;
pub const SINK_NAME_BYTES: usize = 64;
/// Bytes of the signature of a truncation.
pub const SIGNATURE_BYTES: usize = 4_096;
/// How long a request is kept.
pub const REQUEST_MEMORY: Duration = Duration::from_hours(24);
