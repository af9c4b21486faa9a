//! What becomes of a key: every row of the table in the module docs.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http_body::Body as _;
use tokio::sync::Notify;
use tower::ServiceExt as _;
use tower_conditional::idempotency::{
    IdempotencyPolicy, InFlight, Keep, KeyUse, MemoryIdempotencyStore,
};

use tower_conditional::problem::Reason;

use super::{App, Clock, add, created, post, status, with, without_key};

fn policy() -> IdempotencyPolicy {
    IdempotencyPolicy::new()
}

fn orders() -> App {
    App::orders(MemoryIdempotencyStore::new(), policy())
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_etag_and_location_included() {
    let app = orders();
    let first = app.send(post("k", "{}")).await;
    assert_eq!(first.status, 201);
    assert_eq!(
        (first.field("etag"), first.field("location")),
        ("\"1\"", "/orders/1")
    );
    for _ in 0..3 {
        app.send(post("k", "{}")).await.assert_replays(&first);
    }
    assert_eq!(app.runs(), 1);
}

#[tokio::test]
async fn the_length_of_a_kept_answer_is_told_every_time() {
    let app = orders();
    for _ in 0..2 {
        let answer = app.service.clone().oneshot(post("k", "{}")).await;
        let length = answer.expect("infallible").body().size_hint().exact();
        assert_eq!(length, Some(8));
    }
}

#[tokio::test]
async fn another_key_is_another_operation() {
    let app = orders();
    let first = app.send(post("k", "{}")).await;
    let other = app.send(post("l", "{}")).await;
    assert_ne!(first.body, other.body);
    assert_eq!(app.runs(), 2);
}

#[tokio::test]
async fn bare_and_quoted_are_one_key() {
    let app = orders();
    let first = app.send(post("k", "{}")).await;
    app.send(post("\"k\"", "{}")).await.assert_replays(&first);
    assert_eq!(app.runs(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_refused() {
    let app = orders();
    for key in ["", "\"\"", "\"a", "a b", "a, b", &"x".repeat(256)] {
        let refused = app.send(post(key, "{}")).await;
        refused.assert_problem(400, "idempotency-key-malformed");
    }
    let mut twice = post("k", "{}");
    add(&mut twice, "idempotency-key", "k");
    let refused = app.send(twice).await;
    refused.assert_problem(400, "idempotency-key-malformed");
    assert_eq!(app.runs(), 0, "the handler ran");
}

#[tokio::test]
async fn without_a_key_every_request_runs_unless_one_is_required() {
    let app = orders();
    for _ in 0..2 {
        let answer = app.send(without_key(&Method::POST, "{}")).await;
        assert_eq!((answer.status.as_u16(), answer.is_replayed()), (201, false));
    }
    assert_eq!(app.runs(), 2);

    let required = policy().key_use_for(Method::POST, KeyUse::Required);
    let app = App::orders(MemoryIdempotencyStore::new(), required);
    let refused = app.send(without_key(&Method::POST, "{}")).await;
    refused.assert_problem(400, "idempotency-key-required");
    assert_eq!(app.runs(), 0, "the handler ran");
    app.send(without_key(&Method::PUT, "{}")).await;
    assert_eq!(app.runs(), 1, "only POST needs one");
}

#[tokio::test]
async fn reads_and_ignored_methods_pass_through() {
    let ignored = policy().key_use_for(Method::PUT, KeyUse::Ignored);
    let app = App::orders(MemoryIdempotencyStore::new(), ignored);
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        for _ in 0..2 {
            let answer = app.send(with(method, "/orders", "ann", "k", "")).await;
            assert!(!answer.is_replayed(), "{method}");
        }
    }
    assert_eq!(app.runs(), 8);
}

#[tokio::test]
async fn while_it_is_under_way_a_retry_is_told_so_or_waits() {
    for wait in [None, Some(Duration::from_secs(60))] {
        let in_flight = wait.map_or(InFlight::Refuse, InFlight::Wait);
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (entering, going_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        let app = App::new(
            MemoryIdempotencyStore::new(),
            policy().in_flight(in_flight),
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
        if wait.is_some() {
            let retry = app.spawn(post("k", "{}"));
            go_on.notify_one();
            let first = first.await.unwrap();
            retry.await.unwrap().assert_replays(&first);
        } else {
            let refused = app.send(post("k", "{}")).await;
            refused.assert_problem(409, "request-in-progress");
            assert_eq!(refused.field("retry-after"), "1");
            go_on.notify_one();
            let first = first.await.unwrap();
            app.send(post("k", "{}")).await.assert_replays(&first);
        }
        assert_eq!(app.runs(), 1);
    }
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so() {
    let never = async |_, _| std::future::pending().await;
    let wait = InFlight::Wait(Duration::from_millis(30));
    let app = App::new(
        MemoryIdempotencyStore::new(),
        policy().in_flight(wait),
        never,
    );
    let first = app.spawn(post("k", "{}"));
    while app.runs() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = app.send(post("k", "{}")).await;
    refused.assert_problem(409, "request-in-progress");
    assert_eq!(app.runs(), 1);
    first.abort();
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    for refusal in [400, 401, 404, 405, 409, 412, 413, 415, 422, 428, 429, 503] {
        let app = App::new(
            MemoryIdempotencyStore::new(),
            policy(),
            move |run, _| async move {
                if run == 1 {
                    status(refusal)
                } else {
                    created(run)
                }
            },
        );
        let refused = app.send(post("k", "{}")).await;
        assert_eq!(refused.status, refusal);
        let second = app.send(post("k", "{\"corrected\":true}")).await;
        assert_eq!(
            second.status, 201,
            "after {refusal}: even with another body"
        );
        assert!(!second.is_replayed());
        assert_eq!(app.runs(), 2);
    }
}

#[tokio::test]
async fn a_refusal_of_an_inner_layer_is_one_whatever_its_status_is() {
    let app = App::new(MemoryIdempotencyStore::new(), policy(), async |run, _| {
        let mut response = status(200);
        if run == 1 {
            // As an API answers whose errors are all 200, and that has its own renderer.
            response.extensions_mut().insert(Reason::Stale);
        }
        response
    });
    assert_eq!(app.send(post("k", "{}")).await.status, 200);
    let second = app.send(post("k", "{}")).await;
    assert!(!second.is_replayed());
    assert_eq!(app.runs(), 2);
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_time_to_live() {
    let (store, clock) = Clock::store();
    let app = App::orders(store.clone(), policy());
    let first = app.send(post("k", "{}")).await;
    clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    app.send(post("k", "{}")).await.assert_replays(&first);
    assert_eq!(store.len(), 1);
    clock.advance(Duration::from_secs(1));
    assert!(store.is_empty());
    let again = app.send(post("k", "{\"other\":1}")).await;
    assert_eq!(again.status, 201);
    assert_eq!(app.runs(), 2);
}

#[tokio::test]
async fn the_policy_says_what_is_kept() {
    let keep_refusals = policy().keep(|response| {
        if response.status().is_server_error() {
            Keep::Release
        } else {
            Keep::Store
        }
    });
    let app = App::new(
        MemoryIdempotencyStore::new(),
        keep_refusals,
        async |run, _| status(if run == 1 { 500 } else { 402 }),
    );
    assert_eq!(app.send(post("k", "{}")).await.status, 500);
    let first = app.send(post("k", "{}")).await;
    assert_eq!(first.status, 402);
    app.send(post("k", "{}")).await.assert_replays(&first);
    assert_eq!(app.runs(), 2);
}

#[tokio::test]
async fn answers_other_than_refusals_are_kept() {
    for success in [200, 201, 202, 204, 303] {
        let app = App::new(
            MemoryIdempotencyStore::new(),
            policy(),
            move |_, _| async move { status(success) },
        );
        let first = app.send(post("k", "{}")).await;
        app.send(post("k", "{}")).await.assert_replays(&first);
        assert_eq!(app.runs(), 1, "{success}");
    }
}

#[tokio::test]
async fn problems_can_be_written_in_the_style_of_the_application() {
    let legacy = policy()
        .key_use(KeyUse::Required)
        .replayed_header(http::HeaderName::from_static("idempotent-replayed"))
        .render(|problem| {
            let mut response = http::Response::new(problem.type_name().to_owned().into());
            *response.status_mut() = http::StatusCode::OK;
            response
        });
    let app = App::orders(MemoryIdempotencyStore::new(), legacy);
    let refused = app.send(without_key(&Method::POST, "{}")).await;
    assert_eq!(refused.status, 200);
    assert_eq!(refused.body, "idempotency-key-required");
    app.send(post("k", "{}")).await;
    let replayed = app.send(post("k", "{}")).await;
    assert_eq!(replayed.field("idempotent-replayed"), "true");
}
