//! The body of an answer: as it came, read before, or hashed on its way.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sha2::{Digest as _, Sha256};

use super::Sha256Digest;

pin_project! {
    /// The body of an answer of [`Digested`](super::Digested).
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_conditional::digest::DigestBody;
    ///
    /// // As the body of the answers of a service that wraps another:
    /// fn is_empty(body: &DigestBody<String>) -> bool {
    ///     body.is_end_stream()
    /// }
    /// # let _ = is_empty;
    /// ```
    pub struct DigestBody<R>
    where
        R: Body,
    {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<R>
    where
        R: Body,
    {
        Passed { #[pin] body: R },
        Hashed {
            #[pin]
            body: R,
            hash: Sha256,
            // The trailers that the digest is sent as; none once it was.
            names: Vec<HeaderName>,
        },
        Read {
            frames: VecDeque<Frame<Bytes>>,
            // What comes behind them.
            rest: Option<Result<Pin<Box<R>>, R::Error>>,
        },
    }
}

impl<R> DigestBody<R>
where
    R: Body<Data = Bytes>,
{
    pub(super) const fn passed(body: R) -> Self {
        Self {
            kind: Kind::Passed { body },
        }
    }

    pub(super) fn hashed(body: R, names: Vec<HeaderName>) -> Self {
        Self {
            kind: Kind::Hashed {
                body,
                hash: Sha256::new(),
                names,
            },
        }
    }

    pub(super) const fn read(
        frames: VecDeque<Frame<Bytes>>,
        rest: Option<Result<Pin<Box<R>>, R::Error>>,
    ) -> Self {
        Self {
            kind: Kind::Read { frames, rest },
        }
    }
}

impl<R> Body for DigestBody<R>
where
    R: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passed { body } => body.poll_frame(context),
            KindProjection::Hashed { body, hash, names } => {
                let frame = match ready!(body.poll_frame(context)).transpose()? {
                    None if names.is_empty() => return Poll::Ready(None),
                    None => Frame::trailers(HeaderMap::new()),
                    Some(frame) => frame,
                };
                Poll::Ready(Some(Ok(follow(frame, hash, names))))
            }
            KindProjection::Read { frames, rest } => match (frames.pop_front(), &mut *rest) {
                (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
                (None, Some(Ok(body))) => body.as_mut().poll_frame(context),
                (None, _) => Poll::Ready(rest.take().and_then(Result::err).map(Err)),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Hashed { body, names, .. } => names.is_empty() && body.is_end_stream(),
            Kind::Read { frames, rest } => {
                frames.is_empty()
                    && rest
                        .as_ref()
                        .is_none_or(|rest| rest.as_ref().is_ok_and(|body| body.is_end_stream()))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            // Its length is not said, or there would be no room for trailers.
            Kind::Hashed { .. } => SizeHint::default(),
            Kind::Read { frames, rest } => {
                let data = frames.iter().filter_map(Frame::data_ref);
                let read = data.map(|data| data.len() as u64).sum();
                match rest {
                    None => SizeHint::with_exact(read),
                    Some(Err(_)) => SizeHint::default(),
                    Some(Ok(body)) => {
                        let rest = body.size_hint();
                        let mut hint = SizeHint::new();
                        hint.set_lower(read.saturating_add(rest.lower()));
                        if let Some(upper) = rest.upper() {
                            hint.set_upper(read.saturating_add(upper));
                        }
                        hint
                    }
                }
            }
        }
    }
}

/// Hashes content; adds the digest to the trailers that come behind it.
fn follow(frame: Frame<Bytes>, hash: &mut Sha256, names: &mut Vec<HeaderName>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Err(frame) => {
            if let Some(data) = frame.data_ref() {
                hash.update(data);
            }
            frame
        }
        Ok(mut trailers) => {
            let digest = Sha256Digest::finish(std::mem::take(hash));
            for name in std::mem::take(names) {
                trailers.insert(name, digest.to_field_value());
            }
            Frame::trailers(trailers)
        }
    }
}

impl<R> fmt::Debug for DigestBody<R>
where
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestBody").finish_non_exhaustive()
    }
}
