//! `/cluster/members`, `/cluster/transfer-leader`, `/cluster/join`: who is in the control plane.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use controlplane_core::model::{NodeSource, NodeSpec, Promotion};
use controlplane_core::{Actor, NodeRecord, Note};
use serde::Serialize;
use serde_json::Value;
use vocab::{ErrorCode, NodeId, Revision};

use super::auth::Principal;
use super::fields::{Fields, Problems};
use super::json::{Document, OptionalDocument};
use super::problem::Problem;
use super::query::{Cautiously, Read};
use super::view::rfc3339;
use super::{Api, answer, origin, sign_in};
use crate::control_plane::{ClusterStatus, Consistency, Member};
use crate::membership::{MemberChange, MemberError, MemberRequest};
use crate::signature::{Call, HEADER, Receiver, Refusal};

type Path = web::Path<String>;

/// Until a new leader has told everybody.
const HEARING: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct MembersView {
    leader_id: Option<NodeId>,
    /// How many voters must answer.
    quorum: usize,
    items: Vec<MemberView>,
}

#[derive(Serialize)]
struct MemberView {
    id: NodeId,
    role: &'static str,
    leads: bool,
    peer_addr: String,
    admin_url: Option<String>,
    source: Option<&'static str>,
    version: Option<String>,
    feature_level: u16,
    joined_at: Option<String>,
    last_seen: Option<String>,
    /// A learner that becomes a voter once it has caught up.
    promotion_pending: bool,
    replaces: Option<NodeId>,
    /// As the leader sees it; `null` at other nodes.
    answers: Option<bool>,
    lag: Option<u64>,
    revision: Option<Revision>,
}

impl MemberView {
    fn of(member: &Member, record: Option<&NodeRecord>, leader: Option<NodeId>) -> Self {
        let spec = record.map(|record| &record.spec);
        let promotion = spec.and_then(|spec| spec.promotion.as_ref());
        Self {
            id: member.id,
            role: if member.voter { "voter" } else { "learner" },
            leads: leader == Some(member.id),
            peer_addr: member.addr.clone(),
            admin_url: spec.and_then(|spec| spec.admin_url.clone()),
            source: spec.map(|spec| spec.source.as_str()),
            version: spec.and_then(|spec| spec.version.clone()),
            feature_level: spec.map_or(0, |spec| spec.feature_level),
            joined_at: record.map(|record| rfc3339(record.joined_at)),
            last_seen: record.map(|record| rfc3339(record.last_seen)),
            promotion_pending: promotion.is_some(),
            replaces: promotion.and_then(|promotion| promotion.replaces),
            answers: member.answers,
            lag: member.lag,
            revision: record.map(|record| record.revision),
        }
    }
}

fn view(api: &Api) -> MembersView {
    let ClusterStatus { members, leader, .. } = api.control.status();
    let voters = members.iter().filter(|member| member.voter).count();
    let items = api.control.read(|state| {
        let record = |id| state.node(id).filter(|node| node.removed_at.is_none());
        members.iter().map(|it| MemberView::of(it, record(it.id).map(AsRef::as_ref), leader)).collect()
    });
    MembersView { leader_id: leader, quorum: voters / 2 + 1, items }
}

fn shown(api: &Api, id: NodeId) -> Result<MemberView, Problem> {
    view(api).items.into_iter().find(|member| member.id == id).ok_or_else(|| Problem::not_found(format!("node {id}")))
}

pub(super) async fn list(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, ()) = api.read(&read, |_| ()).await?;
    Ok(answer::show(revision, None, &view(&api)))
}

