//! A store that never answers: nobody waits for it longer than the policy says, what is in doubt
//! stays in doubt, and when it is back all is as before.
//!
//! The clock of these tests is Tokio's, which stands still while anybody has something to do: what
//! they say of times is exact.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::Request;
use http_body_util::Full;
use hyper::rt::{Sleep, Timer};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_conditional::policy::{Busy, IfMatch, SettleAt};
use tower_conditional::problem::Reason;
use tower_conditional::store::{Answer, Claim, ClaimOptions, Claimed, Condition, Outcome};
use tower_conditional::store::{Settled, Snapshot, StoreError};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, ResourceKey, Runtime, SequenceLayer,
    VersionStore,
};

use crate::support::{self, Failure, ScriptedStore, Seen, Site, Step, in_time, request, see};

const PATH: &str = "/notes/1";
/// As the documentation has it.
const WAIT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);

fn store(step: Step) -> ScriptedStore {
    let store = ScriptedStore::at_once().present(PATH, 5);
    store.failing(step, Failure::Hangs)
}

fn site() -> Site {
    Site::new(&[(PATH, "old")])
}

/// Nobody waits for a minute, by this clock.
async fn ask(layer: &ConditionalLayer, site: &Site, request: Request<Full<Bytes>>) -> Seen {
    in_time(support::ask(layer, site, request)).await
}

