//! Disks that are full, cannot be written, or give other bytes than were written.

#[path = "storage_faults/damage.rs"]
mod damage;
#[path = "storage_faults/disk.rs"]
mod disk;
#[path = "storage_faults/lost_end.rs"]
mod lost_end;
#[path = "storage_faults/read_only.rs"]
mod read_only;

use serde_json::{Value, json};
use tests::admin::Admin;

fn tenant(slug: &str) -> Value {
    json!({ "slug": slug, "display_name": slug })
}

async fn tenants(admin: &Admin) -> usize {
    let list = admin.get("/tenants?limit=500&consistency=linearizable").await.expect(200).json;
    list["items"].as_array().map_or(0, Vec::len)
}
