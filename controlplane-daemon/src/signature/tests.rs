use std::time::Duration;

use vocab::{ManualClock, Timestamp};

use super::*;

const PATH: Call<'_> = Call { method: "POST", target: "/hellojohn.peer.v1.Peer/Append" };

fn cluster(n: u128) -> watch::Receiver<Option<ClusterId>> {
    watch::Sender::new(Some(ClusterId::from_uuid(uuid::Uuid::from_u128(n)))).subscribe()
}

fn node(id: u64, secrets: &[&str], cluster_id: u128, clock: &Arc<ManualClock>) -> Signatures {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    Signatures::new(NodeId(id), &secrets, cluster(cluster_id), Arc::<ManualClock>::clone(clock))
}

impl Signatures {
    fn take(&self, header: Option<&str>, call: Call<'_>, body: &[u8]) -> Result<NodeId, Refusal> {
        self.admit(header, call, self.this_node())?.check(body)
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)))
}

#[test]
fn a_signed_call_passes_once() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(Receiver::Node(NodeId(2)), PATH, b"body").unwrap();
    assert_eq!(two.take(Some(&header), PATH, b"body"), Ok(NodeId(1)));
    assert_eq!(two.take(Some(&header), PATH, b"body"), Err(Refusal::Replayed));
    let again = one.sign(Receiver::Node(NodeId(2)), PATH, b"body").unwrap();
    assert_eq!(two.take(Some(&again), PATH, b"body"), Ok(NodeId(1)));
}

#[test]
fn everything_signed_is_checked() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(Receiver::Node(NodeId(2)), PATH, b"body").unwrap();
    let cases = [
        (None, PATH, b"body".as_slice(), Refusal::Unsigned),
        (Some("nonsense".to_owned()), PATH, b"body", Refusal::Malformed),
        (Some(String::new()), PATH, b"body", Refusal::Malformed),
        (Some(header.clone()), Call { target: "/hellojohn.peer.v1.Peer/Forward", ..PATH }, b"body", Refusal::Mismatch),
        (Some(header.clone()), Call { method: "PUT", ..PATH }, b"body", Refusal::Mismatch),
        (Some(header.clone()), PATH, b"bodY", Refusal::OtherBody),
        (Some(header.replace(";1;2;", ";3;2;")), PATH, b"body", Refusal::Mismatch),
        (
            node(1, &["other"], 5, &clock).sign(Receiver::Node(NodeId(2)), PATH, b"body"),
            PATH,
            b"body",
            Refusal::Mismatch,
        ),
        (one.sign(Receiver::Node(NodeId(3)), PATH, b"body"), PATH, b"body", Refusal::OtherReceiver),
        (one.sign(Receiver::AnyNode, PATH, b"body"), PATH, b"body", Refusal::OtherReceiver),
        (
            node(1, &["s"], 6, &clock).sign(Receiver::Node(NodeId(2)), PATH, b"body"),
            PATH,
            b"body",
            Refusal::OtherCluster {
                caller: NodeId(1),
                theirs: ClusterId::from_uuid(uuid::Uuid::from_u128(6)),
                node: NodeId(2),
                here: ClusterId::from_uuid(uuid::Uuid::from_u128(5)),
            },
        ),
    ];
    for (header, path, body, refusal) in cases {
        assert_eq!(two.take(header.as_deref(), path, body), Err(refusal), "{header:?}");
    }
}

#[test]
fn no_bit_of_a_signature_can_be_flipped() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(Receiver::Node(NodeId(2)), PATH, b"body").unwrap();
    for position in 0..header.len() {
        let mut bytes = header.clone().into_bytes();
        bytes[position] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else { continue };
        assert!(two.take(Some(&flipped), PATH, b"body").is_err(), "bit flipped at {position}");
    }
    assert!(two.take(Some(&header), PATH, b"body").is_ok());
}

#[test]
fn a_call_is_stale_after_the_window_on_either_side() {
    let (early, late) = (clock(), clock());
    let (one, two) = (node(1, &["s"], 5, &early), node(2, &["s"], 5, &late));
    late.advance(Duration::from_secs(31));
    let old = one.sign(Receiver::Node(NodeId(2)), PATH, b"").unwrap();
    assert_eq!(two.take(Some(&old), PATH, b""), Err(Refusal::Stale));
    let from_the_future = two.sign(Receiver::Node(NodeId(1)), PATH, b"").unwrap();
    assert_eq!(one.take(Some(&from_the_future), PATH, b""), Err(Refusal::Stale));
    early.advance(Duration::from_secs(2));
    let within = one.sign(Receiver::Node(NodeId(2)), PATH, b"").unwrap();
    assert_eq!(two.take(Some(&within), PATH, b""), Ok(NodeId(1)));
}

#[test]
fn secrets_are_replaced_one_node_at_a_time() {
    let clock = clock();
    let (old, both, new) =
        (node(1, &["old"], 5, &clock), node(2, &["new", "old"], 5, &clock), node(3, &["new"], 5, &clock));
    let verify = |from: &Signatures, to: &Signatures| {
        to.take(from.sign(to.this_node(), PATH, b"").as_deref(), PATH, b"").is_ok()
    };
    assert!(verify(&old, &both));
    assert!(verify(&new, &both));
    assert!(verify(&both, &new));
    assert!(!verify(&both, &old));
}

