//! Keys against what a handler sees of a path: its segments, percent-decoded.

use http::{Request, Uri};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tower_conditional::ResourceKey;

use super::config;
use crate::properties::paths::{key, segments};

/// Each row is one thing, spelled in different ways. A `%` may come to stand before two digits,
/// and then is something else: the property sees that by itself.
const SPELLINGS: [&[&str]; 12] = [
    &["/", "/", "/"],
    &["%2F", "%2f"],
    &["a", "%61"],
    &["A", "%41"],
    &["%", "%25"],
    &["4", "%34"],
    &["1", "%31"],
    &["é", "%C3%A9", "%c3%a9"],
    &["%C3", "%c3"],
    &["!", "%21"],
    &["%00"],
    &["~", "%7E", "%7e"],
];

/// Two paths that mean the same, most of the time.
fn pair() -> impl Strategy<Value = (String, String)> {
    let row = prop_oneof![
        9 => select(&SPELLINGS[..]).prop_map(|row| (row, row)),
        1 => (select(&SPELLINGS[..]), select(&SPELLINGS[..])),
    ];
    let part = row.prop_flat_map(|(one, other)| (select(one), select(other)));
    vec(part, 0..6).prop_map(|parts| {
        let (one, other): (String, String) = parts.into_iter().unzip();
        (format!("/{one}"), format!("/{other}"))
    })
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn two_paths_have_one_key_exactly_if_a_handler_sees_the_same_segments((one, other) in pair()) {
        if let (Some(left), Some(right)) = (key(&one), key(&other)) {
            let same = segments(&one) == segments(&other);
            prop_assert_eq!(left == right, same, "{} and {}", left, right);
        }
    }

    #[test]
    fn a_key_is_its_own_key((path, _) in pair()) {
        if let Some(first) = key(&path) {
            prop_assert_eq!(key(first.as_str()), Some(first));
        }
    }

    #[test]
    fn any_target_of_a_request_has_a_key(target in vec(any::<u8>(), 0..24)) {
        if let Ok(uri) = Uri::try_from(target) {
            let query_cut = uri.path().to_owned();
            let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            let key = ResourceKey::from_path(&parts);
            prop_assert_eq!(segments(key.as_str()), segments(&query_cut));
        }
    }
}
