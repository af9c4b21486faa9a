//! Loops that clients in the field never left: the tag that the server gives is the tag that it
//! refuses.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tower::Layer;
use tower_conditional::client::{Change, ClientLayer, ErrorKind, Outcome};

use super::notes::{Notes, add};
use super::script::{Script, answer, client_of, note, problem, resource};

fn count(current: &Value) -> Change {
    Change::Patch(json!({"count": current["count"].as_i64().unwrap_or(0) + 1}))
}

/// Marks tags as nginx (`W/"5"`) or Apache (`"5-gzip"`) do with what they compress, whether or not
/// the client has asked for it; answers to writes too, or those to reads alone.
fn marking(router: Router, weakens: bool, writes_too: bool) -> Router {
    let mark = move |request: Request, next: Next| async move {
        let is_read = request.method() == http::Method::GET;
        let mut answer = next.run(request).await;
        if (is_read || writes_too)
            && let Some(tag) = answer.headers().get(header::ETAG)
        {
            let tag = tag.to_str().expect("our tags are text");
            let marked = match weakens {
                true => format!("W/{tag}"),
                false => format!("{}-gzip\"", tag.trim_end_matches('"')),
            };
            let marked = HeaderValue::try_from(marked).expect("it is text");
            answer.headers_mut().insert(header::ETAG, marked);
        }
        answer
    };
    router.layer(from_fn(mark))
}

#[tokio::test]
async fn a_tag_that_a_proxy_marks_is_not_sent_for_ever() {
    for weakens in [true, false] {
        for (notes, router) in [Notes::new(), Notes::new()]
            .into_iter()
            .zip([Notes::comparing, Notes::claiming])
        {
            let server = marking(router(&notes), weakens, true);
            let client = ClientLayer::new().layer(server);
            let error = client.update(note(), add("a")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MarkedTag, "{error}");
            assert!(error.requests() <= 3, "{error}");
            let tag = error.tag().expect("it says which").to_string();
            assert!(tag.starts_with("W/") || tag.ends_with("-gzip\""), "{tag}");
            assert_eq!(notes.edits().len(), 0);
        }
    }
}

#[tokio::test]
async fn a_proxy_that_leaves_refusals_alone_shows_the_way_out() {
    for weakens in [true, false] {
        let notes = Notes::new();
        let server = marking(notes.comparing(), weakens, false);
        let client = ClientLayer::new().layer(server);
        let updated = client.update(note(), add("a")).await.unwrap();
        // The refusal has the resource, and its tag as the server made it.
        assert_eq!(
            (updated.outcome(), updated.requests()),
            (Outcome::Applied, 3)
        );
        assert_eq!(notes.edits()["a"], 1);
    }
}

#[tokio::test]
async fn a_server_that_refuses_what_it_gives_is_asked_twice() {
    let read = || resource("\"1\"", r#"{"count":1}"#);
    let script = Script::new([
        read(),
        answer(412, &[], ""),
        read(),
        answer(412, &[], ""),
        read(),
    ]);
    let error = client_of(&script).update(note(), count).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RefusedTwice);
    assert_eq!(error.tag().expect("it says which").to_string(), "\"1\"");
    assert_eq!(error.requests(), 5);
}

#[tokio::test]
async fn a_refusal_that_gives_the_refused_tag_back_is_not_believed() {
    // As Spring Data REST does.
    let script = Script::new([
        resource("\"1\"", r#"{"count":1}"#),
        problem(
            412,
            "precondition-failed",
            "\"1\"",
            r#","currentResource":{"count":1}"#,
        ),
        resource("\"2\"", r#"{"count":5}"#),
        answer(204, &[], ""),
    ]);
    let updated = client_of(&script).update(note(), count).await.unwrap();
    assert_eq!(updated.requests(), 4);
    assert_eq!(script.asked()[3].json(), json!({"count": 6}));
}
