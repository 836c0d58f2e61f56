use std::time::Duration;

use vocab::{ManualClock, Timestamp};

use super::*;

const PATH: &str = "/hellojohn.peer.v1.Peer/Append";

fn cluster(n: u128) -> watch::Receiver<Option<ClusterId>> {
    watch::Sender::new(Some(ClusterId::from_uuid(uuid::Uuid::from_u128(n)))).subscribe()
}

fn node(id: u64, secrets: &[&str], cluster_id: u128, clock: &Arc<ManualClock>) -> Signatures {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    Signatures::new(NodeId(id), &secrets, cluster(cluster_id), Arc::<ManualClock>::clone(clock))
}

impl Signatures {
    fn verify(&self, header: Option<&str>, path: &str, body: &[u8]) -> Result<NodeId, Refusal> {
        self.admit(header, path)?.check(body)
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)))
}

#[test]
fn a_signed_call_passes_once() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(NodeId(2), PATH, b"body").unwrap();
    assert_eq!(two.verify(Some(&header), PATH, b"body"), Ok(NodeId(1)));
    assert_eq!(two.verify(Some(&header), PATH, b"body"), Err(Refusal::Replayed));
    let again = one.sign(NodeId(2), PATH, b"body").unwrap();
    assert_eq!(two.verify(Some(&again), PATH, b"body"), Ok(NodeId(1)));
}

#[test]
fn everything_signed_is_checked() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(NodeId(2), PATH, b"body").unwrap();
    let cases = [
        (None, PATH, b"body".as_slice(), Refusal::Unsigned),
        (Some("nonsense".to_owned()), PATH, b"body", Refusal::Malformed),
        (Some(String::new()), PATH, b"body", Refusal::Malformed),
        (Some(header.clone()), "/hellojohn.peer.v1.Peer/Forward", b"body", Refusal::Mismatch),
        (Some(header.clone()), PATH, b"bodY", Refusal::OtherBody),
        (Some(header.replace(";1;2;", ";3;2;")), PATH, b"body", Refusal::Mismatch),
        (node(1, &["other"], 5, &clock).sign(NodeId(2), PATH, b"body"), PATH, b"body", Refusal::Mismatch),
        (one.sign(NodeId(3), PATH, b"body"), PATH, b"body", Refusal::OtherReceiver),
        (node(1, &["s"], 6, &clock).sign(NodeId(2), PATH, b"body"), PATH, b"body", Refusal::OtherCluster),
    ];
    for (header, path, body, refusal) in cases {
        assert_eq!(two.verify(header.as_deref(), path, body), Err(refusal), "{header:?}");
    }
}

#[test]
fn no_bit_of_a_signature_can_be_flipped() {
    let clock = clock();
    let (one, two) = (node(1, &["s"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(NodeId(2), PATH, b"body").unwrap();
    for position in 0..header.len() {
        let mut bytes = header.clone().into_bytes();
        bytes[position] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else { continue };
        assert!(two.verify(Some(&flipped), PATH, b"body").is_err(), "bit flipped at {position}");
    }
    assert!(two.verify(Some(&header), PATH, b"body").is_ok());
}

#[test]
fn a_call_is_stale_after_the_window_on_either_side() {
    let (early, late) = (clock(), clock());
    let (one, two) = (node(1, &["s"], 5, &early), node(2, &["s"], 5, &late));
    late.advance(Duration::from_secs(31));
    let old = one.sign(NodeId(2), PATH, b"").unwrap();
    assert_eq!(two.verify(Some(&old), PATH, b""), Err(Refusal::Stale));
    let from_the_future = two.sign(NodeId(1), PATH, b"").unwrap();
    assert_eq!(one.verify(Some(&from_the_future), PATH, b""), Err(Refusal::Stale));
    early.advance(Duration::from_secs(2));
    let within = one.sign(NodeId(2), PATH, b"").unwrap();
    assert_eq!(two.verify(Some(&within), PATH, b""), Ok(NodeId(1)));
}

#[test]
fn secrets_are_replaced_one_node_at_a_time() {
    let clock = clock();
    let (old, both, new) =
        (node(1, &["old"], 5, &clock), node(2, &["new", "old"], 5, &clock), node(3, &["new"], 5, &clock));
    let verify = |from: &Signatures, to: &Signatures| {
        let receiver = to.shared.node_id;
        to.verify(from.sign(receiver, PATH, b"").as_deref(), PATH, b"").is_ok()
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
    assert_eq!(alone.sign(NodeId(2), PATH, b""), None);
    assert_eq!(alone.verify(other.sign(NodeId(1), PATH, b"").as_deref(), PATH, b""), Err(Refusal::Mismatch));
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
    assert!(newcomer.verify(member.sign(NodeId(2), PATH, b"").as_deref(), PATH, b"").is_ok());
    assert!(member.verify(newcomer.sign(NodeId(1), PATH, b"").as_deref(), PATH, b"").is_ok());
}

#[test]
fn a_call_from_before_the_start_is_not_answered_again() {
    let clock = clock();
    let one = node(1, &["s"], 5, &clock);
    let captured = one.sign(NodeId(2), PATH, b"").unwrap();
    assert!(node(2, &["s"], 5, &clock).verify(Some(&captured), PATH, b"").is_ok());
    clock.advance(Duration::from_millis(1));
    let restarted = node(2, &["s"], 5, &clock);
    assert_eq!(restarted.verify(Some(&captured), PATH, b""), Err(Refusal::Stale));
    assert!(restarted.verify(one.sign(NodeId(2), PATH, b"").as_deref(), PATH, b"").is_ok());
}

#[test]
fn a_body_is_not_read_for_who_has_no_secret() {
    let clock = clock();
    let (one, two) = (node(1, &["other"], 5, &clock), node(2, &["s"], 5, &clock));
    let header = one.sign(NodeId(2), PATH, b"body").unwrap();
    assert_eq!(two.admit(Some(&header), PATH).unwrap_err(), Refusal::Mismatch);
    assert!(!Refusal::Mismatch.is_among_peers());
}
