//! Tags for reads of an upstream that knows none, and writes that are compared.

use std::thread;

use super::upstream::{Upstream, ask, tag};

#[test]
fn an_unchanged_read_is_304_and_does_not_reach_the_upstream() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let read = ask(&gateway, "GET /notes/1", &[], "").expect(200);
    assert_eq!(read.body, b"first");
    assert_ne!(read.etag(), "\"its-own\"");
    let head = ask(&gateway, "HEAD /notes/1", &[], "").expect(200);
    assert_eq!((head.etag(), head.body.len()), (read.etag(), 0));
    assert_eq!(head.field("content-length"), Some("5"));
    assert_eq!(upstream.seen().len(), 2);

    let fields = [("if-none-match", &*read.etag())];
    for method in ["GET", "HEAD"] {
        let again = ask(&gateway, &format!("{method} /notes/1"), &fields, "").expect(304);
        assert_eq!(again.etag(), read.etag());
        assert!(again.body.is_empty());
    }
    assert_eq!(upstream.count(), 0, "the upstream was asked");

    ask(
        &gateway,
        "PUT /notes/1",
        &[("if-match", &read.etag())],
        "second",
    )
    .expect(204);
    let changed = ask(&gateway, "GET /notes/1", &fields, "").expect(200);
    assert_eq!(changed.body, b"second");
    assert_ne!(changed.etag(), read.etag());
}

#[test]
fn the_answer_to_a_write_has_the_tag_of_what_was_written() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let fields = [("if-match", &*tag(&gateway, "/notes/1"))];
    let written = ask(&gateway, "PUT /notes/1", &fields, "second").expect(204);
    assert_eq!(written.etag(), tag(&gateway, "/notes/1"));
    let stale = ask(&gateway, "PUT /notes/1", &fields, "third");
    let stale = stale.expect_problem(412, "precondition-failed");
    assert_eq!(stale.etag(), written.etag());
    assert_eq!(upstream.note("/notes/1").as_deref(), Some("second"));
}

#[test]
fn of_eight_writes_at_once_with_one_tag_exactly_one_reaches_the_upstream() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    for _ in 0..5 {
        let read = tag(&gateway, "/notes/1");
        upstream.seen();
        // The winner stays with the upstream until all the others have had time to come after it.
        let statuses: Vec<(usize, u16)> = thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (gateway, read) = (&gateway, &*read);
                    scope.spawn(move || {
                        let fields = [("if-match", read), ("x-do", "wait")];
                        let text = format!("by {writer}");
                        let reply = ask(gateway, "PUT /notes/1", &fields, &text);
                        (writer, reply.status)
                    })
                })
                .collect();
            while upstream.count() == 0 {
                thread::yield_now();
            }
            assert_eq!(
                writers.iter().filter(|writer| writer.is_finished()).count(),
                0
            );
            upstream.let_go();
            let ended = writers.into_iter().map(|writer| writer.join());
            ended.map(|status| status.expect("a status")).collect()
        });
        let winners: Vec<_> = statuses
            .iter()
            .filter(|(_, status)| *status == 204)
            .collect();
        assert_eq!(winners.len(), 1, "{statuses:?}");
        let losers = statuses.iter().filter(|(_, status)| *status == 412);
        assert_eq!(losers.count(), 7, "{statuses:?}");
        assert_eq!(upstream.seen().len(), 1, "more than one got through");
        let won = format!("by {}", winners[0].0);
        assert_eq!(upstream.note("/notes/1"), Some(won));
    }
}

#[test]
fn a_write_that_says_nothing_of_versions_is_refused_unless_it_may() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    for method in ["PUT", "PATCH", "DELETE"] {
        let refused = ask(&gateway, &format!("{method} /notes/1"), &[], "blind");
        refused.expect_problem(428, "if-match-required");
    }
    assert_eq!(upstream.count(), 0, "a write got through");
    let gateway = upstream.gateway(&[("IF_MATCH", "optional")]);
    let before = tag(&gateway, "/notes/1");
    ask(&gateway, "PUT /notes/1", &[], "blind").expect(204);
    ask(&gateway, "PUT /notes/1", &[("if-match", &before)], "stale")
        .expect_problem(412, "precondition-failed");
}

