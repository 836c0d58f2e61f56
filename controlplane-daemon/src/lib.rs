//! stub

pub mod control_plane;
pub mod fleet;
pub mod tls;
