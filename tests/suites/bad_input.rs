//! Nonsense at every door: a 4xx that names it, never a 5xx, and the programs live on.

#[path = "bad_input/admin_api.rs"]
mod admin_api;
#[path = "bad_input/data_plane.rs"]
mod data_plane;
