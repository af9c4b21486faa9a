//! A JSON resource as it was read: where, which tag, which value.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::Value;

use super::answer::Answer;
use super::kept::tag_of;
use crate::entity_tag::EntityTag;

/// A JSON resource and the tag that it was read with.
///
/// See the [module docs](crate::client) for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub(super) uri: Uri,
    pub(super) tag: EntityTag,
    pub(super) value: Value,
}

impl Document {
    /// Where it was read.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The tag of the answer that it came in.
    #[must_use]
    pub const fn tag(&self) -> &EntityTag {
        &self.tag
    }

    /// What it says.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// What it says.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The current resource that a refusal shows, if it can be believed: a problem document with
    /// the member `currentResource`, and a tag that is not the very one that was refused. There are
    /// servers that send that one back, and a client that trusts it never gets out.
    pub(super) fn shown(uri: &Uri, refused: &EntityTag, answer: &Answer) -> Option<Self> {
        let headers = &answer.parts.headers;
        let tag = tag_of(headers).filter(|tag| tag != refused)?;
        let is_problem = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let essence = value.as_bytes().split(|byte| *byte == b';').next();
            essence.is_some_and(|it| {
                it.trim_ascii()
                    .eq_ignore_ascii_case(b"application/problem+json")
            })
        });
        let mut problem = answer.json().filter(|_| is_problem)?;
        let value = problem.get_mut("currentResource")?.take();
        (!value.is_null()).then(|| Self {
            uri: uri.clone(),
            tag,
            value,
        })
    }
}

/// Asks for content as it is: who compresses on the way marks the tag, and a marked tag is one that
/// a strict server never accepts.
pub(super) fn ask_for_plain_content(fields: &mut HeaderMap) {
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// The coding of content that came compressed all the same.
pub(super) fn coding(headers: &HeaderMap) -> Option<&HeaderValue> {
    let coding = headers.get(CONTENT_ENCODING)?;
    (!coding.as_bytes().eq_ignore_ascii_case(b"identity")).then_some(coding)
}