#[test]
fn what_exists_is_asked_of_the_upstream() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let create = [("if-none-match", "*")];
    ask(&gateway, "PUT /notes/1", &create, "again").expect_problem(412, "precondition-failed");
    ask(&gateway, "PUT /notes/2", &create, "new").expect(201);
    ask(&gateway, "PUT /notes/2", &create, "again").expect_problem(412, "precondition-failed");
    let any = [("if-match", "*")];
    ask(&gateway, "PUT /notes/3", &any, "none").expect_problem(412, "precondition-failed");
    assert_eq!(upstream.note("/notes/3"), None);
    ask(&gateway, "PUT /notes/2", &any, "changed").expect(204);
}

#[test]
fn a_tag_from_before_a_delete_never_counts_again() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    let old = tag(&gateway, "/notes/1");
    let fields = [("if-match", &*old)];
    ask(&gateway, "DELETE /notes/1", &fields, "").expect(204);
    upstream.seen();
    for method in ["PUT", "PATCH", "DELETE"] {
        let refused = ask(&gateway, &format!("{method} /notes/1"), &fields, "back");
        refused.expect_problem(412, "precondition-failed");
    }
    assert_eq!(upstream.count(), 0, "a write got through");
    ask(&gateway, "GET /notes/1", &[], "").expect(404);

    // It comes back by a request for another path, of which nothing was said to the store.
    ask(&gateway, "POST /notes", &[], "1=second").expect(201);
    let new = tag(&gateway, "/notes/1");
    assert_ne!(new, old);
    ask(&gateway, "GET /notes/1", &[("if-none-match", &old)], "").expect(200);
    ask(&gateway, "PUT /notes/1", &fields, "third").expect_problem(412, "precondition-failed");
    ask(&gateway, "PUT /notes/1", &[("if-match", &new)], "third").expect(204);
    // And it goes, and can be created.
    let fields = [("if-match", &*tag(&gateway, "/notes/1"))];
    ask(&gateway, "DELETE /notes/1", &fields, "").expect(204);
    ask(
        &gateway,
        "PUT /notes/1",
        &[("if-none-match", "*")],
        "fourth",
    )
    .expect(201);
}

#[test]
fn a_list_changes_with_its_items() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let gateway = upstream.gateway(&[]);
    for (line, body) in [
        ("POST /notes", "2=second"),
        ("PUT /notes/1", "changed"),
        ("DELETE /notes/2", ""),
    ] {
        let read = ask(&gateway, "GET /notes", &[], "").expect(200);
        let list = [("if-none-match", &*read.etag())];
        ask(&gateway, "GET /notes", &list, "").expect(304);
        let (_, path) = line.split_once(' ').expect("a path");
        let item = ask(&gateway, &format!("GET {path}"), &[], "").etag();
        ask(&gateway, line, &[("if-match", &item)], body);
        let changed = ask(&gateway, "GET /notes", &list, "").expect(200);
        assert_ne!(changed.body, read.body, "{line}");
    }
}

#[test]
fn one_resource_has_one_name_however_it_is_spelled() {
    let upstream = Upstream::start();
    upstream.put("/notes/one", "first");
    let gateway = upstream.gateway(&[]);
    let read = tag(&gateway, "/notes/one");
    let fields = [("if-match", &*read)];
    // The old service does not decode: it has no such note, but the claim is on the same resource.
    ask(&gateway, "PUT /notes/%6Fne", &fields, "second").expect(201);
    ask(&gateway, "PUT /notes/one/", &fields, "third").expect_problem(412, "precondition-failed");
    ask(&gateway, "PUT /notes/one?x=y", &fields, "third")
        .expect_problem(412, "precondition-failed");
    upstream.seen();
    for path in [
        "/notes//one",
        "/notes/./one",
        "/x/../notes/one",
        "/notes/%2E%2E/one",
        "//notes",
        // Whoever decodes before they split has three segments of these.
        "/notes%2fone",
        "/notes/..%2Fnotes/one",
        "/notes%5Cone",
    ] {
        ask(&gateway, &format!("PUT {path}"), &fields, "x").expect_problem(400, "ambiguous-path");
    }
    assert_eq!(upstream.count(), 0, "a write got through");
}
