//! `update`, `read` and `create`, one answer of the server after the other.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::marker::PhantomData;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, Service};
use tower_conditional::client::{Change, ClientError, ErrorKind, Outcome, Updated};

use super::script::{Script, Turn, answer, client_of, note, problem, quick, resource};

fn count(current: &Value) -> Change {
    Change::Patch(json!({"count": current["count"].as_i64().unwrap_or(0) + 1}))
}

async fn update(turns: impl IntoIterator<Item = Turn>) -> (Result<Updated, ClientError>, Script) {
    let script = Script::new(turns);
    let updated = client_of(&script).update(note(), count).await;
    (updated, script)
}

fn stale(tag: &str, current: &str) -> Turn {
    let current = format!(r#","currentResource":{current}"#);
    problem(409, "version-mismatch", tag, &current)
}

#[tokio::test]
async fn it_reads_changes_and_writes_with_the_tag_that_it_read() {
    let (updated, script) = update([
        resource("\"1\"", r#"{"count":1}"#),
        answer(200, &[("etag", "\"2\"")], "{}"),
    ])
    .await;
    let updated = updated.unwrap();
    assert_eq!(updated.outcome(), Outcome::Applied);
    assert_eq!((updated.conflicts(), updated.requests()), (0, 2));
    assert_eq!(updated.tag().unwrap().to_string(), "\"2\"");
    assert_eq!(updated.answer().unwrap().body(), "{}");
    let [read, write] = &script.asked()[..] else {
        panic!("two requests: {}", script.methods());
    };
    assert_eq!(
        (&*read.method, read.field("cache-control")),
        ("GET", Some("no-cache"))
    );
    assert_eq!(read.field("accept-encoding"), Some("identity"));
    let accepted = "application/json, application/problem+json";
    assert_eq!(
        (read.field("accept"), write.field("accept")),
        (Some(accepted), Some(accepted))
    );
    assert_eq!((&*write.method, write.uri.clone()), ("PATCH", note()));
    assert_eq!(write.field("if-match"), Some("\"1\""));
    assert_eq!(
        write.field("content-type"),
        Some("application/merge-patch+json")
    );
    assert_eq!(write.json(), json!({"count": 2}));
}

#[tokio::test]
async fn the_current_resource_in_a_refusal_saves_a_read() {
    let (updated, script) = update([
        resource("\"1\"", r#"{"count":1}"#),
        stale("\"7\"", r#"{"count":7}"#),
        answer(204, &[], ""),
    ])
    .await;
    assert_eq!(updated.unwrap().conflicts(), 1);
    assert_eq!(script.methods(), "GET PATCH PATCH");
    let sent = script.asked();
    assert_eq!(sent[2].field("if-match"), Some("\"7\""));
    assert_eq!(sent[2].json(), json!({"count": 8}));
    let key = |at: usize| sent[at].field("idempotency-key").unwrap().to_owned();
    assert_ne!(key(1), key(2), "another try is another operation");
    assert_eq!(key(1).len(), 34);
}

#[tokio::test]
async fn a_refusal_that_does_not_show_all_is_followed_by_a_read() {
    let refusals = [
        answer(412, &[], ""),
        answer(412, &[("etag", "\"7\"")], ""),
        problem(409, "version-mismatch", "\"7\"", ""),
        problem(
            409,
            "version-mismatch",
            "\"7\"",
            r#","currentResource":null"#,
        ),
        // No tag, or the very one that was refused.
        stale("", r#"{"count":3}"#),
        stale("\"1\"", r#"{"count":3}"#),
        // No problem document.
        answer(
            409,
            &[("etag", "\"7\"")],
            r#"{"currentResource":{"count":3}}"#,
        ),
        problem(409, "order-closed", "", ""),
        // Shown for another reason: it may be another resource, the one that is in the way.
        problem(
            409,
            "name-taken",
            "\"3\"",
            r#","currentResource":{"count":3}"#,
        ),
    ];
    for refusal in refusals {
        let (updated, script) = update([
            resource("\"1\"", r#"{"count":1}"#),
            refusal,
            resource("\"7\"", r#"{"count":7}"#),
            answer(204, &[], ""),
        ])
        .await;
        assert_eq!(updated.unwrap().conflicts(), 1);
        assert_eq!(script.methods(), "GET PATCH GET PATCH");
        assert_eq!(script.asked()[3].json(), json!({"count": 8}));
    }
}

#[tokio::test]
async fn from_the_second_conflict_on_what_was_shown_before_the_pause_is_old() {
    let (updated, script) = update([
        resource("\"1\"", r#"{"count":1}"#),
        stale("\"2\"", r#"{"count":2}"#),
        stale("\"3\"", r#"{"count":3}"#),
        resource("\"4\"", r#"{"count":4}"#),
        answer(204, &[], ""),
    ])
    .await;
    assert_eq!(updated.unwrap().conflicts(), 2);
    assert_eq!(script.methods(), "GET PATCH PATCH GET PATCH");
    assert_eq!(script.asked()[4].json(), json!({"count": 5}));
}

#[tokio::test]
async fn fresh_reads_believe_no_refusal() {
    let script = Script::new([
        resource("\"1\"", r#"{"count":1}"#),
        stale("\"2\"", r#"{"count":2}"#),
        resource("\"2\"", r#"{"count":2,"secret":1}"#),
        answer(204, &[], ""),
    ]);
    let client = quick().fresh_reads().layer(script.clone());
    client.update(note(), count).await.unwrap();
    assert_eq!(script.methods(), "GET PATCH GET PATCH");
}

#[tokio::test]
async fn nothing_is_sent_if_there_is_nothing_to_change() {
    let script = Script::new([resource("\"1\"", r#"{"count":1}"#)]);
    let client = client_of(&script);
    let same = |current: &Value| Change::Replace(current.clone());
    let updated = client.update(note(), same).await.unwrap();
    assert_eq!(
        (updated.outcome(), updated.requests()),
        (Outcome::Unchanged, 1)
    );
}

#[tokio::test]
async fn a_busy_server_gets_the_same_write_again_after_the_time_that_it_asks_for() {
    let soon = [("retry-after", "1")];
    for busy in [
        answer(429, &soon, ""),
        answer(
            503,
            &[soon[0], ("content-type", "application/problem+json")],
            r#"{"type":"/problems/resource-busy"}"#,
        ),
        answer(
            409,
            &[soon[0], ("content-type", "application/problem+json")],
            r#"{"type":"/problems/request-in-progress"}"#,
        ),
    ] {
        let begun = Instant::now();
        let (updated, script) = update([
            resource("\"1\"", r#"{"count":1}"#),
            busy,
            answer(204, &[], ""),
        ])
        .await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
        assert_eq!(updated.unwrap().outcome(), Outcome::Applied);
        let sent = script.asked();
        for name in ["idempotency-key", "if-match"] {
            assert_eq!(sent[1].field(name), sent[2].field(name), "{name}");
        }
        assert_eq!(sent[1].content, sent[2].content);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_too_long_a_wait_is_left_alone() {
    let (updated, script) = update([
        resource("\"1\"", r#"{"count":1}"#),
        answer(429, &[("retry-after", "3600")], ""),
    ])
    .await;
    let error = updated.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(error.status().unwrap().as_u16(), 429);
    assert_eq!((error.requests(), script.asked().len()), (2, 2));

    let soon = [("retry-after", "1")];
    let turns = [resource("\"1\"", r#"{"count":1}"#), answer(429, &soon, "")];
    let layer = quick().longest_retry_after(Duration::from_millis(900));
    let impatient = layer.layer(Script::new(turns));
    let error = impatient.update(note(), count).await.unwrap_err();
    assert_eq!((error.kind(), error.requests()), (ErrorKind::Busy, 2));
}

#[tokio::test]
async fn a_read_that_meets_a_write_under_way_is_repeated() {
    let (updated, script) = update([
        answer(200, &[], r#"{"count":1}"#),
        answer(200, &[], r#"{"count":1}"#),
        resource("\"2\"", r#"{"count":2}"#),
        answer(204, &[], ""),
    ])
    .await;
    assert_eq!(updated.unwrap().requests(), 4);
    assert_eq!(script.asked()[3].json(), json!({"count": 3}));
}

#[tokio::test]
async fn what_fails_for_good_says_how() {
    let read = || resource("\"1\"", r#"{"count":1}"#);
    let text = || answer(200, &[("etag", "\"1\"")], "no JSON");
    let gzip = [("etag", "\"1\""), ("content-encoding", "gzip")];
    let rows = [
        (vec![answer(404, &[], "")], ErrorKind::NotFound, 1),
        (vec![answer(403, &[], "")], ErrorKind::Refused, 1),
        (vec![answer(200, &[], "{}"); 6], ErrorKind::NoTag, 6),
        (
            vec![answer(200, &[("etag", "1")], "{}"); 6],
            ErrorKind::NoTag,
            6,
        ),
        (vec![text()], ErrorKind::Unreadable, 1),
        (vec![answer(200, &gzip, "{}")], ErrorKind::Unreadable, 1),
        (
            vec![resource("\"1\"", &"1".repeat(2 << 20))],
            ErrorKind::Unreadable,
            1,
        ),
        (vec![read(), answer(404, &[], "")], ErrorKind::NotFound, 2),
        (vec![read(), answer(410, &[], "")], ErrorKind::NotFound, 2),
        (vec![read(), answer(428, &[], "")], ErrorKind::Missing, 2),
        (
            vec![read(), problem(400, "if-match-required", "", "")],
            ErrorKind::Missing,
            2,
        ),
        (
            vec![read(), problem(400, "bad-json", "", "")],
            ErrorKind::Refused,
            2,
        ),
        (vec![read(), answer(403, &[], "")], ErrorKind::Refused, 2),
        // 409, and yet nothing has changed: a rule of the server's own.
        (
            vec![read(), problem(409, "order-closed", "", ""), read()],
            ErrorKind::Refused,
            3,
        ),
    ];
    for (turns, kind, requests) in rows {
        let (updated, _) = update(turns).await;
        let error = updated.unwrap_err();
        assert_eq!(
            (error.kind(), error.requests()),
            (kind, requests),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("after {requests} request(s)"))
        );
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_what_the_server_said() {
    let (updated, _) = update([
        resource("\"1\"", r#"{"count":1}"#),
        problem(422, "order-closed", "", ""),
    ])
    .await;
    let error = updated.unwrap_err();
    assert_eq!(
        (error.type_name(), error.detail()),
        ("order-closed", "told")
    );
    let told = "the server refuses: 422 Unprocessable Entity: told, after 2 request(s)";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn a_read_is_repeated_up_to_the_limit_and_keeps_the_cause() {
    let script = Script::new([
        Turn::Break,
        answer(500, &[], ""),
        Turn::Silence,
        Turn::Break,
    ]);
    let client = quick().requests(4).layer(script.clone());
    let error = client.update(note(), count).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.requests()),
        (ErrorKind::Unreachable, 4)
    );
    let source = error.source().unwrap().downcast_ref::<std::io::Error>();
    assert_eq!(source.unwrap().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn who_is_always_too_late_ends_as_stale() {
    let conflict = |version: u32| {
        [
            answer(412, &[], ""),
            resource(&format!("\"{version}\""), r#"{"count":1}"#),
        ]
    };
    let turns = [resource("\"1\"", r#"{"count":1}"#)].into_iter();
    let script = Script::new(turns.chain((2..10).flat_map(conflict)));
    let client = quick().requests(6).layer(script.clone());
    let error = client.update(note(), count).await.unwrap_err();
    assert_eq!((error.kind(), error.requests()), (ErrorKind::Stale, 6));
    assert_eq!(script.asked().len(), 6);
}

#[tokio::test]
async fn fields_of_the_client_go_with_every_request() {
    let script = Script::new([resource("\"1\"", r#"{"count":1}"#), answer(204, &[], "")]);
    let token = HeaderValue::from_static("Bearer 1");
    let client = client_of(&script).with_field(header::AUTHORIZATION, token);
    client.update(note(), count).await.unwrap();
    for asked in script.asked() {
        assert_eq!(asked.field("authorization"), Some("Bearer 1"));
    }
}

#[tokio::test]
async fn reads_use_the_copy_that_is_there() {
    let script = Script::new([
        resource("\"1\"", r#"{"count":1}"#),
        answer(304, &[("etag", "\"1\"")], ""),
    ]);
    let client = client_of(&script);
    let first = client.read(note()).await.unwrap();
    let second = client.read(note()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!((second.tag().opaque(), second.uri()), (&b"1"[..], &note()));
    assert_eq!(second.into_value(), json!({"count": 1}));
    assert_eq!(script.asked()[1].field("if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn numbers_come_back_to_the_last_bit() {
    let text = r#"{"count":1,"float":0.30000000000000004,"large":18446744073709551615}"#;
    let script = Script::new([resource("\"1\"", text), answer(204, &[], "")]);
    let count = |current: &Value| {
        let mut changed = current.clone();
        changed["count"] = 2.into();
        Change::Replace(changed)
    };
    client_of(&script).update(note(), count).await.unwrap();
    let sent = script.asked()[1].content.clone();
    let expected = text.replace("\"count\":1", "\"count\":2");
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_creation_that_got_no_answer_is_sent_again_only_where_keys_are_honoured() {
    let created = || answer(201, &[("location", "/note/1")], "");
    for silence in [Turn::Break, Turn::Silence, answer(502, &[], "")] {
        let script = Script::new([silence.clone(), created()]);
        let error = client_of(&script)
            .create(note(), &json!({}))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InDoubt);
        assert_eq!(script.methods(), "POST");

        let script = Script::new([silence, created()]);
        let client = quick().keys_honoured().layer(script.clone());
        let answer = client.create(note(), &json!({"count": 0})).await.unwrap();
        assert_eq!(answer.headers()["location"], "/note/1");
        let [first, second] = &script.asked()[..] else {
            panic!("two requests: {}", script.methods());
        };
        assert_eq!(
            first.field("idempotency-key"),
            second.field("idempotency-key")
        );
        assert_eq!(
            (first.json(), first.field("if-match")),
            (json!({"count": 0}), None)
        );
    }
}

#[tokio::test]
async fn a_creation_that_is_refused_says_how() {
    for (turn, kind) in [
        (problem(422, "bad-order", "", ""), ErrorKind::Refused),
        (answer(404, &[], ""), ErrorKind::NotFound),
        (problem(409, "already-set", "", ""), ErrorKind::Refused),
        (problem(409, "outcome-unknown", "", ""), ErrorKind::InDoubt),
        (
            problem(409, "result-not-stored", "", ""),
            ErrorKind::InDoubt,
        ),
    ] {
        let script = Script::new([turn]);
        let error = client_of(&script)
            .create(note(), &json!({}))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.requests()), (kind, 1), "{error}");
    }
}

/// A service that can be sent to another thread and not shared, as `tower::util::BoxCloneService` is.
#[derive(Clone)]
struct Unshared(Script, PhantomData<Cell<()>>);

impl Service<Request<Full<Bytes>>> for Unshared {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = <Script as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn calls_can_be_spawned_and_outlive_their_handle() {
    let script = Script::new([
        resource("\"1\"", r#"{"count":1}"#),
        answer(204, &[], ""),
        answer(201, &[], ""),
    ]);
    let client = quick().layer(Unshared(script.clone(), PhantomData));
    let update = client.update(note(), count);
    let create = client.create(note(), &json!(1));
    drop(client);
    tokio::spawn(update).await.unwrap().unwrap();
    tokio::spawn(create).await.unwrap().unwrap();
    assert_eq!(script.methods(), "GET PATCH POST");

    let script = Script::new([resource("\"1\"", "1"), answer(204, &[], "")]);
    let client = quick().layer(Unshared(script.clone(), PhantomData));
    let saved = tokio::spawn(async move {
        let base = client.read(note()).await?;
        client.save(&base, &json!(2)).await
    });
    saved.await.unwrap().unwrap();
    assert_eq!(script.methods(), "GET PUT");
}
