//! The API against a real node.
