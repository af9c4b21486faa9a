//! Where the key of an operation comes from: a header field, a member of the body, or what the body
//! says.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;
use serde_json::Value;

use super::content::Content;
use super::fingerprint::Hasher;
use super::key::{IdempotencyKey, KeyError};
use crate::key::original_uri;

type Find = Arc<dyn Fn(&Parts, &Bytes) -> Result<Option<String>, KeyError> + Send + Sync>;

/// Where the key of an operation comes from.
///
/// ```
/// use http::HeaderName;
/// use tower_conditional::idempotency::{Content, KeySource};
///
/// let standard = KeySource::default();
/// let legacy = KeySource::header(HeaderName::from_static("x-request-token"));
/// let client_id = KeySource::json_member("temporaryUUID");
/// let duplicates = KeySource::content(Content::all().without(["id"]).unless(["id"]));
/// # let _ = (standard, legacy, client_id, duplicates);
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeySource(pub(super) Source);

#[derive(Clone)]
pub(super) enum Source {
    Body {
        /// Keeps the keys of different sources apart.
        kind: &'static str,
        /// Does the key say all that the request asks for?
        is_content: bool,
        find: Find,
    },
    Header(HeaderName),
}

impl KeySource {
    /// A header field, written [bare or quoted](super::IdempotencyKey::parse).
    pub const fn header(name: HeaderName) -> Self {
        Self(Source::Header(name))
    }

    /// The field that it is in, if it is in one.
    pub(crate) const fn header_name(&self) -> Option<&HeaderName> {
        match &self.0 {
            Source::Body { .. } => None,
            Source::Header(name) => Some(name),
        }
    }

    /// A member of the JSON object in the body: a string of 1 to 255 bytes, or a number. Counts for
    /// its path: the same value sent elsewhere is another key. `null` is no key.
    pub fn json_member(name: impl Into<String>) -> Self {
        let name = name.into();
        Self(Source::Body {
            kind: "member",
            is_content: false,
            find: Arc::new(move |parts, body| {
                let value = serde_json::from_slice::<Value>(body).ok();
                let member = value.as_ref().and_then(|value| value.get(&name));
                Ok(match member {
                    None | Some(Value::Null) => None,
                    Some(Value::String(text)) if text.is_empty() => return Err(KeyError::Empty),
                    Some(Value::String(text)) if text.len() > IdempotencyKey::MAX => {
                        return Err(KeyError::TooLong);
                    }
                    Some(Value::String(text)) => Some(of_path(parts, &[&name, "s", text])),
                    Some(Value::Number(number)) => {
                        Some(of_path(parts, &[&name, "n", &number.to_string()]))
                    }
                    Some(_) => return Err(KeyError::Malformed),
                })
            }),
        })
    }

    /// What the body says: requests to one path with equal content have one key. The policy's
    /// [`ttl`](super::IdempotencyPolicy::ttl) is the window in which they are duplicates.
    ///
    /// Opt in with care: two equal honest sales exist.
    pub fn content(content: Content) -> Self {
        Self(Source::Body {
            kind: "content",
            is_content: true,
            find: Arc::new(move |parts, body| {
                let digest = content.digest(body);
                Ok(digest.map(|digest| of_path(parts, &[&digest.to_string()])))
            }),
        })
    }

    /// A key of your own making, out of the head and the body of a request; `None` if it has none.
    /// The layer refuses what cannot be read: 400.
    pub fn custom(
        find: impl Fn(&Parts, &Bytes) -> Result<Option<String>, KeyError> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Body {
            kind: "custom",
            is_content: false,
            find: Arc::new(move |parts, body| match find(parts, body)? {
                Some(key) if key.is_empty() => Err(KeyError::Empty),
                Some(key) if key.len() > IdempotencyKey::MAX => Err(KeyError::TooLong),
                key => Ok(key),
            }),
        })
    }

    pub(super) const fn is_content(&self) -> bool {
        matches!(
            self.0,
            Source::Body {
                is_content: true,
                ..
            }
        )
    }
}

impl Default for KeySource {
    /// The header field `Idempotency-Key`.
    fn default() -> Self {
        Self::header(HeaderName::from_static("idempotency-key"))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Body { kind, .. } => f.debug_tuple("KeySource").field(kind).finish(),
            Source::Header(name) => f.debug_tuple("KeySource").field(name).finish(),
        }
    }
}

/// A digest, so that the key is short whatever the path and the value are.
fn of_path(parts: &Parts, texts: &[&str]) -> String {
    let mut hash = Hasher::default();
    hash.part(original_uri(parts).path().as_bytes());
    texts.iter().for_each(|text| hash.part(text.as_bytes()));
    hash.finish().to_string()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn find(source: &KeySource, path: &str, body: &str) -> Result<Option<String>, KeyError> {
        let (parts, ()) = Request::post(path).body(()).unwrap().into_parts();
        match &source.0 {
            Source::Body { find, .. } => find(&parts, &Bytes::copy_from_slice(body.as_bytes())),
            Source::Header(_) => panic!("not in the body"),
        }
    }

    #[test]
    fn a_member_counts_for_its_path_its_name_and_its_type() {
        let id = KeySource::json_member("id");
        let key = find(&id, "/a", r#"{"id":"7","total":1}"#);
        assert!(matches!(&key, Ok(Some(key)) if key.len() == 64), "{key:?}");
        assert_eq!(key, find(&id, "/a", r#"{"total":2,"id":"7"}"#));
        assert_ne!(key, find(&id, "/b", r#"{"id":"7"}"#));
        assert_ne!(key, find(&id, "/a", r#"{"id":7}"#));
        let other = KeySource::json_member("uuid");
        assert_ne!(key, find(&other, "/a", r#"{"uuid":"7"}"#));
    }

    #[test]
    fn what_is_no_key_is_none_or_refused() {
        let id = KeySource::json_member("id");
        for (body, expected) in [
            ("{}", Ok(None)),
            (r#"{"id":null}"#, Ok(None)),
            ("not json", Ok(None)),
            (r#"["id"]"#, Ok(None)),
            (r#"{"id":""}"#, Err(KeyError::Empty)),
            (r#"{"id":{}}"#, Err(KeyError::Malformed)),
            (r#"{"id":true}"#, Err(KeyError::Malformed)),
        ] {
            assert_eq!(find(&id, "/", body), expected, "{body}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(IdempotencyKey::MAX + 1));
        assert_eq!(find(&id, "/", &long), Err(KeyError::TooLong));
    }
}
