//! The setup of the guide `browsers`: a script of another origin can send conditions, and can read
//! every answer that they bring, also those that the handler never made.

use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Router, http};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::ServiceExt as _;
use tower_conditional::idempotency::MemoryIdempotencyStore;
use tower_conditional::{ConditionalLayer, IdempotencyLayer, Policy};
use tower_http::cors::CorsLayer;

use crate::support::{Failure, ScriptedStore, Step};

const ORIGIN: &str = "https://app.example.com";

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static(ORIGIN)])
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            header::CONTENT_LOCATION,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
        ])
        .max_age(Duration::from_secs(600))
}

/// A note at version 5, under both conflict statuses.
fn app(store: &ScriptedStore, cors_is_outside: bool) -> Router {
    let mut app = Router::new();
    for (path, policy) in [
        ("/rfc/note", Policy::rfc9110()),
        ("/aip/note", Policy::aip154()),
    ] {
        let layer = ConditionalLayer::new(store.clone()).policy(policy);
        let handler = || async { "text" };
        app = app.route(path, get(handler).put(handler).route_layer(layer));
    }
    let keyed = IdempotencyLayer::new(MemoryIdempotencyStore::new(), |_| Some("me".to_owned()));
    let app = app.route_layer(keyed);
    match cors_is_outside {
        true => app.layer(cors()),
        false => Router::new()
            .route("/rfc/note", get(|| async { "text" }))
            .layer(cors())
            .layer(ConditionalLayer::new(store.clone())),
    }
}

async fn ask(app: &Router, method: &str, path: &str, fields: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("origin", ORIGIN);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from("new")).expect("a request");
    app.clone().oneshot(request).await.expect("infallible")
}

/// Are all of `names` in the list that the field holds?
fn has(answer: &Response<Body>, field: &str, names: &[&str]) -> bool {
    let value = answer.headers().get(field);
    let value = value.map_or("", |value| value.to_str().expect("text"));
    let listed: Vec<_> = value
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    names
        .iter()
        .all(|name| listed.iter().any(|listed| listed == name))
}

const EXPOSED: [&str; 5] = [
    "content-location",
    "etag",
    "idempotency-replayed",
    "location",
    "retry-after",
];

fn is_readable(answer: &Response<Body>) -> bool {
    has(answer, "access-control-allow-origin", &[ORIGIN])
        && has(answer, "access-control-expose-headers", &EXPOSED)
}

fn store() -> ScriptedStore {
    ScriptedStore::at_once()
        .present("/rfc/note", 5)
        .present("/aip/note", 5)
}

#[tokio::test]
async fn a_preflight_allows_what_conditional_writes_need() {
    let store = store();
    let app = app(&store, true);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let fields = [
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
        ];
        let asked = [
            ("access-control-request-method", method),
            ("access-control-request-headers", &*fields.join(",")),
        ];
        let answer = ask(&app, "OPTIONS", "/rfc/note", &asked).await;
        assert_eq!(answer.status(), StatusCode::OK, "{method}");
        assert!(has(&answer, "access-control-allow-origin", &[ORIGIN]));
        assert!(
            has(&answer, "access-control-allow-headers", &fields),
            "{answer:?}"
        );
        let method = method.to_ascii_lowercase();
        assert!(
            has(&answer, "access-control-allow-methods", &[&*method]),
            "{answer:?}"
        );
    }
    assert!(store.asked().is_empty(), "a preflight reached the layer");
}

#[tokio::test]
async fn every_kind_of_answer_can_be_read_by_a_script_of_another_origin() {
    let store = store();
    let app = app(&store, true);
    let key = ("idempotency-key", "k");
    for (method, path, fields, status, field) in [
        ("GET", "/rfc/note", &[][..], 200, Some("etag")),
        (
            "GET",
            "/rfc/note",
            &[("if-none-match", "\"5\"")],
            304,
            Some("etag"),
        ),
        ("PUT", "/rfc/note", &[], 428, None),
        (
            "PUT",
            "/rfc/note",
            &[("if-match", "\"4\"")],
            412,
            Some("etag"),
        ),
        ("PUT", "/aip/note", &[], 400, None),
        (
            "PUT",
            "/aip/note",
            &[("if-match", "\"4\"")],
            409,
            Some("etag"),
        ),
        (
            "PUT",
            "/rfc/note",
            &[("if-match", "\"5\""), key],
            200,
            Some("etag"),
        ),
        (
            "PUT",
            "/rfc/note",
            &[("if-match", "\"5\""), key],
            200,
            Some("idempotency-replayed"),
        ),
        ("PUT", "/nothing", &[], 404, None),
        ("POST", "/rfc/note", &[], 405, None),
    ] {
        let answer = ask(&app, method, path, fields).await;
        let what = format!("{method} {path} {fields:?}");
        assert_eq!(answer.status(), status, "{what}");
        assert!(is_readable(&answer), "{what}: {answer:?}");
        if let Some(field) = field {
            assert!(answer.headers().contains_key(field), "{what}: no {field}");
            assert!(
                has(&answer, "access-control-expose-headers", &[field]),
                "{what}"
            );
        }
    }
    let store = store.failing(Step::Claim, Failure::NotApplied);
    let app = self::app(&store, true);
    let down = ask(&app, "PUT", "/rfc/note", &[("if-match", "*")]).await;
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        is_readable(&down) && down.headers().contains_key("retry-after"),
        "{down:?}"
    );
}

#[tokio::test]
async fn inside_of_the_layer_it_would_not_see_what_the_layer_answers() {
    let app = app(&store(), false);
    let read = ask(&app, "GET", "/rfc/note", &[]).await;
    assert!(is_readable(&read), "{read:?}");
    for (method, fields) in [
        ("GET", ("if-none-match", "\"5\"")),
        ("PUT", ("if-match", "\"4\"")),
    ] {
        let answer = ask(&app, method, "/rfc/note", &[fields]).await;
        assert!(!is_readable(&answer), "{method}: the guide says otherwise");
    }
}

#[tokio::test]
async fn another_origin_is_told_nothing() {
    let request = Request::get("/rfc/note")
        .header("origin", "https://elsewhere.example")
        .body(Body::empty())
        .expect("a request");
    let answer = app(&store(), true)
        .oneshot(request)
        .await
        .expect("infallible");
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}
