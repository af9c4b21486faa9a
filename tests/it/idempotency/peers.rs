//! How other idempotency layers fail, each as a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Method;
use http::header::SET_COOKIE;
use http_body_util::BodyExt as _;
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyPolicy, IdempotencyStore,
    MemoryIdempotencyStore, RecordKey, Settlement,
};
use tower_conditional::store::{Answer as StoreAnswer, StoreError};

use super::{App, created, post, status, with};

fn orders() -> App {
    App::orders(MemoryIdempotencyStore::new(), IdempotencyPolicy::new())
}

#[tokio::test]
async fn another_user_is_never_answered_with_what_is_not_his() {
    let app = orders();
    let ann = app.send(with("POST", "/orders", "ann", "k", "{}")).await;
    let bob = app.send(with("POST", "/orders", "bob", "k", "{}")).await;
    assert!(!bob.is_replayed());
    assert_ne!(ann.body, bob.body);
    assert_eq!(app.runs(), 2);
}

#[tokio::test]
async fn a_key_that_is_nobodys_protects_nobody_and_is_refused() {
    let app = orders();
    let mut anonymous = post("k", "{}");
    anonymous.headers_mut().remove("x-user");
    let refused = app.send(anonymous).await;
    refused.assert_problem(400, "idempotency-identity-required");
    assert_eq!(app.runs(), 0, "the handler ran");
}

#[tokio::test]
async fn a_key_that_comes_back_with_another_request_is_refused() {
    let app = orders();
    let first = app.send(with("POST", "/orders", "ann", "k", "{}")).await;
    for (what, request) in [
        ("body", with("POST", "/orders", "ann", "k", "{\"a\":1}")),
        ("path", with("POST", "/invoices", "ann", "k", "{}")),
        ("query", with("POST", "/orders?x=1", "ann", "k", "{}")),
        ("method", with("PUT", "/orders", "ann", "k", "{}")),
    ] {
        let refused = app.send(request).await;
        refused.assert_problem(422, "idempotency-key-reused");
        assert_eq!(app.runs(), 1, "the handler ran for another {what}");
    }
    app.send(post("k", "{}")).await.assert_replays(&first);
}

#[tokio::test]
async fn a_session_is_not_handed_out_twice() {
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        async |run, _| {
            let mut response = created(run);
            let headers = response.headers_mut();
            headers.insert(SET_COOKIE, "session=secret".parse().unwrap());
            headers.insert("date", "Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
            headers.insert("x-rate-limit", "5".parse().unwrap());
            response
        },
    );
    let first = app.send(post("k", "{}")).await;
    assert_eq!(first.field(SET_COOKIE), "session=secret");
    let replayed = app.send(post("k", "{}")).await;
    for gone in ["set-cookie", "date", "x-rate-limit"] {
        assert!(!replayed.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(replayed.field("etag"), "\"1\"");
}

#[test]
#[should_panic(expected = "Set-Cookie is never replayed")]
fn not_even_on_request() {
    let _ = IdempotencyPolicy::new().keep_header(SET_COOKIE);
}

#[tokio::test]
async fn fields_on_the_allow_list_come_back_all_their_lines() {
    let vary = http::header::VARY;
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new().keep_header(vary.clone()),
        async |run, _| {
            let mut response = created(run);
            let headers = response.headers_mut();
            headers.append("vary", "accept".parse().unwrap());
            headers.append("vary", "prefer".parse().unwrap());
            response
        },
    );
    let first = app.send(post("k", "{}")).await;
    let replayed = app.send(post("k", "{}")).await;
    replayed.assert_replays(&first);
    assert_eq!(replayed.headers.get_all(vary).iter().count(), 2);
}

#[tokio::test]
async fn errors_are_not_replayed() {
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        async |run, _| if run == 1 { status(404) } else { created(run) },
    );
    assert_eq!(app.send(post("k", "{}")).await.status, 404);
    assert_eq!(app.send(post("k", "{}")).await.status, 201);
}

#[tokio::test]
async fn the_handler_gets_the_whole_body() {
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        async |run, request: super::Incoming| {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "{\"total\":12}");
            created(run)
        },
    );
    let answer = app.send(post("k", "{\"total\":12}")).await;
    assert_eq!(answer.status, 201);
}

/// A store that cannot be reached, at first or from some moment on.
#[derive(Clone, Default)]
struct Unreachable {
    store: MemoryIdempotencyStore,
    begins: Arc<AtomicBool>,
    settles: Arc<AtomicBool>,
}

impl IdempotencyStore for Unreachable {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> StoreAnswer<Result<Begun, StoreError>> {
        if self.begins.load(Ordering::SeqCst) {
            return StoreAnswer::ready(Err(StoreError::not_applied("no connection")));
        }
        self.store.begin(key, fingerprint, options)
    }

    fn settle(
        &self,
        attempt: &Attempt,
        ending: Ending,
    ) -> StoreAnswer<Result<Settlement, StoreError>> {
        if self.settles.load(Ordering::SeqCst) {
            return StoreAnswer::ready(Err(StoreError::unknown("connection lost")));
        }
        self.store.settle(attempt, ending)
    }

    fn abandon(&self, attempt: &Attempt) {
        self.store.abandon(attempt);
    }
}

#[tokio::test]
async fn a_store_that_fails_is_no_reason_to_run_unprotected() {
    let store = Unreachable::default();
    store.begins.store(true, Ordering::SeqCst);
    let app = App::orders(store, IdempotencyPolicy::new());
    let refused = app.send(post("k", "{}")).await;
    refused.assert_problem(503, "store-unavailable");
    assert_eq!(refused.field("retry-after"), "1");
    assert_eq!(app.runs(), 0, "the handler ran");
    let unkeyed = app.send(super::without_key(&Method::POST, "{}")).await;
    assert_eq!(unkeyed.status, 201, "it needs no store");
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_is_given_and_never_made_twice() {
    let store = Unreachable::default();
    store.settles.store(true, Ordering::SeqCst);
    let app = App::orders(store.clone(), IdempotencyPolicy::new());
    let first = app.send(post("k", "{}")).await;
    assert_eq!(first.status, 201, "it was carried out");
    store.settles.store(false, Ordering::SeqCst);
    let retry = app.send(post("k", "{}")).await;
    retry.assert_problem(409, "request-in-progress");
    assert_eq!(app.runs(), 1);
}

#[tokio::test]
async fn binary_answers_come_back_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let content = Bytes::from(bytes.clone());
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        move |_, _| {
            let content = content.clone();
            async move { http::Response::new(content.into()) }
        },
    );
    app.send(post("k", "{}")).await;
    let replayed = app.send(post("k", "{}")).await;
    assert_eq!(replayed.body, bytes);
}
