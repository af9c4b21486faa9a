//! An upstream that is down, breaks off, takes too long, or says that something went wrong.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::upstream::{Upstream, ask, tag};
use crate::support::client::try_send;
use crate::support::example::Example;

#[test]
fn what_the_upstream_says_of_a_failure_is_passed_on_and_leaves_the_write_in_doubt() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    ask(&gateway, "GET /notes/2", &[], "").expect(404);
    for (status, is_in_doubt) in [
        (400, false),
        (404, false),
        (422, false),
        (500, true),
        (503, true),
    ] {
        let before = tag(&gateway, "/notes/1");
        let order = format!("status {status}");
        let fields = [("if-match", &*before), ("x-do", &*order)];
        let reply = ask(&gateway, "PUT /notes/1", &fields, "second").expect(status);
        assert_eq!(reply.body, b"as you wish");
        assert_eq!(reply.field("etag"), None, "{status}");
        assert_eq!(tag(&gateway, "/notes/1") != before, is_in_doubt, "{status}");
    }
}

#[test]
fn an_upstream_that_is_not_there_has_changed_nothing() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let url = upstream.url.clone();
    let gateway = upstream.gateway(&[]);
    let read = tag(&gateway, "/notes/1");
    drop(upstream);
    // Its last connection may still be closing.
    let deadline = Instant::now() + Duration::from_secs(30);
    let address = url.trim_start_matches("http://").to_owned();
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "the upstream stays");
        thread::yield_now();
    }
    let fields = [("if-match", &*read)];
    let down = ask(&gateway, "PUT /notes/1", &fields, "second");
    let down = down.expect_problem(502, "bad-gateway");
    let detail = down.text("detail");
    assert!(detail.ends_with("Nothing was changed."), "{detail}");
    ask(&gateway, "GET /notes/1", &[], "").expect_problem(502, "bad-gateway");
    // Known without it: the tag still names what is current.
    ask(&gateway, "GET /notes/1", &[("if-none-match", &read)], "").expect(304);
}

#[test]
fn a_write_whose_answer_got_lost_has_made_its_tag_stale() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let before = tag(&gateway, "/notes/1");
    let fields = [("if-match", &*before), ("x-do", "break")];
    let lost = ask(&gateway, "PUT /notes/1", &fields, "second");
    let lost = lost.expect_problem(502, "bad-gateway");
    assert!(
        lost.text("detail").contains("may have happened"),
        "{lost:?}"
    );
    assert_eq!(
        upstream.note("/notes/1").as_deref(),
        Some("second"),
        "it has happened"
    );
    let fields = [("if-match", &*before)];
    ask(&gateway, "PUT /notes/1", &fields, "third").expect_problem(412, "precondition-failed");
    let read = ask(&gateway, "GET /notes/1", &[("if-none-match", &before)], "").expect(200);
    assert_eq!(read.body, b"second");
}

#[test]
fn after_a_timeout_the_resource_stays_closed_until_the_write_must_have_ended() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let limit = Duration::from_secs(2);
    let gateway = upstream.gateway(&[("UPSTREAM_LIMIT_MS", "2000"), ("IF_MATCH", "optional")]);
    let before = tag(&gateway, "/notes/1");
    let fields = [("if-match", &*before), ("x-do", "wait")];
    let began = Instant::now();
    let slow = ask(&gateway, "PUT /notes/1", &fields, "second");
    slow.expect_problem(504, "gateway-timeout");
    // Nobody is told a tag that the write may yet take from under it, and nobody writes.
    let read = ask(&gateway, "GET /notes/1", &[("if-none-match", &before)], "").expect(200);
    assert_eq!(read.field("etag"), None);
    ask(&gateway, "PUT /notes/1", &[], "third").expect(204);
    // The limit itself, and twice that.
    assert!(began.elapsed() >= limit * 3, "after {:?}", began.elapsed());
    assert_ne!(tag(&gateway, "/notes/1"), before);
}

#[test]
fn a_client_that_leaves_does_not_stop_its_write() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let before = tag(&gateway, "/notes/1");
    upstream.seen();
    let leaving = {
        use std::io::Write as _;
        let address = gateway.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).expect("it serves");
        let request = format!(
            "PUT /notes/1 HTTP/1.1\r\nhost: a\r\nif-match: {before}\r\nx-do: wait\r\n\
             content-length: 6\r\n\r\nsecond"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    };
    while upstream.count() == 0 {
        thread::yield_now();
    }
    drop(leaving);
    // Long enough for the gateway to see it; if it does not, the test says less.
    thread::sleep(Duration::from_millis(200));
    upstream.let_go();
    let deadline = Instant::now() + Duration::from_secs(30);
    while upstream.note("/notes/1").as_deref() != Some("second") {
        assert!(Instant::now() < deadline, "the write was dropped");
        thread::yield_now();
    }
    let fields = [("if-match", &*before)];
    ask(&gateway, "PUT /notes/1", &fields, "third").expect_problem(412, "precondition-failed");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_stream_leaves_its_write_in_doubt() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let before = tag(&gateway, "/notes/1");
    {
        use std::io::Write as _;
        let address = gateway.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).expect("it serves");
        let request = format!(
            "PUT /notes/1 HTTP/1.1\r\nhost: a\r\nif-match: {before}\r\n\
             transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while tag_if_any(&gateway, "/notes/1").is_none_or(|tag| tag == before) {
        assert!(Instant::now() < deadline, "the tag did not move");
        thread::yield_now();
    }
    assert_eq!(upstream.note("/notes/1").as_deref(), Some("first"));
}

fn tag_if_any(gateway: &Example, path: &str) -> Option<String> {
    let reply = ask(gateway, &format!("GET {path}"), &[], "").expect(200);
    reply.field("etag").map(str::to_owned)
}

#[test]
fn it_stops_when_it_is_told_to_and_starts_without_its_upstream() {
    let upstream = Upstream::start();
    let mut gateway = upstream.gateway(&[]);
    gateway.terminate();
    assert!(gateway.wait().success());
    drop(gateway);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let gone = format!("http://127.0.0.1:{port}");
    drop(taken);
    // It serves without its upstream, and says so.
    let gateway = Example::start("gateway", &[("UPSTREAM", &gone)]);
    let reply = try_send(&gateway.url, "GET", "/", &[], b"").expect("an answer");
    reply.expect_problem(502, "bad-gateway");
}
