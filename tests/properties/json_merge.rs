//! The laws that any merge of JSON documents has to keep.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tower_conditional::merge::{
    Candidate, Merged, highest_confidence, most_recent, resolve, three_way,
};

use super::Property;
use super::json::same;

#[path = "../../examples/common/merge_patch.rs"]
mod merge_patch;

pub(super) const PROPERTY: Property = Property {
    name: "json_merge",
    kinds: &["no objects", "conflict", "merged"],
    holds,
};

/// Three documents, a line each: what both edits started from, and what they made of it.
fn holds(input: &[u8]) -> &'static str {
    let mut lines = input
        .split(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap_or(Value::Null));
    let mut document = || lines.next().unwrap_or(Value::Null);
    let (base, current, mine) = (document(), document(), document());
    an_edit_that_changes_nothing_leaves_what_is_current(&base, &current);
    an_edit_that_nobody_crossed_is_taken_as_it_is(&base, &mine);
    two_equal_edits_are_one(&base, &current);
    which_edit_came_first_matters_in_places_of_conflict_only(&base, &current, &mine);
    a_conflict_shows_what_stands_at_its_pointer(&base, &current, &mine);
    a_merge_that_is_merged_again_stays_as_it_is(&base, &current, &mine);
    a_patch_does_what_the_rfc_says(&current, &mine);
    the_first_of_the_greatest_counts(input);
    match (&base, &current, &mine) {
        (Value::Object(_), Value::Object(_), Value::Object(_)) => {}
        _ => return "no objects",
    }
    let merged = three_way(&base, &current, &mine);
    if merged.conflicts.is_empty() {
        "merged"
    } else {
        "conflict"
    }
}

pub(crate) fn an_edit_that_changes_nothing_leaves_what_is_current(base: &Value, current: &Value) {
    is_clean(&three_way(base, current, base), current);
}

pub(crate) fn an_edit_that_nobody_crossed_is_taken_as_it_is(base: &Value, mine: &Value) {
    is_clean(&three_way(base, base, mine), mine);
}

pub(crate) fn two_equal_edits_are_one(base: &Value, both: &Value) {
    is_clean(&three_way(base, both, both), both);
}

pub(crate) fn which_edit_came_first_matters_in_places_of_conflict_only(
    base: &Value,
    one: &Value,
    other: &Value,
) {
    let merged = three_way(base, one, other);
    let swapped = three_way(base, other, one);
    assert_eq!(pointers(&merged), pointers(&swapped));
    if merged.conflicts.is_empty() {
        assert!(
            same(&merged.document, &swapped.document),
            "{merged:?} {swapped:?}"
        );
    }
}

pub(crate) fn a_conflict_shows_what_stands_at_its_pointer(
    base: &Value,
    current: &Value,
    mine: &Value,
) {
    let merged = three_way(base, current, mine);
    for conflict in &merged.conflicts {
        assert_eq!(conflict.base.as_ref(), base.pointer(&conflict.pointer));
        assert_eq!(
            conflict.current.as_ref(),
            current.pointer(&conflict.pointer)
        );
        assert_eq!(conflict.mine.as_ref(), mine.pointer(&conflict.pointer));
        let shown = merged.document.pointer(&conflict.pointer);
        assert_eq!(conflict.current.as_ref(), shown);
    }
}

pub(crate) fn a_merge_that_is_merged_again_stays_as_it_is(
    base: &Value,
    current: &Value,
    mine: &Value,
) {
    let merged = three_way(base, current, mine);
    if merged.conflicts.is_empty() {
        is_clean(&three_way(mine, &merged.document, mine), &merged.document);
    }
}

#[track_caller]
fn is_clean(merged: &Merged, document: &Value) {
    assert_eq!(merged.conflicts, []);
    assert!(
        same(&merged.document, document),
        "{} {document}",
        merged.document
    );
}

fn pointers(merged: &Merged) -> BTreeSet<String> {
    let conflicts = merged.conflicts.iter();
    conflicts.map(|conflict| conflict.pointer.clone()).collect()
}

/// The merge of the examples against the pseudo-code of RFC 7396, section 2.
fn a_patch_does_what_the_rfc_says(target: &Value, patch: &Value) {
    let (Value::Object(target), Value::Object(members)) = (target, patch) else {
        return;
    };
    let mut merged = target.clone();
    merge_patch::merge(&mut merged, members.clone());
    let expected = merge_patch_of_the_rfc(Some(Value::Object(target.clone())), patch);
    assert_eq!(Value::Object(merged.clone()), expected);
    merge_patch::merge(&mut merged, members.clone());
    assert_eq!(Value::Object(merged), expected, "a patch that came twice");
}

fn merge_patch_of_the_rfc(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let member = merge_patch_of_the_rfc(target.get(name).cloned(), value);
            target.insert(name.clone(), member);
        }
    }
    Value::Object(target)
}

/// Each byte is a candidate: how sure, and when.
fn the_first_of_the_greatest_counts(input: &[u8]) {
    const CONFIDENCES: [f64; 4] = [0.0, -0.0, 0.5, 1.0];
    let candidates: Vec<_> = input
        .iter()
        .enumerate()
        .map(|(value, byte)| Candidate {
            value,
            source: String::new(),
            confidence: CONFIDENCES[usize::from(byte & 3)],
            observed_at: byte >> 2 & 7,
        })
        .collect();
    let sure = |it: &Candidate<usize, u8>| (it.confidence * 2.0) as u8;
    counts(&candidates, most_recent, |it| (it.observed_at, sure(it)));
    counts(&candidates, highest_confidence, |it| {
        (sure(it), it.observed_at)
    });
}

fn counts(
    candidates: &[Candidate<usize, u8>],
    policy: fn(&Candidate<usize, u8>, &Candidate<usize, u8>) -> Ordering,
    rank: impl Fn(&Candidate<usize, u8>) -> (u8, u8),
) {
    let greatest = candidates.iter().map(&rank).max();
    let first = candidates.iter().find(|it| Some(rank(it)) == greatest);
    let counts = resolve(candidates, policy);
    assert_eq!(counts.map(|it| it.value), first.map(|it| it.value));
}
