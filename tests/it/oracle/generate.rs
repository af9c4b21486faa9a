//! What the properties are tried with: few values, close together, so that they meet.

use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::naive::{Representation, Request, Resource, Route, Tag, spellings};

/// Opaque-tags: of versions, of what proxies make of them, and with bytes that break parsers.
const OPAQUES: [&[u8]; 12] = [
    b"5",
    b"5",
    b"6",
    b"",
    b"5-gzip",
    b"5--gzip",
    b"5-br",
    b"a,b",
    b"*",
    b"\\",
    b"W/",
    b"caf\xC3\xA9",
];

/// Members of a list that are not entity-tags, or not any more.
const NEAR_MISSES: [&[u8]; 14] = [
    b"",
    b"*",
    b"5",
    b"\"5",
    b"5\"",
    b"w/\"5\"",
    b"W /\"5\"",
    b"W/5",
    b"\"\"5\"\"",
    b"\"5\"\"5\"",
    b"\"5 \"",
    b"\"5\\\"\"",
    b"'5'",
    b"\xE2\x80\x9C5\xE2\x80\x9D",
];

const SEPARATORS: [&[u8]; 8] = [b",", b", ", b"\t,\t", b" ,,", b",", b", ", b" ", b";"];

const METHODS: [&str; 14] = [
    "GET", "GET", "HEAD", "PUT", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE", "CONNECT",
    "QUERY", "FROB", "get",
];

const NOT_DATES: [&[u8]; 7] = [
    b"",
    b"0",
    b"Sun, 06 Nov 1994 08:49:60 GMT",
    b"Mon, 06 Nov 1994 08:49:03 GMT",
    b"Sun, 06 Nov 1994 08:49:03 UTC",
    b"Sun, 06 Nov 1994 08:49:03 GMT, Sun, 06 Nov 1994 08:49:03 GMT",
    b"\xFF",
];

/// Few, so that dates are often equal.
const SECONDS: Range<u64> = 0..4;

pub(super) fn tag() -> impl Strategy<Value = Tag> {
    (prop::bool::weighted(0.25), select(&OPAQUES[..])).prop_map(|(weak, opaque)| Tag {
        weak,
        opaque: opaque.to_vec(),
    })
}

fn spelled_tag() -> impl Strategy<Value = Vec<u8>> {
    tag().prop_map(|tag| {
        let open: &[u8] = if tag.weak { b"W/\"" } else { b"\"" };
        [open, &tag.opaque, b"\""].concat()
    })
}

/// Any bytes that a field value may hold.
fn field_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'"'),
        Just(b','),
        Just(b'\t'),
        0x20..=0x7E_u8,
        0x80..=0xFF_u8
    ];
    vec(byte, 0..12)
}

/// A line of a list: mostly entity-tags and commas, not always.
pub(super) fn list_line() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        12 => spelled_tag(),
        2 => select(&NEAR_MISSES[..]).prop_map(<[u8]>::to_vec),
        1 => field_bytes(),
    ];
    let list = vec((member, select(&SEPARATORS[..])), 0..4).prop_map(|members| {
        let mut line = Vec::new();
        for (position, (member, separator)) in members.iter().enumerate() {
            if position > 0 {
                line.extend_from_slice(separator);
            }
            line.extend_from_slice(member);
        }
        line
    });
    // Tags of what nobody asks for, so many that the list is searched before it is scanned.
    let long = (1..4_usize, list.clone(), any::<bool>()).prop_map(|(count, list, last)| {
        let others = "\"of-another-representation-5\", "
            .repeat(count * 8)
            .into_bytes();
        match last {
            true => [&others[..], &list[..]].concat(),
            false => [&list[..], b", ", &others[..]].concat(),
        }
    });
    let line = prop_oneof![
        4 => spelled_tag(),
        3 => Just(b"*".to_vec()),
        6 => list,
        3 => long,
        1 => field_bytes(),
    ];
    (padding(), line, padding())
        .prop_map(|(before, line, after)| [before.as_bytes(), &line, after.as_bytes()].concat())
}

