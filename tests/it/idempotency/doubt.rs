//! What nobody knows the outcome of: panics, 5xx, and what may be run again.

use std::time::Duration;

use http::StatusCode;
use tower_conditional::idempotency::{IdempotencyPolicy, InDoubt};

use super::{App, Clock, add, created, post, status, with};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_panic_keeps_the_key_for_its_lease_and_in_doubt_from_then_on() {
    let (store, clock) = Clock::store();
    let app = App::new(store, IdempotencyPolicy::new(), async |run, _| {
        assert!(run != 1, "the handler panics on purpose");
        created(run)
    });
    let lost = app.send(post("k", "{}")).await;
    lost.assert_problem(500, "outcome-unknown");

    clock.advance(LEASE - Duration::from_secs(1));
    let retry = app.send(post("k", "{}")).await;
    retry.assert_problem(409, "request-in-progress");
    clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let retry = app.send(post("k", "{}")).await;
        retry.assert_problem(409, "outcome-unknown");
    }
    assert_eq!(app.runs(), 1, "a POST was silently run again");
}

#[tokio::test]
async fn what_cannot_apply_twice_is_run_again() {
    for (method, if_match) in [("PUT", false), ("DELETE", false), ("PATCH", true)] {
        let (store, clock) = Clock::store();
        let app = App::new(store, IdempotencyPolicy::new(), async |run, _| {
            assert!(run != 1, "the handler panics on purpose");
            created(run)
        });
        let request = || {
            let mut request = with(method, "/orders/5", "ann", "k", "{}");
            if if_match {
                add(&mut request, "if-match", "\"5\"");
            }
            request
        };
        let lost = app.send(request()).await;
        assert_eq!(lost.status, StatusCode::INTERNAL_SERVER_ERROR);
        let retry = app.send(request()).await;
        retry.assert_problem(409, "request-in-progress");
        clock.advance(LEASE);
        let second = app.send(request()).await;
        assert_eq!(second.status, 201, "{method}");
        assert!(!second.is_replayed());
        app.send(request()).await.assert_replays(&second);
        assert_eq!(app.runs(), 2, "{method}");
    }
}

#[tokio::test]
async fn a_5xx_is_in_doubt_at_once_since_its_handler_has_ended() {
    for failure in [500, 502, 504, 408] {
        let (store, _clock) = Clock::store();
        let app = App::new(store, IdempotencyPolicy::new(), move |_, _| async move {
            status(failure)
        });
        assert_eq!(app.send(post("k", "{}")).await.status, failure);
        let retry = app.send(post("k", "{}")).await;
        retry.assert_problem(409, "outcome-unknown");
        assert_eq!(app.runs(), 1, "{failure}: a POST was silently run again");
    }
}

#[tokio::test]
async fn another_request_is_refused_in_doubt_too() {
    let (store, _clock) = Clock::store();
    let app = App::new(store, IdempotencyPolicy::new(), async |_, _| status(500));
    app.send(post("k", "{}")).await;
    let other = app.send(post("k", "{\"a\":1}")).await;
    other.assert_problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn the_policy_says_what_is_run_again() {
    let (store, _clock) = Clock::store();
    let policy = IdempotencyPolicy::new().in_doubt(|parts| {
        if parts.headers.contains_key("x-natural-key") {
            InDoubt::Rerun
        } else {
            InDoubt::Refuse
        }
    });
    let app = App::new(store, policy, async |run, _| {
        if run == 1 { status(500) } else { created(run) }
    });
    app.send(post("k", "{}")).await;
    let refused = app.send(post("k", "{}")).await;
    refused.assert_problem(409, "outcome-unknown");
    let mut request = post("k", "{}");
    add(&mut request, "x-natural-key", "7");
    assert_eq!(app.send(request).await.status, 201);
}

#[tokio::test]
async fn doubt_ends_with_the_time_to_live() {
    let (store, clock) = Clock::store();
    let policy = IdempotencyPolicy::new().ttl(Duration::from_secs(600));
    let app = App::new(store, policy, async |run, _| {
        if run == 1 { status(500) } else { created(run) }
    });
    app.send(post("k", "{}")).await;
    clock.advance(Duration::from_secs(599));
    let refused = app.send(post("k", "{}")).await;
    refused.assert_problem(409, "outcome-unknown");
    clock.advance(Duration::from_secs(1));
    assert_eq!(app.send(post("k", "{}")).await.status, 201);
}
