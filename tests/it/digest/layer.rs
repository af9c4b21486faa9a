//! Which answers get a digest, and which pass untouched.

use std::convert::Infallible;

use bytes::Bytes;
use futures_core::Stream;
use http::header::{CONTENT_LENGTH, ETAG, TE, TRAILER};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::digest::{DigestLayer, Field, Sha256Digest};

const ALL: [Field; 3] = [Field::ContentDigest, Field::EntityTag, Field::ReprDigest];
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

type Content = BoxBody<Bytes, &'static str>;

fn full(text: &'static str) -> Content {
    Full::from(text).map_err(|never| match never {}).boxed()
}

/// A body that does not say how long it is.
fn stream(frames: Vec<Result<&'static str, &'static str>>) -> Content {
    let frames = frames.into_iter();
    let frames = frames.map(|frame| frame.map(|data| Frame::data(Bytes::from(data))));
    BodyExt::boxed(StreamBody::new(Iter(frames)))
}

struct Iter<I>(I);

impl<I: Iterator + Unpin> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

struct Got {
    headers: HeaderMap,
    hint: SizeHint,
    content: Result<(Bytes, Option<HeaderMap>), &'static str>,
}

async fn send(layer: &DigestLayer, method: Method, answer: Response<Content>) -> Got {
    let answer = std::sync::Mutex::new(Some(answer));
    let handler = service_fn(|_: Request<()>| {
        let answer = answer.lock().expect("one at a time").take();
        async { Ok::<_, Infallible>(answer.expect("one request")) }
    });
    let request = Request::builder().method(method).header(TE, "trailers");
    let request = request.body(()).expect("a request");
    let response = layer.layer(handler).oneshot(request).await;
    let (head, body) = response.expect("nothing fails here").into_parts();
    let hint = body.size_hint();
    let content = body.collect().await.map(|body| {
        let trailers = body.trailers().cloned();
        (body.to_bytes(), trailers)
    });
    Got {
        headers: head.headers,
        hint,
        content,
    }
}

fn answer(status: StatusCode, body: Content) -> Response<Content> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

#[tokio::test]
async fn each_kind_of_answer_gets_the_fields_that_fit_it() {
    let rows = [
        (Method::GET, StatusCode::OK, true, true, true),
        (Method::HEAD, StatusCode::OK, false, true, true),
        (Method::PUT, StatusCode::OK, true, false, true),
        (Method::POST, StatusCode::CREATED, true, false, true),
        (Method::GET, StatusCode::PARTIAL_CONTENT, true, false, false),
        (Method::GET, StatusCode::NOT_FOUND, true, false, false),
        (Method::HEAD, StatusCode::NOT_FOUND, false, false, false),
        (Method::GET, StatusCode::NOT_MODIFIED, false, false, false),
        (Method::DELETE, StatusCode::NO_CONTENT, false, false, false),
    ];
    let layer = DigestLayer::new(ALL);
    let digest = Sha256Digest::of("abc");
    for (method, status, content, tag, whole) in rows {
        let row = format!("{method} {status}");
        let got = send(&layer, method, answer(status, full("abc"))).await;
        let field = |name| got.headers.get(name).cloned();
        let value = Some(digest.to_field_value());
        assert_eq!(
            field(CONTENT_DIGEST),
            value.clone().filter(|_| content),
            "{row}"
        );
        assert_eq!(field(REPR_DIGEST), value.filter(|_| whole), "{row}");
        let expected = format!("\"{}\"", digest.to_version());
        let sent = field(ETAG).map(|tag| tag.to_str().expect("text").to_owned());
        assert_eq!(sent, Some(expected).filter(|_| tag), "{row}");
        let (bytes, _) = got.content.expect("a whole body");
        assert_eq!(bytes, "abc", "{row}");
        assert_eq!(got.hint.exact(), Some(3), "{row}");
    }
}

#[tokio::test]
async fn what_the_handler_says_itself_stays() {
    let mut own = answer(StatusCode::OK, full("abc"));
    for name in [ETAG, REPR_DIGEST, CONTENT_DIGEST] {
        own.headers_mut()
            .insert(name, "\"own\"".parse().expect("a value"));
    }
    let got = send(&DigestLayer::new(ALL), Method::GET, own).await;
    assert!(got.headers.values().all(|value| value == "\"own\""));
    assert_eq!(got.headers.len(), 3);
}

