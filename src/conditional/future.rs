//! The future of an answer. What needs no waiting of our own stays unboxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use http::Response;
use pin_project_lite::pin_project;

use super::body::ResponseBody;
use super::read::Reading;
use super::reported::Reporting;
use crate::store::{Answer, Snapshot, StoreError};

type Respond<R, E> = Result<Response<ResponseBody<R>>, E>;

pin_project! {
    /// The response future of [`Conditional`](super::Conditional).
    ///
    /// ```
    /// use tower_conditional::ResponseFuture;
    ///
    /// // As the associated type of a service that wraps another:
    /// type Future<F> = ResponseFuture<F, String, std::convert::Infallible>;
    /// # let _ = std::marker::PhantomData::<Future<std::future::Ready<()>>>;
    /// ```
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R, E> {
        /// Answered without the handler.
        Answered { answer: Option<Response<ResponseBody<R>>> },
        /// Anything with waits of our own before the handler.
        Boxed { future: BoxFuture<'static, Respond<R, E>> },
        /// Not our business.
        Forwarded { #[pin] inner: F },
        /// A read, in the handler.
        Read { #[pin] inner: F, reading: Option<Reading> },
        /// A read, back from the handler; the store is asked again.
        ReadAgain {
            answer: Answer<Result<Snapshot, StoreError>>,
            read: Option<Box<(Reading, Response<R>)>>,
        },
        /// A write, in a handler that reports.
        Reported { #[pin] inner: F, reporting: Option<Box<Reporting>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(crate) const fn answered(answer: Response<ResponseBody<R>>) -> Self {
        Self {
            state: State::Answered {
                answer: Some(answer),
            },
        }
    }

    pub(crate) fn boxed(future: impl Future<Output = Respond<R, E>> + Send + 'static) -> Self {
        Self {
            state: State::Boxed {
                future: Box::pin(future),
            },
        }
    }

    pub(crate) const fn forwarded(inner: F) -> Self {
        Self {
            state: State::Forwarded { inner },
        }
    }

    pub(super) const fn read(inner: F, reading: Reading) -> Self {
        Self {
            state: State::Read {
                inner,
                reading: Some(reading),
            },
        }
    }

    pub(super) fn reported(inner: F, reporting: Reporting) -> Self {
        Self {
            state: State::Reported {
                inner,
                reporting: Some(Box::new(reporting)),
            },
        }
    }
}

/// What every state hands out exactly once.
fn once<T>(kept: &mut Option<T>) -> T {
    kept.take()
        .expect("a response future is polled to its end only once")
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Send + 'static,
{
    type Output = Respond<R, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Answered { answer } => return Poll::Ready(Ok(once(answer))),
                StateProjection::Boxed { future } => return future.as_mut().poll(context),
                StateProjection::Forwarded { inner } => {
                    let response = ready!(inner.poll(context))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProjection::Read { inner, reading } => {
                    let response = ready!(inner.poll(context))?;
                    let reading = once(reading);
                    match reading.ask_again(&response).map(Answer::try_ready) {
                        None => return Poll::Ready(Ok(reading.finish(response, None))),
                        Some(Ok(after)) => {
                            return Poll::Ready(Ok(reading.finish(response, Some(after))));
                        }
                        Some(Err(answer)) => State::ReadAgain {
                            answer,
                            read: Some(Box::new((reading, response))),
                        },
                    }
                }
                StateProjection::ReadAgain { answer, read } => {
                    let after = ready!(Pin::new(answer).poll(context));
                    let (reading, response) = *once(read);
                    return Poll::Ready(Ok(reading.finish(response, Some(after))));
                }
                StateProjection::Reported { inner, reporting } => {
                    let response = ready!(inner.poll(context))?;
                    match once(reporting).finish(response) {
                        Ok(answer) => return Poll::Ready(Ok(answer)),
                        Err(reading) => State::Boxed {
                            future: Box::pin(async move { Ok(reading.await) }),
                        },
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
