//! A folder of any size: as one `POST /apply`, all of it or nothing, where the server takes it so; else in pieces, each
//! of which is taken whole or refused whole.
//!
//! A piece is planned on what is there, not on what the pieces before it will have made. So what is a tenant's comes
//! with it; a tenant that is too large for one piece comes again, with its scopes, before each further part of its
//! clients. And what may stand only once in all of the folder is looked for here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use manifest::{Document, Fault, Kind};
use serde_json::{Value, json};
use vocab::{ErrorCode, KeyFamily, SigningAlgorithm};

use super::{text, told};
use crate::api::{Answer, Lasting};
use crate::apply::apply_documents;
use crate::failure::{Failure, OUTCOME_UNKNOWN};

/// RSA keys that one request may have made: each takes a tenth of a second or more, one after another, and a node that
/// does not lead waits eleven seconds for the one that does.
const SLOW_KEYS: usize = 25;

/// What may be tried as one: the server reads 8 MiB, these being a list in an object. Besides, it takes 10,000 changes,
/// and 16 MiB with all that it adds; how much that is only it can tell, and it refuses more before anything is done.
const WHOLE: Size =
    Size { documents: usize::MAX, bytes: (8 << 20) - r#"{"documents":[]}"#.len(), slow_keys: SLOW_KEYS };

/// So little that it is never too much for the server: a document may need several changes, what it leaves out is
/// added, and so are the keys of a tenant that is made.
const PIECE: Size = Size { documents: 2_000, bytes: 4 << 20, slow_keys: SLOW_KEYS };

/// Faults that are told at once, give or take those of one piece.
const ENOUGH: usize = 1_000;

/// What became of the documents.
#[derive(Default)]
pub(super) struct Sent {
    /// To all that was taken, as if it had been one piece. Absent: nothing was.
    pub(super) answer: Option<Answer>,
    /// So many of the documents were taken, from the first on.
    pub(super) documents: usize,
    /// So many after them may have been taken: nobody answered for that piece.
    pub(super) in_doubt: usize,
    pub(super) failure: Option<Failure>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) documents: &'a [Document],
    pub(super) set: &'a str,
    pub(super) flags: &'a [&'a str],
}

/// As one; in pieces if that is too much, which the server says before it does anything. `may_be_made` is told the
/// places of what may be there from then on though the answer never comes.
pub(super) async fn send(server: &mut Lasting<'_>, order: Order<'_>, may_be_made: impl Fn(&[usize])) -> Sent {
    let whole = Piece::of(order.documents);
    if whole.size.fits(WHOLE) {
        let sent = send_all(server, order, &[whole], &may_be_made).await;
        if !sent.failure.as_ref().is_some_and(is_too_much) {
            return sent;
        }
    }
    let twice = stated_twice(order.documents);
    if !twice.is_empty() {
        return Sent { failure: Some(Failure::Usage(told(&twice))), ..Sent::default() };
    }
    send_all(server, order, &pieces(order.documents, PIECE), &may_be_made).await
}

/// One after another, up to the first that is refused. A dry run goes on, so that it tells what else is wrong.
async fn send_all(
    server: &mut Lasting<'_>,
    order: Order<'_>,
    pieces: &[Piece],
    may_be_made: &impl Fn(&[usize]),
) -> Sent {
    let (mut sent, mut changes) = (Sent::default(), Vec::new());
    let is_rehearsal = order.flags.contains(&"dry_run");
    for (number, piece) in pieces.iter().enumerate() {
        if pieces.len() > 1 && !is_rehearsal {
            may_be_made(&piece.places);
        }
        match apply_piece(server, order, piece, number + 1 == pieces.len()).await {
            Ok(mut answer) => {
                changes.extend(piece.changes(&mut answer.body));
                sent.documents += piece.places.len() - piece.repeated;
                sent.answer = Some(answer);
            }
            Err(failure) => {
                if failure.exit_code() == OUTCOME_UNKNOWN && !is_rehearsal {
                    sent.in_doubt = piece.places.len() - piece.repeated;
                    if pieces.len() == 1 {
                        may_be_made(&piece.places);
                    }
                }
                let goes_on = is_rehearsal && is_about_documents(&failure);
                let so_far = joined(sent.failure.take(), failure);
                let is_enough = matches!(&so_far, Failure::Problem(problem) if problem.errors.len() >= ENOUGH);
                sent.failure = Some(so_far);
                if !goes_on || is_enough {
                    break;
                }
            }
        }
    }
    if let Some(answer) = &mut sent.answer {
        let count = |action: &str| changes.iter().filter(|change| change["action"] == action).count();
        let actions = ["create", "update", "delete", "unchanged"];
        answer.body["summary"] = actions.into_iter().map(|action| (action.to_owned(), json!(count(action)))).collect();
        answer.body["changes"] = changes.into();
    }
    sent
}

