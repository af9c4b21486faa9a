//! The body of an answer: the server's, or that of a kept copy.
//!
//! A copy is made as the content passes by: nothing is held back or waited for. What does not
//! arrive whole, or comes with trailers, leaves no copy.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::copies::Copies;
use super::kept::KeptCopy;
use super::key::SeenBy;

pin_project! {
    /// What a [`Client`](super::Client) gives as the body of its answers: the inner service's,
    /// frame by frame, or the content of a kept copy.
    ///
    /// See the [module docs](crate::client) for an example.
    pub struct ClientBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<R> {
        Copied { content: Option<Bytes> },
        Passing { #[pin] body: R, recorder: Option<Recorder> },
    }
}

impl<R> ClientBody<R> {
    pub(super) const fn copied(content: Bytes) -> Self {
        Self {
            kind: Kind::Copied {
                content: Some(content),
            },
        }
    }

    pub(super) const fn passing(body: R, recorder: Option<Recorder>) -> Self {
        Self {
            kind: Kind::Passing { body, recorder },
        }
    }
}

impl<R> Body for ClientBody<R>
where
    R: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let (mut body, recorder) = match self.project().kind.project() {
            KindProjection::Copied { content } => {
                let content = content.take().filter(|content| !content.is_empty());
                return Poll::Ready(content.map(|content| Ok(Frame::data(content))));
            }
            KindProjection::Passing { body, recorder } => (body, recorder),
        };
        let polled = std::task::ready!(body.as_mut().poll_frame(context));
        if let Some(mut record) = recorder.take() {
            // Somebody who knows that the body is over need not ask for its end.
            let is_over = polled.is_none() || body.is_end_stream();
            let goes_on = match &polled {
                None => true,
                Some(Ok(frame)) => frame.data_ref().is_some_and(|data| record.push(data)),
                Some(Err(_)) => false,
            };
            match (goes_on, is_over) {
                (true, true) => record.finish(),
                (true, false) => *recorder = Some(record),
                (false, _) => {}
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Copied { content } => content.as_ref().is_none_or(Bytes::is_empty),
            Kind::Passing { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Copied { content } => {
                SizeHint::with_exact(content.as_ref().map_or(0, Bytes::len) as u64)
            }
            Kind::Passing { body, .. } => body.size_hint(),
        }
    }
}

impl<R> fmt::Debug for ClientBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").finish_non_exhaustive()
    }
}

/// Keeps what passes by.
pub(super) struct Recorder {
    pub(super) copies: Arc<Copies>,
    pub(super) key: SeenBy,
    pub(super) copy: KeptCopy,
    pub(super) content: BytesMut,
}

impl Recorder {
    /// Is there still room?
    fn push(&mut self, data: &Bytes) -> bool {
        let fits = self.content.len() + data.len() <= self.copies.longest();
        if fits {
            self.content.extend_from_slice(data);
        }
        fits
    }

    pub(super) fn finish(self) {
        if self.copy.is_whole(self.content.len()) {
            let copy = self.copy.with_content(self.content.freeze());
            self.copies.put(self.key, Arc::new(copy));
        }
    }
}
