//! Two edits of one JSON document, brought together.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

/// The outcome of [`three_way`]; see there for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Both edits in one document; in places of conflict, what is current.
    pub document: Value,
    /// Where the two edits contradict each other, in the order of the document.
    pub conflicts: Vec<Conflict>,
}

/// A place where both edits changed the same thing in different ways.
///
/// `None` stands for a member that is not there, as opposed to one that is `null`.
///
/// See [`three_way`] for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Where: a JSON pointer ([RFC 6901]); `""` is the whole document.
    ///
    /// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
    pub pointer: String,
    /// What both edits started from.
    pub base: Option<Value>,
    /// What the other edit made of it.
    pub current: Option<Value>,
    /// What this edit makes of it.
    pub mine: Option<Value>,
}

/// Brings the edit `base` → `mine` into `current`.
///
/// Objects are merged member by member. Arrays and all other values are changed as a whole, because
/// no rule for merging lists is right for all of them. Equal changes are no conflict, and numbers
/// are equal by value: `1` and `1.0`.
///
/// ```
/// use serde_json::json;
/// use tower_conditional::merge::three_way;
///
/// let base = json!({"lines": [1, 2], "to": {"city": "Berlin"}});
/// let current = json!({"lines": [1, 2], "to": {"city": "Bonn", "zip": "53111"}});
/// let mine = json!({"lines": [1, 2, 3], "to": {"city": "Hamburg"}});
///
/// let merged = three_way(&base, &current, &mine);
/// assert_eq!(merged.document, json!({"lines": [1, 2, 3], "to": {"city": "Bonn", "zip": "53111"}}));
/// assert_eq!(merged.conflicts.len(), 1);
/// assert_eq!(merged.conflicts[0].pointer, "/to/city");
/// assert_eq!(merged.conflicts[0].mine, Some(json!("Hamburg")));
/// ```
#[must_use]
pub fn three_way(base: &Value, current: &Value, mine: &Value) -> Merged {
    let mut merge = Merge::default();
    let document = merge.values(Some(base), Some(current), Some(mine));
    Merged {
        // Only a member can be merged away.
        document: document.unwrap_or_else(|| current.clone()),
        conflicts: merge.conflicts,
    }
}

#[derive(Default)]
struct Merge {
    /// The pointer of where we are.
    pointer: String,
    conflicts: Vec<Conflict>,
}

impl Merge {
    /// What becomes of one place; `None` is a member that is not there.
    fn values(
        &mut self,
        base: Option<&Value>,
        current: Option<&Value>,
        mine: Option<&Value>,
    ) -> Option<Value> {
        if same(base, mine) || same(current, mine) {
            return current.cloned();
        }
        if same(base, current) {
            return mine.cloned();
        }
        match (base, current, mine) {
            (
                None | Some(Value::Object(_)),
                Some(Value::Object(current)),
                Some(Value::Object(mine)),
            ) => {
                let nothing = Map::new();
                let base = base.and_then(Value::as_object).unwrap_or(&nothing);
                Some(Value::Object(self.members(base, current, mine)))
            }
            _ => {
                self.conflicts.push(Conflict {
                    pointer: self.pointer.clone(),
                    base: base.cloned(),
                    current: current.cloned(),
                    mine: mine.cloned(),
                });
                current.cloned()
            }
        }
    }

    fn members(
        &mut self,
        base: &Map<String, Value>,
        current: &Map<String, Value>,
        mine: &Map<String, Value>,
    ) -> Map<String, Value> {
        let names: BTreeSet<_> = current.keys().chain(mine.keys()).collect();
        let outer = self.pointer.len();
        let mut merged = Map::new();
        for name in names {
            self.pointer.push('/');
            self.pointer
                .push_str(&name.replace('~', "~0").replace('/', "~1"));
            if let Some(value) = self.values(base.get(name), current.get(name), mine.get(name)) {
                merged.insert(name.clone(), value);
            }
            self.pointer.truncate(outer);
        }
        merged
    }
}

fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => equal(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Equal as JSON: numbers by value, objects whatever the order of their members.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same_in_other = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| equal(value, other))
            };
            one.len() == other.len() && one.iter().all(same_in_other)
        }
        _ => one == other,
    }
}

/// Equal by their exact values. An integer that no double can be is equal to none: neighbours of
/// 2⁵³ would be, and an edit lost.
fn same_number(one: &Number, other: &Number) -> bool {
    let is_exact = |number: &Number| {
        let integer = number.as_i128();
        integer.is_none_or(|integer| integer as f64 as i128 == integer)
    };
    one == other || one.as_f64() == other.as_f64() && is_exact(one) && is_exact(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_pair_of_edits() {
        let rows = [
            // (base, current, mine, document, pointers of conflicts)
            (
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 2}),
                vec![],
            ),
            (
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 1}),
                json!({"a": 2}),
                vec![],
            ),
            (
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 2.0}),
                json!({"a": 2}),
                vec![],
            ),
            (
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 3}),
                json!({"a": 2}),
                vec!["/a"],
            ),
            (
                json!({"a": 1}),
                json!({}),
                json!({"a": 1}),
                json!({}),
                vec![],
            ),
            (
                json!({"a": 1}),
                json!({"a": 1}),
                json!({}),
                json!({}),
                vec![],
            ),
            (
                json!({"a": 1}),
                json!({}),
                json!({"a": 2}),
                json!({}),
                vec!["/a"],
            ),
            (
                json!({"a": 1}),
                json!({"a": 2}),
                json!({}),
                json!({"a": 2}),
                vec!["/a"],
            ),
            (
                json!({"a": 1}),
                json!({"a": null}),
                json!({}),
                json!({"a": null}),
                vec!["/a"],
            ),
            (
                json!({}),
                json!({"a": 1}),
                json!({"b": 2}),
                json!({"a": 1, "b": 2}),
                vec![],
            ),
            (
                json!({}),
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 1}),
                vec!["/a"],
            ),
            (
                json!({}),
                json!({"a": {"x": 1}}),
                json!({"a": {"y": 2}}),
                json!({"a": {"x": 1, "y": 2}}),
                vec![],
            ),
            (
                json!({"a": {"x": 1}}),
                json!({"a": {"x": 2}}),
                json!({}),
                json!({"a": {"x": 2}}),
                vec!["/a"],
            ),
            (
                json!([1]),
                json!([1, 2]),
                json!([1, 3]),
                json!([1, 2]),
                vec![""],
            ),
            (
                json!({"a/b~": 1}),
                json!({"a/b~": 2}),
                json!({"a/b~": 3}),
                json!({"a/b~": 2}),
                vec!["/a~1b~0"],
            ),
            (
                json!({"a": 9_007_199_254_740_992_u64}),
                json!({"a": 9_007_199_254_740_992_u64}),
                json!({"a": 9_007_199_254_740_993_u64}),
                json!({"a": 9_007_199_254_740_993_u64}),
                vec![],
            ),
            (
                json!({"a": 9_007_199_254_740_993_u64}),
                json!({"a": 9_007_199_254_740_993_u64}),
                json!({"a": 9_007_199_254_740_992.0}),
                json!({"a": 9_007_199_254_740_992.0}),
                vec![],
            ),
        ];
        for (base, current, mine, document, conflicts) in rows {
            let merged = three_way(&base, &current, &mine);
            let row = format!("{base} {current} {mine}");
            assert_eq!(merged.document, document, "{row}");
            let pointers: Vec<_> = merged.conflicts.iter().map(|it| &*it.pointer).collect();
            assert_eq!(pointers, conflicts, "{row}");
        }
    }
}