async fn apply_piece(
    server: &mut Lasting<'_>,
    order: Order<'_>,
    piece: &Piece,
    is_last: bool,
) -> Result<Answer, Failure> {
    let own: Vec<&Document> = piece.places.iter().filter_map(|place| order.documents.get(*place)).collect();
    let api = server.api().await?;
    // Pods that have the last one have them all.
    let hasty = api.without_wait();
    apply_documents(if is_last { api } else { &hasty }, &own, order.set, order.flags).await
}

/// For one request or one entry of the log, whatever the documents are.
fn is_too_much(failure: &Failure) -> bool {
    let Failure::Problem(problem) = failure else { return false };
    match problem.code {
        Some(ErrorCode::PayloadTooLarge) => true,
        // Of changes. A document that is one too many of its kind is named.
        Some(ErrorCode::LimitReached) => problem.errors.iter().any(|error| error.pointer.is_empty()),
        _ => false,
    }
}

fn is_about_documents(failure: &Failure) -> bool {
    matches!(failure, Failure::Problem(problem) if !problem.errors.is_empty())
}

/// What is wrong with two pieces; of a part that was in both, once.
fn joined(first: Option<Failure>, second: Failure) -> Failure {
    match (first, second) {
        (Some(Failure::Problem(mut first)), Failure::Problem(second)) if !second.errors.is_empty() => {
            let new: Vec<_> = second.errors.into_iter().filter(|error| !first.errors.contains(error)).collect();
            first.errors.extend(new);
            Failure::Problem(first)
        }
        // What is wrong with documents is of more use than that the rest could not be looked at.
        (Some(first), _) => first,
        (None, second) => second,
    }
}

#[derive(Clone, Copy, Default)]
struct Size {
    documents: usize,
    bytes: usize,
    slow_keys: usize,
}

impl Size {
    /// Of documents of one tenant.
    fn of(documents: &[Document]) -> Self {
        // A kind, and what stands between two of them.
        let bytes = |document: &Document| serde_json::to_vec(&document.body).map_or(0, |body| body.len() + 20);
        let bytes = documents.iter().map(bytes).sum();
        Self { documents: documents.len(), bytes, slow_keys: slow_keys(documents) }
    }

    const fn and(self, more: Self) -> Self {
        Self {
            documents: self.documents + more.documents,
            bytes: self.bytes + more.bytes,
            slow_keys: self.slow_keys + more.slow_keys,
        }
    }

    const fn fits(self, most: Self) -> bool {
        self.documents <= most.documents && self.bytes <= most.bytes && self.slow_keys <= most.slow_keys
    }
}

/// RSA keys that a tenant needs: one to sign and one to be sent what is encrypted, however many of its clients ask.
fn slow_keys(tenant: &[Document]) -> usize {
    let signing = |document: &Document| {
        let settings = document.body.get("settings").and_then(|settings| settings.get("signing_algorithm"));
        let members = ["id_token", "userinfo", "introspection"].map(|of| format!("{of}_signed_response_alg"));
        let all = members.iter().map(|member| text(document, member)).chain(settings.and_then(Value::as_str));
        all.filter_map(SigningAlgorithm::parse).any(|algorithm| algorithm.family() == KeyFamily::Rsa)
    };
    let encryption = |document: &Document| text(document, "request_object_encryption_alg").starts_with("RSA");
    usize::from(tenant.iter().any(signing)) + usize::from(tenant.iter().any(encryption))
}

/// Documents by their places in the whole.
#[derive(Default)]
struct Piece {
    places: Vec<usize>,
    /// So many, from the first on, were in the piece before, too.
    repeated: usize,
    size: Size,
}

impl Piece {
    /// All of them.
    fn of(documents: &[Document]) -> Self {
        let mut piece = Self::default();
        for tenant in by_tenant(documents) {
            piece.take(piece.places.len()..piece.places.len() + tenant.len(), Size::of(tenant));
        }
        piece
    }

    fn take(&mut self, places: impl IntoIterator<Item = usize>, size: Size) {
        self.places.extend(places);
        self.size = self.size.and(size);
    }

