//! The core against slow, literal readings of the specification, over generated input.

mod dates;
mod generate;
mod keys;
#[cfg(feature = "tokio")]
mod layer;
mod tags;

use std::cell::RefCell;
use std::collections::BTreeMap;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tower_conditional::EntityTag;
use tower_conditional::decision::{Access, Validators, refuse_unseen};
use tower_conditional::precondition::Preconditions;

use crate::properties::naive::{self, Answer, Representation, Request, Resource, Route, Tag};
use crate::properties::real::{headers, real_answer, rules};

/// Nothing is written to disk: a failure prints its smallest case, which then becomes a test.
fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

#[test]
fn the_decision_is_what_a_literal_reading_of_section_13_gives() {
    let seen = RefCell::new(BTreeMap::<String, u32>::new());
    let input = (
        generate::request(),
        generate::resource(),
        generate::route(),
        generate::now(),
    );
    TestRunner::new(config(4_000))
        .run(&input, |(request, resource, route, now)| {
            let expected = naive::answer(&request, &resource, &route, now);
            *seen
                .borrow_mut()
                .entry(format!("{expected:?}"))
                .or_default() += 1;
            prop_assert_eq!(real_answer(&request, &resource, &route, now), expected);
            Ok(())
        })
        .unwrap();
    // Two forwards, eight refusals (one of them by either malformed field), 304 and a probe.
    let seen = seen.into_inner();
    assert_eq!(seen.len(), 13, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 10), "{seen:?}");
}

#[test]
fn the_validators_of_a_tag_are_that_tag_and_no_other() {
    let tag = EntityTag::strong("5").unwrap();
    let validators = Validators::of(&tag);
    assert_eq!(validators.tag, Some(tag.borrow()));
    assert!(validators.aliases.is_empty() && validators.alternates.is_empty());
    assert_eq!(validators.last_modified, None);
}

/// What the property found once, kept by name.
#[test]
fn cases_that_were_wrong_once_stay_right() {
    let five = Representation {
        tag: Some(Tag {
            weak: false,
            opaque: b"5".to_vec(),
        }),
        alternates: Vec::new(),
        modified: None,
    };
    let unseen = Resource::Unseen(five);
    let updates_only = Route {
        required: false,
        malformed_is_bad_request: true,
        creates: false,
        handler_compares: false,
        tolerant: false,
        existence: None,
        most_bytes: 8_192,
        most_tags: 2_048,
    };
    let check = |method, resource, lines: &[(&'static str, &str)], expected, why| {
        let lines = lines
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()));
        let request = Request {
            method,
            lines: lines.collect(),
        };
        let answer = real_answer(&request, resource, &updates_only, None);
        assert_eq!(answer, expected, "{why}");
    };
    let (old_part, whole) = (("if-range", r#""4""#), Answer::Forward { range: false });
    check(
        "GET",
        &unseen,
        &[("if-match", "*"), old_part, ("range", "bytes=5-")],
        whole,
        "a client with a part of an old version gets all of the new one",
    );
    check(
        "GET",
        &Resource::Absent,
        &[("if-match", r#""4""#), old_part, ("range", "bytes=5-")],
        whole,
        "what is not there has no part that an old one could be joined with",
    );
    check(
        "GET",
        &unseen,
        &[("if-match", "*"), ("if-none-match", r#""5""#)],
        Answer::NotModified,
        "a client with the current version gets none of it",
    );
    check(
        "PUT",
        &Resource::Absent,
        &[("if-none-match", "5")],
        Answer::Forward { range: true },
        "404 comes before 400",
    );
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_refusal_without_a_look_is_the_refusal_after_one(
        request in generate::request(),
        resource in generate::resource(),
        route in generate::route(),
    ) {
        let headers = headers(&request);
        let method = Method::from_bytes(request.method.as_bytes()).unwrap();
        let unseen = refuse_unseen(
            Access::of(&method),
            &Preconditions::from_headers(&headers),
            &rules(&route),
        );
        let looked = naive::answer(&request, &resource, &route, None);
        let wanted = route.existence == Some(true);
        if matches!(resource, Resource::Absent) && (wanted || !route.creates) {
            prop_assert!(!matches!(looked, Answer::Missing));
        } else {
            prop_assert_eq!(unseen.is_some(), looked == Answer::Missing);
        }
    }
}
