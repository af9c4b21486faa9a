//! What the layer needs of an async runtime: somewhere to run a write that its client no longer
//! waits for, and a clock to bound waits.
//!
//! Both are hyper's traits, [`hyper::rt::Executor`] and [`hyper::rt::Timer`], so that whatever runs
//! hyper runs this. The feature `tokio`, on by default, brings them for Tokio.
//!
//! ```
//! use tower_conditional::runtime::Runtime;
//!
//! # #[cfg(feature = "tokio")]
//! let detached = Runtime::tokio();
//! // Nothing is spawned: a client that leaves cancels its write, which is then in doubt.
//! let inline = Runtime::inline();
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use futures_core::future::BoxFuture;
use hyper::rt::{Executor, Sleep, Timer};

type Task = BoxFuture<'static, ()>;

/// An executor and a timer, each of which may be missing.
///
/// See the [module docs](crate::runtime) for an example.
#[derive(Clone)]
pub struct Runtime {
    executor: Option<Arc<dyn Executor<Task> + Send + Sync>>,
    timer: Option<Arc<dyn Timer + Send + Sync>>,
}

impl Runtime {
    /// The Tokio runtime that serves the requests.
    ///
    /// Writes panic if they are served outside of one.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn tokio() -> Self {
        Self::new(tokio_rt::TokioExecutor, tokio_rt::TokioTimer)
    }

    /// An executor and a timer of your own.
    pub fn new(
        executor: impl Executor<BoxFuture<'static, ()>> + Send + Sync + 'static,
        timer: impl Timer + Send + Sync + 'static,
    ) -> Self {
        Self {
            executor: Some(Arc::new(executor)),
            timer: Some(Arc::new(timer)),
        }
    }

    /// Neither: writes run inside the request, and nothing is bounded in time. Safe, but a client
    /// that leaves in the middle blocks the resource for a lease.
    #[must_use]
    pub const fn inline() -> Self {
        Self {
            executor: None,
            timer: None,
        }
    }

    /// The timer of the Tokio runtime that serves the requests, if one does, for layers that need
    /// nothing else.
    pub(crate) fn clock() -> Self {
        #[cfg(feature = "tokio")]
        let timer = Some(Arc::new(tokio_rt::TokioTimerIfThere) as _);
        #[cfg(not(feature = "tokio"))]
        let timer = None;
        Self {
            executor: None,
            timer,
        }
    }

    /// The same without its executor: writes run inside the request, waits are bounded.
    #[must_use]
    pub fn without_executor(mut self) -> Self {
        self.executor = None;
        self
    }

    /// Runs `work` where a client that leaves cannot stop it, if there is such a place. `None` if
    /// it ended without a result: it panicked, or the executor gave up on it.
    pub(crate) async fn detach<T, F>(&self, work: impl FnOnce(Client) -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Some(executor) = &self.executor else {
            return Some(work(Client(None)).await);
        };
        let (client, _waits) = oneshot::channel();
        let (sender, receiver) = oneshot::channel();
        let work = work(Client(Some(client)));
        executor.execute(Box::pin(async move {
            // Nobody may be waiting any more; the work is done all the same.
            drop(sender.send(work.await));
        }));
        receiver.await.ok()
    }

    pub(crate) const fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// The result of `work`, or `None` if `limit` was over first; without a timer there is no limit.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        unless(pin!(self.sleep(Some(limit))), work).await
    }

    /// The result of `work`, or `None` if it is not there after `limit`. Work that is done at once
    /// costs no timer; without a timer there is no limit.
    pub(crate) async fn answered<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut timer = pin!(None);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if timer.is_none() {
                timer.set(Some(self.sleep(Some(limit))));
            }
            match timer.as_mut().as_pin_mut() {
                Some(timer) => timer.poll(context).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// A future that is ready `duration` from now, if there is a timer.
    pub(crate) fn timer(&self, duration: Duration) -> Option<Pin<Box<dyn Sleep>>> {
        self.timer.as_ref().map(|timer| timer.sleep(duration))
    }

    /// A future that is ready `duration` from now, whenever it is first polled; never, without a
    /// duration or a timer.
    pub(crate) fn sleep(
        &self,
        duration: Option<Duration>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let sleep = duration.and_then(|duration| self.timer(duration));
        async {
            match sleep {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        }
    }
}

/// The result of `work`, or `None` if `limit` was over first. The limit is looked at first: after a
/// stall that has made both ready, the work is not taken one step further.
pub(crate) async fn unless<T>(
    mut limit: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match limit.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context).map(Some),
    })
    .await
}

/// The client that detached work is done for.
pub(crate) struct Client(Option<oneshot::Sender<()>>);

impl Client {
    /// Is nobody waiting for the answer any more?
    pub(crate) fn has_left(&self) -> bool {
        self.0.as_ref().is_some_and(oneshot::Sender::is_canceled)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("executor", &self.executor.is_some())
            .field("timer", &self.timer.is_some())
            .finish()
    }
}

#[cfg(feature = "tokio")]
mod tokio_rt {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::{Duration, Instant};

    use hyper::rt::{Executor, Sleep, Timer};
    use pin_project_lite::pin_project;

    use super::Task;

    pub(super) struct TokioExecutor;

    impl Executor<Task> for TokioExecutor {
        fn execute(&self, task: Task) {
            tokio::spawn(task);
        }
    }

    pub(super) struct TokioTimer;

    impl Timer for TokioTimer {
        fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
            Box::pin(TokioSleep {
                sleep: tokio::time::sleep(duration),
            })
        }

        fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
            Box::pin(TokioSleep {
                sleep: tokio::time::sleep_until(deadline.into()),
            })
        }
    }

    /// Outside of a runtime nothing is bounded in time.
    pub(super) struct TokioTimerIfThere;

    impl Timer for TokioTimerIfThere {
        fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
            match tokio::runtime::Handle::try_current() {
                Ok(_) => TokioTimer.sleep(duration),
                Err(_) => Box::pin(Never),
            }
        }

        fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
            self.sleep(deadline.saturating_duration_since(Instant::now()))
        }
    }

    struct Never;

    impl Future for Never {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    impl Sleep for Never {}

    pin_project! {
        struct TokioSleep {
            #[pin]
            sleep: tokio::time::Sleep,
        }
    }

    impl Future for TokioSleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            self.project().sleep.poll(context)
        }
    }

    impl Sleep for TokioSleep {}
}
