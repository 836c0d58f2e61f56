//! Looking records up: what is asked for, and a page of it.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::Deserialize;

use super::store::{Extent, Order, Store};
use crate::storage::StorageError;

/// Records that one page looks at, at most: a filter that nothing passes costs no more than this, and the next page goes
/// on from there.
const LOOKED_AT: usize = 20_000;

/// And what it holds: a record may be long (a client's, with hundreds of fields before and after), and many readers may
/// ask at a time. One record is held whatever its length.
const PAGE_BYTES: usize = 2 << 20;

/// Which records. What is absent is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// An administrator's id, or `system`.
    pub actor: Option<String>,
    /// Exactly, or with `*` at the end whatever begins so: `client.*`.
    pub action: Option<String>,
    /// Exactly, or what lies below it: `tenants/acme` also finds `tenants/acme/clients/web`.
    pub resource: Option<String>,
    pub tenant: Option<String>,
    pub code: Option<String>,
    /// RFC 3339 as records have it: text that sorts like time.
    pub since_time: Option<String>,
    pub until_time: Option<String>,
    pub since_seq: Option<u64>,
    pub until_seq: Option<u64>,
}

/// What a filter looks at.
#[derive(Debug, Deserialize)]
struct Facts<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    actor: Option<ActorFacts<'a>>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    changes: Vec<ChangeFacts<'a>>,
}

#[derive(Debug, Deserialize)]
struct ActorFacts<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct ChangeFacts<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
}

impl Filter {
    fn is_open(&self) -> bool {
        let Self { actor, action, resource, tenant, code, since_time, until_time, .. } = self;
        [actor, action, resource, tenant, code, since_time, until_time].into_iter().all(Option::is_none)
    }

    /// Whether the record passes. One that cannot be read passes no filter but none at all, so that it is seen.
    pub(crate) fn takes(&self, line: &str) -> bool {
        if self.is_open() {
            return true;
        }
        let Ok(facts) = serde_json::from_str::<Facts<'_>>(line) else { return false };
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found.is_some_and(|found| found == wanted))
        };
        let action = self.action.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(begin) => facts.action.starts_with(begin),
            None => facts.action == wanted,
        });
        let resource = self.resource.as_deref().is_none_or(|wanted| {
            let below =
                |found: &str| found.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            facts.resource.as_deref().is_some_and(below) || facts.changes.iter().any(|change| below(&change.resource))
        });
        let actor = facts.actor.as_ref().map(|actor| actor.id.as_deref().unwrap_or(&actor.kind));
        action
            && resource
            && is(&self.actor, actor)
            && is(&self.tenant, facts.tenant.as_deref())
            && is(&self.code, facts.code.as_deref())
            && self.since_time.as_deref().is_none_or(|since| &*facts.time >= since)
            && self.until_time.as_deref().is_none_or(|until| &*facts.time <= until)
    }
}

/// Some of the records, and where to go on.
#[derive(Debug)]
pub struct Page {
    pub lines: Vec<String>,
    /// The last record that was looked at; `None` when there are no more.
    pub go_on_after: Option<u64>,
    /// As the page was read.
    pub extent: Extent,
}

/// What to look for and from where.
#[derive(Clone, Debug)]
pub struct Query {
    pub filter: Filter,
    pub order: Order,
    /// As [`Page::go_on_after`] gave it.
    pub after: Option<u64>,
    pub limit: usize,
}

/// Reads the disk: not for a thread that others wait for.
pub fn page(store: &Store, query: &Query) -> Result<Page, StorageError> {
    let extent = store.extent();
    let Query { filter, order, after, limit } = query;
    let mut from = filter.since_seq.unwrap_or(0).max(extent.complete_from);
    let mut through = filter.until_seq.unwrap_or(u64::MAX).min(extent.newest);
    match (order, after) {
        (Order::OldestFirst, Some(after)) => from = from.max(after.saturating_add(1)),
        (Order::NewestFirst, Some(after)) => through = through.min(after.saturating_sub(1)),
        (_, None) => {}
    }
    let mut page = Page { lines: Vec::new(), go_on_after: None, extent };
    let (mut looked_at, mut bytes) = (0, 0);
    let mut last = None;
    store.read(from, through, *order, |seq, line| {
        if page.lines.len() == *limit || looked_at == LOOKED_AT || bytes >= PAGE_BYTES {
            page.go_on_after = last;
            return ControlFlow::Break(());
        }
        looked_at += 1;
        last = Some(seq);
        if filter.takes(line) {
            bytes += line.len();
            page.lines.push(line.to_owned());
        }
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use controlplane_core::audit::{Chain, Record};
    use vocab::Revision;

    use super::*;

    #[test]
    fn a_page_is_bounded_by_what_it_holds_and_the_next_goes_on_behind_it() {
        let store = Store::in_memory(&Chain::default()).unwrap();
        let lengths = [10, PAGE_BYTES / 3, PAGE_BYTES / 3, PAGE_BYTES / 3, 2 * PAGE_BYTES, 3 * PAGE_BYTES, 10, 10];
        let record = |(seq, length): (u64, &usize)| Record { seq, revision: Revision(seq), line: vec![b'x'; *length] };
        store.append((1..).zip(&lengths).map(record).collect());
        store.flush();
        let pages = |order| {
            let (mut after, mut counts) = (None, Vec::new());
            loop {
                let query = Query { filter: Filter::default(), order, after, limit: 1_000 };
                let page = page(&store, &query).unwrap();
                counts.push(page.lines.len());
                after = page.go_on_after;
                if after.is_none() {
                    return counts;
                }
            }
        };
        assert_eq!(pages(Order::OldestFirst), [4, 1, 1, 2]);
        assert_eq!(pages(Order::NewestFirst), [3, 1, 4]);
    }

    const LINE: &str = r#"{"seq":7,"previous":"","revision":9,"time":"2026-01-02T03:04:05.678Z",
        "actor":{"kind":"admin","id":"a-1"},"action":"client.update","tenant":"acme",
        "resource":"tenants/acme/clients/web","changes":[{"resource":"tenants/acme/scopes/orders","change":"updated"}]}"#;

    #[test]
    fn each_filter_takes_what_it_says() {
        type Set = fn(&mut Filter, String);
        let with = |set: Set, value: &str| {
            let mut filter = Filter::default();
            set(&mut filter, value.to_owned());
            filter.takes(LINE)
        };
        assert!(Filter::default().takes(LINE) && Filter::default().takes("damaged"));
        let rows: [(Set, &[&str], &[&str]); 7] = [
            (|f, v| f.actor = Some(v), &["a-1"], &["a-2", "system"]),
            (|f, v| f.action = Some(v), &["client.update", "client.*", "*"], &["client", "scope.*"]),
            (|f, v| f.resource = Some(v), &["tenants/acme", "tenants/acme/scopes"], &["tenants/ac", "keys"]),
            (|f, v| f.tenant = Some(v), &["acme"], &["other"]),
            (|f, v| f.code = Some(v), &[], &["forbidden"]),
            (|f, v| f.since_time = Some(v), &["2026-01-02T03:04:05.678Z"], &["2026-01-02T03:04:05.679Z"]),
            (|f, v| f.until_time = Some(v), &["2026-01-02T03:04:05.678Z"], &["2026-01-02T03:04:05.677Z"]),
        ];
        for (set, takes, refuses) in rows {
            assert!(takes.iter().all(|value| with(set, value)), "{takes:?}");
            assert!(!refuses.iter().any(|value| with(set, value)), "{refuses:?}");
        }
    }
}
