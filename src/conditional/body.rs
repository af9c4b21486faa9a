//! The bodies that pass through the layer: the inner one as it is, or one of our own.
//!
//! Neither is boxed. What is not ours keeps its frames, trailers, size hint and back-pressure.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Collected;
use pin_project_lite::pin_project;

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
        Read { #[pin] body: Collected<Bytes> },
        Empty,
    }
}

impl<B> RequestBody<B> {
    /// The body as it comes from the client.
    pub const fn new(body: B) -> Self {
        Self {
            kind: RequestKind::Inner { body },
        }
    }

    pub(crate) const fn read(body: Collected<Bytes>) -> Self {
        Self {
            kind: RequestKind::Read { body },
        }
    }

    pub(crate) const fn empty() -> Self {
        Self {
            kind: RequestKind::Empty,
        }
    }
}

impl<B> Default for RequestBody<B> {
    fn default() -> Self {
        Self::empty()
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
            RequestKindProjection::Read { body } => {
                body.poll_frame(context).map_err(|never| match never {})
            }
            RequestKindProjection::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RequestKind::Inner { body } => body.is_end_stream(),
            RequestKind::Read { body } => body.is_end_stream(),
            RequestKind::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestKind::Inner { body } => body.size_hint(),
            RequestKind::Read { body } => body.size_hint(),
            RequestKind::Empty => SizeHint::with_exact(0),
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
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: ResponseKind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ResponseKindProjection]
    enum ResponseKind<B> {
        Inner { #[pin] body: B },
        Full { bytes: Bytes },
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

    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self {
            kind: ResponseKind::Full { bytes },
        }
    }

    pub(crate) const fn no_content() -> Self {
        Self {
            kind: ResponseKind::NoContent,
        }
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
            ResponseKindProjection::Full { bytes } => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(bytes.has_remaining().then(|| Ok(Frame::data(bytes))))
            }
            ResponseKindProjection::NoContent => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Inner { body } => body.is_end_stream(),
            ResponseKind::Full { bytes } => bytes.is_empty(),
            ResponseKind::NoContent => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Inner { body } => body.size_hint(),
            ResponseKind::Full { bytes } => SizeHint::with_exact(bytes.len() as u64),
            ResponseKind::NoContent => SizeHint::default(),
        }
    }
}
