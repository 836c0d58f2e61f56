//! What the control plane promises when somebody or something works against it: strangers, cut certificates, slow
//! readers, damaged files, killed leaders; one module per door.

#[path = "control_plane/absurd.rs"]
mod absurd;
#[path = "control_plane/append_stream.rs"]
mod append_stream;
#[path = "control_plane/bootstrap.rs"]
mod bootstrap;
#[path = "control_plane/leadership.rs"]
mod leadership;
#[path = "control_plane/peers.rs"]
mod peers;
#[path = "control_plane/secret.rs"]
mod secret;
#[path = "control_plane/snapshots.rs"]
mod snapshots;
#[path = "control_plane/storage.rs"]
mod storage;
#[path = "control_plane/stream.rs"]
mod stream;
#[path = "control_plane/tls.rs"]
mod tls;
#[path = "control_plane/watch.rs"]
mod watch;
#[path = "control_plane/watcher.rs"]
mod watcher;

use serde_json::{Value, json};

fn tenant(slug: &str) -> Value {
    json!({ "slug": slug, "display_name": slug })
}
