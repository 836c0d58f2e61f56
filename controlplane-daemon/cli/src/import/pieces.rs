//! A folder of any size, in pieces, each of which one `POST /apply` takes whole or refuses whole.
//!
//! A piece is planned on what is there, not on what the pieces before it will have made. So what is a tenant's comes
//! with it; a tenant that is too large for one piece comes again, with its scopes, before each further part of its
//! clients. And what may stand only once in all of the folder is looked for here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use manifest::{Document, Fault, Kind};
use serde_json::{Value, json};

use super::{text, told};
use crate::api::{Answer, Api};
use crate::apply::apply_documents;
use crate::failure::{Failure, OUTCOME_UNKNOWN};

/// The server takes 10,000 changes, 8 MiB, and 16 MiB with all that it adds. A document may need two changes, and the
/// keys of a tenant that is made are added.
const MOST: Size = Size { documents: 2_000, bytes: 4 << 20 };

/// Faults that are told at once, give or take those of one piece.
const ENOUGH: usize = 1_000;

/// What became of the documents.
#[derive(Default)]
pub(super) struct Sent {
    /// To all that was taken, as if it had been one piece. Absent: nothing was.
    pub(super) answer: Option<Answer>,
    /// So many of the documents were taken, from the first on.
    pub(super) documents: usize,
    pub(super) failure: Option<Failure>,
}

/// Piece by piece, up to the first that is refused. A dry run goes on, so that it tells what else is wrong. `may_be_made` is
/// told the places of what may be there from then on though the answer never comes.
pub(super) async fn send(
    api: &Api,
    documents: &[Document],
    set: &str,
    flags: &[&str],
    may_be_made: impl Fn(&[usize]),
) -> Sent {
    let pieces = pieces(documents, MOST);
    let (mut sent, mut changes) = (Sent::default(), Vec::new());
    let is_rehearsal = flags.contains(&"dry_run");
    let twice = if pieces.len() > 1 { stated_twice(documents) } else { Vec::new() };
    if !twice.is_empty() {
        sent.failure = Some(Failure::Usage(told(&twice)));
        return sent;
    }
    // Pods that have the last one have them all.
    let hasty = api.without_wait();
    for (number, piece) in pieces.iter().enumerate() {
        let own: Vec<&Document> = piece.places.iter().filter_map(|place| documents.get(*place)).collect();
        let api = if number + 1 < pieces.len() { &hasty } else { api };
        if pieces.len() > 1 && !is_rehearsal {
            may_be_made(&piece.places);
        }
        match apply_documents(api, &own, set, flags).await {
            Ok(mut answer) => {
                changes.extend(piece.changes(&mut answer.body));
                sent.documents += piece.places.len() - piece.repeated;
                sent.answer = Some(answer);
            }
            Err(failure) => {
                if pieces.len() == 1 && failure.exit_code() == OUTCOME_UNKNOWN {
                    may_be_made(&piece.places);
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
}

impl Size {
    fn of(documents: &[Document]) -> Self {
        // A kind, and what stands between two of them.
        let bytes = |document: &Document| serde_json::to_vec(&document.body).map_or(0, |body| body.len() + 20);
        Self { documents: documents.len(), bytes: documents.iter().map(bytes).sum() }
    }

    const fn and(self, more: Self) -> Self {
        Self { documents: self.documents + more.documents, bytes: self.bytes + more.bytes }
    }

    const fn fits(self, most: Self) -> bool {
        self.documents <= most.documents && self.bytes <= most.bytes
    }
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

fn pieces(documents: &[Document], most: Size) -> Vec<Piece> {
    let (mut pieces, mut piece, mut first) = (Vec::new(), Piece::default(), 0);
    for tenant in documents.chunk_by(|one, next| slug(one) == slug(next)) {
        let size = Size::of(tenant);
        if !piece.places.is_empty() && !piece.size.and(size).fits(most) {
            pieces.push(std::mem::take(&mut piece));
        }
        // Its clients stand behind what they refer to.
        let clients = tenant.iter().position(|document| document.kind == Kind::Client).unwrap_or(tenant.len());
        let clients = if size.fits(most) { tenant.len() } else { clients };
        let (head, clients) = tenant.split_at(clients);
        let (head, head_size) = (first..first + head.len(), Size::of(head));
        piece.take(head.clone(), head_size);
        for (client, place) in clients.iter().zip(head.end..) {
            let size = Size::of(std::slice::from_ref(client));
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
        let five = Size { documents: 5, bytes: usize::MAX };
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
        let two = Size { bytes: Size::of(&documents[..8]).bytes, documents: usize::MAX };
        assert_eq!(places(&documents, two).len(), 2);
        assert_eq!(places(&documents, Size { bytes: two.bytes - 1, ..two }).len(), 3);
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
