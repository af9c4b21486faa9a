//! The future of an answer that is read before it is sent. Where nothing is to be read, it is the
//! handler's, unboxed.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use sha2::{Digest as _, Sha256};

use super::Sha256Digest;
use super::body::DigestBody;
use super::layer::{Task, Way};

pin_project! {
    /// The response future of [`Digested`](super::Digested).
    ///
    /// ```
    /// use tower_conditional::digest::DigestFuture;
    ///
    /// // As the associated type of a service that wraps another:
    /// type Future<F> = DigestFuture<F, String>;
    /// # let _ = std::marker::PhantomData::<Future<std::future::Ready<()>>>;
    /// ```
    pub struct DigestFuture<F, R> {
        #[pin]
        inner: F,
        reading: Option<Reading<R>>,
        task: Task,
    }
}

impl<F, R> DigestFuture<F, R> {
    pub(super) const fn new(inner: F, task: Task) -> Self {
        Self {
            inner,
            reading: None,
            task,
        }
    }
}

impl<F, R, E> Future for DigestFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<DigestBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut reading = match this.reading.take() {
            Some(reading) => reading,
            None => {
                let mut response = ready!(this.inner.poll(context))?;
                match this.task.way(&response) {
                    Way::Hash => {
                        let names = this.task.announce(&mut response);
                        let response = response.map(|body| DigestBody::hashed(body, names));
                        return Poll::Ready(Ok(response));
                    }
                    Way::Pass => return Poll::Ready(Ok(response.map(DigestBody::passed))),
                    Way::Read(limit) => Reading::new(response, limit),
                }
            }
        };
        let Poll::Ready(end) = reading.poll(context) else {
            *this.reading = Some(reading);
            return Poll::Pending;
        };
        let Reading {
            mut head,
            body,
            frames,
            hash,
            ..
        } = reading;
        let body = match end {
            End::Failed(error) => DigestBody::read(frames, Some(Err(error))),
            End::TooLong => DigestBody::read(frames, Some(Ok(body))),
            End::Whole => {
                this.task.stamp(&mut head, Sha256Digest::finish(hash));
                DigestBody::read(frames, None)
            }
        };
        Poll::Ready(Ok(head.map(|()| body)))
    }
}

/// A body on its way in.
struct Reading<R> {
    head: Response<()>,
    /// Boxed, because one that turns out to be too long moves on.
    body: Pin<Box<R>>,
    frames: VecDeque<Frame<Bytes>>,
    /// How many more bytes may come.
    left: usize,
    hash: Sha256,
}

enum End<E> {
    Failed(E),
    TooLong,
    Whole,
}

impl<R> Reading<R>
where
    R: Body<Data = Bytes>,
{
    fn new(response: Response<R>, limit: usize) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head: Response::from_parts(head, ()),
            body: Box::pin(body),
            frames: VecDeque::new(),
            left: limit,
            hash: Sha256::new(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End<R::Error>> {
        loop {
            let frame = match ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(End::Whole),
                Some(Err(error)) => return Poll::Ready(End::Failed(error)),
                Some(Ok(frame)) => frame,
            };
            let data = frame.data_ref();
            let left = self.left.checked_sub(data.map_or(0, Bytes::len));
            if let Some(data) = data {
                self.hash.update(data);
            }
            self.frames.push_back(frame);
            match left {
                Some(left) => self.left = left,
                None => return Poll::Ready(End::TooLong),
            }
        }
    }
}

impl<F, R> fmt::Debug for DigestFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestFuture").finish_non_exhaustive()
    }
}
