//! Files that are imported while others write.

use controlplane_core::mutation::{Precondition, Restored};
use controlplane_core::{Mutation, Rejection, ResourceRef};
use vocab::{ErrorCode, Revision, ScopeName, Slug};

use super::*;
use crate::backup::import::{Import, ImportError};
use crate::backup::{steps::Mode, write};
use crate::control_plane::{ProposeError, SnapshotFile};

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

/// All there is, as a file.
fn exported(node: &Node) -> SnapshotFile {
    let control = &node.api.control;
    let (revision, state) = control.state();
    let (mut file, mut bytes) = (control.spool().unwrap(), Vec::new());
    write::export(&state, control.status().cluster_id, revision, &mut bytes).unwrap();
    file.push(&bytes).unwrap();
    file.finish().unwrap()
}

/// What an import found to be there that was not when it was planned, nothing having been done.
fn overtaken(came: Result<impl std::fmt::Debug, ImportError>) -> Vec<String> {
    let refused = came.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict, "{refused}");
    match refused {
        ImportError::Refused { why: ProposeError::Rejected(Rejection::Overtaken { resources }), .. } => {
            resources.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other}"),
    }
}

#[actix_web::test]
async fn what_others_change_while_a_file_is_imported_is_not_undone() {
    let node = Node::start().await;
    for slug in ["acme", "other"] {
        let tenant = json!({"slug": slug, "display_name": slug});
        node.call(Method::POST, "/tenants", tenant).await.expect(201);
    }
    let file = exported(&node);
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

#[actix_web::test]
async fn what_others_make_while_a_file_is_imported_is_not_overwritten() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let scope = |description: &str| json!({"name": "orders", "description": description});
    let client = |name: &str| json!({"client_id": "web", "name": name, "redirect_uris": ["https://a.example/cb"]});
    node.call(Method::POST, "/tenants/acme/scopes", scope("the file's")).await.expect(201);
    node.call(Method::POST, "/tenants/acme/clients", client("The file's")).await.expect(201);
    let file = exported(&node);

    for mode in [Mode::Add, Mode::Merge, Mode::Replace] {
        for (list, path, theirs, named) in [
            ("/tenants/acme/scopes", "/tenants/acme/scopes/orders", scope("another's"), "scope orders of tenant acme"),
            ("/tenants/acme/clients", "/tenants/acme/clients/web", client("Another's"), "client web of tenant acme"),
        ] {
            node.call(Method::DELETE, path, Value::Null).await.expect(204);
            let import = of(&node, mode);
            let plan = import.plan(&file).await.unwrap();
            assert_eq!((plan.tally.created, plan.tally.updated), (1, 0));
            node.call(Method::POST, list, theirs).await.expect(201);
            let there = node.get(path).await.expect(200).body;
            assert_eq!(overtaken(import.carry_out(plan, file.clone()).await), [named]);
            assert_eq!(node.get(path).await.expect(200).body, there);
            // Whoever looks again sees it, and overrules it or does not.
            let again = import.plan(&file).await;
            if mode == Mode::Add {
                assert!(matches!(again, Err(ImportError::Conflicts(all)) if all == [named]));
            } else {
                assert_eq!(again.unwrap().tally.updated, 1);
            }
            node.call(Method::DELETE, path, Value::Null).await.expect(204);
            let plan = import.plan(&file).await.unwrap();
            import.carry_out(plan, file.clone()).await.unwrap();
            assert!(!node.get(path).await.expect(200).body.to_string().contains("nother's"));
        }
    }
}

#[actix_web::test]
async fn of_two_imports_that_make_the_same_one_is_refused() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let (_, hired) = node.hire(json!({"tenant-admin": "acme"})).await;
    let file = exported(&node);
    node.call(Method::DELETE, "/tenants/acme", Value::Null).await.expect(204);

    let (one, other) = (of(&node, Mode::Add), of(&node, Mode::Add));
    let plans = (one.plan(&file).await.unwrap(), other.plan(&file).await.unwrap());
    one.carry_out(plans.0, file.clone()).await.unwrap();
    let made = node.call(Method::PATCH, "/tenants/acme", json!({"display_name": "Changed"})).await.expect(200).body;
    let found = overtaken(other.carry_out(plans.1, file).await);
    assert_eq!(found, ["tenant acme".to_owned(), format!("administrator {hired}")]);
    assert_eq!(node.get("/tenants/acme").await.expect(200).body, made);
}

/// Where nobody knows what became of it, it is asked again: what it made itself is not taken for somebody else's.
#[actix_web::test]
async fn what_is_made_is_known_when_it_is_asked_again() {
    let node = Node::start().await;
    node.tenant("acme").await;
    node.call(Method::POST, "/tenants/acme/scopes", json!({"name": "orders"})).await.expect(201);
    let (tenant, name): (Slug, ScopeName) = ("acme".parse().unwrap(), "orders".parse().unwrap());
    let scope = node.api.control.read(|state| {
        let owner = state.tenant(&tenant).unwrap().id;
        state.scope(owner, &name).unwrap().as_ref().clone()
    });
    node.call(Method::DELETE, "/tenants/acme/scopes/orders", Value::Null).await.expect(204);
    let command = of(&node, Mode::Add).command(Mutation::Batch {
        items: vec![Mutation::Restore { resources: vec![Restored::Scope(scope)] }],
        planned_on: vec![Precondition::new(ResourceRef::Scope { tenant, name }, Revision::ZERO)],
        managed_by: None,
    });
    let first = node.api.control.propose(command.clone()).await.unwrap();
    let again = node.api.control.propose(command).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(again.revision, first.revision);
}
