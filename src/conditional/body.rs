//! The bodies that pass through the layer: the inner one as it is, or one of our own.
//!
//! Neither is boxed. What is not ours keeps its frames, trailers, size hint and back-pressure.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::settling::Settling;
use super::upload::Whole;
use crate::problem::Reason;

pin_project! {
    /// What the inner service gets as the body of its request.
    ///
    /// The client's own body, or, for a write in claim mode, the same content read beforehand.
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_conditional::RequestBody;
    ///
    /// // As the argument of a handler of a plain hyper service:
    /// fn is_empty<B: Body<Data = bytes::Bytes>>(request: &http::Request<RequestBody<B>>) -> bool {
    ///     request.body().is_end_stream()
    /// }
    /// # assert!(is_empty(&http::Request::new(RequestBody::new(String::new()))));
    /// ```
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: RequestKind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = RequestKindProjection]
    enum RequestKind<B> {
        Inner { #[pin] body: B },
        Read { body: Whole },
    }
}

impl<B> RequestBody<B> {
    /// The body as it comes from the client.
    pub const fn new(body: B) -> Self {
        Self {
            kind: RequestKind::Inner { body },
        }
    }

    pub(crate) const fn read(body: Whole) -> Self {
        Self {
            kind: RequestKind::Read { body },
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            RequestKindProjection::Inner { body } => body.poll_frame(context),
            RequestKindProjection::Read { body } => Poll::Ready(body.next_frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RequestKind::Inner { body } => body.is_end_stream(),
            RequestKind::Read { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestKind::Inner { body } => body.size_hint(),
            RequestKind::Read { body } => body.size_hint(),
        }
    }
}

pin_project! {
    /// The body of an answer: the handler's own, or one of the layer's.
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_conditional::ResponseBody;
    ///
    /// let body = ResponseBody::<String>::default();
    /// assert!(body.is_end_stream());
    /// ```
    pub struct ResponseBody<B> {
        #[pin]
        kind: ResponseKind<B>,
    }
}

pin_project! {
    #[project = ResponseKindProjection]
    enum ResponseKind<B> {
        Inner { #[pin] body: B },
        // Settles the claims of its write when it ends.
        Settling { #[pin] body: B, end: Box<Settling> },
        Full { bytes: Bytes, reason: Option<Reason> },
        // Whole, trailers included.
        Read { body: Whole },
        // Like an empty one, but its length is nobody's business: hyper would say
        // `content-length: 0` of a 304 to HEAD, which the 200 does not have (RFC 9110, 8.6).
        NoContent,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn inner(body: B) -> Self {
        Self {
            kind: ResponseKind::Inner { body },
        }
    }

    pub(crate) const fn read(body: Whole) -> Self {
        Self {
            kind: ResponseKind::Read { body },
        }
    }

    pub(super) fn settling(body: B, end: Settling) -> Self {
        Self {
            kind: ResponseKind::Settling {
                body,
                end: Box::new(end),
            },
        }
    }

    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self {
            kind: ResponseKind::Full {
                bytes,
                reason: None,
            },
        }
    }

    /// That of an answer in the handler's place.
    pub(crate) const fn instead(bytes: Bytes, reason: Option<Reason>) -> Self {
        Self {
            kind: ResponseKind::Full { bytes, reason },
        }
    }

    pub(crate) const fn no_content() -> Self {
        Self {
            kind: ResponseKind::NoContent,
        }
    }

    /// Why the layer answered in the handler's place; `None` if it did not.
    ///
    /// Of an answer with a document this also rides in the extensions of the response, where it
    /// is still found after the body was boxed. A 304, and a refusal
    /// [without a document](crate::Policy::without_documents), would have to allocate for that.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match &self.kind {
            ResponseKind::Full { reason, .. } => *reason,
            ResponseKind::NoContent => Some(Reason::NotModified),
            ResponseKind::Inner { .. }
            | ResponseKind::Read { .. }
            | ResponseKind::Settling { .. } => None,
        }
    }
}

/// A body of an application's own making.
impl<B> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::full(Bytes::new())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            ResponseKindProjection::Inner { body } => body.poll_frame(context),
            ResponseKindProjection::Settling { body, end } => end.poll_frame(body, context),
            ResponseKindProjection::Full { bytes, .. } => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(bytes.has_remaining().then(|| Ok(Frame::data(bytes))))
            }
            ResponseKindProjection::Read { body } => Poll::Ready(body.next_frame().map(Ok)),
            ResponseKindProjection::NoContent => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Inner { body } => body.is_end_stream(),
            ResponseKind::Settling { end, .. } => end.is_end(),
            ResponseKind::Full { bytes, .. } => bytes.is_empty(),
            ResponseKind::Read { body } => body.is_end_stream(),
            ResponseKind::NoContent => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Inner { body } => body.size_hint(),
            ResponseKind::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            ResponseKind::Read { body } => body.size_hint(),
            // Whoever knows a length stops reading there, before the end.
            ResponseKind::NoContent | ResponseKind::Settling { .. } => SizeHint::default(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
