//! The registration service of the watch port: decode, one call, encode.

use controlplane_core::Origin;
use controlplane_core::mutation::{InitialProof, NewSecret};
use shared_proto::status::to_status;
use shared_proto::watch::registration_reply::Outcome;
use shared_proto::watch::registration_server::Registration;
use shared_proto::watch::{
    DeleteRegistrationRequest, OfferedSecret, ReadRegistrationRequest, RegisterRequest, RegisteredClient,
    RegistrationDeleted, RegistrationError, RegistrationRefused, RegistrationReply, UpdateRegistrationRequest,
};
use tonic::{Request, Response, Status};
use vocab::{ErrorCode, PodId, RequestId, SecretDigest};

use crate::registration::{Management, Offer, Refusal, Registered, Registering, Registrant, Registrar};

type Reply = Result<Response<RegistrationReply>, Status>;

#[derive(Debug)]
pub(super) struct Service(pub(super) Registrar);

#[tonic::async_trait]
impl Registration for Service {
    async fn register(&self, request: Request<RegisterRequest>) -> Reply {
        let wire = request.into_inner();
        let offered = wire.secret.ok_or_else(|| malformed("no secret is offered"))?;
        let initial = wire
            .initial_token
            .map(|token| Ok::<_, Status>(InitialProof { id: parsed(&token.id)?, digest: digest(&token.digest)? }));
        let asked = Registering {
            tenant: parsed(&wire.tenant_id)?,
            metadata: wire.metadata_json.into(),
            initial: initial.transpose()?,
            management: digest(&wire.management_digest)?,
            secret: secret(&offered)?,
            registrant: registrant(wire.registrant)?,
        };
        reply(self.0.register(asked).await.map(shown))
    }

    async fn read(&self, request: Request<ReadRegistrationRequest>) -> Reply {
        let wire = request.into_inner();
        let asked = management(&wire.tenant_id, &wire.client_id, &wire.proof, wire.registrant)?;
        reply(self.0.read(asked).await.map(shown))
    }

    async fn update(&self, request: Request<UpdateRegistrationRequest>) -> Reply {
        let wire = request.into_inner();
        let asked = management(&wire.tenant_id, &wire.client_id, &wire.proof, wire.registrant)?;
        let shown_secret = wire.secret_digest.as_deref().map(digest).transpose()?;
        let offer = Offer {
            secret: wire.secret.as_ref().map(secret).transpose()?,
            management: wire.management_digest.as_deref().map(digest).transpose()?,
        };
        reply(self.0.update(asked, &wire.metadata_json, shown_secret, &offer).await.map(shown))
    }

    async fn delete(&self, request: Request<DeleteRegistrationRequest>) -> Reply {
        let wire = request.into_inner();
        let asked = management(&wire.tenant_id, &wire.client_id, &wire.proof, wire.registrant)?;
        let deleted = self.0.delete(asked).await;
        reply(deleted.map(|revision| Outcome::Deleted(RegistrationDeleted { revision: revision.get() })))
    }
}

fn management(
    tenant: &str,
    client: &str,
    proof: &[u8],
    wire: Option<shared_proto::watch::Registrant>,
) -> Result<Management, Status> {
    Ok(Management {
        tenant: parsed(tenant)?,
        client_id: parsed(client)?,
        proof: digest(proof)?,
        registrant: registrant(wire)?,
    })
}

fn registrant(wire: Option<shared_proto::watch::Registrant>) -> Result<Registrant, Status> {
    let wire = wire.ok_or_else(|| malformed("nobody asks"))?;
    let pod: PodId = parsed(&wire.pod_id)?;
    let request_id: RequestId = parsed(&wire.request_id)?;
    let address = wire.address.map(|address| parsed::<std::net::IpAddr>(&address)).transpose()?;
    let origin = Origin {
        address: address.map(|address| address.to_string()),
        request_id: Some(request_id.to_string()),
        credential: Some(format!("pod {pod}")),
        ..Origin::default()
    };
    Ok(Registrant { origin, request_id })
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|_| malformed("an identifier is malformed"))
}

fn digest(bytes: &[u8]) -> Result<SecretDigest, Status> {
    bytes.try_into().map(SecretDigest::from_bytes).map_err(|_| malformed("a digest has 32 bytes"))
}

fn secret(offered: &OfferedSecret) -> Result<NewSecret, Status> {
    let sealed = offered.sealed.as_deref().map(parsed).transpose()?;
    Ok(NewSecret { id: parsed(&offered.id)?, digest: digest(&offered.digest)?, expires_at: None, sealed })
}

fn malformed(why: &str) -> Status {
    to_status(ErrorCode::InvalidRequest, why)
}

fn shown(registered: Registered) -> Outcome {
    Outcome::Client(RegisteredClient {
        client_id: registered.client_id.to_string(),
        metadata_json: serde_json::Value::Object(registered.metadata).to_string().into_bytes().into(),
        took_secret: registered.took_secret,
        took_management: registered.took_management,
        revision: registered.revision.get(),
    })
}

fn reply(outcome: Result<Outcome, Refusal>) -> Reply {
    let refused = |error: RegistrationError, description| {
        Ok(Outcome::Refused(RegistrationRefused { error: error.into(), description }))
    };
    let outcome = match outcome {
        Ok(outcome) => Ok(outcome),
        Err(Refusal::Token(why)) => refused(RegistrationError::InvalidToken, why),
        Err(Refusal::RedirectUri(why)) => refused(RegistrationError::InvalidRedirectUri, why),
        Err(Refusal::Metadata(why)) => refused(RegistrationError::InvalidClientMetadata, why),
        Err(Refusal::Statement(why)) => refused(RegistrationError::InvalidSoftwareStatement, why),
        Err(Refusal::StatementIssuer(why)) => refused(RegistrationError::UnapprovedSoftwareStatement, why),
        Err(Refusal::Denied(why)) => refused(RegistrationError::AccessDenied, why),
        Err(Refusal::Fault(code, why)) => Err(to_status(code, why)),
    };
    outcome.map(|outcome| Response::new(RegistrationReply { outcome: Some(outcome) }))
}
