//! The service that is called is the one that was polled ready (`tower_test` panics if it is not),
//! and readiness is the inner service's own: nothing is called before it says so.

use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::Layer;
use tower_conditional::report::Report;
use tower_conditional::runtime::Runtime;
use tower_conditional::store::{Current, Version};
use tower_conditional::{ConditionalLayer, Policy, RequestBody};
use tower_test::mock::{self, Handle, Spawn};

use crate::support::{ScriptedStore, in_time, request};

type Forwarded = Request<RequestBody<Full<Bytes>>>;
type Answer = Response<Full<Bytes>>;

const PATH: &str = "/notes/1";

/// Every way that a request can take through the layer.
fn ways() -> Vec<(&'static str, ConditionalLayer, Request<Full<Bytes>>)> {
    let mut ways = Vec::new();
    for (name, store) in [
        ("at once", ScriptedStore::at_once as fn() -> ScriptedStore),
        ("later", ScriptedStore::later),
    ] {
        let store = || store().present(PATH, 5);
        let get = || request("GET", PATH, &[("if-none-match", r#""4""#)], "");
        let put = || request("PUT", PATH, &[("if-match", r#""5""#)], "new");
        let existence_first = Policy::rfc9110().existence_first(true);
        let named = |way: &str| -> &'static str { format!("{way}, store {name}").leak() };
        ways.extend([
            (named("read"), ConditionalLayer::new(store()), get()),
            (named("claimed"), ConditionalLayer::new(store()), put()),
            (
                named("claimed, not detached"),
                ConditionalLayer::with_runtime(store(), Runtime::inline()),
                put(),
            ),
            (
                named("read in handler mode"),
                ConditionalLayer::handler_with(store()),
                get(),
            ),
            (
                named("reported"),
                ConditionalLayer::handler_with(store()).policy(existence_first),
                put(),
            ),
        ]);
    }
    ways.extend([
        (
            "reported, no store",
            ConditionalLayer::handler(),
            request("PUT", PATH, &[("if-match", r#""5""#)], "new"),
        ),
        (
            "forwarded",
            ConditionalLayer::handler(),
            request("OPTIONS", PATH, &[], ""),
        ),
    ]);
    ways
}

fn clone_of(request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    request_like(request, &headers)
}

fn request_like(like: &Request<Full<Bytes>>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    request(like.method().as_str(), like.uri().path(), headers, "new")
}

fn answer() -> Answer {
    let mut answer = Response::new(Full::default());
    let wrote = Report::Wrote(Current::new(Version::from(6)));
    answer.extensions_mut().insert(wrote);
    answer
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    for (way, layer, first) in ways() {
        let (inner, mut handle): (_, Handle<Forwarded, Answer>) = mock::pair();
        handle.allow(0);
        let mut service = Spawn::new(layer.layer(inner));
        assert!(service.poll_ready().is_pending(), "{way}: not ready inside");

        handle.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))), "{way}");
        let second = clone_of(&first);
        let called = tokio::spawn(service.call(first));
        let (_, send) = in_time(handle.next_request()).await.expect(way);
        send.send_response(answer());
        let response = in_time(called).await.unwrap().expect(way);
        assert_eq!(response.status(), StatusCode::OK, "{way}");

        assert!(service.poll_ready().is_pending(), "{way}: used up");
        handle.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))), "{way}");
        // The second time the resource may have moved on; what matters is who is called.
        let called = tokio::spawn(service.call(second));
        let asked = tokio::select! {
            asked = handle.next_request() => asked,
            response = called => {
                let status = response.unwrap().expect(way).status();
                assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{way}");
                continue;
            }
        };
        asked.expect(way).1.send_response(answer());
    }
}
