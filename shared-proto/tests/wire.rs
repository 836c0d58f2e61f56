//! What was once on the wire is read by this release: whole, and written back the same.
//!
//! `golden/messages-v1.txt` holds messages as the first release encoded them, name and bytes. `golden/messages-v2.txt`
//! pins what there is: a line for each message, empty, and one for each field, alone in its message (for an enum one of
//! each value, and for what may be absent one of it empty as well). Lines are added to it, never changed.

#[path = "proto/files.rs"]
mod files;

use std::fmt::Write as _;

use prost::Message;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use shared_proto::{peer, watch};

const V1: &str = include_str!("golden/messages-v1.txt");
const V2: &str = include_str!("golden/messages-v2.txt");

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
    peer: AppendReply AppendRequest ChangeMembersReply ChangeMembersRequest DescribeReply DescribeRequest ForwardReply
        ForwardRequest ListPodsReply ListPodsRequest ListRecordsReply ListRecordsRequest LogId Pod ReadIndexReply
        ReadIndexRequest RejectedResource SignedAppend SnapshotChunk SnapshotReply TransferLeaderReply
        TransferLeaderRequest Vote VoteReply VoteRequest;
    watch: Ack Change Client ClientRef ClientSecret ClusterSettings Database DeleteRegistrationRequest Deleted
        Delta Event Heartbeat Hello InitialToken KeyRef Lifetimes OfferedSecret PodMessage Position RateLimit
        ReadRegistrationRequest RegisterRequest RegisteredClient Registrant RegistrationDeleted
        RegistrationRefused RegistrationReply RejectedResource Reset Resource Scope ScopeRef SigningKey Smtp
        SnapshotBegin SnapshotEnd SnapshotPart Staleness Tenant TenantRef UpdateRegistrationRequest;
};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn messages_of_earlier_releases_are_read_whole() {
    for line in V1.lines().chain(V2.lines()) {
        let (name, hex) = line.split_once(' ').unwrap_or((line, ""));
        let is_it =
            |message: &str| name.strip_prefix(message).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let check = CHECKS.iter().find(|(message, _)| is_it(message)).map(|(_, check)| check);
        let check = check.unwrap_or_else(|| panic!("{name}: it is not among the messages that are tried"));
        let before = bytes(hex);
        assert_eq!(check(&before).as_deref(), Ok(before.as_slice()), "{line}");
    }
}

#[test]
fn every_field_of_every_message_is_pinned() {
    let pool = DescriptorPool::from_file_descriptor_set(files::compiled()).expect("they are complete");
    let now: Vec<String> = pool.all_messages().flat_map(|message| lines(&message)).collect();
    let gone: Vec<_> = V2.lines().filter(|line| !now.iter().any(|is| is == line)).collect();
    assert!(gone.is_empty(), "other releases write and read these so, and the .proto files say otherwise: {gone:#?}");
    let new: Vec<_> = now.iter().filter(|line| !V2.lines().any(|is| is == *line)).map(String::as_str).collect();
    assert!(new.is_empty(), "not pinned; what is new is added to golden/messages-v2.txt:\n{}", new.join("\n"));
}

/// As `messages-v2.txt` has it.
fn lines(message: &MessageDescriptor) -> Vec<String> {
    let mut lines = vec![message.full_name().to_owned()];
    for field in message.fields() {
        for (value, called) in values(&field) {
            let mut alone = DynamicMessage::new(message.clone());
            alone.set_field(&field, value);
            let mut line = format!("{}{called} ", field.full_name());
            for byte in alone.encode_to_vec() {
                write!(line, "{byte:02x}").expect("a text grows");
            }
            lines.push(line);
        }
    }
    lines
}

/// Values that say of what field and type they are: with another number, type or label the bytes are others. Each with
/// its name, if it has one.
fn values(field: &FieldDescriptor) -> Vec<(Value, String)> {
    let kind = field.kind();
    let mut values = match &kind {
        Kind::Enum(numbers) => {
            let named = numbers.values().map(|value| (value.number(), format!("={}", value.name())));
            let written = named.filter(|(number, _)| *number != 0 || field.supports_presence());
            written.map(|(number, name)| (Value::EnumNumber(number), name)).collect()
        }
        kind => vec![(value(field, kind), String::new())],
    };
    if field.is_list() {
        for (value, _) in &mut values {
            *value = Value::List(vec![value.clone(), value.clone()]);
        }
    } else if field.supports_presence() && !matches!(kind, Kind::Enum(_) | Kind::Message(_)) {
        values.push((Value::default_value(&kind), String::new()));
    }
    values
}

fn value(field: &FieldDescriptor, kind: &Kind) -> Value {
    match kind {
        Kind::String => Value::String(field.name().to_owned()),
        Kind::Bytes => Value::Bytes(field.name().to_owned().into()),
        Kind::Bool => Value::Bool(true),
        Kind::Uint32 => Value::U32(u32::MAX),
        Kind::Uint64 => Value::U64(u64::MAX),
        Kind::Int64 => Value::I64(i64::MIN),
        // Its first field only: what it gains changes no line of those that hold it.
        Kind::Message(inner) => {
            let mut message = DynamicMessage::new(inner.clone());
            if let Some(first) = inner.fields().min_by_key(FieldDescriptor::number) {
                let (value, _) = values(&first).swap_remove(0);
                message.set_field(&first, value);
            }
            Value::Message(message)
        }
        other => panic!("{}: say here what a value of {other:?} looks like", field.full_name()),
    }
}