fn put(text: &str) -> Request<Full<Bytes>> {
    request("PUT", PATH, &[("if-match", r#""5""#)], text)
}

#[track_caller]
fn assert_unavailable(seen: &Seen) {
    assert_eq!(seen.reason(), Some(Reason::StoreUnavailable), "{seen:?}");
    assert_eq!((seen.status, seen.header("retry-after")), (503, Some("1")));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_writes_are_503_when_their_time_is_up_and_none_has_run() {
    let store = store(Step::Claim);
    let site = site();
    let layer = ConditionalLayer::new(store.clone());
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for _ in 0..1_000 {
        let (layer, site) = (layer.clone(), site.clone());
        writers.spawn(async move { ask(&layer, &site, put("new")).await });
    }
    for seen in writers.join_all().await {
        // Whoever was not the first has found the claim held, by one of whom nobody heard again.
        match seen.reason() {
            Some(Reason::Busy) => assert_eq!(seen.status, 503),
            _ => assert_unavailable(&seen),
        }
    }
    assert_eq!(began.elapsed(), WAIT + TIMEOUT);
    assert!(site.calls().is_empty(), "the handler ran");
    // What it granted and nobody heard of ends with its lease; then all is as before.
    store.recover();
    let layer_again = layer.clone();
    let store = store.held(PATH, None);
    let seen = ask(&layer_again, &site, put("new")).await;
    assert_eq!((seen.status, seen.etag()), (200, Some(r#""6""#)));
    assert_eq!(store.claims(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_policy_says_how_long() {
    for (busy, expected) in [
        (Busy::Refuse, Duration::from_secs(2)),
        (Busy::Wait(Duration::from_secs(3)), Duration::from_secs(5)),
    ] {
        let policy = Policy::rfc9110().busy(busy);
        let policy = policy.store_timeout(Duration::from_secs(2));
        let layer = ConditionalLayer::new(store(Step::Claim)).policy(policy);
        let began = Instant::now();
        assert_unavailable(&ask(&layer, &site(), put("new")).await);
        assert_eq!(began.elapsed(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_not_read_for_a_store_that_hangs() {
    let site = site();
    let layer = ConditionalLayer::new(store(Step::Current));
    let began = Instant::now();
    let seen = ask(&layer, &site, put(&"x".repeat(100_000))).await;
    assert_unavailable(&seen);
    assert_eq!(began.elapsed(), TIMEOUT);
    assert!(site.calls().is_empty(), "the handler ran");
}

#[tokio::test(start_paused = true)]
async fn a_plain_read_goes_on_untagged_and_a_conditional_one_is_503() {
    for (condition, status) in [
        (None, 200),
        (Some(("if-none-match", r#""5""#)), 200),
        (Some(("if-match", r#""5""#)), 503),
    ] {
        for layer in [
            ConditionalLayer::new(store(Step::Current)),
            ConditionalLayer::handler_with(store(Step::Current)),
        ] {
            let began = Instant::now();
            let headers: Vec<_> = condition.into_iter().collect();
            let seen = ask(&layer, &site(), request("GET", PATH, &headers, "")).await;
            assert_eq!((seen.status, seen.etag()), (status, None), "{condition:?}");
            assert_eq!(began.elapsed(), TIMEOUT, "{condition:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_after_the_handler_costs_a_read_its_tag_and_no_more() {
    let store = ScriptedStore::at_once().present(PATH, 5);
    let hanging = store.clone();
    let site = Site::marking(&[(PATH, "old")], move |_, _| {
        let _ = hanging.clone().failing(Step::Current, Failure::Hangs);
    });
    let layer = ConditionalLayer::new(store);
    let began = Instant::now();
    let seen = ask(&layer, &site, request("GET", PATH, &[], "")).await;
    assert_eq!((seen.status, seen.etag()), (200, None));
    assert_eq!(began.elapsed(), TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_write_in_handler_mode_is_503_before_its_handler() {
    let site = site();
    let policy = Policy::rfc9110().existence_first(true);
    let layer = ConditionalLayer::handler_with(store(Step::Current)).policy(policy);
    let began = Instant::now();
    assert_unavailable(&ask(&layer, &site, put("new")).await);
    assert_eq!(began.elapsed(), TIMEOUT);
    assert!(site.calls().is_empty(), "the handler ran");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_may_not_be_settled_is_abandoned_and_the_answer_goes_out() {
    let store = store(Step::Settle);
    let site = site();
    let layer = ConditionalLayer::new(store.clone());
    let began = Instant::now();
    let seen = ask(&layer, &site, put("new")).await;
    // It has run, and nobody knows under which version.
    assert_eq!((seen.status, seen.etag()), (200, None));
    assert_eq!(began.elapsed(), TIMEOUT);
    assert_eq!(
        (site.note(PATH).as_deref(), store.abandoned()),
        (Some("new"), 1)
    );
    store.recover();
    let stale = ask(&layer, &site, put("newer")).await;
    assert_eq!((stale.status, stale.reason()), (412, Some(Reason::Stale)));
    let current = [("if-match", stale.etag().expect("a tag"))];
    let merged = ask(&layer, &site, request("PUT", PATH, &current, "merged")).await;
    assert_eq!(merged.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_although_its_claim_may_not_be_settled() {
    let store = store(Step::Settle);
    let policy = Policy::rfc9110().settle_at(SettleAt::BodyEnd);
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let began = Instant::now();
    let seen = ask(&layer, &site(), put("new")).await;
    assert_eq!((seen.status, &seen.body[..]), (200, &b"new"[..]));
    assert_eq!(seen.trailers, None);
    assert_eq!(began.elapsed(), TIMEOUT);
    assert_eq!(store.abandoned(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_waits_no_longer_than_its_wait_and_the_store_timeout() {
    for (step, status, run) in [(Step::Claim, 503, 0), (Step::Settle, 200, 1)] {
        let store = ScriptedStore::at_once().failing(step, Failure::Hangs);
        let site = site();
        let layer = SequenceLayer::new(store.clone(), |_, _| Some(ResourceKey::new("1")));
        let layer = layer.wait(WAIT).store_timeout(Duration::from_secs(2));
        let began = Instant::now();
        let answer = in_time(layer.layer(site.service()).oneshot(put("new"))).await;
        assert_eq!(see(answer.expect("no error")).await.status, status);
        let wait = if step == Step::Claim {
            WAIT
        } else {
            Duration::ZERO
        };
        assert_eq!(began.elapsed(), wait + Duration::from_secs(2), "{step:?}");
        assert_eq!(site.calls().len(), run);
    }
}

/// A timer that counts what it is asked.
struct Counting(Arc<AtomicUsize>);

impl Timer for Counting {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        hyper_util::rt::TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn Sleep>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        hyper_util::rt::TokioTimer::new().sleep_until(deadline)
    }
}

#[tokio::test]
async fn an_answer_that_is_there_at_once_costs_no_timer() {
    let timers = Arc::new(AtomicUsize::new(0));
    let executor = hyper_util::rt::TokioExecutor::new();
    let runtime = Runtime::new(executor, Counting(Arc::clone(&timers)));
    let policy = Policy::rfc9110().if_match(IfMatch::Optional);
    for (later, expected) in [(false, 0), (true, 6)] {
        let store = MemoryStore::with_runtime(runtime.clone());
        let layer = ConditionalLayer::with_runtime(Slow(store, later), runtime.clone());
        let layer = layer.policy(policy.clone());
        for method in ["PUT", "GET", "DELETE"] {
            let seen = ask(&layer, &site(), request(method, PATH, &[], "new")).await;
            assert!(seen.status < 300, "{seen:?}");
        }
        // A claim and its settling, twice; and two looks, before and after the read.
        assert_eq!(timers.load(Ordering::SeqCst), expected);
    }
}

/// A store in memory, whose answers may take a moment.
struct Slow(MemoryStore, bool);

impl Slow {
    fn answer<T: Unpin + Send + 'static>(&self, answer: Answer<T>) -> Answer<T> {
        if !self.1 {
            return answer;
        }
        let later: BoxFuture<'static, T> = Box::pin(async move {
            tokio::task::yield_now().await;
            answer.await
        });
        Answer::from(later)
    }
}

impl VersionStore for Slow {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.answer(self.0.current(key))
    }
}

impl ClaimStore for Slow {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        self.answer(self.0.claim(key, condition, options))
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        self.answer(self.0.settle(claim, outcome))
    }

    fn abandon(&self, claim: Claim) {
        self.0.abandon(claim);
    }
}
