//! The decision on any request, state and route is that of a literal reading of RFC 9110.

use tower_conditional::HttpDate;

use super::naive::{self, Answer, Representation, Request, Resource, Route, Tag};
use super::{Property, real};

pub(super) const PROPERTY: Property = Property {
    name: "decision",
    kinds: &[
        "a date that the oracle cannot read",
        "already set",
        "forward",
        "forward without range",
        "if-match",
        "if-match malformed",
        "if-none-match",
        "if-none-match malformed",
        "if-unmodified-since",
        "missing",
        "not found",
        "not modified",
        "not set",
        "probe",
    ],
    holds,
};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "QUERY",
];

const FIELDS: [&str; 6] = [
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "if-modified-since",
    "if-range",
    "range",
];

const OPAQUES: [&[u8]; 4] = [b"5", b"6", b"", b"a,b"];

const LIMITS: [(usize, usize); 2] = [(8_192, 2_048), (20, 3)];

/// Five bytes that choose all but the header fields; then a line for each of these, its first byte
/// chooses the name.
fn holds(input: &[u8]) -> &'static str {
    let mut choices = [0; 5];
    for (choice, byte) in choices.iter_mut().zip(input) {
        *choice = *byte;
    }
    let rest = input.get(choices.len()..).unwrap_or_default();
    let (method, route, resource, now) = chosen(choices);
    let lines = rest.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_first()?;
        // As on the wire: anything else never becomes a field.
        http::HeaderValue::from_bytes(value).ok()?;
        Some((pick(&FIELDS, *name), value.to_vec()))
    });
    let request = Request {
        method,
        lines: lines.collect(),
    };
    if !oracle_reads_all_dates(&request) {
        return "a date that the oracle cannot read";
    }
    let expected = naive::answer(&request, &resource, &route, now);
    let answer = real::real_answer(&request, &resource, &route, now);
    assert_eq!(
        answer, expected,
        "{request:?} {resource:?} {route:?} {now:?}"
    );
    kind(answer)
}

fn pick<T: Copy>(from: &[T], choice: u8) -> T {
    from[usize::from(choice) % from.len()]
}

fn chosen(choices: [u8; 5]) -> (&'static str, Route, Resource, Option<u64>) {
    let [method, route, resource, tags, dates] = choices;
    let (most_bytes, most_tags) = pick(&LIMITS, method >> 7);
    let is_set = |bit: u8| route >> bit & 1 == 1;
    let route = Route {
        required: is_set(0),
        malformed_is_bad_request: is_set(1),
        creates: is_set(2),
        handler_compares: is_set(3),
        tolerant: is_set(4),
        existence: is_set(5).then(|| is_set(6)),
        most_bytes,
        most_tags,
    };
    let tag = |choice: u8| Tag {
        weak: false,
        opaque: pick(&OPAQUES, choice).to_vec(),
    };
    let second = |choice: u8| (choice & 7 != 7).then_some(u64::from(choice & 7));
    let current = Representation {
        tag: (tags & 8 == 0).then(|| Tag {
            weak: tags & 4 != 0,
            ..tag(tags)
        }),
        alternates: if tags & 16 == 0 {
            Vec::new()
        } else {
            vec![tag(tags >> 5)]
        },
        modified: second(dates),
    };
    let resource = match resource % 3 {
        0 => Resource::Absent,
        1 => Resource::Present(current),
        _ => Resource::Unseen(current),
    };
    (
        pick(&METHODS, method & 0x7F),
        route,
        resource,
        second(dates >> 3),
    )
}

/// The oracle knows the seconds of one minute; [`dates`](super::dates) is about all of them.
fn oracle_reads_all_dates(request: &Request) -> bool {
    request.lines.iter().all(|(name, value)| {
        !matches!(
            *name,
            "if-unmodified-since" | "if-modified-since" | "if-range"
        ) || HttpDate::parse(value).is_none()
            || naive::spelled_date(&naive::trim(value)).is_some()
    })
}

fn kind(answer: Answer) -> &'static str {
    match answer {
        Answer::Forward { range: true } => "forward",
        Answer::Forward { range: false } => "forward without range",
        Answer::Malformed("if-match") => "if-match malformed",
        Answer::Malformed(_) => "if-none-match malformed",
        Answer::Missing => "missing",
        Answer::NotFound => "not found",
        Answer::NotModified => "not modified",
        Answer::Probe => "probe",
        Answer::Refuse("already-set") => "already set",
        Answer::Refuse("not-set") => "not set",
        Answer::Refuse(name) => name,
    }
}