    /// Of an answer, with the documents' places in the whole.
    fn changes(&self, body: &mut Value) -> Vec<Value> {
        let Some(Value::Array(mut changes)) = body.get_mut("changes").map(Value::take) else { return Vec::new() };
        changes.retain_mut(|change| {
            let own = change["document"].as_u64().and_then(|place| usize::try_from(place).ok());
            let Some(own) = own else { return true };
            change["document"] = json!(self.places.get(own));
            own >= self.repeated
        });
        changes
    }
}

fn by_tenant(documents: &[Document]) -> impl Iterator<Item = &[Document]> {
    documents.chunk_by(|one, next| slug(one) == slug(next))
}

fn pieces(documents: &[Document], most: Size) -> Vec<Piece> {
    let (mut pieces, mut piece, mut first) = (Vec::new(), Piece::default(), 0);
    for tenant in by_tenant(documents) {
        let size = Size::of(tenant);
        if !piece.places.is_empty() && !piece.size.and(size).fits(most) {
            pieces.push(std::mem::take(&mut piece));
        }
        // Its clients stand behind what they refer to.
        let clients = tenant.iter().position(|document| document.kind == Kind::Client).unwrap_or(tenant.len());
        let clients = if size.fits(most) { tenant.len() } else { clients };
        let (head, clients) = tenant.split_at(clients);
        // With all the keys: which client comes first with one does not matter.
        let head_size = Size { slow_keys: size.slow_keys, ..Size::of(head) };
        let head = first..first + head.len();
        piece.take(head.clone(), head_size);
        for (client, place) in clients.iter().zip(head.end..) {
            let size = Size { slow_keys: 0, ..Size::of(std::slice::from_ref(client)) };
            if !piece.size.and(size).fits(most) && piece.places.last() >= Some(&head.end) {
                let next = Piece { repeated: head.len(), ..Piece::default() };
                pieces.push(std::mem::replace(&mut piece, next));
                piece.take(head.clone(), head_size);
            }
            piece.take([place], size);
        }
        first += tenant.len();
    }
    pieces.push(piece);
    pieces
}

fn slug(document: &Document) -> &str {
    text(document, if document.kind == Kind::Tenant { "slug" } else { "tenant" })
}

