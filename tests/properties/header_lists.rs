//! `If-Match` and `If-None-Match` of any lines, under any limits, are what a naive parser reads.

use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use tower_conditional::precondition::{Limits, ListMatch, Preconditions};

use super::naive::{self, List};
use super::{Property, choice_and_lines};

pub(super) const PROPERTY: Property = Property {
    name: "header_lists",
    kinds: &["absent", "any", "malformed", "without it", "with it"],
    holds,
};

const LIMITS: [(usize, usize); 4] = [(8_192, 2_048), (40, 2_048), (8_192, 3), (0, 0)];

/// A byte that chooses field and limits, then the lines of the field.
fn holds(input: &[u8]) -> &'static str {
    let (choice, lines) = choice_and_lines(input);
    let name = if choice & 1 == 0 {
        IF_MATCH
    } else {
        IF_NONE_MATCH
    };
    let (bytes, tags) = LIMITS[usize::from(choice >> 1 & 3)];
    let mut headers = HeaderMap::new();
    let mut sent = Vec::new();
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
            sent.push(line.to_vec());
        }
    }

    let preconditions = Preconditions::from_headers(&headers);
    let (field, other) = if name == IF_MATCH {
        (preconditions.if_match(), preconditions.if_none_match())
    } else {
        (preconditions.if_none_match(), preconditions.if_match())
    };
    assert!(other.is_none(), "a field that was not sent");
    assert_eq!(preconditions.is_empty(), sent.is_empty());
    let Some(field) = field else {
        assert!(sent.is_empty(), "a field that was sent is missing");
        return "absent";
    };
    assert!(
        field
            .lines()
            .map(HeaderValue::as_bytes)
            .eq(sent.iter().map(Vec::as_slice))
    );

    let mut asked = 0;
    let found = field.scan(Limits { bytes, tags }, |tag| {
        asked += 1;
        tag.opaque() == b"5"
    });
    assert!(asked <= tags, "asked {asked} times");
    let expected = naive::read_list(&sent, bytes, tags);
    assert_eq!(field.is_any(), expected == List::Any);
    match (found, expected) {
        (Ok(ListMatch::Any), List::Any) => "any",
        (Err(error), List::Malformed) => {
            assert!(error.at() <= sent.iter().map(Vec::len).sum());
            "malformed"
        }
        (Ok(ListMatch::Tags(found)), List::Tags(tags)) => {
            assert_eq!(found, tags.iter().any(|tag| tag.opaque == b"5"));
            if found { "with it" } else { "without it" }
        }
        (found, expected) => panic!("{found:?} is read as {expected:?} by the naive parser"),
    }
}
