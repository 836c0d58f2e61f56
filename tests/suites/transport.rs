//! Connections: who is let in and who is not, certificates that are replaced while everything runs, people behind proxies,
//! and callers who say nothing; one module per promise.

#[path = "transport/bodies.rs"]
mod bodies;
#[path = "transport/frames.rs"]
mod frames;
#[path = "transport/half_open.rs"]
mod half_open;
#[path = "transport/hosts.rs"]
mod hosts;
#[path = "transport/offers.rs"]
mod offers;
#[path = "transport/origin.rs"]
mod origin;
#[path = "transport/ports.rs"]
mod ports;
#[path = "transport/refused.rs"]
mod refused;
#[path = "transport/replaced.rs"]
mod replaced;
#[path = "transport/slow_readers.rs"]
mod slow_readers;
#[path = "control_plane/watcher.rs"]
mod watcher;
