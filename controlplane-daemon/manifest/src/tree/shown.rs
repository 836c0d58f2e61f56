//! What the admin API shows of a resource, less what nobody writes.

use crate::document::Part;

pub(super) fn tenant(mut part: Part) -> Part {
    for name in ["id", "created_at", "updated_at", "revision", "managed_by"] {
        part.body.remove(name);
    }
    let settings = part.body.get_mut("settings").and_then(|settings| settings.as_object_mut());
    if let Some(database) = settings.and_then(|it| it.get_mut("database")).and_then(|it| it.as_object_mut()) {
        database.remove("configured");
    }
    part
}

/// A client or a scope.
pub(super) fn item(mut part: Part) -> Part {
    for name in ["secrets", "registered", "created_at", "updated_at", "revision", "managed_by"] {
        part.body.remove(name);
    }
    part
}
