//! Where the audit is delivered to.

use std::path::PathBuf;

use super::Judge;
use crate::oidc::is_this_machine;
use crate::sinks::{Endpoint, Place};

impl Judge {
    pub(super) fn audit_sinks(&mut self) -> Option<Vec<Place>> {
        let printed = self.word("audit-stdout", &[("true", true), ("false", false)])?;
        let mut places: Vec<Place> = printed.then_some(Place::Stdout).into_iter().collect();
        let before = self.problems.len();
        places.extend(self.audit_endpoint().map(Place::Http));
        (self.problems.len() == before).then_some(places)
    }

    fn audit_endpoint(&mut self) -> Option<Endpoint> {
        let flag = "audit-http-url";
        let has_token = self.text("audit-http-token").is_some();
        let token = if has_token { self.bearer_token("audit-http-token") } else { None };
        let ca_file = self.text("audit-http-ca-file").map(PathBuf::from);
        if self.text(flag).is_none() {
            for flag in ["audit-http-token", "audit-http-ca-file"] {
                if self.text(flag).is_some() {
                    self.wrong(flag, "says nothing without --audit-http-url");
                }
            }
            return None;
        }
        if let Some(Err(why)) = ca_file.as_ref().map(std::fs::File::open) {
            self.wrong("audit-http-ca-file", format!("cannot be read: {why}"));
        }
        let url: reqwest::Url = self.parse(flag)?;
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            self.wrong(flag, "must be an https or http URL");
        } else if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            self.wrong(flag, "must hold no user, password or fragment: --audit-http-token is for secrets");
        } else if has_token && url.scheme() == "http" && !is_this_machine(&url) {
            self.wrong(flag, "must be https (http on loopback only) when there is a token: anybody could read it");
        }
        Some(Endpoint { url, token, ca_file })
    }
}
