//! `If-Match`: each handle sends what it has read itself, and nothing else.

use http::Method;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::client::Client;

use super::script::{Script, Turn, answer, client_of, problem, quick, request, resource};
use crate::support::see;

async fn send(client: &mut Client<Script>, method: &str, fields: &[(&str, &str)]) {
    let request = request(method, "/note", fields);
    let answer = client.ready().await.expect("always ready").call(request);
    see(answer.await.expect("the script answers")).await;
}

fn ok(tag: &str) -> Turn {
    answer(200, &[("etag", tag)], "")
}

/// What a `PUT` sends as `If-Match` after `before`, given as requests and their answers.
async fn based_on(before: &[(&str, &[(&str, &str)], Turn)]) -> Option<String> {
    let turns = before.iter().map(|(_, _, turn)| turn.clone());
    let script = Script::new(turns.chain([answer(204, &[], "")]));
    let mut client = client_of(&script);
    for (method, fields, _) in before {
        send(&mut client, method, fields).await;
    }
    send(&mut client, "PUT", &[]).await;
    let asked = script.asked();
    let last = asked.last().expect("there was a PUT");
    last.field("if-match").map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_write_says_what_it_is_based_on() {
    let get = |tag| ("GET", &[][..], resource(tag, "1"));
    let put = |turn| ("PUT", &[][..], turn);
    let patch = |turn| ("PATCH", &[][..], turn);
    let own: &[(&str, &str)] = &[("if-match", "\"1\"")];
    let star: &[(&str, &str)] = &[("if-match", "*")];
    let none: &[(&str, &str)] = &[("if-none-match", "\"1\"")];
    let unchanged = |tag| answer(304, &[("etag", tag)], "");
    let rows: Vec<(Vec<(&str, &[(&str, &str)], Turn)>, Option<&str>)> = vec![
        (vec![], None),
        (vec![get("\"1\"")], Some("\"1\"")),
        (vec![get("\"1\""), get("\"2\"")], Some("\"2\"")),
        // A weak one is sent: that fails, where no condition would overwrite.
        (vec![get("W/\"1\"")], Some("W/\"1\"")),
        (vec![get("\"1\""), ("GET", &[], answer(200, &[], ""))], None),
        (vec![get("\"1\""), ("GET", &[], answer(404, &[], ""))], None),
        (
            vec![get("\"1\""), ("GET", &[], answer(503, &[], ""))],
            Some("\"1\""),
        ),
        (
            vec![
                get("\"1\""),
                ("GET", none, answer(304, &[("etag", "\"1\"")], "")),
            ],
            Some("\"1\""),
        ),
        // A 304 says which of the caller's own copies is current, and none of any other.
        (
            vec![(
                "GET",
                &[("if-none-match", "\"1\", W/\"2\"")],
                unchanged("\"2\""),
            )],
            Some("\"2\""),
        ),
        (
            vec![get("\"1\""), ("GET", none, unchanged("\"2\""))],
            Some("\"1\""),
        ),
        (
            vec![get("\"1\""), ("GET", none, answer(304, &[], ""))],
            Some("\"1\""),
        ),
        (
            vec![("GET", &[("if-none-match", "*")], unchanged("\"2\""))],
            None,
        ),
        // A date cannot tell two changes in one second apart.
        (
            vec![(
                "GET",
                &[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
                unchanged("\"2\""),
            )],
            None,
        ),
        // What was not read is no base.
        (
            vec![get("\"1\""), ("HEAD", &[], ok("\"2\""))],
            Some("\"1\""),
        ),
        (vec![("HEAD", &[], ok("\"2\""))], None),
        (
            vec![
                get("\"1\""),
                (
                    "GET",
                    &[("range", "bytes=0-1")],
                    answer(206, &[("etag", "\"2\"")], ""),
                ),
            ],
            Some("\"1\""),
        ),
        (
            vec![
                get("\"1\""),
                put(problem(
                    412,
                    "precondition-failed",
                    "\"2\"",
                    r#","currentResource":2"#,
                )),
            ],
            Some("\"1\""),
        ),
        // What was written is known, if all of it is.
        (vec![get("\"1\""), put(ok("\"2\""))], Some("\"2\"")),
        (vec![put(ok("\"2\""))], Some("\"2\"")),
        (vec![get("\"1\""), put(answer(204, &[], ""))], None),
        (vec![get("\"1\""), patch(ok("\"2\""))], Some("\"2\"")),
        (vec![patch(ok("\"2\""))], None),
        (vec![("PATCH", own, ok("\"2\""))], Some("\"2\"")),
        (vec![get("\"1\""), ("PATCH", star, ok("\"2\""))], None),
        (vec![get("\"1\""), ("POST", &[], ok("\"2\""))], None),
        (
            vec![get("\"1\""), ("DELETE", &[], answer(204, &[], ""))],
            None,
        ),
        (
            vec![get("\"1\""), ("DELETE", &[], answer(404, &[], ""))],
            None,
        ),
    ];
    for (at, (before, expected)) in rows.into_iter().enumerate() {
        assert_eq!(based_on(&before).await.as_deref(), expected, "row {at}");
    }
}

#[tokio::test]
async fn conditions_of_the_caller_are_left_alone() {
    for own in [
        ("if-match", "\"0\""),
        ("if-none-match", "*"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let script = Script::new([resource("\"1\"", "1"), answer(204, &[], "")]);
        let mut client = client_of(&script);
        send(&mut client, "GET", &[]).await;
        send(&mut client, "PUT", &[own]).await;
        let sent = &script.asked()[1];
        assert_eq!(sent.field(own.0), Some(own.1));
        let expected = (own.0 == "if-match").then_some("\"0\"");
        assert_eq!(sent.field("if-match"), expected, "{own:?}");
    }
}

#[tokio::test]
async fn only_conditional_methods_get_a_condition() {
    for (layer, posts) in [
        (quick(), None),
        (quick().conditional_methods([Method::POST]), Some("\"1\"")),
    ] {
        let script = Script::new([resource("\"1\"", "1"), answer(204, &[], "")]);
        let mut client = layer.layer(script.clone());
        send(&mut client, "GET", &[]).await;
        send(&mut client, "POST", &[]).await;
        assert_eq!(script.asked()[1].field("if-match"), posts);
    }
}

#[tokio::test]
async fn what_another_handle_has_read_is_no_base() {
    let script = Script::new([
        resource("\"1\"", "1"),
        resource("\"2\"", "2"),
        answer(409, &[], ""),
        answer(204, &[], ""),
    ]);
    let mut alice = client_of(&script);
    send(&mut alice, "GET", &[]).await;
    let mut bob = alice.clone();
    send(&mut bob, "GET", &[]).await;
    send(&mut alice, "PUT", &[]).await;
    send(&mut bob, "PUT", &[]).await;
    let sent = script.asked();
    assert_eq!(
        sent[1].field("if-none-match"),
        Some("\"1\""),
        "copies are shared"
    );
    assert_eq!(sent[2].field("if-match"), Some("\"1\""), "tags are not");
    assert_eq!(sent[3].field("if-match"), Some("\"2\""));
}

#[tokio::test]
async fn what_another_principal_has_read_is_no_base() {
    let script = Script::new([resource("\"1\"", "1"), answer(428, &[], "")]);
    let mut client = client_of(&script);
    send(&mut client, "GET", &[("authorization", "alice")]).await;
    send(&mut client, "PUT", &[("authorization", "bob")]).await;
    assert_eq!(script.asked()[1].field("if-match"), None);
}

#[tokio::test]
async fn tags_are_forgotten_beyond_the_limit() {
    let script = Script::new([resource("\"1\"", "1"), answer(428, &[], "")]);
    let mut client = quick().validators(0).layer(script.clone());
    send(&mut client, "GET", &[]).await;
    send(&mut client, "PUT", &[]).await;
    assert_eq!(script.asked()[1].field("if-match"), None);
}
