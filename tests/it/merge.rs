//! Laws that any merge of documents has to keep, tried on random documents.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower_conditional::merge::{Merged, three_way};

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

fn clean(document: &Value) -> Merged {
    Merged {
        document: document.clone(),
        conflicts: Vec::new(),
    }
}

fn pointers(merged: &Merged) -> BTreeSet<String> {
    let conflicts = merged.conflicts.iter();
    conflicts.map(|conflict| conflict.pointer.clone()).collect()
}

proptest! {
    #[test]
    fn an_edit_that_changes_nothing_leaves_what_is_current(base in documents(), current in documents()) {
        prop_assert_eq!(three_way(&base, &current, &base), clean(&current));
    }

    #[test]
    fn an_edit_that_nobody_crossed_is_taken_as_it_is(base in documents(), mine in documents()) {
        prop_assert_eq!(three_way(&base, &base, &mine), clean(&mine));
    }

    #[test]
    fn two_equal_edits_are_one(base in documents(), both in documents()) {
        prop_assert_eq!(three_way(&base, &both, &both), clean(&both));
    }

    #[test]
    fn which_edit_came_first_matters_in_places_of_conflict_only(
        base in documents(),
        one in documents(),
        other in documents(),
    ) {
        let merged = three_way(&base, &one, &other);
        let swapped = three_way(&base, &other, &one);
        prop_assert_eq!(pointers(&merged), pointers(&swapped));
        if merged.conflicts.is_empty() {
            prop_assert_eq!(merged.document, swapped.document);
        }
    }

    #[test]
    fn a_conflict_shows_what_stands_at_its_pointer(
        base in documents(),
        current in documents(),
        mine in documents(),
    ) {
        let merged = three_way(&base, &current, &mine);
        for conflict in &merged.conflicts {
            prop_assert_eq!(conflict.base.as_ref(), base.pointer(&conflict.pointer));
            prop_assert_eq!(conflict.current.as_ref(), current.pointer(&conflict.pointer));
            prop_assert_eq!(conflict.mine.as_ref(), mine.pointer(&conflict.pointer));
            let shown = merged.document.pointer(&conflict.pointer);
            prop_assert_eq!(conflict.current.as_ref(), shown);
        }
    }

    #[test]
    fn a_merge_that_is_merged_again_stays_as_it_is(
        base in documents(),
        current in documents(),
        mine in documents(),
    ) {
        let merged = three_way(&base, &current, &mine);
        if merged.conflicts.is_empty() {
            let again = three_way(&mine, &merged.document, &mine);
            prop_assert_eq!(again, merged);
        }
    }
}
