//! Attacks and the answers they must get, as tables against real processes; one module per door.

#[path = "security/admin.rs"]
mod admin;
#[path = "security/admin_tokens.rs"]
mod admin_tokens;
#[path = "security/authorize.rs"]
mod authorize;
#[path = "security/bearer.rs"]
mod bearer;
#[path = "security/compressed.rs"]
mod compressed;
#[path = "security/consent.rs"]
mod consent;
#[path = "security/costs.rs"]
mod costs;
#[path = "security/ends.rs"]
mod ends;
#[path = "security/foreign_ids.rs"]
mod foreign_ids;
#[path = "security/guessing.rs"]
mod guessing;
#[path = "security/http.rs"]
mod http;
#[path = "security/https.rs"]
mod https;
#[path = "security/injection.rs"]
mod injection;
#[path = "security/leaks.rs"]
mod leaks;
#[path = "security/login.rs"]
mod login;
#[path = "security/metadata.rs"]
mod metadata;
#[path = "security/refresh.rs"]
mod refresh;
#[path = "security/sessions.rs"]
mod sessions;
#[path = "security/shown.rs"]
mod shown;
#[path = "security/slow.rs"]
mod slow;
#[path = "security/strangers.rs"]
mod strangers;
#[path = "security/token.rs"]
mod token;
