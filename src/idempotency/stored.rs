//! The first answer, as far as it is kept.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The first answer to a request, as far as it is kept.
///
/// A handler that completes its [`Ticket`](super::Ticket) in its own transaction makes one; so do
/// stores, out of what they have kept.
///
/// ```
/// use http::{HeaderValue, StatusCode, header};
/// use tower_conditional::idempotency::StoredResponse;
///
/// let stored = StoredResponse::new(StatusCode::CREATED)
///     .with_header(header::ETAG, HeaderValue::from_static("\"1\""))
///     .with_content(r#"{"version":1}"#);
/// assert_eq!(stored.status(), StatusCode::CREATED);
/// assert_eq!(stored.content().unwrap(), r#"{"version":1}"#);
/// assert_eq!(stored.without_content().content(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct StoredResponse {
    status: StatusCode,
    headers: HeaderMap,
    content: Option<Bytes>,
}

impl StoredResponse {
    /// An answer with this status, no header fields and no content.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Some(Bytes::new()),
        }
    }

    /// The same, with one more field.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The same, with this content.
    pub fn with_content(mut self, content: impl Into<Bytes>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// The same, its content not kept: it cannot be replayed, only told of.
    pub fn without_content(mut self) -> Self {
        self.content = None;
        self
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its fields.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its content; `None` if it was not kept.
    #[must_use]
    pub const fn content(&self) -> Option<&Bytes> {
        self.content.as_ref()
    }

    pub(super) fn location(&self) -> Option<&HeaderValue> {
        self.headers.get(LOCATION)
    }

    /// About how much memory it takes, in bytes, its content apart.
    pub(super) fn header_size(&self) -> usize {
        let fields = self.headers.iter();
        fields
            .map(|(name, value)| name.as_str().len() + value.len() + 96)
            .sum()
    }
}