#[test]
fn without_a_secret_nothing_is_signed_or_accepted() {
    let clock = clock();
    let (alone, other) = (node(1, &[], 5, &clock), node(2, &["s"], 5, &clock));
    assert_eq!(alone.sign(Receiver::Node(NodeId(2)), PATH, b""), None);
    assert_eq!(
        alone.take(other.sign(Receiver::Node(NodeId(1)), PATH, b"").as_deref(), PATH, b""),
        Err(Refusal::Mismatch)
    );
}

#[test]
fn a_node_that_has_not_heard_of_its_cluster_yet_may_be_called() {
    let clock = clock();
    let newcomer = Signatures::new(
        NodeId(2),
        &[Secret::new("s".to_owned())],
        watch::Sender::new(None).subscribe(),
        Arc::<ManualClock>::clone(&clock),
    );
    let member = node(1, &["s"], 5, &clock);
    assert!(newcomer.take(member.sign(Receiver::Node(NodeId(2)), PATH, b"").as_deref(), PATH, b"").is_ok());
    assert!(member.take(newcomer.sign(Receiver::Node(NodeId(1)), PATH, b"").as_deref(), PATH, b"").is_ok());
}

#[test]
fn a_call_from_before_the_start_is_not_answered_again() {
    let clock = clock();
    let one = node(1, &["s"], 5, &clock);
    let captured = one.sign(Receiver::Node(NodeId(2)), PATH, b"").unwrap();
    assert!(node(2, &["s"], 5, &clock).take(Some(&captured), PATH, b"").is_ok());
    clock.advance(Duration::from_millis(1));
    let restarted = node(2, &["s"], 5, &clock);
    assert_eq!(restarted.take(Some(&captured), PATH, b""), Err(Refusal::Stale));
    assert!(restarted.take(one.sign(Receiver::Node(NodeId(2)), PATH, b"").as_deref(), PATH, b"").is_ok());
}

/// A node that came up with a clock an hour ahead, which is corrected while it runs.
#[test]
fn a_clock_that_was_ahead_at_the_start_is_forgiven_once_it_is_right() {
    let (right_ms, hour_ms, at) = (1_800_000_000_000, 3_600_000, Instant::now());
    let ahead = Start { at_ms: right_ms + hour_ms, at };
    assert!(ahead.is_stale(right_ms, right_ms + hour_ms, at), "not corrected yet");
    assert!(ahead.is_stale(right_ms, right_ms, at), "it may be from before the start");
    let window = Duration::from_millis(WINDOW_MS.unsigned_abs());
    assert!(ahead.is_stale(right_ms, right_ms, at + window));
    assert!(!ahead.is_stale(right_ms, right_ms, at + 2 * window));
    // What a caller with the fastest clock that is taken had signed right before the start is too old by then.
    let start = Start { at_ms: right_ms, at };
    assert!(start.is_stale(right_ms - 1 + WINDOW_MS, right_ms + 2 * WINDOW_MS, at + 2 * window));
}

#[test]
fn a_body_is_not_read_for_who_has_no_secret() {
    let clock = clock();
    let (one, two) = (node(1, &["other"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(Receiver::Node(NodeId(2)), PATH, b"body").unwrap();
    assert_eq!(two.admit(Some(&header), PATH, two.this_node()).unwrap_err(), Refusal::Mismatch);
    assert!(!Refusal::Mismatch.is_among_peers());
}

/// A node that knows addresses only asks whoever answers, and knows the answer for that node's own.
#[test]
fn an_http_request_to_any_node_and_its_answer_are_signed() {
    let clock = clock();
    let (joining, seed, stranger) =
        (node(3, &["s"], 5, &clock), node(1, &["s"], 5, &clock), node(1, &["other"], 5, &clock));
    let call = Call { method: "POST", target: "/api/v1/cluster/join?wait=1" };
    let request = joining.sign(Receiver::AnyNode, call, b"{}").unwrap();
    let verify = |at: &Signatures, call| at.verify(Some(&request), call, b"{}", Receiver::AnyNode);
    assert_eq!(verify(&stranger, call), Err(Refusal::Mismatch));
    assert_eq!(verify(&seed, Call { target: "/api/v1/cluster/join", ..call }), Err(Refusal::Mismatch));
    assert_eq!(verify(&seed, call), Ok(NodeId(3)));
    assert_eq!(verify(&seed, call), Err(Refusal::Replayed));

    let answer = Call::answer_to(&request);
    let signed = seed.sign(Receiver::Node(NodeId(3)), answer, b"members").unwrap();
    let verify = |answer, body| joining.verify(Some(&signed), answer, body, joining.this_node());
    assert_eq!(verify(Call { target: "another request's signature", ..answer }, b"members"), Err(Refusal::Mismatch));
    assert_eq!(verify(answer, b"members"), Ok(NodeId(1)));
}
