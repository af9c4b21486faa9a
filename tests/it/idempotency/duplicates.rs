//! Keys in the body, duplicates by content, and what a duplicate gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_conditional::Problem;
use tower_conditional::idempotency::{
    Content as Counts, IdempotencyPolicy, InFlight, KeySource, KeyUse, MemoryIdempotencyStore,
    OnDuplicate,
};

use super::{App, Clock, Content, created, status};

fn save(path: &str, body: &str) -> Request<Content> {
    Request::post(path)
        .header("x-user", "ann")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

/// Refuses what has a `temporaryUUID` that was seen before, in the style of the application.
fn client_ids() -> IdempotencyPolicy {
    IdempotencyPolicy::new()
        .source(KeySource::json_member("temporaryUUID"))
        .on_duplicate(OnDuplicate::reject(|_| {
            Problem::new(StatusCode::CONFLICT, "duplicate", "Duplicate")
        }))
        .in_flight(InFlight::Wait(Duration::from_secs(60)))
        .render(|problem| {
            let code = match problem.type_name() {
                "duplicate" => 1206,
                _ => 1000,
            };
            let mut response = Response::new(Bytes::from(format!("{{\"errorCode\":{code}}}")));
            *response.status_mut() = problem.status();
            response
        })
}

#[tokio::test]
async fn a_client_id_that_was_seen_before_is_rejected_whatever_else_the_body_says() {
    let app = App::orders(MemoryIdempotencyStore::new(), client_ids());
    let first = app
        .send(save("/sales", r#"{"temporaryUUID":"a","total":1}"#))
        .await;
    assert_eq!(first.status, 201);
    for body in [
        r#"{"temporaryUUID":"a","total":1}"#,
        r#"{"total":2,"temporaryUUID":"a"}"#,
    ] {
        let rejected = app.send(save("/sales", body)).await;
        assert_eq!(rejected.status, 409);
        assert_eq!(rejected.body, "{\"errorCode\":1206}");
    }
    assert_eq!(app.runs(), 1);
    let other_kind = app
        .send(save("/payments", r#"{"temporaryUUID":"a"}"#))
        .await;
    assert_eq!(other_kind.status, 201);
    let none = app.send(save("/sales", r#"{"total":1}"#)).await;
    assert_eq!(none.status, 201);
    assert_eq!(app.runs(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_calls_with_one_client_id_exactly_one_creates() {
    let app = App::new(
        MemoryIdempotencyStore::new(),
        client_ids(),
        async |run, _| {
            tokio::task::yield_now().await;
            created(run)
        },
    );
    let calls: Vec<_> = (0..32)
        .map(|total| format!(r#"{{"temporaryUUID":"a","total":{total}}}"#))
        .map(|body| app.spawn(save("/sales", &body)))
        .collect();
    let mut created = 0;
    for call in calls {
        match call.await.unwrap().status {
            StatusCode::CREATED => created += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!((created, app.runs()), (1, 1));
}

#[tokio::test]
async fn a_client_id_of_a_call_that_failed_counts_for_nothing() {
    let app = App::new(
        MemoryIdempotencyStore::new(),
        client_ids(),
        async |run, _| {
            if run == 1 { status(400) } else { created(run) }
        },
    );
    let body = r#"{"temporaryUUID":"a"}"#;
    assert_eq!(app.send(save("/sales", body)).await.status, 400);
    assert_eq!(app.send(save("/sales", body)).await.status, 201);
}

#[tokio::test]
async fn a_client_id_that_is_none_is_refused_and_a_missing_one_where_it_is_required() {
    let app = App::orders(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new()
            .source(KeySource::json_member("temporaryUUID"))
            .key_use_for(Method::POST, KeyUse::Required),
    );
    let refused = app.send(save("/sales", r#"{"temporaryUUID":[]}"#)).await;
    refused.assert_problem(400, "idempotency-key-malformed");
    let refused = app.send(save("/sales", "{}")).await;
    refused.assert_problem(400, "idempotency-key-required");
    assert_eq!(app.runs(), 0, "the handler ran");
}

#[tokio::test]
async fn a_client_id_can_replay_and_then_the_rest_of_the_body_has_to_be_the_same() {
    let policy = IdempotencyPolicy::new().source(KeySource::json_member("temporaryUUID"));
    let app = App::orders(MemoryIdempotencyStore::new(), policy);
    let first = app.send(save("/sales", r#"{"temporaryUUID":"a"}"#)).await;
    let again = app.send(save("/sales", r#"{"temporaryUUID":"a"}"#)).await;
    again.assert_replays(&first);
    let other = app
        .send(save("/sales", r#"{"temporaryUUID":"a","b":1}"#))
        .await;
    other.assert_problem(422, "idempotency-key-reused");
}

fn by_content() -> IdempotencyPolicy {
    let counts = Counts::all()
        .without(["note"])
        .unless(["id", "temporaryUUID"]);
    IdempotencyPolicy::new().source(KeySource::content(counts))
}

#[tokio::test]
async fn equal_content_within_the_window_is_one_document() {
    let (store, clock) = Clock::store();
    let app = App::orders(store, by_content().ttl(Duration::from_secs(60)));
    let first = app.send(save("/sales", r#"{"total":12,"note":"a"}"#)).await;
    let again = app
        .send(save("/sales", r#"{"note":"b", "total":12.0}"#))
        .await;
    again.assert_replays(&first);
    for (path, body) in [
        ("/sales", r#"{"total":13}"#),
        ("/payments", r#"{"total":12}"#),
        ("/sales", r#"{"total":12,"id":5}"#),
        ("/sales", r#"{"total":12,"id":5}"#),
        ("/sales", r#"{"total":12,"temporaryUUID":"a"}"#),
    ] {
        let other = app.send(save(path, body)).await;
        assert!(!other.is_replayed(), "{path} {body}");
    }
    assert_eq!(app.runs(), 6);
    clock.advance(Duration::from_secs(60));
    let later = app.send(save("/sales", r#"{"total":12}"#)).await;
    assert!(!later.is_replayed());
    assert_eq!(app.runs(), 7);
}

#[tokio::test]
async fn a_duplicate_can_be_answered_with_what_is_there_now_if_it_still_is() {
    let deleted = Arc::new(AtomicBool::new(false));
    let is_deleted = Arc::clone(&deleted);
    let policy = by_content().on_duplicate(OnDuplicate::answer_with(move |duplicate| {
        let is_deleted = is_deleted.load(Ordering::SeqCst);
        async move {
            let id = duplicate.response.content()?.clone();
            (!is_deleted).then(|| Response::new(Bytes::from([b"now: ", &id[..]].concat())))
        }
    }));
    let app = App::orders(MemoryIdempotencyStore::new(), policy);
    let body = r#"{"total":12}"#;
    assert_eq!(app.send(save("/sales", body)).await.status, 201);
    let existing = app.send(save("/sales", body)).await;
    assert_eq!(
        (existing.status.as_u16(), &existing.body[..]),
        (200, &b"now: {\"id\":1}"[..])
    );

    deleted.store(true, Ordering::SeqCst);
    let anew = app.send(save("/sales", body)).await;
    assert_eq!(
        (anew.status.as_u16(), &anew.body[..]),
        (201, &b"{\"id\":2}"[..])
    );
    deleted.store(false, Ordering::SeqCst);
    let existing = app.send(save("/sales", body)).await;
    assert_eq!(existing.body, "now: {\"id\":2}");
    assert_eq!(app.runs(), 2);
}
