//! The table of nodes: what comes back, what is forgotten.

use vocab::{ErrorCode, NodeId};

use super::build::*;
use crate::limits;
use crate::mutation::Mutation;

fn put(id: u64) -> Mutation {
    Mutation::NodePut { id: NodeId(id), spec: node_spec("a:1") }
}

#[test]
fn a_removed_node_leaves_a_mark_until_it_is_put_again() {
    let mut world = World::default();
    world.apply(put(4)).unwrap();
    let joined_at = world.state.node(NodeId(4)).unwrap().joined_at;
    world.apply(put(4)).unwrap();
    assert_eq!(world.state.node(NodeId(4)).unwrap().joined_at, joined_at);
    world.apply(Mutation::NodeRemove { id: NodeId(4) }).unwrap();
    let marked = world.state.node(NodeId(4)).unwrap().clone();
    assert!(marked.removed_at.is_some() && marked.spec.promotion.is_none());
    world.apply(Mutation::NodeSeen { ids: vec![NodeId(4)] }).unwrap();
    assert_eq!(world.state.node(NodeId(4)), Some(&marked), "who was removed is not seen");
    let again = world.apply(Mutation::NodeRemove { id: NodeId(4) }).unwrap_err();
    assert_eq!(again.code(), ErrorCode::NotFound);
    world.apply(put(4)).unwrap();
    let back = world.state.node(NodeId(4)).unwrap();
    assert!(back.removed_at.is_none() && back.joined_at > joined_at);
}

#[test]
fn the_table_forgets_marks_but_no_nodes() {
    let mut world = World::default();
    for id in 0..limits::NODES as u64 {
        world.apply(put(id)).unwrap();
    }
    assert_eq!(world.apply(put(100)).unwrap_err().code(), ErrorCode::Conflict);
    world.apply(Mutation::NodeRemove { id: NodeId(7) }).unwrap();
    world.apply(Mutation::NodeRemove { id: NodeId(3) }).unwrap();
    world.apply(put(100)).unwrap();
    assert!(world.state.node(NodeId(7)).is_none(), "the one removed first");
    assert_eq!(world.state.node_count(), limits::NODES);
}
