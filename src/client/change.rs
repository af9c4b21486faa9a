//! What a client wants of a resource, as a request.

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde_json::{Map, Value};

/// What [`update`](super::Client::update) is to make of the current resource.
///
/// See the [module docs](crate::client) for an example.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Nothing: it is as it should be, or not for us to change.
    Leave,
    /// A JSON merge patch ([RFC 7396]), sent by `PATCH`: members that it names are set, `null`
    /// removes one. Says nothing of what it does not name, so that nothing else can get lost on the
    /// way, such as numbers that no double can hold.
    ///
    /// [RFC 7396]: https://www.rfc-editor.org/rfc/rfc7396
    Patch(Value),
    /// The whole resource, sent by `PUT`.
    Replace(Value),
}

/// A write: its method, media type and content.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) method: Method,
    pub(super) media_type: HeaderValue,
    pub(super) json: Bytes,
}

impl Content {
    pub(super) fn post(value: &Value) -> Self {
        Self::of(Method::POST, "application/json", value)
    }

    fn of(method: Method, media_type: &'static str, value: &Value) -> Self {
        Self {
            method,
            media_type: HeaderValue::from_static(media_type),
            json: value.to_string().into(),
        }
    }
}

impl Change {
    /// The request that makes this change to `current`; `None` if there is nothing to change.
    pub(super) fn over(&self, current: &Value) -> Option<Content> {
        match self {
            Self::Leave => None,
            Self::Patch(patch) => {
                let mut patched = current.clone();
                apply(&mut patched, patch);
                let media_type = "application/merge-patch+json";
                (patched != *current).then(|| Content::of(Method::PATCH, media_type, patch))
            }
            Self::Replace(value) => {
                (value != current).then(|| Content::of(Method::PUT, "application/json", value))
            }
        }
    }
}

/// Applies a merge patch.
fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            apply(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7396_appendix_a() {
        for (target, patch, patched) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            let mut target = target;
            apply(&mut target, &patch);
            assert_eq!(target, patched, "{patch}");
        }
    }

    #[test]
    fn what_changes_nothing_is_no_request() {
        let current = json!({"a": 1, "b": {"c": 2}});
        for (change, method) in [
            (Change::Leave, None),
            (Change::Patch(json!({})), None),
            (Change::Patch(json!({"a": 1})), None),
            (Change::Patch(json!({"d": null})), None),
            (Change::Patch(json!({"b": {"c": 2}})), None),
            (Change::Patch(json!({"b": {"c": 3}})), Some(Method::PATCH)),
            (Change::Replace(current.clone()), None),
            (Change::Replace(json!({"a": 1})), Some(Method::PUT)),
        ] {
            let made = change.over(&current).map(|content| content.method);
            assert_eq!(made, method, "{change:?}");
        }
    }
}