#[tokio::test]
async fn of_a_body_that_was_left_away_nothing_is_said() {
    let empty = Empty::new().map_err(|never: Infallible| match never {});
    let left_away = answer(StatusCode::OK, empty.boxed());
    let got = send(&DigestLayer::new(ALL), Method::HEAD, left_away).await;
    assert!(got.headers.is_empty());
}

#[tokio::test]
async fn a_stream_passes_untouched() {
    let streamed = answer(StatusCode::OK, stream(vec![Ok("a"), Ok("bc")]));
    let got = send(&DigestLayer::new(ALL), Method::GET, streamed).await;
    assert!(got.headers.is_empty());
    let (bytes, trailers) = got.content.expect("a whole body");
    assert_eq!((&*bytes, trailers), (&b"abc"[..], None));
}

/// It never ends, so waiting for it would not either.
#[tokio::test]
async fn a_stream_is_not_waited_for() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = &'static str;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            std::task::Poll::Pending
        }
    }
    for layer in [DigestLayer::new(ALL), DigestLayer::new(ALL).trailers()] {
        let handler =
            service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Endless)) });
        let response = layer.layer(handler).oneshot(Request::new(())).await;
        assert_eq!(response.expect("an answer").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn the_limit_is_the_longest_that_is_read() {
    let layer = DigestLayer::new(ALL).limit(3);
    let fits = send(&layer, Method::GET, answer(StatusCode::OK, full("abc"))).await;
    assert_eq!(fits.headers.len(), 3);
    let long = send(&layer, Method::GET, answer(StatusCode::OK, full("abcd"))).await;
    assert!(long.headers.is_empty());
}

#[tokio::test]
async fn what_does_not_say_its_length_is_read_where_that_is_wanted() {
    let layer = DigestLayer::new(ALL).limit(3).collect_unsized();
    let fits = answer(StatusCode::OK, stream(vec![Ok("a"), Ok("bc")]));
    let got = send(&layer, Method::GET, fits).await;
    let expected = Sha256Digest::of("abc").to_field_value();
    assert_eq!(got.headers[REPR_DIGEST], expected);
    assert_eq!(got.hint.exact(), Some(3));

    let long = answer(StatusCode::OK, stream(vec![Ok("a"), Ok("bcd"), Ok("e")]));
    let got = send(&layer, Method::GET, long).await;
    assert!(got.headers.is_empty());
    assert_eq!(got.hint.lower(), 4);
    assert_eq!(got.content.expect("a whole body").0, "abcde");

    let broken = answer(StatusCode::OK, stream(vec![Ok("a"), Err("broken")]));
    let got = send(&layer, Method::GET, broken).await;
    assert!(got.headers.is_empty());
    assert_eq!(got.content.expect_err("it breaks off"), "broken");
}

#[tokio::test]
async fn a_trailer_comes_only_where_one_is_asked_for() {
    let streamed = || {
        let mut answer = answer(StatusCode::OK, stream(vec![Ok("a"), Ok("bc")]));
        answer.headers_mut().insert(CONTENT_LENGTH, 3.into());
        answer
    };
    let layer = DigestLayer::new(ALL).trailers();
    let got = send(&layer, Method::GET, streamed()).await;
    let announced: Vec<_> = got.headers.get_all(TRAILER).iter().collect();
    assert_eq!(announced, ["content-digest", "repr-digest"]);
    assert!(!got.headers.contains_key(CONTENT_LENGTH));
    let (bytes, trailers) = got.content.expect("a whole body");
    let trailers = trailers.expect("trailers");
    assert_eq!(bytes, "abc");
    assert_eq!(trailers.len(), 2);
    let expected = Sha256Digest::of("abc").to_field_value();
    assert_eq!(trailers[REPR_DIGEST], expected);

    let head = send(&layer, Method::HEAD, streamed()).await;
    assert!(!head.headers.contains_key(TRAILER));
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(streamed()) });
    let unasked = layer.layer(handler).oneshot(Request::new(())).await;
    let unasked = unasked.expect("an answer");
    assert!(!unasked.headers().contains_key(TRAILER));
    let collected = unasked.into_body().collect().await.expect("a whole body");
    assert_eq!(collected.trailers(), None);
}
