//! Nothing is read or kept without a limit, and streams pass untouched.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::mpsc;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::RequestBody;
use tower_conditional::idempotency::{IdempotencyLayer, IdempotencyPolicy, MemoryIdempotencyStore};

use super::{App, Content, created, post, user, without_key};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_a_longer_one_refused() {
    let app = App::orders(MemoryIdempotencyStore::new(), IdempotencyPolicy::new());
    let answer = app.send(post("k", &"x".repeat(MIB))).await;
    assert_eq!(answer.status, 201);
    let refused = app.send(post("l", &"x".repeat(MIB + 1))).await;
    refused.assert_problem(413, "content-too-large");
    assert_eq!(app.runs(), 1, "the handler ran");
    let unkeyed = without_key(&http::Method::POST, &"x".repeat(MIB + 1));
    assert_eq!(
        app.send(unkeyed).await.status,
        201,
        "only keyed ones are read"
    );
}

#[tokio::test]
async fn an_answer_of_the_limit_is_kept_and_of_a_longer_one_that_it_was_given() {
    for (length, kept) in [(1000, true), (1001, false)] {
        let app = App::new(
            MemoryIdempotencyStore::new(),
            IdempotencyPolicy::new().answer_limit(1000),
            move |run, _| async move { created(run).map(|_| Full::from(vec![b'x'; length])) },
        );
        let first = app.send(post("k", "{}")).await;
        assert_eq!(first.body.len(), length);
        let replayed = app.send(post("k", "{}")).await;
        if kept {
            replayed.assert_replays(&first);
        } else {
            replayed.assert_problem(409, "result-not-stored");
            assert_eq!(replayed.field("location"), "/orders/1");
            assert!(replayed.is_replayed());
        }
        assert_eq!(app.runs(), 1);
    }
}

/// A stream that is fed by the test.
struct Stream(mpsc::UnboundedReceiver<Bytes>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = futures_core::Stream::poll_next(Pin::new(&mut self.0), context);
        next.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_only_that_it_was_given_is_kept() {
    let (sender, receiver) = mpsc::unbounded();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let handler = service_fn(move |_: Request<RequestBody<Content>>| {
        let receiver = receiver.lock().unwrap().take().expect("it runs once");
        async move { Ok::<_, Infallible>(Response::new(Stream(receiver))) }
    });
    let service = IdempotencyLayer::new(MemoryIdempotencyStore::new(), user).layer(handler);
    let response = service.clone().oneshot(post("k", "{}")).await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "the answer waited for its end"
    );
    let mut body = response.into_body();
    for chunk in ["one", "two"] {
        sender.unbounded_send(Bytes::from(chunk)).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), chunk);
    }
    // The stream has not ended, and its request is done all the same.
    let replayed = service.oneshot(post("k", "{}")).await.unwrap();
    assert_eq!(replayed.status(), StatusCode::CONFLICT);
    let problem = replayed.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(problem["type"], "/problems/result-not-stored");
}

/// Says how long it is, and then breaks off.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("disk full")))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(10)
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_was_given_all_the_same() {
    let handler = service_fn(async |_: Request<RequestBody<Content>>| {
        Ok::<_, Infallible>(Response::new(Broken))
    });
    let service = IdempotencyLayer::new(MemoryIdempotencyStore::new(), user).layer(handler);
    for _ in 0..2 {
        let response = service.clone().oneshot(post("k", "{}")).await.unwrap();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        let problem = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
        assert_eq!(problem["type"], "/problems/result-not-stored");
    }
}

#[tokio::test]
async fn a_full_store_forgets_contents_before_it_refuses_keys_and_never_forgets_a_key() {
    let store = MemoryIdempotencyStore::new().with_capacity(20_000);
    let app = App::new(store, IdempotencyPolicy::new(), async |run, _| {
        created(run).map(|_| Full::from(vec![b'x'; 4000]))
    });
    let keys: Vec<_> = (0..100).map(|number| format!("key-{number}")).collect();
    let mut made = Vec::new();
    for key in &keys {
        let answer = app.send(post(key, "{}")).await;
        if answer.status == StatusCode::CREATED {
            made.push(key);
        } else {
            answer.assert_problem(503, "store-unavailable");
        }
    }
    assert!(made.len() > 10 && made.len() < 100, "{} of 100", made.len());
    assert_eq!(app.runs(), made.len());
    for key in &made {
        app.send(post(key, "{}"))
            .await
            .assert_problem(409, "result-not-stored");
    }
    assert_eq!(app.runs(), made.len(), "a key was forgotten");
}
