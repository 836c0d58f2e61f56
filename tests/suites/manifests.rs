//! What is in `k8s/`: rendered as Kubernetes would get it, valid to the letter, and true of the programs.

#[path = "manifests/alerts.rs"]
mod alerts;
#[path = "manifests/cluster.rs"]
mod cluster;
#[path = "manifests/containers.rs"]
mod containers;
#[path = "manifests/rendered.rs"]
mod rendered;
#[path = "manifests/rules.rs"]
mod rules;
#[path = "manifests/running.rs"]
mod running;
#[path = "manifests/schemas.rs"]
mod schemas;
#[path = "manifests/swarm.rs"]
mod swarm;
#[path = "manifests/wiring.rs"]
mod wiring;
