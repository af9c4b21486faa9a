//! nginx sends a write again, with its old `If-Match`, to the next server of a group when the
//! connection to the first one breaks.

use axum::Router;
use hyper::body::Incoming;
use tower::{ServiceExt as _, service_fn};

use super::notes::{Notes, long};
use super::servers::Proxy;
use crate::support::Threaded;
use crate::support::client::send;

/// A server of the group that does as it is told, and breaks the connection where the answer to a
/// write should be.
fn breaking(app: Router) -> Threaded {
    Threaded::start(service_fn(move |request: http::Request<Incoming>| {
        let app = app.clone();
        async move {
            let is_read = request.method().is_safe();
            match app.oneshot(request).await {
                Ok(answer) if is_read => Ok(answer),
                Ok(_) => Err(std::io::Error::other("the connection breaks")),
                Err(never) => match never {},
            }
        }
    }))
}

#[test]
fn a_write_that_a_proxy_sends_twice_is_one_write_with_one_answer() {
    let notes = Notes::default();
    let app = notes.app();
    let (first, second) = (breaking(app.clone()), Threaded::start(app));
    let address = |server: &Threaded| server.url.trim_start_matches("http://").to_owned();
    let group = format!(
        "upstream group {{ server {} max_fails=0; server {} backup; }}",
        address(&first),
        address(&second)
    );
    let Some(proxy) = Proxy::nginx(&group, "location / { proxy_pass http://group; }") else {
        return;
    };
    let read = || {
        send(&proxy.url, "GET", "/tolerant", &[], b"")
            .expect(200)
            .etag()
    };

    // With a key the client gets the answer that got lost.
    let tag = read();
    notes.log();
    let fields = [("if-match", &*tag), ("idempotency-key", "a")];
    let put = send(
        &proxy.url,
        "PUT",
        "/tolerant",
        &fields,
        long("second").as_bytes(),
    )
    .expect(204);
    assert_eq!(put.field("idempotency-replayed"), Some("true"));
    let sent = (format!("PUT /tolerant if-match: {tag}"), 204);
    assert_eq!(notes.log(), [sent.clone(), sent], "it was not sent twice");
    assert_eq!(notes.writes(), 1);
    let tag = read();
    assert_eq!(put.etag(), tag);

    // Without one it is refused by its own write: nothing is lost, but nobody is told.
    notes.log();
    let fields = [("if-match", &*tag)];
    let put = send(
        &proxy.url,
        "PUT",
        "/tolerant",
        &fields,
        long("third").as_bytes(),
    );
    put.expect_problem(412, "precondition-failed");
    let statuses: Vec<_> = notes.log().into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, [204, 412]);
    assert_eq!(notes.text("/tolerant"), Some(long("third")));

    let tag = read();
    let fields = [("if-match", &*tag), ("idempotency-key", "b")];
    let gone = send(&proxy.url, "DELETE", "/tolerant", &fields, b"").expect(204);
    assert_eq!(gone.field("idempotency-replayed"), Some("true"));
    assert_eq!(notes.writes(), 3);
    assert_eq!(notes.text("/tolerant"), None);
}
