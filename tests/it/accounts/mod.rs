//! The example `accounts`, row by row, by clients of its own.

use std::collections::HashSet;
use std::thread;

use crate::support::service::{Service, on_each_database};

mod vectors;

const KEY: (&str, &str) = ("ETAG_KEY", "the same in every process");

/// A new account: its path and its tag.
fn new(service: &Service) -> (String, String) {
    let created = service.send("POST", "/accounts", &[], r#"{"owner":"Ada"}"#);
    let created = created.expect(201);
    let path = format!("/accounts/{}", created.text("id"));
    assert_eq!(created.field("location"), Some(&*path));
    (path, created.etag())
}

#[test]
fn every_answer_with_the_account_carries_its_tag() {
    on_each_database("accounts", 1, &[], |service| {
        let (path, first) = new(service);
        let read = service.send("GET", &path, &[], "").expect(200);
        assert_eq!(read.etag(), first);
        assert_eq!(read.json()["owner"], "Ada");
        assert_eq!(read.json().get("version"), None);
        let head = service.send("HEAD", &path, &[], "").expect(200);
        assert_eq!(head.etag(), first);
        assert!(head.body.is_empty());
        let close = format!("{path}/close");
        let mut tags = HashSet::from([first]);
        for (method, path, body) in [
            ("PUT", &path, r#"{"owner":"Bob"}"#),
            ("PUT", &path, r#"{"owner":"Bob"}"#),
            ("PATCH", &path, r#"{"limit":50}"#),
            ("PATCH", &path, "{}"),
            ("POST", &close, ""),
        ] {
            let written = service.send(method, path, &[], body).expect(200);
            let read = service.send("GET", path.trim_end_matches("/close"), &[], "");
            assert_eq!(read.etag(), written.etag(), "{method}");
            assert_eq!(read.json(), written.json(), "{method}");
            assert!(written.field("last-modified").is_some());
            assert!(
                tags.insert(written.etag()),
                "{method}: a tag that it had before"
            );
        }
        let read = service.send("GET", &path, &[], "").json();
        assert_eq!(read["status"], "closed");
        assert_eq!(
            (&read["owner"], &read["limit"]),
            (&"Bob".into(), &50.into())
        );
    });
}

#[test]
fn a_stale_write_is_412_and_nothing_happens() {
    on_each_database("accounts", 1, &[], |service| {
        let (path, stale) = new(service);
        let current = service.send("PATCH", &path, &[("if-match", &stale)], r#"{"limit":1}"#);
        let current = current.expect(200).etag();
        let close = format!("{path}/close");
        for (method, path, body) in [
            ("PUT", &path, "{}"),
            ("PATCH", &path, "{}"),
            ("DELETE", &path, ""),
            ("POST", &close, ""),
        ] {
            for sent in [&*stale, "\"x\"", &format!("W/{current}"), "", "x"] {
                let refused = service.send(method, path, &[("if-match", sent)], body);
                refused.expect_problem(412, "precondition-failed");
            }
            let refused = service.send(method, path, &[("if-match", &stale)], body);
            assert_eq!(refused.etag(), current, "{method}");
            let refused = service.send(method, path, &[("if-none-match", "*")], body);
            refused.expect_problem(412, "precondition-failed");
        }
        let read = service.send("GET", &path, &[], "");
        assert_eq!(
            (read.etag(), &read.json()["limit"]),
            (current.clone(), &1.into())
        );
        service
            .send("POST", &close, &[("if-match", &current)], "")
            .expect(200);
        service
            .send("PATCH", &path, &[("if-match", "*")], "{}")
            .expect(200);
        service
            .send("DELETE", &path, &[("if-match", "*")], "")
            .expect(204);
    });
}

#[test]
fn a_304_has_no_content_and_the_fields_of_the_200() {
    on_each_database("accounts", 1, &[], |service| {
        let (path, tag) = new(service);
        let full = service.send("GET", &path, &[], "").expect(200);
        assert_eq!(full.field("cache-control"), Some("private, no-cache"));
        for method in ["GET", "HEAD"] {
            for sent in [&*tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
                let same = service.send(method, &path, &[("if-none-match", sent)], "");
                let same = same.expect(304);
                assert!(same.body.is_empty());
                for name in ["etag", "cache-control", "last-modified"] {
                    assert_eq!(same.field(name), full.field(name), "{name}");
                }
                for name in ["content-type", "content-length"] {
                    assert_eq!(same.field(name), None, "{name}");
                }
            }
        }
        service
            .send("GET", &path, &[("if-none-match", "\"x\"")], "")
            .expect(200);
    });
}

#[test]
fn dates_are_evaluated_to_the_second() {
    on_each_database("accounts", 1, &[], |service| {
        let (path, tag) = new(service);
        let modified = service.send("GET", &path, &[], "");
        let modified = modified.field("last-modified").expect("a date").to_owned();
        let (past, future) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        );
        for (method, field, date, status) in [
            ("GET", "if-modified-since", &*modified, 304),
            ("GET", "if-modified-since", future, 304),
            ("GET", "if-modified-since", past, 200),
            ("GET", "if-modified-since", "yesterday", 200),
            ("GET", "if-unmodified-since", past, 412),
            ("GET", "if-unmodified-since", &modified, 200),
            ("PATCH", "if-modified-since", &modified, 200),
            ("PATCH", "if-unmodified-since", past, 412),
            ("PUT", "if-unmodified-since", past, 412),
            ("DELETE", "if-unmodified-since", past, 412),
            ("PATCH", "if-unmodified-since", "yesterday", 200),
            ("PATCH", "if-unmodified-since", future, 200),
        ] {
            let body = if method == "GET" || method == "DELETE" {
                ""
            } else {
                "{}"
            };
            let answer = service.send(method, &path, &[(field, date)], body);
            assert_eq!(answer.status, status, "{method} {field}: {date}");
        }
        // With a tag in the request, the date says nothing.
        let both = [("if-none-match", "\"x\""), ("if-modified-since", future)];
        service.send("GET", &path, &both, "").expect(200);
        let both = [("if-match", &*tag), ("if-unmodified-since", future)];
        service.send("PATCH", &path, &both, "{}").expect(412);
    });
}

#[test]
fn put_creates_and_no_life_of_an_id_has_a_tag_of_another() {
    on_each_database("accounts", 1, &[], |service| {
        let path = "/accounts/6b1f0a52-7d0e-4c53-9a59-7a1f0c0d3e11";
        service
            .send("PUT", path, &[("if-match", "*")], "{}")
            .expect(412);
        service
            .send("PUT", path, &[("if-match", "\"x\"")], "{}")
            .expect(412);
        service
            .send("GET", path, &[], "")
            .expect_problem(404, "not-found");
        let mut tags = HashSet::new();
        for _ in 0..3 {
            let created = service.send("PUT", path, &[("if-none-match", "*")], r#"{"a":1}"#);
            let created = created.expect(201);
            assert_eq!(created.text("id"), path.trim_start_matches("/accounts/"));
            assert!(tags.insert(created.etag()));
            let again = service.send("PUT", path, &[("if-none-match", "*")], "{}");
            again.expect_problem(412, "precondition-failed");
            service
                .send("DELETE", path, &[("if-match", &created.etag())], "")
                .expect(204);
            for (method, body) in [("PATCH", "{}"), ("DELETE", "")] {
                service
                    .send(method, path, &[], body)
                    .expect_problem(404, "not-found");
            }
            for method in ["PUT", "PATCH", "DELETE"] {
                let body = if method == "DELETE" { "" } else { "{}" };
                let gone = service.send(method, path, &[("if-match", &created.etag())], body);
                assert!(
                    [404, 412].contains(&gone.status),
                    "{method}: {}",
                    gone.status
                );
            }
            service.send("GET", path, &[], "").expect(404);
            service
                .send("POST", &format!("{path}/close"), &[], "")
                .expect(404);
        }
    });
}

#[test]
fn tags_tell_nothing() {
    on_each_database("accounts", 1, &[], |service| {
        let tags: Vec<_> = (0..20).map(|_| new(service).1).collect();
        let different: HashSet<_> = tags.iter().collect();
        assert_eq!(different.len(), tags.len(), "of one age, and no two alike");
        let lengths: HashSet<_> = tags.iter().map(String::len).collect();
        assert_eq!(lengths.len(), 1);
        let starts: HashSet<_> = tags.iter().map(|tag| &tag[..5]).collect();
        assert!(starts.len() >= 19, "a prefix: {starts:?}");
        assert!(tags.iter().all(|tag| !tag.starts_with("W/")));
        let (path, _) = new(service);
        let refused = service.send("PUT", &path, &[("if-match", "\"1\"")], "{}");
        let detail = refused.text("detail");
        assert!(!detail.contains("version 1."), "{detail}");
    });
}

#[test]
fn processes_of_one_service_give_one_tag() {
    for environment in [&[KEY][..], &[]] {
        on_each_database("accounts", 2, environment, |service| {
            let (path, tag) = new(service);
            for process in &service.processes {
                let get = |path| super::support::client::send(&process.url, "GET", path, &[], b"");
                assert_eq!(get(&*path).etag(), tag);
                assert_eq!(
                    get(&*path.to_uppercase().replace("ACCOUNTS", "accounts")).etag(),
                    tag
                );
            }
        });
    }
}

/// Two processes, eight writers, all based on one tag: one is acknowledged.
#[test]
fn of_all_writes_that_name_one_tag_one_happens() {
    on_each_database("accounts", 2, &[KEY], |service| {
        let (path, mut tag) = new(service);
        let mut refused = 0;
        for round in 0..10 {
            let answers: Vec<_> = thread::scope(|scope| {
                let writers = (0..8).map(|writer| {
                    let (path, tag) = (&path, &tag);
                    scope.spawn(move || {
                        let fields = [("if-match", &**tag), ("content-type", "application/json")];
                        let body = format!(r#"{{"round":{round},"writer":{writer}}}"#);
                        let url = service.url(writer);
                        super::support::client::send(url, "PATCH", path, &fields, body.as_bytes())
                    })
                });
                let writers: Vec<_> = writers.collect();
                writers
                    .into_iter()
                    .map(|writer| writer.join().expect("no panic"))
                    .collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|answer| answer.status == 200);
            assert_eq!(won.len(), 1, "round {round}");
            refused += lost.len();
            let read = service.send("GET", &path, &[], "");
            assert_eq!(read.etag(), won[0].etag());
            assert_eq!(read.json(), won[0].json());
            tag = read.etag();
        }
        assert_eq!(refused, 70, "they raced");
    });
}

#[test]
fn an_acknowledged_write_survives_a_kill() {
    let mut service = Service::on_sqlite("accounts", 1, &[]);
    let (path, _) = new(&service);
    let tag = service
        .send("PATCH", &path, &[], r#"{"limit":7}"#)
        .expect(200)
        .etag();
    // Dropped, an example is killed as by kill -9.
    service.processes.clear();
    service.add(&[]);
    let read = service.send("GET", &path, &[], "").expect(200);
    assert_eq!((read.etag(), &read.json()["limit"]), (tag, &7.into()));
}

#[test]
fn what_is_no_json_object_is_refused() {
    let service = Service::on_sqlite("accounts", 1, &[]);
    let (path, tag) = new(&service);
    for body in ["{", "[]", "1", "{\"a\":\"\u{0}\"}"] {
        service
            .send("PUT", &path, &[], body)
            .expect_problem(400, "bad-json");
    }
    let wrong = [("content-type", "text/plain")];
    let send = |fields: &[(&str, &str)], body: &[u8]| {
        super::support::client::send(service.url(0), "PATCH", &path, fields, body)
    };
    send(&wrong, b"{}").expect_problem(415, "unsupported-media-type");
    let json = [(
        "content-type",
        "application/merge-patch+json; charset=utf-8",
    )];
    let padded = |length: usize| {
        let mut body = br#"{"a":"""#[..6].to_vec();
        body.resize(length - 2, b'x');
        [&body[..], b"\"}"].concat()
    };
    send(&json, &padded(1024 * 1024 + 1)).expect_problem(413, "content-too-large");
    assert_eq!(service.send("GET", &path, &[], "").etag(), tag);
    send(&json, &padded(1024 * 1024)).expect(200);
    let odd = service.send("PUT", &path, &[], r#"{"id":"x","version":9,"owner":"Ada"}"#);
    let odd = odd.expect(200).json();
    assert_eq!(odd.get("version"), None);
    assert_eq!(odd["id"], path.trim_start_matches("/accounts/"));
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let service = Service::on_sqlite("accounts", 1, &[]);
    let (path, _) = new(&service);
    for unknown in [
        "/",
        "/accounts/5",
        "/accounts/x%20y",
        &format!("{path}/open"),
    ] {
        service
            .send("GET", unknown, &[], "")
            .expect_problem(404, "not-found");
    }
    let close = format!("{path}/close");
    for (method, path, allowed) in [
        ("PURGE", &*path, "PATCH"),
        ("GET", &close, "POST"),
        ("GET", "/accounts", "POST"),
    ] {
        // A condition does not come before that.
        let refused = service.send(method, path, &[("if-match", "\"x\"")], "");
        let refused = refused.expect_problem(405, "method-not-allowed");
        assert!(
            refused
                .field("allow")
                .is_some_and(|allow| allow.contains(allowed))
        );
    }
    let traced = service.send("GET", "/", &[("x-request-id", "abc-1")], "");
    assert_eq!(traced.text("traceId"), "abc-1");
}
