//! The answers that the library writes itself, with content in them: a conflict that shows the
//! current resource, and a first answer that is replayed.

mod peer;

use std::convert::Infallible;
use std::future::{Ready, ready as at_once};
use std::hint::black_box;

use bytes::Bytes;
use harness::{Bench, Case, Work, ready};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tower::{Layer, Service};
use tower_conditional::idempotency::{IdempotencyPolicy, MemoryIdempotencyStore};
use tower_conditional::{IdempotencyLayer, Problem, RequestBody, Runtime};

const DETAIL: &str = "If-Match version 5 does not match current version 7.";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATH: &str =
    "/v1/partners/0e9ad6a5-6f6b-4c39-9a39-1f5cbba3f8aa/orders/7c1d8e52-93a4-4d53-8f0e-2b6a9b1c3d4e";

/// JSON of 1 KiB.
fn resource() -> Bytes {
    let lines: Vec<_> = (0..12)
        .map(|nth| {
            format!(r#"{{"sku":"ABC-{nth:05}","quantity":{nth},"price":"12.50","note":"by hand"}}"#)
        })
        .collect();
    let mut json = format!(
        r#"{{"id":"7c1d8e52","version":7,"lines":[{}],"note":""#,
        lines.join(",")
    );
    while json.len() < 1022 {
        json.push('x');
    }
    json.push_str("\"}");
    json.into()
}

/// The least: texts that are known, pasted around the resource.
fn spliced(resource: &Bytes) -> Bytes {
    let (detail, trace) = (black_box(DETAIL), black_box(TRACE));
    let parts: [&[u8]; 7] = [
        br#"{"type":"/problems/version-mismatch","title":"Version Mismatch","status":409,"detail":""#,
        detail.as_bytes(),
        br#"","traceId":""#,
        trace.as_bytes(),
        br#"","currentResource":"#,
        resource,
        b"}",
    ];
    let mut json = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| json.extend_from_slice(part));
    json.into()
}

fn problem(resource: &Bytes) -> Problem {
    Problem::new(StatusCode::CONFLICT, "version-mismatch", "Version Mismatch")
        .with_detail(black_box(DETAIL))
        .with_trace_id(black_box(TRACE))
        .with_member("currentResource", resource.clone())
}

fn tree(resource: &Bytes) -> Bytes {
    let resource: Value = serde_json::from_slice(resource).expect("it is JSON");
    let document = serde_json::json!({
        "type": "/problems/version-mismatch",
        "title": "Version Mismatch",
        "status": 409,
        "detail": black_box(DETAIL),
        "traceId": black_box(TRACE),
        "currentResource": resource,
    });
    serde_json::to_vec(&document).expect("it is JSON").into()
}

fn conflict(name: &'static str, run: fn(&Bytes) -> Bytes) -> Case {
    Case::new(name, move || {
        let resource = resource();
        let expected: Value = serde_json::from_slice(&spliced(&resource)).expect("it is JSON");
        Work::new(|| (), move |()| run(black_box(&resource))).checked(move |json| {
            let json: Value = serde_json::from_slice(json).expect("it is JSON");
            assert_eq!(json, expected, "{name}");
        })
    })
}

/// A sale that is sent again.
fn sale() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(r#"{"product":7,"count":1}"#));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = PATH.parse().expect("it is a path");
    for (name, value) in [
        ("host", "shop.example"),
        ("user-agent", "till/3.1"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("idempotency-key", "9f1c0e9a-6f6b-4c39-9a39-1f5cbba3f8aa"),
    ] {
        let name = HeaderName::from_static(name);
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

/// The handler whose answer is kept.
#[derive(Clone)]
struct Sell(Bytes);

impl Service<Request<RequestBody<Full<Bytes>>>> for Sell {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        let mut response = Response::new(Full::new(self.0.clone()));
        *response.status_mut() = StatusCode::CREATED;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        at_once(Ok(response))
    }
}

/// A replay by a layer with this policy.
fn replay(name: &'static str, policy: fn() -> IdempotencyPolicy) -> Case {
    Case::new(name, move || {
        let store = MemoryIdempotencyStore::new();
        let principal = |_: &http::request::Parts| Some("till-3".to_owned());
        let layer = IdempotencyLayer::with_runtime(store, principal, Runtime::inline());
        let mut service = layer.policy(policy()).layer(Sell(resource()));
        ready(service.call(sale())).expect("the handler does not fail");
        Work::new(sale, move |sale| {
            ready(service.call(sale)).expect("the handler does not fail")
        })
        .checked(move |answer| {
            assert_eq!(answer.status(), StatusCode::CREATED, "{name}");
            assert!(
                answer.headers().contains_key("idempotency-replayed"),
                "{name}"
            );
        })
    })
}

fn main() {
    let mut bench = Bench::from_args("answers");
    bench.table(
        "409 with a current resource of 1 KiB",
        [
            conflict("floor, spliced", spliced).allocates(1),
            conflict("ours, Problem", |resource| problem(resource).to_json()).allocates(2),
            conflict("parsed into a tree, and written again", tree),
        ],
    );
    bench.table(
        "Replay of a first answer of 1 KiB, memory",
        [
            peer::replay("axum-idempotent 0.6, key in a field, nothing compared"),
            replay("ours, request compared by SHA-256", IdempotencyPolicy::new),
            replay("ours, nothing compared", || {
                IdempotencyPolicy::new().compare_requests(false)
            })
            .allocates(9),
        ],
    );
    bench.finish();
}