/// Whitespace that a server takes off, and a test does not.
fn padding() -> impl Strategy<Value = &'static str> {
    select(&["", "", "", "", "", " ", "\t", " \t "][..])
}

fn date_line() -> impl Strategy<Value = Vec<u8>> {
    let near =
        (padding(), SECONDS, 0..3_usize, padding()).prop_map(|(before, second, format, after)| {
            format!("{before}{}{after}", spellings(second)[format])
        });
    prop_oneof![
        8 => near.prop_map(String::into_bytes),
        1 => select(&NOT_DATES[..]).prop_map(<[u8]>::to_vec),
        1 => field_bytes(),
    ]
}

/// No line most of the time, one often, two at times.
fn lines(
    name: &'static str,
    line: impl Strategy<Value = Vec<u8>> + Clone,
) -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    prop_oneof![
        5 => Just(Vec::new()),
        4 => vec(line.clone(), 1),
        1 => vec(line, 2..4),
    ]
    .prop_map(move |values| values.into_iter().map(|value| (name, value)).collect())
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![any_conditions(), one_condition()]
}

/// All conditions together.
fn any_conditions() -> impl Strategy<Value = Request> {
    let lists = (
        lines("if-match", list_line().boxed()),
        lines("if-none-match", list_line().boxed()),
    );
    let dates = (
        lines("if-unmodified-since", date_line().boxed()),
        lines("if-modified-since", date_line().boxed()),
    );
    let if_range = lines("if-range", prop_oneof![list_line(), date_line()].boxed());
    let range = lines("range", Just(b"bytes=0-9".to_vec()));
    (select(&METHODS[..]), lists, dates, if_range, range).prop_map(
        |(method, lists, dates, if_range, range)| Request {
            method,
            lines: [lists.0, lists.1, dates.0, dates.1, if_range, range].concat(),
        },
    )
}

/// One condition, which nothing else hides, and a range.
fn one_condition() -> impl Strategy<Value = Request> {
    let line = prop_oneof![
        (
            select(&["if-match", "if-none-match", "if-range"][..]),
            list_line().boxed()
        ),
        (
            select(&["if-unmodified-since", "if-modified-since", "if-range"][..]),
            date_line().boxed()
        ),
    ];
    (select(&["GET", "GET", "HEAD", "PUT"][..]), line).prop_map(|(method, line)| Request {
        method,
        lines: vec![line, ("range", b"bytes=0-9".to_vec())],
    })
}

fn representation() -> impl Strategy<Value = Representation> {
    let strong = tag().prop_map(|tag| Tag { weak: false, ..tag });
    (
        option::weighted(0.9, tag()),
        vec(strong, 0..3),
        option::weighted(0.7, SECONDS),
    )
        .prop_map(|(tag, alternates, modified)| Representation {
            tag,
            alternates,
            modified,
        })
}

pub(super) fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        1 => Just(Resource::Absent),
        3 => representation().prop_map(Resource::Present),
        2 => representation().prop_map(Resource::Unseen),
    ]
}

pub(super) fn route() -> impl Strategy<Value = Route> {
    let limits = prop_oneof![
        6 => Just((8_192, 2_048)),
        1 => (0..20_usize, 0..4_usize),
    ];
    let existence = option::weighted(0.3, any::<bool>());
    (any::<[bool; 5]>(), existence, limits).prop_map(
        |(choices, existence, (most_bytes, most_tags))| {
            let [
                required,
                malformed_is_bad_request,
                creates,
                handler_compares,
                tolerant,
            ] = choices;
            Route {
                required,
                malformed_is_bad_request,
                creates,
                handler_compares,
                tolerant,
                existence,
                most_bytes,
                most_tags,
            }
        },
    )
}

pub(super) fn now() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.9, SECONDS)
}