pub(super) async fn add(
    api: web::Data<Api>,
    who: Principal,
    _: Cautiously,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let (id, spec) = read_new(&body.0)?;
    ask(&api, &who, MemberChange::Add { id, spec }).await?;
    let mut response = answer::show(api.control.applied_revision(), None, &shown(&api, id)?);
    *response.status_mut() = actix_web::http::StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/cluster/members/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn read_new(document: &Value) -> Result<(NodeId, NodeSpec), Problem> {
    let problems = Problems::default();
    let read = Fields::of(document, "", &problems).and_then(|fields| {
        let id = node_id(&fields, "id");
        let peer_addr = fields.text("peer_addr");
        let admin_url = fields.text("admin_url");
        let role = fields.text("role");
        let replaces = node_id(&fields, "replaces");
        for needed in ["id", "peer_addr"] {
            fields.require(needed);
        }
        let votes = match role.as_deref() {
            None | Some("learner") => false,
            Some("voter") => true,
            Some(_) => {
                fields.wrong("role", "must be learner or voter");
                false
            }
        };
        if replaces.is_some() && !votes {
            fields.wrong("replaces", "is for a node with the role voter");
        }
        if replaces.is_some() && replaces == id {
            fields.wrong("replaces", "must be another node");
        }
        fields.finish();
        let spec = NodeSpec {
            peer_addr: peer_addr?,
            admin_url,
            source: NodeSource::Manual,
            version: None,
            feature_level: 0,
            promotion: votes.then_some(Promotion { replaces }),
        };
        Some((id?, spec))
    });
    let (id, spec) = problems.settle(read)?;
    spec.validate().into_result().map_err(Problem::invalid)?;
    Ok((id, spec))
}

/// A number, or a name that ends in one.
fn node_id(fields: &Fields<'_>, name: &'static str) -> Option<NodeId> {
    match fields.any(name)? {
        Value::Null => None,
        Value::Number(number) if number.as_u64().is_some() => number.as_u64().map(NodeId),
        Value::String(text) => text.parse().map_err(|why: vocab::InvalidId| fields.wrong(name, why.to_string())).ok(),
        _ => {
            fields.wrong(name, "must be a number, or a name that ends in '-' and a number");
            None
        }
    }
}

pub(super) async fn patch(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    how: Cautiously,
    body: super::json::Patch,
) -> Result<HttpResponse, Problem> {
    let id = address(&path)?;
    let problems = Problems::default();
    let role = Fields::of(&body.0, "", &problems).and_then(|fields| {
        fields.require("role");
        let role = fields.text("role");
        if !matches!(role.as_deref(), None | Some("voter" | "learner")) {
            fields.wrong("role", "must be voter or learner");
        }
        fields.finish();
        role
    });
    let change = match problems.settle(role)?.as_str() {
        "voter" => MemberChange::Promote { id },
        _ => MemberChange::Demote { id, caution: how.0 },
    };
    ask(&api, &who, change).await?;
    Ok(answer::show(api.control.applied_revision(), None, &shown(&api, id)?))
}

pub(super) async fn remove(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    how: Cautiously,
) -> Result<HttpResponse, Problem> {
    ask(&api, &who, MemberChange::Remove { id: address(&path)?, caution: how.0 }).await?;
    Ok(answer::nothing(api.control.applied_revision()))
}

pub(super) async fn transfer(
    api: web::Data<Api>,
    who: Principal,
    _: Cautiously,
    body: OptionalDocument,
) -> Result<HttpResponse, Problem> {
    let problems = Problems::default();
    let to = Fields::of(&body.0, "", &problems).map(|fields| {
        let to = node_id(&fields, "to");
        fields.finish();
        to
    });
    ask(&api, &who, MemberChange::Transfer { to: problems.settle(to)? }).await?;
    // A third node may hear last who leads now. What was asked for is done in any case.
    let _ = api.control.barrier(Consistency::Linearizable, HEARING).await;
    Ok(answer::show(api.control.applied_revision(), None, &view(&api)))
}

fn address(id: &str) -> Result<NodeId, Problem> {
    id.parse().map_err(|_| Problem::not_found("the node"))
}

async fn ask(api: &Api, who: &Principal, change: MemberChange) -> Result<(), Problem> {
    let request = MemberRequest { change, actor: who.actor(), origin: who.origin.clone() };
    Ok(api.control.change_members(&request).await?)
}

/// By a node, not by an administrator: its signature is the credential.
pub(super) async fn join(
    api: web::Data<Api>,
    request: HttpRequest,
    body: super::json::Raw,
) -> Result<HttpResponse, Problem> {
    let header = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let call = Call { method: request.method().as_str(), target };
    let sender = api.control.signatures().verify(header, call, &body.0, Receiver::AnyNode);
    let sender = sender.map_err(|refusal| refused(&api, &request, refusal))?;
    let change: MemberChange = serde_json::from_slice(&body.0)
        .map_err(|why| Problem::bad_request(format!("the request cannot be read: {why}")))?;
    match &change {
        MemberChange::Join { id, .. } if *id == sender => {}
        _ => return Err(presumptuous(&api, &request, sender)),
    }
    if api.control.is_free() {
        return Ok(in_no_cluster(&api, sender, header.unwrap_or_default()));
    }
    let asked = MemberRequest { change, actor: Actor::System, origin: origin::of(&request) };
    api.control.take_in(&asked).await?;
    Ok(answer::show(api.control.applied_revision(), None, &shown(&api, sender)?))
}

/// Whether this node would make a cluster decides who of two that would makes it, so that is signed, and with it this
/// node's id.
fn in_no_cluster(api: &Api, asker: NodeId, signature: &str) -> HttpResponse {
    let problem = Problem::new(ErrorCode::Unavailable, "this node is in no cluster yet");
    let mut document = problem.document();
    document["would_found"] = api.control.would_found().into();
    let body = document.to_string();
    let signed = api.control.signatures().sign(Receiver::Node(asker), Call::answer_to(signature), body.as_bytes());
    let mut response = problem.response(body);
    if let Some(value) = signed.and_then(|signed| HeaderValue::from_str(&signed).ok()) {
        response.headers_mut().insert(HeaderName::from_static(HEADER), value);
    }
    response
}

/// Who has no secret has to wait when it asks too often. That is looked at after the signature, which costs little: no
/// node is kept out by others that knock from its address.
fn refused(api: &Api, request: &HttpRequest, refusal: Refusal) -> Problem {
    let address = origin::of(request).address;
    api.control.signatures().count(refusal, request.path(), address.as_deref());
    if !refusal.is_among_peers()
        && let Err(wait) = sign_in::join_failed(api, request)
    {
        return wait;
    }
    let told = if refusal.is_among_peers() { refusal.to_string() } else { "the call was refused".to_owned() };
    note_refusal(api, None, address, refusal.to_string());
    Problem::new(refusal.code(), told)
}

/// A node that asks for another.
fn presumptuous(api: &Api, request: &HttpRequest, sender: NodeId) -> Problem {
    let (from, why) = (origin::of(request).address, "a node may ask for itself only");
    tracing::warn!(node = %sender, from, why, "a node that asked to join was refused");
    note_refusal(api, Some(sender), from, why.to_owned());
    Problem::forbidden(why)
}

/// Counts it, and puts it on record.
fn note_refusal(api: &Api, node_id: Option<NodeId>, address: Option<String>, why: String) {
    api.control.notes().note(Note::JoinRefused { node_id, address: address.unwrap_or_default(), why });
    metrics::counter!("hj_cp_joins_refused_total").increment(1);
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        let code = error.code();
        match error {
            MemberError::Invalid(violations) => Self::invalid(violations),
            other => Self::new(code, other.to_string()),
        }
    }
}
