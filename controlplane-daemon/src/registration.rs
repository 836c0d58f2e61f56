//! Clients that register themselves, as a pod reports them: what they say is read here, what their tenant lets them say is
//! judged where it is written, in `controlplane_core::apply`.
//!
//! ```text
//!   RFC 7591 metadata ── statement (its claims win) ── metadata ──▶ ClientSpec ──▶ client.register, at the leader
//! ```

mod metadata;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use controlplane_core::mutation::{InitialProof, NewSecret, RegistrationProofs};
use controlplane_core::{Actor, Client, Command, Mutation, Note, Origin, Rejection, ResourceRef, Tenant};
use serde_json::{Map, Value};
use vocab::client::AuthMethod;
use vocab::{ClientId, Clock, ErrorCode, Keyring, RequestId, Revision, SecretDigest, TenantId, Violations};

use crate::raft::cluster::{Cluster, Failure};

/// How long a node that has not heard of a tenant yet waits for it.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often a change is judged anew because the client became another meanwhile.
const TRIES: usize = 3;

/// What a client is told of itself and must not send back (RFC 7592 §2.2).
const ONLY_TOLD: [&str; 4] =
    ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

/// What is registered now.
#[derive(Debug)]
pub struct Registered {
    pub client_id: ClientId,
    /// RFC 7591 §3.2.1, without what only the pod knows.
    pub metadata: Map<String, Value>,
    pub took_secret: bool,
    /// Whether its registration access token is the one that was offered.
    pub took_management: bool,
    pub revision: Revision,
}

/// Why nothing came of it.
#[derive(Debug)]
pub enum Refusal {
    /// What was shown does not allow it.
    Token(String),
    RedirectUri(String),
    Metadata(String),
    Statement(String),
    StatementIssuer(String),
    Denied(String),
    /// Not the client's fault.
    Fault(ErrorCode, String),
}

impl Refusal {
    const fn code(&self) -> &'static str {
        match self {
            Self::Token(_) => "invalid_token",
            Self::RedirectUri(_) => "invalid_redirect_uri",
            Self::Metadata(_) => "invalid_client_metadata",
            Self::Statement(_) => "invalid_software_statement",
            Self::StatementIssuer(_) => "unapproved_software_statement",
            Self::Denied(_) => "access_denied",
            Self::Fault(code, _) => code.as_str(),
        }
    }
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub struct Registrant {
    pub origin: Origin,
    pub request_id: RequestId,
}

/// A request about a client that is there.
#[derive(Debug)]
pub struct Management {
    pub tenant: TenantId,
    pub client_id: ClientId,
    /// Of the registration access token that was shown.
    pub proof: SecretDigest,
    pub registrant: Registrant,
}

#[derive(Debug)]
pub struct Registering {
    pub tenant: TenantId,
    pub metadata: Vec<u8>,
    pub initial: Option<InitialProof>,
    /// Of the registration access token that the client will be given.
    pub management: SecretDigest,
    pub secret: NewSecret,
    pub registrant: Registrant,
}

#[derive(Clone, Debug)]
pub struct Registrar {
    pub cluster: Cluster,
    pub clock: Arc<dyn Clock>,
    pub keyring: Keyring,
}

/// What a pod drew for a client that changes itself. It learns what became of it.
#[derive(Debug)]
pub struct Offer {
    pub secret: Option<NewSecret>,
    /// Of another registration access token.
    pub management: Option<SecretDigest>,
}

impl Offer {
    fn of(asked: &Registering) -> Self {
        Self { secret: Some(asked.secret.clone()), management: Some(asked.management) }
    }

    /// Whether the secret and the token that were offered are the client's now.
    fn taken_by(&self, client: &Client) -> (bool, bool) {
        let kept = |offered: &NewSecret| client.secrets.iter().any(|secret| secret.id == offered.id);
        let registration = client.registration.as_ref();
        let is_token = |offered| registration.is_some_and(|registration| registration.digest == offered);
        (self.secret.as_ref().is_some_and(kept), self.management.is_some_and(is_token))
    }
}

