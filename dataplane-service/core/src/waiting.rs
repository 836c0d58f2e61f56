//! Requests whose user answers elsewhere: what a device may ask for (RFC 8628 §3.1), and a client of CIBA
//! (OIDC CIBA Core 1.0 §7.1).

mod ciba;
mod device;
mod user_code;

pub use ciba::{BackchannelRequest, Hint, MAX_NOTIFICATION_TOKEN_BYTES};
pub use device::DeviceRequest;
pub use user_code::{USER_CODE_LETTERS, UserCode};

use crate::authorization_details::{AuthorizationDetails, DetailTypes};
use crate::client::{Client, GrantType};
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::scope::{OFFLINE_ACCESS, ScopeSet};

/// What is asked for, by the rules of the authorization endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub scope: ScopeSet,
    /// Empty: the client's default.
    pub resources: Vec<String>,
    pub details: AuthorizationDetails,
}

impl Asked {
    fn parse(form: &Form<'_>, client: &Client, issuer: &str, types: &DetailTypes) -> Result<Self, OAuthError> {
        let details = types.judge(AuthorizationDetails::read(form)?, client)?;
        let mut scope = ScopeSet::parse(form.get("scope").unwrap_or_default())?;
        // A client that may not refresh asks in vain, which is no error (OIDC Core §11).
        if !client.may_use(GrantType::RefreshToken) {
            scope.remove(OFFLINE_ACCESS);
        }
        if let Some(name) = scope.iter().find(|name| !client.may_ask_for(name)) {
            return Err(OAuthError::quoting(Code::InvalidScope, &format!("The client may not ask for scope {name}.")));
        }
        // RFC 9396 §3: who says in detail what it wants needs no scope.
        if scope.is_empty() && details.is_empty() {
            return Err(OAuthError::invalid_scope("The scope is missing."));
        }
        let resources: Vec<String> = form.all("resource").map(str::to_owned).collect();
        // RFC 8707 §2.
        if !resources.iter().all(|asked| asked == issuer || client.spec.audiences.contains(asked)) {
            return Err(OAuthError::invalid_target("The client is not registered for this resource."));
        }
        Ok(Self { scope, resources, details })
    }
}
