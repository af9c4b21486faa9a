//! A store of idempotency keys that never answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyLayer, IdempotencyPolicy,
    IdempotencyStore, MemoryIdempotencyStore, RecordKey, Settlement,
};
use tower_conditional::problem::Reason;
use tower_conditional::store::{Answer, StoreError};

use crate::support::{Seen, in_time, request, see};

/// As the documentation has it.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hangs {
    Begin,
    Never,
    Settle,
}

/// What it is asked happens, but of one step no answer ever comes.
#[derive(Clone)]
struct Hanging(MemoryIdempotencyStore, Hangs);

impl Hanging {
    fn answer<T>(&self, step: Hangs, answer: Answer<T>) -> Answer<T>
    where
        T: Send + 'static,
    {
        if self.1 == step {
            return Answer::later(std::future::pending());
        }
        answer
    }
}

impl IdempotencyStore for Hanging {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        self.answer(Hangs::Begin, self.0.begin(key, fingerprint, options))
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        match self.1 {
            // Not even that.
            Hangs::Settle => Answer::later(std::future::pending()),
            _ => self.0.settle(attempt, ending),
        }
    }

    fn abandon(&self, attempt: &Attempt) {
        self.0.abandon(attempt);
    }
}

async fn post(store: &Hanging, policy: IdempotencyPolicy, runs: &Arc<AtomicUsize>) -> Seen {
    let layer = IdempotencyLayer::new(store.clone(), |_| Some("ann".to_owned())).policy(policy);
    let runs = Arc::clone(runs);
    let handler = service_fn(move |_: Request<_>| {
        let _: &tower_conditional::RequestBody<Full<Bytes>>;
        runs.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(Full::from("done"))) }
    });
    let request = request("POST", "/payments", &[("idempotency-key", "1")], "{}");
    let answer = in_time(layer.layer(handler).oneshot(request)).await;
    see(answer.expect("no error")).await
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_key_is_not_looked_up_in_time_is_503_and_has_not_run() {
    for (policy, limit) in [
        (IdempotencyPolicy::new(), TIMEOUT),
        (
            IdempotencyPolicy::new().store_timeout(Duration::from_secs(2)),
            Duration::from_secs(2),
        ),
    ] {
        let store = Hanging(MemoryIdempotencyStore::new(), Hangs::Begin);
        let runs = Arc::default();
        let began = Instant::now();
        let seen = post(&store, policy, &runs).await;
        assert_eq!(
            (seen.status, seen.reason()),
            (503, Some(Reason::StoreUnavailable))
        );
        assert_eq!(began.elapsed(), limit);
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_kept_in_time_goes_out_and_its_key_stays_in_flight() {
    let memory = MemoryIdempotencyStore::new();
    let runs = Arc::default();
    let began = Instant::now();
    let store = Hanging(memory.clone(), Hangs::Settle);
    let seen = post(&store, IdempotencyPolicy::new(), &runs).await;
    assert_eq!((seen.status, &seen.body[..]), (200, &b"done"[..]));
    assert_eq!(began.elapsed(), TIMEOUT);
    // Its store is back: a retry is not run, as long as the first may be under way.
    let store = Hanging(memory, Hangs::Never);
    let again = post(&store, IdempotencyPolicy::new(), &runs).await;
    assert_eq!(
        (again.status, again.reason()),
        (409, Some(Reason::InProgress))
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
