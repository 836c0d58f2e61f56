//! All `.proto` files.

use protox::prost_reflect::prost_types::FileDescriptorSet;

const PROTOS: [&str; 3] =
    ["hellojohn/watch/v1/watch.proto", "hellojohn/watch/v1/registration.proto", "hellojohn/peer/v1/peer.proto"];

pub(crate) fn compiled() -> FileDescriptorSet {
    let proto_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    protox::compile(PROTOS, [proto_dir]).expect("the .proto files compile")
}
