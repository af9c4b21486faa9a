//! Copies: kept of what may be kept, used after a 304, shown to nobody else.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_conditional::client::{Client, ClientLayer, Revalidated};

use super::script::{Script, Turn, answer, client_of, quick, request, resource};
use crate::support::{Frames, Seen, see};

async fn ask(client: &mut Client<Script>, uri: &str, fields: &[(&str, &str)]) -> Seen {
    send(client, request("GET", uri, fields)).await
}

async fn send(client: &mut Client<Script>, request: Request<Full<Bytes>>) -> Seen {
    let answer = client.ready().await.expect("always ready").call(request);
    see(answer.await.expect("the script answers")).await
}

fn not_modified(tag: &str, more: &[(&str, &str)]) -> Turn {
    answer(304, &[&[("etag", tag)], more].concat(), "")
}

#[tokio::test]
async fn an_unchanged_resource_is_answered_from_the_copy() {
    let script = Script::new([
        answer(
            200,
            &[("etag", "\"1\""), ("content-type", "text/plain")],
            "long",
        ),
        not_modified("\"1\"", &[]),
        answer(200, &[("etag", "\"2\"")], "longer"),
        not_modified("\"2\"", &[]),
    ]);
    let mut client = client_of(&script);
    for (content, revalidated) in [
        ("long", false),
        ("long", true),
        ("longer", false),
        ("longer", true),
    ] {
        let seen = ask(&mut client, "/note", &[]).await;
        assert_eq!((seen.status, &*seen.body), (200, content.as_bytes()));
        assert_eq!(seen.extensions.get::<Revalidated>().is_some(), revalidated);
    }
    let sent: Vec<_> = script.asked();
    let sent: Vec<_> = sent
        .iter()
        .map(|asked| asked.field("if-none-match"))
        .collect();
    assert_eq!(sent, [None, Some("\"1\""), Some("\"1\""), Some("\"2\"")]);
}

