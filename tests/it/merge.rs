//! Laws that any merge of documents has to keep, tried on random documents.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::properties::json_merge as laws;

/// Few names and values, so that edits meet.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3_u8).prop_map(Value::from),
        Just(json!([1])),
        Just(json!("x")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![Just("a"), Just("b"), Just("c/~")];
        proptest::collection::btree_map(name, inner, 0..4).prop_map(|members| {
            let members = members.into_iter();
            let members = members.map(|(name, value)| (name.to_owned(), value));
            Value::Object(members.collect::<Map<_, _>>())
        })
    })
}

proptest! {
    #[test]
    fn an_edit_that_changes_nothing_leaves_what_is_current(base in documents(), current in documents()) {
        laws::an_edit_that_changes_nothing_leaves_what_is_current(&base, &current);
    }

    #[test]
    fn an_edit_that_nobody_crossed_is_taken_as_it_is(base in documents(), mine in documents()) {
        laws::an_edit_that_nobody_crossed_is_taken_as_it_is(&base, &mine);
    }

    #[test]
    fn two_equal_edits_are_one(base in documents(), both in documents()) {
        laws::two_equal_edits_are_one(&base, &both);
    }

    #[test]
    fn which_edit_came_first_matters_in_places_of_conflict_only(
        base in documents(),
        one in documents(),
        other in documents(),
    ) {
        laws::which_edit_came_first_matters_in_places_of_conflict_only(&base, &one, &other);
    }

    #[test]
    fn a_conflict_shows_what_stands_at_its_pointer(
        base in documents(),
        current in documents(),
        mine in documents(),
    ) {
        laws::a_conflict_shows_what_stands_at_its_pointer(&base, &current, &mine);
    }

    #[test]
    fn a_merge_that_is_merged_again_stays_as_it_is(
        base in documents(),
        current in documents(),
        mine in documents(),
    ) {
        laws::a_merge_that_is_merged_again_stays_as_it_is(&base, &current, &mine);
    }
}
