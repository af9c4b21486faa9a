//! Guides: what to know before, beside and after the API.
//!
//! Before: [which mode](modes), [which store](stores), [which status](status), [in which
//! order](layers), and [how others do it](comparison). On the way: [from an API without
//! conditions](migrate), [retries](idempotency), [a store of your own](own_store), [tests].
//! In service: [proxies], [browsers], [operations], [overload]. What it rests on: [security], and
//! [what is promised](promises).

#[doc = include_str!("docs/browsers.md")]
pub mod browsers {}

#[doc = include_str!("docs/comparison.md")]
pub mod comparison {}

#[doc = include_str!("docs/idempotency.md")]
pub mod idempotency {}

#[doc = include_str!("docs/layers.md")]
pub mod layers {}

#[doc = include_str!("docs/migrate.md")]
pub mod migrate {}

#[doc = include_str!("docs/modes.md")]
pub mod modes {}

#[doc = include_str!("docs/operations.md")]
pub mod operations {}

#[doc = include_str!("docs/overload.md")]
pub mod overload {}

#[doc = include_str!("docs/own_store.md")]
pub mod own_store {}

#[doc = include_str!("docs/promises.md")]
pub mod promises {}

#[doc = include_str!("docs/proxies.md")]
pub mod proxies {}

#[doc = include_str!("docs/security.md")]
pub mod security {}

#[doc = include_str!("docs/status.md")]
pub mod status {}

#[doc = include_str!("docs/stores.md")]
pub mod stores {}

#[doc = include_str!("docs/tests.md")]
pub mod tests {}

#[cfg(test)]
mod limits {
    use std::time::Duration;

    use http::Method;

    use crate::idempotency::{IdempotencyKey, IdempotencyPolicy, MemoryIdempotencyStore};
    use crate::policy::{Busy, RequestBodies};
    use crate::precondition::Limits;
    use crate::problem::MAX_REQUEST_ID;
    use crate::{MemoryStore, Policy, SequenceLayer};

    /// The default in the line of the table that starts with `bound`.
    fn documented(bound: &str) -> &'static str {
        let table = include_str!("docs/security.md").lines();
        let cells = table.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let mut lines = cells.filter(|cells| cells.get(1) == Some(&bound));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no line for {bound}"));
        line[2]
    }

    fn bytes(bytes: usize) -> String {
        match bytes {
            _ if bytes.is_multiple_of(1024 * 1024) => format!("{} MiB", bytes / 1024 / 1024),
            _ if bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
            _ => format!("{bytes} bytes"),
        }
    }

    fn time(time: Duration) -> String {
        match time.as_secs() {
            seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
            seconds => format!("{seconds} s"),
        }
    }

    fn count(count: usize) -> String {
        format!("{},{:03}", count / 1000, count % 1000)
    }

    #[test]
    fn the_defaults_in_the_security_guide_are_those_of_the_code() {
        let policy = Policy::default();
        let limits = Limits::default();
        let RequestBodies::Buffer(content) = policy.request_body else {
            panic!("content is read");
        };
        let Busy::Wait(wait) = *policy.busy.of(&Method::PUT) else {
            panic!("writes wait");
        };
        let keys = IdempotencyPolicy::default();
        for (bound, default) in [
            (
                "bytes of one conditional field, all its lines",
                bytes(limits.bytes),
            ),
            ("tags in one field", count(limits.tags)),
            (
                "content of a write, read before it claims anything",
                bytes(content),
            ),
            ("wait for other writes of the resource", time(wait)),
            ("lease of a claim", time(policy.lease)),
            (
                "current resource in a conflict",
                bytes(policy.current_resource_limit),
            ),
            ("idempotency key", bytes(IdempotencyKey::MAX)),
            ("content of a request with a key", bytes(keys.request_limit)),
            ("answer that is kept for a replay", bytes(keys.answer_limit)),
            ("time that a key is remembered", time(keys.ttl)),
            ("lease of a request with a key", time(keys.lease)),
            (
                "content of a write in sequence",
                bytes(SequenceLayer::REQUEST_LIMIT),
            ),
            ("versions in a `MemoryStore`", count(MemoryStore::CAPACITY)),
            (
                "answers in a `MemoryIdempotencyStore`",
                bytes(MemoryIdempotencyStore::CAPACITY),
            ),
            ("`x-request-id` in a problem", bytes(MAX_REQUEST_ID)),
            #[cfg(feature = "digest")]
            (
                "content that is hashed",
                bytes(crate::digest::DigestLayer::LIMIT),
            ),
        ] {
            assert_eq!(documented(bound), default, "{bound}");
        }
    }
}
