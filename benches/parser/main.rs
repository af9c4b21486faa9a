//! What it costs to read `If-None-Match`, by the number of its tags, and where it was made to cost
//! a lot.

use std::hint::black_box;
use std::sync::LazyLock;

use harness::{Bench, Case, Work};
use headers::Header;
use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use tower_conditional::EntityTag;
use tower_conditional::decision::{Access, Decision, Rules, Selected, Validators, decide};
use tower_conditional::precondition::{Limits, Preconditions};

/// As a memory store makes them.
const CURRENT: &str = "\"k3v9q0d2m7b1x.1712\"";

/// Longer than the default allows: by default a list of 22 KB costs nothing, it is not read.
const LIMITS: Limits = Limits {
    bytes: 32 * 1024,
    tags: 2_048,
};

/// So many tags of other versions; `hit` is in place of the last.
fn tags(count: usize, hit: bool) -> String {
    let mut tags: Vec<_> = (0..count)
        .map(|nth| format!("\"k3v9q0d2m7b1x.{}\"", 10_000 + nth))
        .collect();
    if let (true, Some(last)) = (hit, tags.last_mut()) {
        CURRENT.clone_into(last);
    }
    tags.join(", ")
}

/// Short of 22 KB of `piece`.
fn many(piece: &str) -> String {
    piece.repeat(22 * 1024 / piece.len())
}

/// The least that reads a list: to the next quote and on, tags compared with their quotes on. Says
/// no to what it cannot read.
fn floor(value: &[u8], current: &[u8]) -> bool {
    if value == current {
        return true;
    }
    let mut rest = value;
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        let [b'"', opened @ ..] = rest else {
            return false;
        };
        let Some(end) = memchr::memchr(b'"', opened) else {
            return false;
        };
        if rest.get(..end + 2) == Some(current) {
            return true;
        }
        rest = opened.get(end + 1..).unwrap_or_default();
    }
}

fn by_hand(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut tags = text.split(',').map(str::trim);
    tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == CURRENT)
}

/// A way to say whether a value names the current tag.
fn case(name: &'static str, value: &str, run: fn(&HeaderValue) -> bool, hit: bool) -> Case {
    let value = HeaderValue::try_from(value).expect("it is a field value");
    Case::new(name, move || {
        let value = value.clone();
        Work::new(|| (), move |()| run(black_box(&value)))
            .checked(move |found| assert_eq!(*found, hit, "{name}"))
    })
}

/// The same, of a request's header.
fn of_request(
    name: &'static str,
    value: &str,
    run: fn(&HeaderMap, &EntityTag) -> bool,
    hit: bool,
) -> Case {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(value).expect("it is a field value");
    headers.insert(IF_NONE_MATCH, value);
    Case::new(name, move || {
        let headers = headers.clone();
        let current = EntityTag::parse(CURRENT.as_bytes()).expect("it is a tag");
        Work::new(|| (), move |()| run(black_box(&headers), &current))
            .checked(move |found| assert_eq!(*found, hit, "{name}"))
    })
    .allocates(0)
}

fn scanned(headers: &HeaderMap, current: &EntityTag) -> bool {
    let preconditions = Preconditions::from_headers(headers);
    let current = current.borrow();
    preconditions.if_none_match().is_some_and(|field| {
        let found = field.scan(LIMITS, |tag| tag.weak_eq(current));
        found.is_ok_and(|found| {
            matches!(
                found,
                tower_conditional::precondition::ListMatch::Tags(true)
            )
        })
    })
}

fn decided(headers: &HeaderMap, current: &EntityTag) -> bool {
    let rules = Rules {
        limits: LIMITS,
        ..Rules::default()
    };
    let selected = Selected::Present(Validators::of(current));
    let preconditions = Preconditions::from_headers(headers);
    decide(Access::Read, &preconditions, selected, &rules, None) == Decision::Reuse
}

fn by_headers(value: &HeaderValue) -> bool {
    static TAG: LazyLock<headers::ETag> = LazyLock::new(|| CURRENT.parse().expect("it is a tag"));
    let current = &*TAG;
    let field = headers::IfNoneMatch::decode(&mut [value].into_iter());
    field.is_ok_and(|field| !field.precondition_passes(current))
}

fn main() {
    let mut bench = Bench::from_args("parser");
    for (table, value, hit) in [
        ("If-None-Match, 1 tag, current", tags(1, true), true),
        ("If-None-Match, 1 tag, another", tags(1, false), false),
        (
            "If-None-Match, 10 tags, the last current",
            tags(10, true),
            true,
        ),
        (
            "If-None-Match, 100 tags, none current",
            tags(100, false),
            false,
        ),
        (
            "If-None-Match, 1,000 tags, none current",
            tags(1_000, false),
            false,
        ),
        (
            "If-None-Match, 1,000 tags, the last current",
            tags(1_000, true),
            true,
        ),
        ("If-None-Match, 22 KB of commas", many(","), false),
        ("If-None-Match, 22 KB of empty tags", many("\"\","), false),
        (
            "If-None-Match, 22 KB after an open quote",
            format!("\"{}", many("a")),
            false,
        ),
    ] {
        bench.table(
            table,
            [
                case(
                    "floor",
                    &value,
                    |value| floor(value.as_bytes(), CURRENT.as_bytes()),
                    hit,
                ),
                of_request("ours, every tag read", &value, scanned, hit),
                of_request("ours, whole decision on a GET", &value, decided, hit),
                case("headers 0.4", &value, by_headers, hit),
                case("split at commas, by hand", &value, by_hand, hit),
            ],
        );
    }
    bench.finish();
}