impl Registrar {
    pub async fn register(&self, asked: Registering) -> Result<Registered, Refusal> {
        let outcome = self.try_register(&asked).await;
        self.report(outcome, &asked.registrant, "register")
    }

    async fn try_register(&self, asked: &Registering) -> Result<Registered, Refusal> {
        let tenant = self.tenant(asked.tenant).await?;
        let policy = &tenant.spec.settings.oauth.registration;
        let said = metadata::object(&asked.metadata)?;
        let (said, statement_issuer) = statement::believe(said, policy, self.clock.now())?;
        let spec = self
            .cluster
            .replica
            .read(|state| metadata::read(said, policy, None, |scope| state.scope(tenant.id, scope).is_some()))?;
        let method = spec.token_endpoint_auth_method;
        let secret = method.uses_secret().then(|| self.offered(&asked.secret, method)).transpose()?;
        let mutation = Mutation::ClientRegister {
            tenant: tenant.slug.clone(),
            spec,
            secret,
            proofs: RegistrationProofs {
                management: asked.management,
                initial: asked.initial.clone(),
                statement_issuer,
            },
        };
        let (resource, revision) = self.propose(mutation, &asked.registrant, None).await?;
        let ResourceRef::Client { client_id, .. } = resource else {
            return Err(Refusal::Fault(ErrorCode::Internal, "client.register made something else".to_owned()));
        };
        self.shown(tenant.id, &client_id, Some(&Offer::of(asked)), revision)
    }

    /// The secret as the log takes it. What cannot be opened here must not get there: nodes would not start again.
    fn offered(&self, secret: &NewSecret, method: AuthMethod) -> Result<NewSecret, Refusal> {
        let fault = |why: &str| Refusal::Fault(ErrorCode::Internal, why.to_owned());
        if !method.needs_sealed_secret() {
            return Ok(NewSecret { sealed: None, ..secret.clone() });
        }
        let sealed = secret.sealed.as_ref().ok_or_else(|| fault("the pod is of a release that seals no secrets"))?;
        let opened = self.keyring.open(sealed).map_err(|why| Refusal::Fault(ErrorCode::Internal, why.to_string()))?;
        if secret.digest.matches(opened.expose()) {
            Ok(secret.clone())
        } else {
            Err(fault("the pod sealed another secret than it offers"))
        }
    }

    pub async fn read(&self, asked: Management) -> Result<Registered, Refusal> {
        let outcome = match self.proven(&asked).await {
            Ok(client) => self.shown(client.tenant_id, &client.client_id, None, client.revision),
            Err(refusal) => Err(refusal),
        };
        self.report(outcome, &asked.registrant, "read")
    }

    /// `secret`: of the `client_secret` that came with the metadata.
    pub async fn update(
        &self,
        asked: Management,
        metadata: &[u8],
        secret: Option<SecretDigest>,
        offer: &Offer,
    ) -> Result<Registered, Refusal> {
        let outcome = self.try_update(&asked, metadata, secret, offer).await;
        self.report(outcome, &asked.registrant, "update")
    }

