//! What comes from outside may be anything: the properties that a fuzzer tries for hours, on its
//! seeds and on what chance makes of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use crate::properties::{ALL, Property, named};

#[test]
fn content_has_one_digest_however_it_is_spelled() {
    check("content", 300);
}

#[test]
fn a_date_is_read_as_it_is_written() {
    check("dates", 300);
}

#[test]
fn a_decision_is_the_one_of_a_literal_reading() {
    check("decision", 2_000);
}

#[test]
fn an_entity_tag_is_read_as_it_is_written() {
    check("entity_tags", 1_000);
}

#[test]
fn a_list_of_entity_tags_is_what_a_naive_parser_reads() {
    check("header_lists", 2_000);
}

#[test]
fn an_idempotency_key_is_what_a_literal_reading_finds() {
    check("idempotency_keys", 1_000);
}

#[test]
fn documents_are_merged_by_the_laws() {
    check("json_merge", 300);
}

#[test]
fn an_answer_that_refuses_is_a_document_whatever_was_asked() {
    check("problems", 500);
}

#[test]
fn a_resource_has_one_key_however_its_path_is_spelled() {
    check("resource_keys", 1_000);
}

#[test]
fn an_answer_comes_back_from_its_row_or_is_an_error() {
    check("stored_rows", 100);
}

#[test]
fn every_property_is_fuzzed() {
    let names = |folder: &str| -> BTreeSet<_> {
        let files = files(&fuzz().join(folder)).into_iter();
        files
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let expected: BTreeSet<_> = ALL.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), expected);
    assert_eq!(names("seeds"), expected);
}

/// The seeds are of every kind that the property tells apart, and it holds for them and for others
/// like them.
fn check(name: &str, cases: u32) {
    let Property { kinds, holds, .. } = named(name);
    let files = files(&fuzz().join("seeds").join(name)).into_iter();
    let seeds: Vec<_> = files.map(|file| std::fs::read(file).unwrap()).collect();
    let found: BTreeSet<_> = seeds.iter().map(|seed| holds(seed)).collect();
    assert_eq!(found, kinds.iter().copied().collect());

    // Nothing is written to disk: a failure prints its smallest case, which then becomes a seed.
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let changed = (
        select(seeds),
        vec((any::<Index>(), any::<u8>()), 0..4),
        any::<Index>(),
    );
    let changed = changed.prop_map(|(mut seed, changes, end)| {
        for (at, byte) in changes {
            if !seed.is_empty() {
                let at = at.index(seed.len());
                seed[at] = byte;
            }
        }
        // The whole seed half of the time.
        seed.truncate(end.index(2 * seed.len() + 1));
        seed
    });
    let input = prop_oneof![4 => changed, 1 => vec(any::<u8>(), 0..200)];
    TestRunner::new(config)
        .run(&input, |input| {
            let kind = holds(&input);
            prop_assert!(kinds.contains(&kind), "{} is not in the list", kind);
            Ok(())
        })
        .unwrap();
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
