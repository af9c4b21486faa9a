//! Bodies pass as they come, in both directions, and what is refused is not read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use tower::service_fn;

use super::upstream::{Upstream, tag};
use crate::support::example::Example;
use crate::support::{Frames, Server};

/// Reads from a socket until `end` has come.
fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read
        .windows(end.len())
        .any(|window| window == end.as_bytes())
    {
        let mut byte = [0];
        let got = stream.read(&mut byte).expect("more comes");
        assert_ne!(
            got,
            0,
            "it ended after {:?}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
    String::from_utf8(read).expect("text")
}

fn connect(gateway: &Example) -> TcpStream {
    let address = gateway.url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).expect("it serves");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a limit");
    stream
}

/// An upstream that answers a `PUT` with its own body while that is still coming, and a `GET` with
/// frames that the test sends.
async fn echo() -> (Server, tokio::sync::mpsc::Sender<Frame<Bytes>>) {
    let (sender, frames) = Frames::channel();
    let frames = std::sync::Arc::new(std::sync::Mutex::new(Some(frames)));
    let server = Server::start(service_fn(move |request: Request<Incoming>| {
        let body = match *request.method() {
            Method::GET => {
                let frames = frames.lock().expect("no panic").take();
                frames.map_or_else(Body::empty, Body::new)
            }
            _ => Body::new(request.into_body()),
        };
        async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
    }))
    .await;
    (server, sender)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_and_its_answer_pass_while_the_rest_is_still_to_come() {
    let (server, _) = echo().await;
    let upstream = format!("http://{}", server.address);
    let exchange = tokio::task::spawn_blocking(move || {
        let gateway = Example::start(
            "gateway",
            &[("UPSTREAM", &upstream), ("IF_MATCH", "optional")],
        );
        let mut stream = connect(&gateway);
        let head = "PUT /notes/1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(b"5\r\nfirst\r\n").expect("it reads");
        let head = until(&mut stream, "first");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream
            .write_all(b"6\r\nsecond\r\n0\r\n\r\n")
            .expect("it reads");
        until(&mut stream, "second");
        until(&mut stream, "0\r\n\r\n");
    });
    exchange.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_passes_as_it_comes() {
    let (server, sender) = echo().await;
    let upstream = format!("http://{}", server.address);
    let gateway =
        tokio::task::spawn_blocking(move || Example::start("gateway", &[("UPSTREAM", &upstream)]));
    let gateway = gateway.await.expect("it starts");
    let mut stream = connect(&gateway);
    stream
        .write_all(b"GET /notes/1 HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("it reads");
    sender
        .send(Frame::data(Bytes::from("first")))
        .await
        .expect("it is read");
    let mut stream = tokio::task::spawn_blocking(move || {
        until(&mut stream, "first");
        stream
    })
    .await
    .expect("the first frame comes alone");
    sender
        .send(Frame::data(Bytes::from("second")))
        .await
        .expect("it is read");
    drop(sender);
    let rest = tokio::task::spawn_blocking(move || until(&mut stream, "0\r\n\r\n"));
    assert!(rest.await.expect("no panic").contains("second"));
}

#[test]
fn many_megabytes_pass() {
    let upstream = Upstream::start();
    let gateway = upstream.gateway(&[]);
    let text = "0123456789abcdef".repeat(2 * 1024 * 1024);
    let create = [("if-none-match", "*")];
    super::upstream::ask(&gateway, "PUT /notes/big", &create, &text).expect(201);
    assert!(
        upstream.note("/notes/big").as_deref() == Some(&*text),
        "not what was sent"
    );
    let read = super::upstream::ask(&gateway, "GET /notes/big", &[], "").expect(200);
    assert!(read.body == text.as_bytes(), "not what was stored");
}

#[test]
fn an_upload_that_is_refused_is_not_asked_for() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let current = tag(&gateway, "/notes/1");
    let fields = "host: a\r\nexpect: 100-continue\r\ncontent-length: 6";
    let mut stream = connect(&gateway);
    let stale = format!("PUT /notes/1 HTTP/1.1\r\n{fields}\r\nif-match: \"old\"\r\n\r\n");
    stream.write_all(stale.as_bytes()).expect("it reads");
    let head = until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 412"), "{head}");

    let mut stream = connect(&gateway);
    let right = format!("PUT /notes/1 HTTP/1.1\r\n{fields}\r\nif-match: {current}\r\n\r\n");
    stream.write_all(right.as_bytes()).expect("it reads");
    let head = until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 100"), "{head}");
    stream.write_all(b"second").expect("it reads");
    let head = until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    assert_eq!(upstream.note("/notes/1").as_deref(), Some("second"));
}
