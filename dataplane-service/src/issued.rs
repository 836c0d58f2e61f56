//! `hj_dp_tokens_issued_total`: looked up once per tenant and not once per token.

use metrics::Counter;
use oauth_core::client::GrantType;
use vocab::Slug;

use crate::recorder::tenant_label;

/// A tenant's counters, one per grant.
pub struct IssuedTokens {
    authorization_code: Counter,
    refresh_token: Counter,
    client_credentials: Counter,
    token_exchange: Counter,
    device_code: Counter,
    ciba: Counter,
    jwt_bearer: Counter,
}

impl IssuedTokens {
    pub fn of(tenant: &Slug) -> Self {
        let tenant = tenant_label(tenant);
        let counter = |grant: GrantType| metrics::counter!("hj_dp_tokens_issued_total", "tenant" => tenant.clone(), "grant" => grant.as_str());
        Self {
            authorization_code: counter(GrantType::AuthorizationCode),
            refresh_token: counter(GrantType::RefreshToken),
            client_credentials: counter(GrantType::ClientCredentials),
            token_exchange: counter(GrantType::TokenExchange),
            device_code: counter(GrantType::DeviceCode),
            ciba: counter(GrantType::Ciba),
            jwt_bearer: counter(GrantType::JwtBearer),
        }
    }

    pub fn count(&self, grant: GrantType) {
        let counter = match grant {
            GrantType::AuthorizationCode => &self.authorization_code,
            GrantType::RefreshToken => &self.refresh_token,
            GrantType::ClientCredentials => &self.client_credentials,
            GrantType::TokenExchange => &self.token_exchange,
            GrantType::DeviceCode => &self.device_code,
            GrantType::Ciba => &self.ciba,
            GrantType::JwtBearer => &self.jwt_bearer,
        };
        counter.increment(1);
    }
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens").finish_non_exhaustive()
    }
}
