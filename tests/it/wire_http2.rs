//! HTTP/2 on a socket: the same promises, where content has no length and clients leave by reset.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use tower::Layer;
use tower_conditional::policy::Reads;
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{
    CallEnd, Frames, ScriptedStore, Server, Site, Step, http2, in_time, request, see, until,
    watched,
};

const PATH: &str = "/notes/1";
const URI: &str = "http://notes.example/notes/1";

#[tokio::test]
async fn a_304_says_nothing_of_content() {
    for reads in [Reads::BeforeHandler, Reads::AfterHandler] {
        let site = Site::marking(&[(PATH, "text")], |_, response| {
            let tag = HeaderValue::from_static(r#""5""#);
            response.headers_mut().insert("etag", tag);
        });
        let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5))
            .policy(Policy::rfc9110().reads(reads));
        let server = Server::start(layer.layer(site.service())).await;
        let mut client = http2(&server).await;
        for method in ["HEAD", "GET"] {
            let request: Request<Full<Bytes>> =
                request(method, URI, &[("if-none-match", r#""5""#)], "");
            let seen = see(in_time(client.send_request(request)).await.unwrap()).await;
            assert_eq!((seen.status, seen.etag()), (304, Some(r#""5""#)));
            assert_eq!(seen.header("content-length"), None, "{method} {reads:?}");
            assert!(seen.body.is_empty());
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_is_not_read() {
    for store in [ScriptedStore::at_once(), ScriptedStore::later()] {
        for (headers, policy, status) in [
            (&[("if-match", r#""4""#)][..], Policy::rfc9110(), 412),
            (&[("if-match", r#""4""#)], Policy::aip154(), 409),
            (&[], Policy::rfc9110(), 428),
        ] {
            let site = Site::new(&[(PATH, "old")]);
            let store = store.clone().present(PATH, 5);
            let layer = ConditionalLayer::new(store.clone()).policy(policy);
            let server = Server::start(layer.layer(site.service())).await;
            let mut client = http2(&server).await;
            // A body of which not one frame comes.
            let (_frames, body) = Frames::channel();
            let mut upload = request("PUT", URI, headers, "").map(|_| body);
            upload
                .headers_mut()
                .insert("content-length", HeaderValue::from(3 * 1024 * 1024));
            let seen = see(in_time(client.send_request(upload)).await.unwrap()).await;
            assert_eq!(seen.status, status);
            assert!(site.calls().is_empty(), "the handler ran");
            assert!(!store.asked().contains(&Step::Claim));
        }
    }
}

fn trailers(value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static(value));
    trailers
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    use http_body::Frame;
    use http_body_util::BodyExt;

    let echo = tower::service_fn(async |request: Request<_>| {
        let body: tower_conditional::RequestBody<hyper::body::Incoming> = request.into_body();
        let read = body.collect().await.unwrap();
        let trailers = read.trailers().cloned().unwrap_or_default();
        let frames = [Frame::data(read.to_bytes()), Frame::trailers(trailers)];
        Ok::<_, std::convert::Infallible>(http::Response::new(Frames::of(frames)))
    });
    let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5));
    let server = Server::start(layer.layer(echo)).await;
    let mut client = http2(&server).await;
    for method in ["GET", "OPTIONS", "PUT"] {
        let frames = [
            Frame::data(Bytes::from("content")),
            Frame::trailers(trailers("7")),
        ];
        let headers = [("if-match", r#""5""#)];
        let sent = request(method, URI, &headers, "").map(|_| Frames::of(frames));
        let seen = see(in_time(client.send_request(sent)).await.unwrap()).await;
        assert_eq!((seen.status, &seen.body[..]), (200, &b"content"[..]));
        assert_eq!(seen.trailers, Some(trailers("7")), "{method}");
    }
}

#[tokio::test]
async fn the_first_event_is_there_before_the_stream_ends() {
    use http_body::Frame;
    use http_body_util::BodyExt;

    let (events, body) = Frames::channel();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let stream = tower::service_fn(move |_: Request<_>| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
    });
    let layer = ConditionalLayer::new(ScriptedStore::later().present(PATH, 5));
    let server = Server::start(layer.layer(stream)).await;
    let mut client = http2(&server).await;
    let request: Request<Full<Bytes>> = request("GET", URI, &[], "");
    let mut response = in_time(client.send_request(request)).await.unwrap();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        in_time(events.send(Frame::data(Bytes::from(event))))
            .await
            .unwrap();
        let frame = in_time(response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(events);
    let rest = in_time(response.collect()).await.unwrap();
    assert!(rest.to_bytes().is_empty());
}

#[tokio::test]
async fn a_write_whose_client_reset_the_stream_is_finished() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once().present(PATH, 5);
    let layer = ConditionalLayer::new(store.clone());
    let (service, mut ends) = watched(layer.layer(site.service()));
    let server = Server::start(service).await;
    let mut client = http2(&server).await;

    site.hold_writes();
    let write: Request<Full<Bytes>> = request("PUT", URI, &[("if-match", r#""5""#)], "new");
    let answer = tokio::spawn(client.send_request(write));
    in_time(site.write_began()).await;
    answer.abort();
    assert_eq!(in_time(ends.recv()).await, Some(CallEnd::Dropped));

    assert_eq!((store.claims(), store.version(PATH)), (1, Some(5)));
    site.let_through(1);
    until(|| store.claims() == 0).await;
    assert_eq!(site.note(PATH).as_deref(), Some("new"));
    assert_eq!((store.version(PATH), store.abandoned()), (Some(6), 0));
}
