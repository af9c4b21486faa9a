//! A write that is the same each time it is sent, and what may have become of it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, IF_MATCH};
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::change::Content;
use crate::entity_tag::EntityTag;
use crate::problem::random;

/// A write, with a key of its own: sent again it is the same operation, and a server that keeps
/// keys answers it with the first answer. Another attempt is another operation.
pub(super) struct Attempt {
    content: Content,
    /// What it is based on; `None` for what creates.
    pub(super) tag: Option<EntityTag>,
    key: HeaderValue,
}

impl Attempt {
    pub(super) fn new(content: Content, tag: Option<EntityTag>) -> Self {
        let key = format!("\"{:016x}{:016x}\"", random(), random());
        Self {
            content,
            tag,
            key: HeaderValue::try_from(key).expect("digits and quotes are visible"),
        }
    }

    pub(super) fn request(&self, uri: &Uri, mut fields: HeaderMap) -> Request<Full<Bytes>> {
        fields.insert(CONTENT_TYPE, self.content.media_type.clone());
        fields.insert(HeaderName::from_static("idempotency-key"), self.key.clone());
        if let Some(tag) = &self.tag {
            fields.insert(IF_MATCH, tag.to_header_value());
        }
        let mut request = Request::new(Full::new(self.content.json.clone()));
        *request.method_mut() = self.content.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = fields;
        request
    }
}

/// A write that may have happened: it got no answer, or one that does not say.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    /// What it was based on. As long as this is current, it has not happened.
    pub(super) tag: Option<EntityTag>,
    /// A conflict under its key would prove that it has not, where keys are honoured.
    pub(super) provable: bool,
}
