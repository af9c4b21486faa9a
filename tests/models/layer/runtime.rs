//! An executor and a timer for the layer, on the scheduler of the model.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use hyper::rt::{Executor, Sleep, Timer};
use shuttle::future::{JoinHandle, spawn};
use shuttle::rand::{Rng as _, thread_rng};

/// Detached tasks, kept so that a run can wait for the last of them.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    running: Arc<Mutex<Vec<JoinHandle<()>>>>,
    gives_up: bool,
}

impl Tasks {
    /// Drops every other task half way.
    pub(super) fn giving_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    pub(super) async fn join(&self) {
        loop {
            let task = self.running.lock().unwrap().pop();
            let Some(task) = task else { return };
            task.await.expect("nobody aborts a task");
        }
    }
}

impl Executor<BoxFuture<'static, ()>> for Tasks {
    fn execute(&self, task: BoxFuture<'static, ()>) {
        let patience = match self.gives_up {
            true => random_patience(),
            false => None,
        };
        let running = spawn(async move {
            until_out_of(patience, task).await;
        });
        self.running.lock().unwrap().push(running);
    }
}

/// How many turns somebody waits: for ever, every other time.
pub(super) fn random_patience() -> Option<u32> {
    let mut random = thread_rng();
    random.gen_bool(0.5).then(|| random.gen_range(1..12))
}

/// The result of `work`, or `None` if it was dropped after `patience` turns.
pub(super) async fn until_out_of<T>(
    mut patience: Option<u32>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Before the work has its turn: so it is dropped with news that it has not heard.
        if patience == Some(0) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        if let Some(turns) = &mut patience {
            *turns -= 1;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// A timer on which every wait takes a random number of turns, whatever it is said to take.
pub(super) struct Turns {
    /// Every other wait is longer than the run: so whoever is never woken is a deadlock, which the
    /// scheduler reports.
    pub(super) outlast_run: bool,
}

impl Timer for Turns {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let mut random = thread_rng();
        if self.outlast_run && random.gen_bool(0.5) {
            return Box::pin(Forever);
        }
        Box::pin(Nap(random.gen_range(0..30)))
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }
}

struct Forever;

impl Future for Forever {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Forever {}

struct Nap(u32);

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0 {
            0 => Poll::Ready(()),
            _ => {
                self.0 -= 1;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Sleep for Nap {}
