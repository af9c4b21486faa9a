//! Opaque tags tell nothing: not the version, not the order, not the age, not another resource's.

use std::collections::HashSet;

use tower_conditional::ResourceKey;
use tower_conditional::store::Version;
use tower_conditional::tags::{MAIN, Opaque, TagStyle};

const COUNT: i64 = 10_000;
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn style() -> Opaque {
    Opaque::new("the secret of this service").expect("long enough")
}

fn key() -> ResourceKey {
    ResourceKey::new("/accounts/1")
}

/// The tags of ten thousand successive versions, as 43 numbers below 64 each.
fn successive() -> Vec<Vec<usize>> {
    let style = style();
    let tags = (1..=COUNT).map(|number| {
        let tag = style.encode(&key(), &Version::from(number), MAIN);
        let places = tag.opaque().iter().map(|byte| {
            let place = ALPHABET.iter().position(|known| known == byte);
            place.expect("base64url")
        });
        places.collect::<Vec<_>>()
    });
    tags.collect()
}

#[test]
fn all_tags_are_of_one_length_and_no_two_are_alike() {
    let tags = successive();
    assert!(tags.iter().all(|tag| tag.len() == 43));
    let different: HashSet<_> = tags.iter().collect();
    assert_eq!(different.len(), tags.len());
    // Neither does the start of one say that of another: 48 bits of ten thousand tags.
    let starts: HashSet<_> = tags.iter().map(|tag| &tag[..8]).collect();
    assert_eq!(starts.len(), tags.len());
}

#[test]
fn every_character_is_as_likely_as_any_other_at_every_place() {
    let tags = successive();
    // The last of 43 characters has 4 bits only.
    for place in 0..42 {
        let mut counts = [0_u32; 64];
        for tag in &tags {
            counts[tag[place]] += 1;
        }
        let expected = f64::from(COUNT as u32) / 64.0;
        let chi_squared: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        // 63 degrees of freedom: beyond 130 once in a million.
        assert!(chi_squared < 130.0, "place {place}: {chi_squared}");
    }
}

#[test]
fn the_order_of_tags_is_not_that_of_versions() {
    let tags = successive();
    // Of pairs of successive versions, half have the greater tag second: 5000 ± 50.
    let rising = tags.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((4_700..5_300).contains(&rising), "{rising} rise");
    // Rank correlation of tags and versions: 0 ± 0.01.
    let mut order: Vec<_> = (0..tags.len()).collect();
    order.sort_by_key(|at| &tags[*at]);
    let middle = (tags.len() - 1) as f64 / 2.0;
    let (mut with, mut own) = (0.0, 0.0);
    for (rank, version) in order.iter().enumerate() {
        with += (rank as f64 - middle) * (*version as f64 - middle);
        own += (rank as f64 - middle).powi(2);
    }
    assert!((with / own).abs() < 0.06, "correlation {}", with / own);
}

#[test]
fn successive_tags_have_no_more_in_common_than_any_two() {
    let tags = successive();
    let same = tags.windows(2).flat_map(|pair| {
        let both = pair[0].iter().zip(&pair[1]).take(42);
        both.filter(|(one, other)| one == other)
    });
    // One place in 64 by chance: 6562 ± 81.
    let same = same.count();
    assert!((6_000..7_100).contains(&same), "{same} places");
}

#[test]
fn a_wrong_key_verifies_nothing() {
    let wrong = Opaque::new("the secret of another service").expect("long enough");
    let (style, key) = (style(), key());
    for number in 1..=COUNT {
        let tag = style.encode(&key, &Version::from(number), MAIN);
        assert_eq!(wrong.decode(&key, tag.opaque()), None, "version {number}");
    }
}

#[test]
fn a_tag_of_one_resource_names_nothing_of_another() {
    let (style, one, other) = (style(), key(), ResourceKey::new("/accounts/2"));
    for number in 1..=100 {
        let version = Version::from(number);
        let tag = style.encode(&one, &version, MAIN);
        assert_ne!(tag, style.encode(&other, &version, MAIN));
        assert_eq!(style.decode(&other, tag.opaque()), None);
    }
}

#[test]
fn a_tag_with_one_bit_changed_names_nothing() {
    let (style, key) = (style(), key());
    let tag = style.encode(&key, &Version::from(5), MAIN);
    for at in 0..tag.opaque().len() {
        let mut changed = tag.opaque().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(style.decode(&key, &changed), None, "character {at}");
    }
}

#[test]
fn the_length_of_a_version_does_not_show() {
    let (style, key) = (style(), key());
    for number in [0, 9, 10, i64::MAX, i64::MIN] {
        let tag = style.encode(&key, &Version::from(number), MAIN);
        assert_eq!(tag.opaque().len(), 43, "version {number}");
    }
}

#[test]
fn every_process_with_the_secret_writes_the_same_tag() {
    let version = Version::from(5);
    let tag = style().encode(&key(), &version, MAIN);
    assert_eq!(tag, style().encode(&key(), &version, MAIN));
    // Also those of last year: this spelling is out there, in caches.
    assert_eq!(
        tag.to_string(),
        r#""4Mr0DpzxisN8EpIdTOTrYPOjqS_e9GjK79QN0Vjr-lY""#
    );
}

#[test]
fn a_new_secret_is_taken_over_in_steps_without_a_gap() {
    let (old, new) = ("the secret of last year", "the secret of this year");
    let opaque = |secret: &str| Opaque::new(secret).expect("long enough");
    let with = |style: Opaque, also: &str| style.also_reads(also).expect("long enough");
    let steps = [
        opaque(old),
        with(opaque(old), new),
        with(opaque(new), old),
        opaque(new),
    ];
    let version = Version::from(5);
    // While a step is rolled out, processes of two neighbouring steps serve side by side.
    for pair in steps.windows(2) {
        for (writer, reader) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let tag = writer.encode(&key(), &version, MAIN);
            let read = reader.decode(&key(), tag.opaque());
            assert_eq!(read, Some((version.clone(), MAIN.to_owned())));
        }
    }
    let tag = steps[0].encode(&key(), &version, MAIN);
    assert_eq!(steps[3].decode(&key(), tag.opaque()), None, "an old tag");
}
