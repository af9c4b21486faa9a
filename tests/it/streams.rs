//! Nothing is buffered that the policy does not name: a body is polled when somebody polls it, and
//! its frames, length and end are its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::RequestBodies;
use tower_conditional::report::Report;
use tower_conditional::store::{Current, Version};
use tower_conditional::{ConditionalLayer, Policy, RequestBody};

use crate::support::{Frames, ScriptedStore, in_time, request};

const PATH: &str = "/notes/1";

/// An endless body that counts how often it is asked.
struct Counted(Arc<AtomicUsize>);

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data: x\n\n")))))
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(7);
        hint
    }
}

#[tokio::test]
async fn the_body_of_an_answer_is_polled_as_often_as_its_reader_polls() {
    let store = || ScriptedStore::at_once().present(PATH, 5);
    for (method, layer) in [
        ("GET", ConditionalLayer::new(store())),
        ("GET", ConditionalLayer::handler()),
        ("PUT", ConditionalLayer::new(store())),
        ("PUT", ConditionalLayer::handler()),
        ("OPTIONS", ConditionalLayer::handler()),
    ] {
        let polled = Arc::new(AtomicUsize::new(0));
        let body = Arc::clone(&polled);
        let service = layer.layer(service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
            let mut response = Response::new(Counted(Arc::clone(&body)));
            let wrote = Report::Wrote(Current::new(Version::from(6)));
            response.extensions_mut().insert(wrote);
            async { Ok::<_, Infallible>(response) }
        }));
        let if_match = [("if-match", r#""5""#)];
        let headers = if method == "PUT" { &if_match[..] } else { &[] };
        let ask = request(method, PATH, headers, "");
        let mut response = service.oneshot(ask).await.unwrap();
        assert_eq!(response.status(), 200, "{method}");
        assert_eq!(polled.load(Ordering::Relaxed), 0, "{method}");
        assert_eq!(response.body().size_hint().lower(), 7, "{method}");
        assert!(!response.body().is_end_stream(), "{method}");
        for reads in 1..=3 {
            response.frame().await.unwrap().unwrap();
            assert_eq!(polled.load(Ordering::Relaxed), reads, "{method}");
        }
    }
}

#[tokio::test]
async fn a_write_is_passed_on_as_it_comes_where_the_policy_says_so() {
    let streaming = Policy::rfc9110().request_body(RequestBodies::Stream);
    let store = ScriptedStore::at_once().present(PATH, 5);
    for (name, layer) in [
        ("claim", ConditionalLayer::new(store).policy(streaming)),
        ("handler", ConditionalLayer::handler()),
    ] {
        let (frames, body) = Frames::channel();
        let service = layer.layer(service_fn(async |mut request: Request<RequestBody<_>>| {
            let frame: Frame<Bytes> = request.body_mut().frame().await.unwrap().unwrap();
            let mut response = Response::new(Full::from(frame.into_data().unwrap()));
            let wrote = Report::Wrote(Current::new(Version::from(6)));
            response.extensions_mut().insert(wrote);
            Ok::<_, Infallible>(response)
        }));
        let write = request("PUT", PATH, &[("if-match", r#""5""#)], "").map(|_| body);
        let answer = tokio::spawn(service.oneshot(write));
        // The upload goes on, and the handler has its first frame all the same.
        in_time(frames.send(Frame::data(Bytes::from_static(b"first"))))
            .await
            .unwrap();
        let response = in_time(answer).await.unwrap().unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "first", "{name}");
        drop(frames);
    }
}

#[tokio::test]
async fn no_claim_is_held_while_a_client_uploads() {
    let store = ScriptedStore::at_once().present(PATH, 5);
    let layer = ConditionalLayer::new(store.clone());
    let service = layer.layer(service_fn(async |request: Request<RequestBody<Frames>>| {
        let read = request.into_body().collect().await.unwrap();
        Ok::<_, Infallible>(Response::new(Full::from(read.to_bytes())))
    }));
    let (frames, body) = Frames::channel();
    let write = request("PUT", PATH, &[("if-match", r#""5""#)], "").map(|_| body);
    let answer = tokio::spawn(service.oneshot(write));
    for _ in 0..3 {
        // The second frame is only taken in once the first was read, and so on.
        let frame = Frame::data(Bytes::from_static(b"part "));
        in_time(frames.send(frame)).await.unwrap();
        assert_eq!(store.claims(), 0);
    }
    drop(frames);
    let response = in_time(answer).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "part part part ");
}
