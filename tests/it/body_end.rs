//! Claims that are settled at the end of the body: held until the last frame is out, and the new
//! tag behind it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::observe::Event;
use tower_conditional::policy::SettleAt;
use tower_conditional::report::Report;
use tower_conditional::store::{Current, Version};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, RequestBody, ResponseBody};

use crate::support::{
    Failure, Frames, Raw, ScriptedStore, Seen, Server, Step, http2, in_time, request, see, until,
};

const PATH: &str = "/notes/1";
const URI: &str = "http://notes.example/notes/1";

fn store() -> ScriptedStore {
    ScriptedStore::later().present(PATH, 7)
}

fn layer(store: &ScriptedStore) -> ConditionalLayer {
    let policy = Policy::rfc9110().settle_at(SettleAt::BodyEnd);
    ConditionalLayer::new(store.clone()).policy(policy)
}

fn text(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// The answer of a handler, to be given once.
async fn answered<R>(layer: &ConditionalLayer, answer: Response<R>) -> Response<ResponseBody<R>>
where
    R: Send + 'static,
{
    asked(layer, "PUT", answer).await
}

async fn asked<R>(
    layer: &ConditionalLayer,
    method: &str,
    answer: Response<R>,
) -> Response<ResponseBody<R>>
where
    R: Send + 'static,
{
    let answer = Arc::new(Mutex::new(Some(answer)));
    let handler = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let answer = answer.lock().unwrap().take().expect("it is asked once");
        async move { Ok::<_, Infallible>(answer) }
    });
    let write = request(method, PATH, &[("if-match", r#""7""#)], "new");
    layer.layer(handler).oneshot(write).await.unwrap()
}

fn streamed() -> (mpsc::Sender<Frame<Bytes>>, Response<Frames>) {
    let (sender, frames) = Frames::channel();
    (sender, Response::new(frames))
}

fn trailer(seen: &Seen) -> Option<&str> {
    let tag = seen.trailers.as_ref()?.get(ETAG)?;
    Some(tag.to_str().unwrap())
}

#[tokio::test]
async fn the_resource_stays_claimed_until_the_last_frame_is_out() {
    let store = store();
    let (sender, answer) = streamed();
    let answer = answered(&layer(&store), answer).await;
    assert_eq!(answer.headers().get(ETAG), None);
    let mut body = pin!(answer.into_body());
    for text in ["a", "b"] {
        sender.send(data(text)).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
        assert_eq!((store.claims(), store.version(PATH)), (1, Some(7)));
    }
    drop(sender);
    let trailers = body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!((store.claims(), store.version(PATH)), (0, Some(8)));
    assert_eq!(trailers[ETAG], r#""8""#);
    assert!(body.is_end_stream() && body.frame().await.is_none());
    assert_eq!(store.abandoned(), 0);
}

#[tokio::test]
async fn a_write_without_a_body_has_its_tag_where_there_is_room() {
    for (status, method, header, in_trailer, version) in [
        // Nobody looks for the end of what cannot be there.
        (204, "PUT", Some(r#""8""#), None, Some(8)),
        (205, "PUT", Some(r#""8""#), None, Some(8)),
        (204, "DELETE", None, None, None),
        (200, "PUT", None, Some(r#""8""#), Some(8)),
        // Nothing has changed, so there is nothing to wait for.
        (422, "PUT", None, None, Some(7)),
        (500, "PUT", None, None, Some(8)),
    ] {
        let store = store();
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        let answer = asked(&layer(&store), method, answer).await;
        if in_trailer.is_none() && status < 500 {
            assert_eq!(
                (store.claims(), store.version(PATH)),
                (0, version),
                "{status}"
            );
        }
        let seen = see(answer).await;
        assert_eq!(
            (seen.etag(), trailer(&seen)),
            (header, in_trailer),
            "{status}"
        );
        assert_eq!(
            (store.claims(), store.version(PATH)),
            (0, version),
            "{status}"
        );
        assert_eq!(store.abandoned(), 0, "{status}");
    }
}

#[tokio::test]
async fn a_write_that_changed_nothing_keeps_its_tag_in_the_header() {
    let store = store();
    let mut answer = Response::new(text("same"));
    answer.extensions_mut().insert(Report::Unchanged);
    let seen = see(answered(&layer(&store), answer).await).await;
    assert_eq!((seen.etag(), trailer(&seen)), (Some(r#""7""#), None));
    assert_eq!((store.claims(), store.version(PATH)), (0, Some(7)));
}

#[tokio::test]
async fn a_length_that_the_handler_gave_does_not_hide_the_trailers() {
    let store = store();
    let mut answer = Response::new(text("text"));
    answer.headers_mut().insert(CONTENT_LENGTH, 4.into());
    let answer = answered(&layer(&store), answer).await;
    assert_eq!(answer.headers().get(CONTENT_LENGTH), None);
    assert_eq!(answer.body().size_hint().exact(), None);
    let seen = see(answer).await;
    assert_eq!(
        (&seen.body[..], trailer(&seen)),
        (&b"text"[..], Some(r#""8""#))
    );
}

#[tokio::test]
async fn trailers_of_the_handler_are_kept() {
    let store = store();
    let mut own = HeaderMap::new();
    own.insert("x-checksum", HeaderValue::from_static("abc"));
    let frames = Frames::of([data("a"), Frame::trailers(own)]);
    let seen = see(answered(&layer(&store), Response::new(frames)).await).await;
    assert_eq!(trailer(&seen), Some(r#""8""#));
    assert_eq!(seen.trailers.unwrap()["x-checksum"], "abc");
    assert_eq!(seen.body, "a");
}

#[tokio::test]
async fn the_version_that_the_handler_reports_wins() {
    let store = store();
    let mut answer = Response::new(text("text"));
    let wrote = Report::Wrote(Current::from(41));
    answer.extensions_mut().insert(wrote);
    let seen = see(answered(&layer(&store), answer).await).await;
    assert_eq!((seen.etag(), trailer(&seen)), (None, Some(r#""41""#)));
    assert!(seen.extensions.get::<Report>().is_none());
    // A tag of its own in the header is not contradicted either.
    let store = self::store();
    let mut answer = Response::new(text("text"));
    let own = HeaderValue::from_static(r#""own""#);
    answer.headers_mut().insert(ETAG, own);
    let seen = see(answered(&layer(&store), answer).await).await;
    assert_eq!((seen.etag(), trailer(&seen)), (Some(r#""own""#), None));
    assert_eq!(store.version(PATH), Some(8));
}

#[tokio::test]
async fn a_conflict_that_the_handler_sees_is_answered_at_once() {
    let store = store();
    let mut answer = Response::new(text("text"));
    let conflict = Report::Conflict { current: None };
    answer.extensions_mut().insert(conflict);
    let answer = answered(&layer(&store), answer).await;
    assert_eq!(answer.status(), 412);
    assert_eq!((store.claims(), store.version(PATH)), (0, Some(7)));
}

/// A body that breaks off after its first frame.
struct Broken(Option<Frame<Bytes>>);

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        std::task::Poll::Ready(Some(self.0.take().ok_or("broken")))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_write_in_doubt() {
    let store = store();
    let answer = Response::new(Broken(Some(data("a"))));
    let mut body = pin!(answered(&layer(&store), answer).await.into_body());
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(store.claims(), 1);
    assert_eq!(body.frame().await.unwrap().unwrap_err(), "broken");
    assert_eq!((store.claims(), store.abandoned()), (0, 1));
    assert_eq!(store.version(PATH), Some(8), "in doubt is a new version");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn what_cannot_be_settled_has_no_tag() {
    for (failure, abandoned) in [(Failure::Fenced, 0), (Failure::Unknown, 1)] {
        let store = store().failing(Step::Settle, failure);
        let answer = Response::new(text("text"));
        let seen = see(answered(&layer(&store), answer).await).await;
        assert_eq!((&seen.body[..], trailer(&seen)), (&b"text"[..], None));
        assert_eq!(store.abandoned(), abandoned, "{failure:?}");
    }
}

#[tokio::test]
async fn the_observer_hears_of_it_at_the_end_and_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&told);
    let observed = |store: &ScriptedStore| {
        let events = Arc::clone(&events);
        layer(store).observer(move |event: &Event<'_>| {
            let (base, new) = (event.base.cloned(), event.new.cloned());
            events
                .lock()
                .unwrap()
                .push((event.status.as_u16(), base, new));
        })
    };
    let seven = Some(Version::from(7));
    let (sender, answer) = streamed();
    let answer = answered(&observed(&store()), answer).await;
    assert!(told.lock().unwrap().is_empty(), "too early");
    drop(sender);
    see(answer).await;
    let settled = (200, seven.clone(), Some(Version::from(8)));
    assert_eq!(*told.lock().unwrap(), [settled]);
    // Broken off: there is no telling which version.
    told.lock().unwrap().clear();
    let (_sender, answer) = streamed();
    drop(answered(&observed(&store()), answer).await);
    assert_eq!(*told.lock().unwrap(), [(200, seven.clone(), None)]);
    // Nothing to wait for.
    told.lock().unwrap().clear();
    let mut answer = Response::new(text("no"));
    *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    drop(answered(&observed(&store()), answer).await);
    assert_eq!(*told.lock().unwrap(), [(422, seven, None)]);
}

/// Serves one streamed answer, on a socket.
async fn serve(layer: ConditionalLayer) -> (mpsc::Sender<Frame<Bytes>>, Server) {
    let (sender, answer) = streamed();
    let answer = Arc::new(Mutex::new(Some(answer)));
    let handler = service_fn(move |_: Request<RequestBody<hyper::body::Incoming>>| {
        let answer = answer.lock().unwrap().take().expect("it is asked once");
        async move { Ok::<_, Infallible>(answer) }
    });
    (sender, Server::start(layer.layer(handler)).await)
}

#[tokio::test]
async fn over_http1_the_tag_comes_behind_the_last_chunk() {
    let store = store();
    let (sender, server) = serve(layer(&store)).await;
    let mut client = Raw::connect(&server).await;
    let head = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nif-match: \"7\"\r\ncontent-length: 0\r\n\r\n"
    );
    client.send(head).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains("\r\ntrailer: etag"), "{head}");
    assert!(!head.contains("\r\netag"), "{head}");
    sender.send(data("some")).await.unwrap();
    assert!(client.until(b"some\r\n").await.ends_with("some\r\n"));
    assert_eq!((store.claims(), store.version(PATH)), (1, Some(7)));
    drop(sender);
    let end = client.until(b"\r\n\r\n").await;
    assert_eq!(end, "0\r\netag: \"8\"\r\n\r\n");
    assert_eq!((store.claims(), store.version(PATH)), (0, Some(8)));
}

#[tokio::test]
async fn over_http1_a_client_without_trailers_is_settled_for_all_the_same() {
    for version in ["1.0", "1.1"] {
        let store = store();
        let (sender, server) = serve(layer(&store)).await;
        let mut client = Raw::connect(&server).await;
        let head = format!(
            "PUT {PATH} HTTP/{version}\r\nhost: a\r\nif-match: \"7\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        client.send(head).await;
        sender.send(data("some")).await.unwrap();
        drop(sender);
        let answer = client.rest().await;
        assert!(answer.contains("some"), "{answer}");
        assert!(!answer.contains("etag: \""), "{answer}");
        assert_eq!((store.claims(), store.version(PATH)), (0, Some(8)));
        assert_eq!(store.abandoned(), 0);
    }
}

#[tokio::test]
async fn over_http2_the_tag_comes_as_a_trailer() {
    let store = store();
    let (sender, server) = serve(layer(&store)).await;
    let mut client = http2(&server).await;
    let write: Request<Full<Bytes>> = request("PUT", URI, &[("if-match", r#""7""#)], "new");
    let answer = in_time(client.send_request(write)).await.unwrap();
    sender.send(data("some")).await.unwrap();
    assert_eq!(store.claims(), 1);
    drop(sender);
    let seen = in_time(see(answer)).await;
    assert_eq!((seen.etag(), trailer(&seen)), (None, Some(r#""8""#)));
    assert_eq!((&seen.body[..], store.claims()), (&b"some"[..], 0));
}

#[tokio::test]
async fn over_http1_an_answer_without_content_does_not_leave_its_claim_behind() {
    let store = MemoryStore::new();
    let policy = Policy::rfc9110().settle_at(SettleAt::BodyEnd);
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let handler = service_fn(async |_: Request<RequestBody<hyper::body::Incoming>>| {
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        Ok::<_, Infallible>(answer)
    });
    let server = Server::start(layer.layer(handler)).await;
    let mut client = Raw::connect(&server).await;
    for _ in 0..3 {
        let head = format!("PATCH {PATH} HTTP/1.1\r\nhost: a\r\nif-match: *\r\n\r\n");
        client.send(head).await;
        let head = client.head().await;
        assert!(head.starts_with("http/1.1 204 "), "{head}");
        assert_eq!(store.stats().held, 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_the_write_in_doubt() {
    for over in ["HTTP/1.1", "HTTP/2"] {
        let store = store();
        let (sender, server) = serve(layer(&store)).await;
        if over == "HTTP/1.1" {
            let mut client = Raw::connect(&server).await;
            let head = format!(
                "PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"7\"\r\ncontent-length: 0\r\n\r\n"
            );
            client.send(head).await;
            client.head().await;
            assert_eq!(store.claims(), 1, "{over}");
        } else {
            let mut client = http2(&server).await;
            let write: Request<Full<Bytes>> = request("PUT", URI, &[("if-match", r#""7""#)], "");
            let answer = in_time(client.send_request(write)).await.unwrap();
            assert_eq!(store.claims(), 1, "{over}");
            drop(answer);
        }
        // The handler goes on until it notices.
        in_time(async { while sender.send(data("more")).await.is_ok() {} }).await;
        until(|| store.claims() == 0).await;
        assert_eq!(
            (store.abandoned(), store.version(PATH)),
            (1, Some(8)),
            "{over}"
        );
    }
}
