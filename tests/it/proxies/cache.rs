//! nginx as a cache: it asks with the tag that it keeps, and passes the conditions of writes on.

use std::thread;
use std::time::{Duration, Instant};

use super::notes::{Notes, long};
use super::servers::Proxy;
use crate::support::Threaded;
use crate::support::client::{Reply, send};

fn caching(upstream: &str) -> Option<Proxy> {
    Proxy::nginx(
        "proxy_cache_path $folder/cache keys_zone=notes:1m;",
        &format!(
            "location / {{ proxy_pass {upstream}; proxy_cache notes; proxy_cache_revalidate on; \
             add_header x-cache $upstream_cache_status always; }}"
        ),
    )
}

/// Reads until the cache had to ask, because what it had was too old.
#[track_caller]
fn asked(proxy: &Proxy) -> Reply {
    let started = Instant::now();
    loop {
        let reply = send(&proxy.url, "GET", "/cached", &[], b"").expect(200);
        if reply.field("x-cache") != Some("HIT") {
            return reply;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it never asks");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_cache_revalidates_with_the_tag_and_learns_of_a_write() {
    let notes = Notes::default();
    let service = Threaded::start(notes.app());
    let Some(proxy) = caching(&service.url) else {
        return;
    };
    let first = asked(&proxy);
    assert_eq!(first.field("x-cache"), Some("MISS"));
    let tag = first.etag();
    assert_eq!(notes.log(), [("GET /cached".to_owned(), 200)]);

    let again = asked(&proxy);
    assert_eq!(again.field("x-cache"), Some("REVALIDATED"));
    assert_eq!((again.etag(), &again.body), (tag.clone(), &first.body));
    let asked_with = format!("GET /cached if-none-match: {tag}");
    assert_eq!(notes.log(), [(asked_with.clone(), 304)]);
    // A client's own condition is judged by the cache, from what it has.
    send(
        &proxy.url,
        "GET",
        "/cached",
        &[("if-none-match", &tag)],
        b"",
    )
    .expect(304);

    // Writes pass with their conditions, though reads lose theirs.
    notes.log();
    let fields = [("if-match", &*tag)];
    send(
        &proxy.url,
        "PUT",
        "/cached",
        &fields,
        long("second").as_bytes(),
    )
    .expect(204);
    assert_eq!(notes.log(), [(format!("PUT /cached if-match: {tag}"), 204)]);
    send(&proxy.url, "PUT", "/cached", &fields, b"third")
        .expect_problem(412, "precondition-failed");
    notes.log();

    let changed = asked(&proxy);
    assert_eq!(changed.body, long("second").as_bytes());
    assert_ne!(changed.etag(), tag);
    assert_eq!(notes.log(), [(asked_with, 200)]);
}
