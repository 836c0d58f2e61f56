//! What a client says of itself where a person decides about it (OIDC Registration §2): its logo, its terms, and what it
//! does with data.

use oauth_core::client::Client;

/// Addresses that the control plane has judged to be pages for people.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub logo: Option<String>,
    pub terms: Option<String>,
    pub privacy: Option<String>,
}

impl About {
    pub fn of(client: &Client) -> Self {
        let spec = &client.spec;
        Self { logo: spec.logo_uri.clone(), terms: spec.tos_uri.clone(), privacy: spec.policy_uri.clone() }
    }

    pub const fn has_links(&self) -> bool {
        self.terms.is_some() || self.privacy.is_some()
    }
}
