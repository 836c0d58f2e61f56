//! What the first release's messages look like on the wire is read by this one: whole, and written back the same.
//!
//! `golden/messages-v1.txt` holds every message as the first release encoded it, each field set (of a `oneof` one line
//! each): its name and its bytes. A field that was renumbered or retyped does not come back; new fields change nothing.

use prost::Message;
use shared_proto::{peer, watch};

type Check = fn(&[u8]) -> Result<Vec<u8>, prost::DecodeError>;

fn again<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    M::decode(bytes).map(|message| message.encode_to_vec())
}

macro_rules! checks {
    ($($package:ident: $($message:ident)*;)*) => {
        &[$($((concat!("hellojohn.", stringify!($package), ".v1.", stringify!($message)), again::<$package::$message>)),*),*]
    };
}

const CHECKS: &[(&str, Check)] = checks! {
    peer: AppendReply AppendRequest DescribeReply DescribeRequest ForwardReply ForwardRequest ListPodsReply
        ListPodsRequest LogId Pod ReadIndexReply ReadIndexRequest RejectedResource SnapshotChunk SnapshotReply
        TransferLeaderReply TransferLeaderRequest Vote VoteReply VoteRequest;
    watch: Ack Change Client ClientRef ClientSecret Database Deleted Delta Event Heartbeat Hello KeyRef Lifetimes
        PodMessage Position RejectedResource Reset Resource Scope ScopeRef SigningKey SnapshotBegin SnapshotEnd
        SnapshotPart Tenant TenantRef;
};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn messages_of_the_first_release_are_read_whole() {
    let golden = include_str!("golden/messages-v1.txt");
    for line in golden.lines() {
        let (name, hex) = line.split_once(' ').expect("a name and bytes");
        let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is gone"));
        let before = bytes(hex);
        assert_eq!(check(&before).as_deref(), Ok(before.as_slice()), "{name} {hex}");
    }
    let untested = CHECKS.iter().find(|(name, _)| !golden.contains(&format!("{name} ")));
    assert_eq!(untested.map(|(name, _)| name), None);
}

/// The numbers of like fields are not swapped: each golden text says the name of the field it stands in.
#[test]
fn texts_stand_in_the_fields_they_name() {
    let find = |name: &str| {
        let line = include_str!("golden/messages-v1.txt").lines().find(|line| line.starts_with(&format!("{name} ")));
        bytes(line.and_then(|line| line.split_once(' ')).expect("it is there").1)
    };
    let client = watch::Client::decode(find("hellojohn.watch.v1.Client").as_slice()).expect("readable");
    assert_eq!(
        (client.tenant_id.as_str(), client.client_id.as_str(), client.name.as_str()),
        ("tenant_id", "client_id", "name")
    );
    assert_eq!(client.token_endpoint_auth_method, "token_endpoint_auth_method");
    for (texts, name) in [
        (&client.redirect_uris, "redirect_uris"),
        (&client.post_logout_redirect_uris, "post_logout_redirect_uris"),
        (&client.grant_types, "grant_types"),
        (&client.scopes, "scopes"),
        (&client.audiences, "audiences"),
        (&client.allowed_origins, "allowed_origins"),
    ] {
        assert_eq!(*texts, [name.to_owned(), format!("{name}-2")]);
    }
    let key = watch::SigningKey::decode(find("hellojohn.watch.v1.SigningKey").as_slice()).expect("readable");
    let texts = [
        key.tenant_id.as_deref(),
        Some(&key.kid),
        Some(&key.algorithm),
        Some(&key.public_jwk),
        Some(&key.sealed_private_key),
    ];
    assert_eq!(
        texts.map(Option::unwrap_or_default),
        ["tenant_id", "kid", "algorithm", "public_jwk", "sealed_private_key"]
    );
    let tenant = watch::Tenant::decode(find("hellojohn.watch.v1.Tenant").as_slice()).expect("readable");
    assert_eq!([&*tenant.id, &*tenant.slug, &*tenant.display_name], ["id", "slug", "display_name"]);
    let log_id = peer::LogId::decode(find("hellojohn.peer.v1.LogId").as_slice()).expect("readable");
    let base = 1_000_000_000_000;
    assert_eq!((log_id.term, log_id.node_id, log_id.index), (base + 1, base + 2, base + 3));
    let lives = watch::Lifetimes::decode(find("hellojohn.watch.v1.Lifetimes").as_slice()).expect("readable");
    assert_eq!(
        (lives.access_token_secs, lives.id_token_secs, lives.authorization_code_secs),
        (100_001, 100_002, 100_007)
    );
}
