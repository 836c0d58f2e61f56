//! Who is at the other end of a connection: what both planes need to know it, and to prove themselves.
//!
//! A package of its own since both planes need the same and may not import each other; beside the wire formats and not
//! in `vocab`, which has no sockets.
//!
//! | module | what it owns |
//! |---|---|
//! | [`forwarded`] | whose request it is when a proxy passes it on |

pub mod forwarded;
