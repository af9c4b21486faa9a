//! An answer that may be there at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;

/// The answer of a store: there already, or a future.
///
/// It owns what it needs, so that it can outlive the call that asked for it. A future is lazy: one
/// that is dropped before it was polled has asked nothing of anybody.
///
/// ```
/// use tower_conditional::store::Answer;
///
/// # async fn example() {
/// assert_eq!(Answer::ready(5).await, 5);
/// assert_eq!(Answer::later(async { 5 }).await, 5);
/// # }
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(std::pin::pin!(example()).poll(&mut context).is_ready());
/// # use std::future::Future;
/// ```
#[must_use = "an answer does nothing unless it is awaited"]
pub struct Answer<T>(Repr<T>);

enum Repr<T> {
    /// Empty once it was handed out.
    Ready(Option<T>),
    Later(BoxFuture<'static, T>),
}

impl<T> Answer<T> {
    /// An answer that is there.
    pub const fn ready(answer: T) -> Self {
        Self(Repr::Ready(Some(answer)))
    }

    /// An answer that takes a while.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Repr::Later(Box::pin(future)))
    }

    /// The answer, if it is there.
    ///
    /// # Errors
    ///
    /// Gives the answer back if it is not.
    pub fn try_ready(self) -> Result<T, Self> {
        match self.0 {
            Repr::Ready(Some(answer)) => Ok(answer),
            other => Err(Self(other)),
        }
    }
}

impl<T> Future for Answer<T>
where
    T: Unpin,
{
    type Output = T;

    /// # Panics
    ///
    /// If polled again after it was ready, as any future may.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Repr::Ready(answer) => Poll::Ready(
                answer
                    .take()
                    .expect("an answer is polled to its end only once"),
            ),
            Repr::Later(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> From<BoxFuture<'static, T>> for Answer<T> {
    fn from(future: BoxFuture<'static, T>) -> Self {
        Self(Repr::Later(future))
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Repr::Ready(_) => "Answer::ready",
            Repr::Later(_) => "Answer::later",
        })
    }
}
