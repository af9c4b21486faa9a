//! How one JSON object changes another.

use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Changes `target` as a JSON merge patch says (RFC 7396): `null` removes a member, an object is
/// merged into the one that is there, anything else replaces.
pub(crate) fn merge(target: &mut Object, patch: Object) {
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(change) => {
                let member = target.entry(name).or_insert(Value::Null);
                // What is no object counts as an empty one.
                let mut object = match member.take() {
                    Value::Object(object) => object,
                    _ => Object::new(),
                };
                merge(&mut object, change);
                *member = Value::Object(object);
            }
            value => {
                target.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in appendix A of RFC 7396 whose target and patch are objects.
    #[test]
    fn merge_patches_change_what_the_rfc_says() {
        for (target, patch, merged) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let object = |json: &str| serde_json::from_str::<Object>(json).expect("an object");
            let mut target = object(target);
            merge(&mut target, object(patch));
            assert_eq!(target, object(merged), "{patch}");
        }
    }
}