    async fn try_update(
        &self,
        asked: &Management,
        document: &[u8],
        secret: Option<SecretDigest>,
        offer: &Offer,
    ) -> Result<Registered, Refusal> {
        // Whoever may not change the client is told so, whatever else is wrong (RFC 7592 §2.2).
        self.proven(asked).await?;
        let said = metadata::object(document)?;
        // RFC 7592 §2.2: both are checked, neither can be chosen.
        if said.get("client_id").and_then(Value::as_str) != Some(asked.client_id.as_str()) {
            return Err(Refusal::Metadata("client_id: must be the client's own".to_owned()));
        }
        // They are ours to say; a document that was read and is sent back whole is not what a client wants to be.
        if let Some(name) = ONLY_TOLD.iter().find(|name| said.contains_key(**name)) {
            return Err(Refusal::Metadata(format!("{name}: must not be sent, it is only ever told (RFC 7592 §2.2)")));
        }
        for _ in 0..TRIES {
            let client = self.proven(asked).await?;
            if secret.is_some_and(|secret| !client.secrets.iter().any(|kept| kept.digest == secret)) {
                return Err(Refusal::Metadata("client_secret: must be the client's own, or left out".to_owned()));
            }
            let tenant = self.tenant(asked.tenant).await?;
            let policy = &tenant.spec.settings.oauth.registration;
            let (said, statement_issuer) = statement::believe(said.clone(), policy, self.clock.now())?;
            let spec = self.cluster.replica.read(|state| {
                metadata::read(said, policy, Some(&client.spec), |scope| state.scope(tenant.id, scope).is_some())
            })?;
            let method = spec.token_endpoint_auth_method;
            let fits = |secret: &&NewSecret| !method.needs_sealed_secret() || secret.sealed.is_some();
            let offered = offer.secret.as_ref().filter(|_| method.uses_secret()).filter(fits);
            let mutation = Mutation::ClientReregister {
                secret: offered.map(|secret| self.offered(secret, method)).transpose()?,
                management: offer.management.filter(|_| policy.rotate_access_token),
                tenant: tenant.slug.clone(),
                client_id: asked.client_id.clone(),
                spec,
                proof: asked.proof,
                statement_issuer,
            };
            match self.propose(mutation, &asked.registrant, Some(client.revision)).await {
                Err(Refusal::Fault(ErrorCode::PreconditionFailed, _)) => {}
                Err(refusal) => return Err(refusal),
                Ok((_, revision)) => return self.shown(tenant.id, &asked.client_id, Some(offer), revision),
            }
        }
        Err(Refusal::Fault(ErrorCode::Unavailable, "the client is being changed; try again".to_owned()))
    }

    pub async fn delete(&self, asked: Management) -> Result<Revision, Refusal> {
        let outcome = self.try_delete(&asked).await;
        self.report(outcome, &asked.registrant, "delete")
    }

    async fn try_delete(&self, asked: &Management) -> Result<Revision, Refusal> {
        let tenant = self.tenant(asked.tenant).await?.slug.clone();
        let mutation = Mutation::ClientUnregister { tenant, client_id: asked.client_id.clone(), proof: asked.proof };
        self.propose(mutation, &asked.registrant, None).await.map(|(_, revision)| revision)
    }

    /// The tenant, which a pod may know a moment before this node does.
    async fn tenant(&self, id: TenantId) -> Result<Arc<Tenant>, Refusal> {
        let find = || self.cluster.replica.read(|state| state.tenant_by_id(id).cloned());
        if let Some(tenant) = find() {
            return Ok(tenant);
        }
        self.catch_up().await;
        find().ok_or_else(|| Refusal::Fault(ErrorCode::NotFound, "there is no such tenant".to_owned()))
    }

    /// The client whose registration access token was shown.
    async fn proven(&self, asked: &Management) -> Result<Arc<Client>, Refusal> {
        let find = || {
            let client = self.cluster.replica.read(|state| state.client(asked.tenant, &asked.client_id).cloned())?;
            let proven =
                client.registration.as_ref().is_some_and(|registration| registration.is_proven_by(&asked.proof));
            proven.then_some(client)
        };
        if let Some(client) = find() {
            return Ok(client);
        }
        self.catch_up().await;
        find().ok_or_else(|| Refusal::Token("The registration access token is not this client's.".to_owned()))
    }

    async fn catch_up(&self) {
        let deadline = tokio::time::Instant::now() + CATCH_UP;
        if let Some(index) = self.cluster.read_index(deadline).await {
            // At the deadline what is here is all there is.
            let _ = tokio::time::timeout_at(deadline, self.cluster.replica.reach(Revision(index))).await;
        }
    }

