//! A client that leaves, at any moment, leaves no key behind that stays busy beyond its lease.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body_util::Full;
use tower_conditional::Runtime;
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyPolicy, IdempotencyStore,
    InFlight, MemoryIdempotencyStore, RecordKey, Settlement,
};
use tower_conditional::store::{Answer as StoreAnswer, StoreError};

use super::{App, Clock, created, post, status};

/// Waits before and after each of its steps, as a database does.
struct Slow(MemoryIdempotencyStore);

impl IdempotencyStore for Slow {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> StoreAnswer<Result<Begun, StoreError>> {
        let (store, key, fingerprint) = (self.0.clone(), key.clone(), *fingerprint);
        StoreAnswer::later(async move {
            once_pending().await;
            let begun = store.begin(&key, &fingerprint, options).await;
            if let Ok(Begun::Started(attempt)) = &begun {
                // The row is there, and its lease is running, whoever gets to know of it.
                store.abandon(attempt);
            }
            once_pending().await;
            begun
        })
    }

    fn settle(
        &self,
        attempt: &Attempt,
        ending: Ending,
    ) -> StoreAnswer<Result<Settlement, StoreError>> {
        let (store, attempt) = (self.0.clone(), attempt.clone());
        StoreAnswer::later(async move {
            once_pending().await;
            let settled = store.settle(&attempt, ending).await;
            once_pending().await;
            settled
        })
    }

    fn abandon(&self, attempt: &Attempt) {
        self.0.abandon(attempt);
    }
}

async fn once_pending() {
    let mut was_pending = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut was_pending, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[test]
fn a_request_that_is_dropped_at_any_await_frees_its_key_with_its_lease() {
    let mut left_at = 0;
    loop {
        let (store, clock) = Clock::store();
        let app = App::on(
            Runtime::inline(),
            Slow(store.clone()),
            IdempotencyPolicy::new(),
            async |run, _| {
                once_pending().await;
                created(run).map(|_| Full::from("done"))
            },
        );
        let finished = {
            let mut request = pin!(app.send(post("k", "{}")));
            (0..=left_at).any(|_| poll(request.as_mut()).is_ready())
        };
        let runs = app.runs();
        clock.advance(Duration::from_secs(60));

        let retry = run_to_end(app.send(post("k", "{}")));
        match retry.status.as_u16() {
            // Replayed, or never run.
            201 => assert_eq!(app.runs(), 1, "left at await {left_at}"),
            409 => {
                retry.assert_problem(409, "outcome-unknown");
                assert_eq!(app.runs(), runs, "left at await {left_at}");
            }
            status => panic!("left at await {left_at}: {status}"),
        }
        if finished {
            assert!(left_at >= 5, "only {left_at} awaits were seen");
            return;
        }
        left_at += 1;
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn run_to_end<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_kept() {
    let (entered, go_on) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let (entering, going_on) = (Arc::clone(&entered), Arc::clone(&go_on));
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        move |run, _| {
            let (entering, going_on) = (Arc::clone(&entering), Arc::clone(&going_on));
            async move {
                entering.notify_one();
                going_on.notified().await;
                created(run)
            }
        },
    );
    let first = app.spawn(post("k", "{}"));
    entered.notified().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go_on.notify_one();
    let answer = loop {
        let answer = app.send(post("k", "{}")).await;
        if answer.status == 201 {
            break answer;
        }
        answer.assert_problem(409, "request-in-progress");
        tokio::task::yield_now().await;
    };
    assert!(answer.is_replayed());
    assert_eq!(app.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_waits_is_not_run_later() {
    let (entered, go_on) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let (entering, going_on) = (Arc::clone(&entered), Arc::clone(&go_on));
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new().in_flight(InFlight::Wait(Duration::from_secs(3600))),
        move |_, _| {
            let (entering, going_on) = (Arc::clone(&entering), Arc::clone(&going_on));
            async move {
                entering.notify_one();
                going_on.notified().await;
                status(409)
            }
        },
    );
    let first = app.spawn(post("k", "{}"));
    entered.notified().await;
    let waiting = app.spawn(post("k", "{}"));
    // The clock stands still unless everybody waits.
    tokio::time::sleep(Duration::from_millis(50)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    go_on.notify_one();
    assert_eq!(first.await.unwrap().status, 409);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(app.runs(), 1);
}