/// Everything that stands in two places of which a server that gets them in two pieces would take the second for a
/// change of the first, or refuse it when the first is made already.
fn stated_twice(documents: &[Document]) -> Vec<Fault> {
    let (mut seen, mut faults) = (BTreeMap::new(), Vec::new());
    for document in documents {
        let hosts = document.body.get("settings").and_then(|settings| settings.get("hosts")).and_then(Value::as_array);
        let names: Vec<(&str, &str, String)> = match document.kind {
            Kind::Client => vec![(slug(document), text(document, "client_id"), "/client_id".to_owned())],
            Kind::Scope => vec![(slug(document), text(document, "name"), "/name".to_owned())],
            Kind::Tenant | Kind::Settings => (hosts.into_iter().flatten().enumerate())
                .filter_map(|(index, host)| Some(("", host.as_str()?, format!("/settings/hosts/{index}"))))
                .collect(),
        };
        for (owner, name, pointer) in names.into_iter().filter(|(_, name, _)| !name.is_empty()) {
            match seen.entry((document.kind, owner, name)) {
                Entry::Vacant(place) => drop(place.insert(document)),
                Entry::Occupied(first) => {
                    let line = first.get().line_of("").map(|line| format!(":{line}")).unwrap_or_default();
                    let detail = format!("is stated in {}{line} already", first.get().file);
                    faults.push(document.fault(&pointer, detail));
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;
    use vocab::Violation;

    const ANY: Size = Size { documents: usize::MAX, bytes: usize::MAX, slow_keys: usize::MAX };

    /// Of each tenant as many scopes and clients.
    fn tree(tenants: &[(&str, usize, usize)]) -> Vec<Document> {
        let named = |kind: &str, member: &str, slug: &str, number: usize| json!({"kind": kind, "tenant": slug, (member): format!("{slug}-{number}")});
        let all = tenants.iter().flat_map(|(slug, scopes, clients)| {
            let tenant = json!({"kind": "Tenant", "slug": slug, "settings": {"hosts": [format!("{slug}.example")]}});
            let scopes = (0..*scopes).map(|number| named("Scope", "name", slug, number));
            let clients = (0..*clients).map(|number| named("Client", "client_id", slug, number));
            std::iter::once(tenant).chain(scopes).chain(clients).collect::<Vec<_>>()
        });
        manifest::of_values(all.collect()).unwrap()
    }

    fn places(documents: &[Document], most: Size) -> Vec<(Vec<usize>, usize)> {
        pieces(documents, most).into_iter().map(|piece| (piece.places, piece.repeated)).collect()
    }

    #[test]
    fn tenants_go_whole_and_a_larger_one_comes_again_with_its_scopes() {
        let five = Size { documents: 5, ..ANY };
        let all = |numbers: std::ops::Range<usize>| numbers.collect::<Vec<_>>();
        assert_eq!(places(&tree(&[("a", 1, 2), ("b", 0, 0)]), five), [(all(0..5), 0)]);
        assert_eq!(places(&tree(&[("a", 1, 2), ("b", 0, 1)]), five), [(all(0..4), 0), (all(4..6), 0)]);
        // What is behind the large one goes with its last part.
        assert_eq!(
            places(&tree(&[("a", 0, 1), ("b", 1, 7), ("c", 0, 1)]), five),
            [(all(0..2), 0), (all(2..7), 0), (vec![2, 3, 7, 8, 9], 2), (vec![2, 3, 10, 11, 12], 2)]
        );
        // More scopes than go at once are the server's to judge; its clients come all the same.
        assert_eq!(places(&tree(&[("a", 5, 2)]), five), [(all(0..7), 0), (vec![0, 1, 2, 3, 4, 5, 7], 6)]);
    }

    #[test]
    fn a_piece_is_no_larger_than_what_is_taken() {
        let documents = tree(&[("a", 1, 2), ("b", 1, 2), ("c", 1, 2)]);
        let two = Size { bytes: Size::of(&documents[..8]).bytes, ..ANY };
        assert_eq!(places(&documents, two).len(), 2);
        assert_eq!(places(&documents, Size { bytes: two.bytes - 1, ..two }).len(), 3);
    }

    #[test]
    fn a_request_waits_for_so_many_slow_keys_and_no_more() {
        let mut documents = tree(&[("a", 0, 2), ("b", 0, 0), ("c", 0, 4)]);
        let mut say = |place: usize, member: &str, value: Value| documents[place].body.insert(member.to_owned(), value);
        say(1, "id_token_signed_response_alg", json!("PS256"));
        say(2, "request_object_encryption_alg", json!("RSA-OAEP-256"));
        say(3, "settings", json!({"signing_algorithm": "RS256"}));
        for client in 5..9 {
            say(client, "userinfo_signed_response_alg", json!("RS256"));
        }
        assert_eq!(Piece::of(&documents).size.slow_keys, 4);
        let counts = |most: Size| pieces(&documents, most).iter().map(|piece| piece.places.len()).collect::<Vec<_>>();
        assert_eq!(counts(Size { slow_keys: 4, ..ANY }), [9]);
        assert_eq!(counts(Size { slow_keys: 3, ..ANY }), [4, 5]);
        assert_eq!(counts(Size { slow_keys: 2, ..ANY }), [3, 6]);
        // Its keys are made once, though its clients come in parts.
        assert_eq!(counts(Size { slow_keys: 2, documents: 3, ..ANY }), [3, 1, 3, 3]);
    }

    #[test]
    fn only_what_is_too_much_for_one_request_goes_in_pieces() {
        let problem = |code: ErrorCode, pointers: &[&str]| {
            let error =
                |pointer: &&str| Violation { pointer: (*pointer).to_owned(), detail: "at most 10000".to_owned() };
            let errors = pointers.iter().map(error).collect();
            Failure::Problem(Box::new(Problem { code: Some(code), errors, ..Problem::default() }))
        };
        assert!(is_too_much(&problem(ErrorCode::PayloadTooLarge, &[])));
        assert!(is_too_much(&problem(ErrorCode::LimitReached, &[""])));
        assert!(!is_too_much(&problem(ErrorCode::LimitReached, &["v1/tenants/acme/clients.json:1"])));
        assert!(!is_too_much(&problem(ErrorCode::ValidationFailed, &[""])));
    }

    #[test]
    fn what_came_before_is_not_told_again() {
        let piece = Piece { places: vec![2, 3, 7], repeated: 2, ..Piece::default() };
        let change = |document: Option<u64>| json!({"document": document, "action": "unchanged"});
        let mut body = json!({"changes": [change(Some(0)), change(Some(1)), change(Some(2)), change(None)]});
        assert_eq!(piece.changes(&mut body), [change(Some(7)), change(None)]);
    }

    #[test]
    fn what_stands_in_two_places_is_found() {
        assert_eq!(stated_twice(&tree(&[("a", 1, 2), ("b", 1, 2)])), []);
        let twice = stated_twice(&tree(&[("a", 1, 1), ("a", 1, 2)]));
        let pointers: Vec<&str> = twice.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/settings/hosts/0", "/name", "/client_id"]);
    }
}