    async fn propose(
        &self,
        mutation: Mutation,
        registrant: &Registrant,
        based_on: Option<Revision>,
    ) -> Result<(ResourceRef, Revision), Refusal> {
        let command = Command {
            request_id: Some(registrant.request_id.clone()),
            based_on,
            origin: registrant.origin.clone(),
            ..Command::new(Actor::Registrant, mutation)
        };
        let fault = |code, text: &str| Refusal::Fault(code, text.to_owned());
        self.cluster.propose(command).await.map(|done| (done.resource, done.revision)).map_err(|why| match why {
            Failure::Rejected(rejection) => refusal(&rejection),
            Failure::NoLeader => fault(ErrorCode::NoLeader, "the control plane has no leader"),
            Failure::Unknown => fault(ErrorCode::OutcomeUnknown, "whether it was done is not known"),
            Failure::TooNew => fault(ErrorCode::UpgradeIncomplete, "a node runs an older build"),
            Failure::TooLarge => fault(ErrorCode::PayloadTooLarge, "the registration is too large"),
            Failure::KeyGeneration => fault(ErrorCode::Internal, "a signing key could not be made"),
            Failure::Stopping => fault(ErrorCode::Unavailable, "the node is stopping"),
        })
    }

    fn shown(
        &self,
        tenant: TenantId,
        client_id: &ClientId,
        offer: Option<&Offer>,
        revision: Revision,
    ) -> Result<Registered, Refusal> {
        let client = self.cluster.replica.read(|state| state.client(tenant, client_id).cloned());
        let gone = || Refusal::Fault(ErrorCode::Conflict, "the client was removed meanwhile".to_owned());
        let client = client.ok_or_else(gone)?;
        let (took_secret, took_management) = offer.map(|offer| offer.taken_by(&client)).unwrap_or_default();
        let metadata = metadata::show(&client);
        Ok(Registered { client_id: client_id.clone(), metadata, took_secret, took_management, revision })
    }

    /// Counts, and notes for the audit what was refused; what was done stands in it by itself.
    fn report<T>(
        &self,
        outcome: Result<T, Refusal>,
        registrant: &Registrant,
        action: &'static str,
    ) -> Result<T, Refusal> {
        let result = outcome.as_ref().map_or_else(Refusal::code, |_| "ok");
        metrics::counter!("hj_cp_registrations_total", "action" => action, "result" => result).increment(1);
        if let Err(Refusal::Token(_)) = &outcome {
            self.cluster.notes.note(Note::RequestRefused {
                actor: None,
                origin: registrant.origin.clone(),
                method: action.to_owned(),
                path: "/oauth2/register".to_owned(),
                code: result.to_owned(),
                count: 1,
            });
        }
        outcome
    }
}

fn refusal(rejection: &Rejection) -> Refusal {
    match rejection {
        Rejection::Unauthenticated { why } => Refusal::Token(sentence(why)),
        Rejection::Invalid { violations } => broken(violations),
        Rejection::Conflict { why } => Refusal::Denied(sentence(why)),
        Rejection::LimitReached { .. } => Refusal::Denied("The tenant has as many clients as it may have.".to_owned()),
        other => Refusal::Fault(other.code(), other.to_string()),
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

/// All that is wrong, by the names of RFC 7591, under the code of the first.
fn broken(violations: &Violations) -> Refusal {
    let said = violations.iter().map(|found| (metadata::name_of(&found.pointer), found.detail.as_str()));
    let text = said.clone().map(|(name, detail)| format!("{name}: {detail}")).collect::<Vec<_>>().join("; ");
    let about = |name: &str| said.clone().any(|(found, _)| found.split('/').next() == Some(name));
    if about("redirect_uris") {
        Refusal::RedirectUri(text)
    } else if about("software_statement") {
        Refusal::StatementIssuer(text)
    } else {
        Refusal::Metadata(text)
    }
}
