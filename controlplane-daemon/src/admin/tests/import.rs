//! Files that are imported while others write.

use super::*;
use crate::backup::import::Import;
use crate::backup::{steps::Mode, write};

pub(super) fn of(node: &Node, mode: Mode) -> Import {
    Import {
        control: node.api.control.clone(),
        keyring: node.api.keyring.clone(),
        importer: controlplane_core::Actor::System,
        origin: controlplane_core::Origin::default(),
        mode,
        now: node.api.clock.now(),
    }
}

#[actix_web::test]
async fn what_others_change_while_a_file_is_imported_is_not_undone() {
    let node = Node::start().await;
    let control = &node.api.control;
    for slug in ["acme", "other"] {
        let tenant = json!({"slug": slug, "display_name": slug});
        node.call(Method::POST, "/tenants", tenant).await.expect(201);
    }
    let mut file = control.spool().unwrap();
    let mut bytes = Vec::new();
    let (revision, state) = control.state();
    write::export(&state, control.status().cluster_id, revision, &mut bytes).unwrap();
    file.push(&bytes).unwrap();
    let file = file.finish().unwrap();
    node.call(Method::DELETE, "/tenants/other", Value::Null).await.expect(204);

    let import = of(&node, Mode::Add);
    let plan = import.plan(&file).await.unwrap();
    node.call(Method::PATCH, "/tenants/acme", json!({"display_name": "Changed"})).await.expect(200);
    node.call(Method::POST, "/tenants/acme/keys/rotate", json!({"step": "now"})).await.expect(200);
    let keys = node.get("/tenants/acme/keys").await.expect(200).body;

    let report = import.carry_out(plan, file).await.unwrap();
    assert!(report.tally.created > 0 && report.tally.updated == 0, "{report:?}");
    node.get("/tenants/other").await.expect(200);
    assert_eq!(node.get("/tenants/acme").await.expect(200).body["display_name"], "Changed");
    assert_eq!(node.get("/tenants/acme/keys").await.expect(200).body, keys);
}
