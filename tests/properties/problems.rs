//! Whatever a request says, the answer that tells what is wrong with it is a JSON document, says what
//! its status says, and can be found in logs by the id that the request came with.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::policy::{ConflictStatus, IfMatch, Malformed};
use tower_conditional::problem::{Problem, Reason, trace_id};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, RequestBody, ResponseBody};

use super::{Property, choice_and_lines};

pub(super) const PROPERTY: Property = Property {
    name: "problems",
    kinds: &["forwarded", "malformed", "stale"],
    holds,
};

type Content = Full<Bytes>;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can be built");
}

/// A byte that chooses the policy; then a line for a trace parent, one for a request id, and those
/// of `If-Match`.
fn holds(input: &[u8]) -> &'static str {
    let (choice, lines) = choice_and_lines(input);
    any_text_is_a_document(&String::from_utf8_lossy(input));
    let names = ["traceparent", "x-request-id"].into_iter();
    let names = names.chain(std::iter::repeat(IF_MATCH.as_str()));
    let mut headers = HeaderMap::new();
    for (name, line) in names.zip(lines) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let id = trace_id(&headers);
    is_the_id_that_was_sent(&headers, &id);
    let response = RUNTIME.with(|runtime| runtime.block_on(answer(choice, &headers)));
    let Some(reason) = response.extensions().get::<Reason>().copied() else {
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        return "forwarded";
    };
    let (status, name, kind) = match reason {
        Reason::MalformedIfMatch => (400, "if-match-malformed", "malformed"),
        Reason::Stale if choice & 1 == 0 => (412, "precondition-failed", "stale"),
        Reason::Stale => (409, "version-mismatch", "stale"),
        other => panic!("refused for another reason: {other:?}"),
    };
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let document: Value = serde_json::from_slice(response.body()).expect("it is JSON");
    assert_eq!(document["status"], status);
    assert_eq!(document["type"], format!("/problems/{name}"));
    assert!(document["detail"].is_string() && document["title"].is_string());
    let told = document["traceId"].as_str().expect("it has an id");
    // Two random ones differ.
    assert!(told == id || is_random(told) && is_random(&id));
    kind
}

fn any_text_is_a_document(text: &str) {
    let middle = text.chars().count() / 2;
    let one: String = text.chars().take(middle).collect();
    let other: String = text.chars().skip(middle).collect();
    let problem = Problem::new(StatusCode::CONFLICT, one.clone(), other.clone())
        .with_detail(text.to_owned())
        .with_trace_id(other.clone())
        .with_member(format!("{text}!"), "[1]");
    let response = problem.to_response();
    let document: Value = serde_json::from_slice(response.body()).expect("it is JSON");
    let mut expected = json!({
        "type": format!("/problems/{one}"), "title": other, "status": 409, format!("{text}!"): [1],
    });
    for (name, value) in [("detail", text), ("traceId", &other)] {
        if !value.is_empty() {
            expected[name] = json!(value);
        }
    }
    assert_eq!(document, expected);
}

/// `x-request-id` if it can be read, else what stands in `traceparent`, else a random one.
fn is_the_id_that_was_sent(headers: &HeaderMap, id: &str) {
    let readable = |name| {
        let text = headers.get(name)?.to_str().ok()?.trim_ascii();
        (1..=256).contains(&text.len()).then_some(text)
    };
    match (readable("x-request-id"), readable("traceparent")) {
        (Some(sent), _) => assert_eq!(id, sent),
        (None, parent) => {
            assert!(is_random(id));
            assert_ne!(id, "0".repeat(32));
            let parts: Vec<_> = parent.unwrap_or("").split('-').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
            if let ["00", trace, parent, _] = parts[..]
                && lengths == [2, 32, 16, 2]
                && parts.iter().all(|part| part.bytes().all(hex))
                && !zero(trace)
                && !zero(parent)
            {
                assert_eq!(id, trace);
            }
        }
    }
}

fn is_random(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a layer says to a `PUT` with these fields, of a resource that somebody wrote before.
async fn answer(choice: u8, headers: &HeaderMap) -> Response<Bytes> {
    let policy = Policy::default()
        .if_match(IfMatch::Optional)
        .conflict_status(if choice & 1 == 0 {
            ConflictStatus::PreconditionFailed
        } else {
            ConflictStatus::Conflict
        })
        .malformed(if choice & 2 == 0 {
            Malformed::BadRequest
        } else {
            Malformed::ConditionFails
        });
    let handler = service_fn(|_: Request<RequestBody<Content>>| async {
        let mut response = Response::new(Content::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok::<_, Infallible>(response)
    });
    let layer = ConditionalLayer::new(MemoryStore::new()).policy(policy);
    let service = layer.layer(handler);
    let put = |headers: HeaderMap| {
        let mut request = Request::put("/notes/1")
            .body(Content::default())
            .expect("it is a request");
        *request.headers_mut() = headers;
        service.clone().oneshot(request)
    };
    let written: Response<ResponseBody<Content>> = put(HeaderMap::new()).await.expect("infallible");
    assert_eq!(written.status(), StatusCode::NO_CONTENT);
    let (parts, body) = put(headers.clone()).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("it is in memory").to_bytes();
    Response::from_parts(parts, body)
}
