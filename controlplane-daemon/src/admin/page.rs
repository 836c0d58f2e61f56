//! Pages of lists: a cursor is the key of the last item shown, opaque to the outside.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::problem::Problem;
use super::query::List;

#[derive(Serialize)]
pub(super) struct Page<V> {
    items: Vec<V>,
    next_cursor: Option<String>,
}

/// The key that the list goes on after.
pub(super) fn after<K: FromStr>(list: &List) -> Result<Option<K>, Problem> {
    let Some(cursor) = &list.cursor else { return Ok(None) };
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    key.map(Some).ok_or_else(|| Problem::bad_request("this cursor was not given out here"))
}

impl<V> Page<V> {
    /// Takes `limit` items, and one more to see whether there are more.
    pub(super) fn of<T>(
        items: impl Iterator<Item = T>,
        limit: usize,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> V,
    ) -> Self {
        let mut taken: Vec<T> = items.take(limit.saturating_add(1)).collect();
        let more = taken.len() > limit;
        taken.truncate(limit);
        let next_cursor = taken.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Self { items: taken.iter().map(show).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::query::Read;
    use crate::control_plane::Consistency;
    use std::time::Duration;

    fn list(cursor: Option<&str>) -> List {
        let read = Read { consistency: Consistency::Local, timeout: Duration::ZERO };
        List { read, limit: 2, cursor: cursor.map(ToOwned::to_owned) }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let all: Vec<u32> = (0..5).collect();
        let (mut seen, mut cursor): (Vec<u32>, Option<String>) = (Vec::new(), None);
        loop {
            let after = after::<u32>(&list(cursor.as_deref())).unwrap();
            let rest = all.iter().copied().filter(|n| after.is_none_or(|after| *n > after));
            let page = Page::of(rest, 2, u32::to_string, |n| *n);
            seen.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        for bad in ["!", "a", "AAAA", "\u{1F600}"] {
            assert!(after::<u32>(&list(Some(bad))).is_err(), "{bad}");
        }
    }
}
