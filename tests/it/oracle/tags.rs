//! The entity-tag parsers against naive ones, over arbitrary bytes.

use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use proptest::collection::vec;
use proptest::prelude::*;
use tower_conditional::EntityTag;
use tower_conditional::entity_tag::{EntityTagRef, EntityTags};
use tower_conditional::precondition::{Limits, ListMatch, Preconditions};

use crate::properties::naive::{self, List, Tag};
use crate::properties::real::entity_tag;

use super::{config, generate};

/// Bytes of every kind, with those that mean something among them more often than chance has it.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'"'),
        Just(b','),
        Just(b'W'),
        Just(b'/'),
        Just(b'*'),
        Just(b' '),
        any::<u8>()
    ];
    // Long runs without a quote are read many bytes at a time.
    let run = (vec(0x20..=0xFF_u8, 0..40), vec(byte.clone(), 0..12))
        .prop_map(|(run, after)| [b"\"", &run[..], &after[..]].concat());
    prop_oneof![vec(byte, 0..24), run, generate::list_line()]
}

fn plain(tag: EntityTagRef<'_>) -> Tag {
    Tag {
        weak: tag.is_weak(),
        opaque: tag.opaque().to_vec(),
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn a_list_has_the_members_that_a_naive_parser_finds(line in bytes()) {
        let expected: Vec<_> = naive::members(&line)
            .iter()
            .map(|member| naive::entity_tag(member))
            .scan(false, |failed, tag| {
                let ended = *failed;
                *failed |= tag.is_none();
                (!ended).then_some(tag)
            })
            .collect();
        // One more than may come: an iterator that does not end shows as one that is too long.
        let read: Vec<_> = EntityTags::new(&line)
            .take(line.len() + 1)
            .map(|tag| tag.ok().map(plain))
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn an_error_points_into_the_line(line in bytes()) {
        if let Some(Err(error)) = EntityTags::new(&line).take(line.len() + 1).last() {
            prop_assert!(error.at() <= line.len());
        }
    }

    #[test]
    fn one_tag_is_read_as_a_naive_parser_reads_it_and_printed_as_it_was(text in bytes()) {
        let read = EntityTag::parse(&text).ok();
        prop_assert_eq!(read.as_ref().map(|tag| plain(tag.borrow())), naive::entity_tag(&text));
        if let Some(tag) = read {
            prop_assert_eq!(tag.as_bytes(), &text);
            let value = tag.to_header_value();
            prop_assert_eq!(value.as_bytes(), &text);
        }
    }

    #[test]
    fn a_tag_of_any_content_round_trips_or_is_refused(
        weak: bool,
        opaque in prop_oneof![vec(any::<u8>(), 0..8), vec(0x80..=0xFF_u8, 0..80)],
    ) {
        let quoted = [b"\"", &opaque[..], b"\""].concat();
        let made = if weak { EntityTag::weak(&opaque) } else { EntityTag::strong(&opaque) };
        prop_assert_eq!(made.is_ok(), naive::entity_tag(&quoted).is_some());
        if let Ok(tag) = made {
            prop_assert_eq!(tag.opaque(), &opaque);
            prop_assert_eq!(EntityTag::parse(tag.as_bytes()), Ok(tag.clone()));
            prop_assert_eq!(tag.borrow().to_owned(), tag);
        }
    }

    #[test]
    fn the_two_comparisons_are_those_of_section_8_8_3_2(
        one in generate::tag(),
        other in generate::tag(),
    ) {
        let (left, right) = (entity_tag(&one), entity_tag(&other));
        prop_assert_eq!(left.strong_eq(&right), naive::strong_comparison(&one, &other));
        prop_assert_eq!(left.weak_eq(&right), naive::weak_comparison(&one, &other));
    }

    #[test]
    fn a_field_of_several_lines_is_the_list_of_their_members(
        lines in vec(bytes(), 1..4),
        limits in (0..60_usize, 0..6_usize),
        (wanted, none_match) in (generate::tag(), any::<bool>()),
    ) {
        let name = if none_match { IF_NONE_MATCH } else { IF_MATCH };
        let mut headers = HeaderMap::new();
        let mut sent = Vec::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append(&name, value);
                sent.push(line);
            }
        }
        let preconditions = Preconditions::from_headers(&headers);
        let field = if none_match {
            preconditions.if_none_match()
        } else {
            preconditions.if_match()
        };
        let Some(field) = field else {
            prop_assert!(sent.is_empty(), "a field that was sent is missing");
            return Ok(());
        };

        let mut asked = 0;
        let found = field.scan(Limits { bytes: limits.0, tags: limits.1 }, |tag| {
            asked += 1;
            plain(tag) == wanted
        });
        let expected = match naive::read_list(&sent, limits.0, limits.1) {
            List::Any => Some(ListMatch::Any),
            List::Malformed => None,
            List::Tags(tags) => Some(ListMatch::Tags(tags.contains(&wanted))),
        };
        prop_assert_eq!(found.ok(), expected);
        prop_assert_eq!(field.is_any(), expected == Some(ListMatch::Any));
        prop_assert!(asked <= limits.1, "asked {} times", asked);
    }
}
