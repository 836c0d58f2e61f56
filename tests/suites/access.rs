//! Administrators' access and the cluster's sealed secrets, with real nodes, pods and people.

#[path = "access/credentials.rs"]
mod credentials;
#[path = "access/issuer.rs"]
mod issuer;
#[path = "access/master_keys.rs"]
mod master_keys;
#[path = "access/throttle.rs"]
mod throttle;