#[tokio::test]
async fn a_304_changes_the_fields_of_the_copy_but_not_those_of_its_content() {
    let script = Script::new([
        answer(
            200,
            &[
                ("etag", "W/\"1\""),
                ("content-type", "text/plain"),
                ("content-length", "4"),
                ("cache-control", "max-age=1"),
                ("x-kept", "old"),
                ("set-cookie", "a=1"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
            ],
            "text",
        ),
        not_modified(
            "W/\"1\"",
            &[
                ("cache-control", "max-age=2"),
                ("content-type", "text/wrong"),
                ("content-length", "0"),
                ("set-cookie", "a=2"),
            ],
        ),
        // A strong tag tells news of what has that very tag, and the copy has a weak one.
        not_modified("\"1\"", &[("cache-control", "max-age=3")]),
    ]);
    let mut client = client_of(&script);
    ask(&mut client, "/note", &[]).await;
    let seen = ask(&mut client, "/note", &[]).await;
    for (name, value) in [
        ("etag", Some("W/\"1\"")),
        ("content-type", Some("text/plain")),
        ("content-length", Some("4")),
        ("cache-control", Some("max-age=2")),
        ("x-kept", Some("old")),
        ("set-cookie", Some("a=2")),
        ("connection", None),
        ("x-hop", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let seen = ask(&mut client, "/note", &[]).await;
    assert_eq!(seen.header("cache-control"), Some("max-age=2"));
    assert_eq!(seen.header("set-cookie"), None, "a cookie is set once");
    assert_eq!(seen.body, "text");
}

#[tokio::test]
async fn a_304_about_something_else_is_not_answered_from_the_copy() {
    let script = Script::new([
        resource("\"1\"", "1"),
        not_modified("\"2\"", &[]),
        resource("\"2\"", "2"),
    ]);
    let mut client = client_of(&script);
    ask(&mut client, "/note", &[]).await;
    let seen = ask(&mut client, "/note", &[]).await;
    assert_eq!((seen.status, seen.body.len()), (304, 0));
    let seen = ask(&mut client, "/note", &[]).await;
    assert_eq!(seen.body, "2");
    assert_eq!(script.asked()[2].field("if-none-match"), None);
}

/// Is a copy that the first request leaves used for the second?
async fn is_used(
    first: &[(&str, &str)],
    answered: &[(&str, &str)],
    second: &[(&str, &str)],
) -> bool {
    let answered = [&[("etag", "\"1\"")], answered].concat();
    let script = Script::new([answer(200, &answered, "text"), resource("\"1\"", "1")]);
    let mut client = client_of(&script);
    ask(&mut client, "/note", first).await;
    ask(&mut client.clone(), "/note", second).await;
    script.asked()[1].field("if-none-match") == Some("\"1\"")
}

#[tokio::test]
async fn a_copy_serves_only_the_principal_and_the_negotiation_that_it_was_made_for() {
    let (alice, bob) = (
        &[("authorization", "alice")][..],
        &[("authorization", "bob")][..],
    );
    let (german, french) = (&[("x-tongue", "de")][..], &[("x-tongue", "fr")][..]);
    let varies = &[("vary", "Accept, X-Tongue")][..];
    let gzip = &[("accept-encoding", "gzip")][..];
    for (first, answered, second, used) in [
        (&[][..], &[][..], &[][..], true),
        (alice, &[], alice, true),
        (alice, &[], bob, false),
        (alice, &[], &[], false),
        (&[], &[], alice, false),
        (alice, &[("cache-control", "public")], bob, false),
        (&[("cookie", "a")], &[], &[("cookie", "b")], false),
        (&[("host", "a")], &[], &[("host", "b")], false),
        (german, &[], french, true),
        (german, varies, german, true),
        (german, varies, french, false),
        (german, varies, &[], false),
        (&[], varies, german, false),
        (&[], &[("vary", "*")], &[], false),
        (&[], &[("vary", "a b")], &[], false),
        // Named by no Vary, as nginx does it.
        (gzip, &[("content-encoding", "gzip")], &[], false),
        (
            &[("accept", "text/html")],
            &[],
            &[("accept", "text/plain")],
            false,
        ),
        (&[], &[("cache-control", "private, No-Store")], &[], false),
        (&[("cache-control", "no-store")], &[], &[], false),
        (&[], &[], &[("cache-control", "no-store")], false),
        (&[], &[("cache-control", "max-age=60, private")], &[], true),
        (&[], &[("content-range", "bytes 0-3/4")], &[], false),
        (&[], &[("content-length", "5")], &[], false),
        (&[], &[("etag", "\"2\"")], &[], false),
        // Conditions of its own.
        (
            &[],
            &[],
            &[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            false,
        ),
        (&[], &[], &[("range", "bytes=0-1")], false),
    ] {
        let row = format!("{first:?} {answered:?} {second:?}");
        assert_eq!(is_used(first, answered, second).await, used, "{row}");
    }
}

#[tokio::test]
async fn fields_that_name_a_principal_can_be_added() {
    let script = Script::new([resource("\"1\"", "1"), resource("\"1\"", "1")]);
    let name = http::HeaderName::from_static("x-api-key");
    let mut client = quick().principal_fields([name]).layer(script.clone());
    ask(&mut client, "/note", &[("x-api-key", "alice")]).await;
    ask(&mut client, "/note", &[("x-api-key", "bob")]).await;
    assert_eq!(script.asked()[1].field("if-none-match"), None);
}

#[tokio::test]
async fn the_callers_own_conditions_and_their_304_pass_through() {
    let script = Script::new([resource("\"1\"", "1"), not_modified("\"1\"", &[])]);
    let mut client = client_of(&script);
    ask(&mut client, "/note", &[]).await;
    let own = [("if-none-match", "\"1\", \"0\"")];
    let seen = ask(&mut client, "/note", &own).await;
    assert_eq!(seen.status, 304);
    assert_eq!(
        script.asked()[1].field("if-none-match"),
        Some("\"1\", \"0\"")
    );
}

#[tokio::test]
async fn writes_and_absence_remove_the_copy() {
    for (method, status, kept) in [
        ("PUT", 204, false),
        ("POST", 303, false),
        ("DELETE", 404, false),
        ("PUT", 412, true),
        ("PUT", 503, true),
        ("HEAD", 404, true),
        ("OPTIONS", 204, true),
    ] {
        let turns = [
            resource("\"1\"", "1"),
            answer(status, &[], ""),
            resource("\"1\"", "1"),
        ];
        let script = Script::new(turns);
        let mut client = client_of(&script);
        ask(&mut client, "/note", &[]).await;
        send(&mut client, request(method, "/note", &[])).await;
        ask(&mut client, "/note", &[]).await;
        let used = script.asked()[2].field("if-none-match").is_some();
        assert_eq!(used, kept, "{method} {status}");
    }
}

#[tokio::test]
async fn without_copies_nothing_is_asked_conditionally() {
    for layer in [quick().copies(0, usize::MAX), quick().copies(9, 100)] {
        let script = Script::new([resource("\"1\"", "1"), resource("\"1\"", "1")]);
        let mut client = layer.layer(script.clone());
        ask(&mut client, "/note", &[]).await;
        ask(&mut client, "/note", &[]).await;
        assert_eq!(script.asked()[1].field("if-none-match"), None);
    }
}

/// Reads twice a body of these frames, the first time as far as `take` of them, and says whether the
/// second request knew a copy.
async fn leaves_a_copy(frames: Vec<Result<Frame<Bytes>, ()>>, take: usize) -> bool {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(HeaderMap::new()));
    let service = tower::service_fn({
        let asked = asked.clone();
        move |request: Request<()>| {
            asked.lock().unwrap().clone_from(request.headers());
            let whole: Vec<_> = frames
                .iter()
                .map_while(|frame| frame.as_ref().ok())
                .collect();
            let breaks = whole.len() < frames.len();
            let whole = whole.into_iter().map(|frame| match frame.data_ref() {
                Some(data) => Frame::data(data.clone()),
                None => Frame::trailers(HeaderMap::new()),
            });
            let whole = Frames::of(whole.collect::<Vec<_>>());
            let body = http_body_util::BodyExt::boxed(Broken { whole, breaks });
            async { Response::builder().header("etag", "\"1\"").body(body) }
        }
    });
    let mut client = ClientLayer::new().layer(service);
    for round in 0..2 {
        let request = Request::new(());
        let answer = client.ready().await.unwrap().call(request).await.unwrap();
        let mut body = answer.into_body();
        for _ in 0..take * (1 - round) {
            let _ = body.frame().await;
        }
    }
    asked.lock().unwrap().contains_key("if-none-match")
}

struct Broken {
    whole: Frames,
    breaks: bool,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = std::pin::Pin::new(&mut self.whole).poll_frame(context);
        frame.map(|frame| match frame {
            None if self.breaks => Some(Err(io::ErrorKind::ConnectionReset.into())),
            frame => frame,
        })
    }
}

#[tokio::test]
async fn only_what_arrived_whole_is_kept() {
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    let trailers = || Ok(Frame::trailers(HeaderMap::new()));
    for (frames, take, kept) in [
        (vec![], 1, true),
        (vec![data("a"), data("b")], 3, true),
        (vec![data("a"), data("b")], 2, false),
        (vec![data("a"), Err(())], 3, false),
        (vec![data("a"), trailers()], 3, false),
    ] {
        let row = format!("{frames:?}, {take} taken");
        assert_eq!(leaves_a_copy(frames, take).await, kept, "{row}");
    }
}
