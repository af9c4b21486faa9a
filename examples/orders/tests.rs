//! The rows that matter most, without a socket: `cargo test --example orders`.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::SCHEMA;
use crate::app::app;
use crate::common::database::Database;
use crate::common::keys::Keys;

const ORDERS: &str = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11/orders";

async fn service(token: Option<&str>) -> Router {
    let database = Database::in_memory(&SCHEMA).await.expect("a database");
    let keys = Keys::open(database.clone()).await.expect("a table");
    app(database, keys, token.map(str::to_owned))
}

/// Status, entity-tag and JSON of the answer.
async fn ask(
    app: &Router,
    request: &str,
    fields: &[(&str, &str)],
    body: Value,
) -> (StatusCode, String, Value) {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", "application/json");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Body::from(body.to_string()))
        .expect("a request");
    let (head, body) = app
        .clone()
        .oneshot(request)
        .await
        .expect("infallible")
        .into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let etag = head.headers.get("etag").and_then(|etag| etag.to_str().ok());
    let json = serde_json::from_slice(&body).unwrap_or_default();
    (head.status, etag.unwrap_or_default().to_owned(), json)
}

async fn created(app: &Router) -> String {
    let key = [("idempotency-key", "first")];
    let (status, etag, order) =
        ask(app, &format!("POST {ORDERS}"), &key, json!({"total": 12})).await;
    assert_eq!((status, &*etag), (StatusCode::CREATED, "\"1\""));
    format!("{ORDERS}/{}", order["uuid"].as_str().expect("a uuid"))
}

#[tokio::test]
async fn of_two_writes_based_on_one_read_the_second_gets_what_the_first_has_written() {
    let app = service(None).await;
    let order = created(&app).await;
    let read = [("if-match", "\"1\"")];
    let patch = format!("PATCH {order}");
    let (status, etag, first) = ask(&app, &patch, &read, json!({"total": 13})).await;
    assert_eq!((status, &*etag), (StatusCode::OK, "\"2\""));
    let (status, etag, problem) = ask(&app, &patch, &read, json!({"total": 14})).await;
    assert_eq!((status, &*etag), (StatusCode::CONFLICT, "\"2\""));
    assert_eq!(problem["type"], "/problems/version-mismatch");
    assert_eq!(
        problem["detail"],
        "If-Match version 1 does not match current version 2."
    );
    assert_eq!(problem["currentResource"], first);
    let (status, _, problem) = ask(&app, &patch, &[], json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "/problems/if-match-required");
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_though_its_version_is_stale_by_then() {
    let app = service(None).await;
    let patch = format!("PATCH {}", created(&app).await);
    let fields = [("if-match", "\"1\""), ("idempotency-key", "k")];
    let first = ask(&app, &patch, &fields, json!({"total": 13})).await;
    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(
        ask(&app, &patch, &fields, json!({"total": 13})).await,
        first
    );
    let (status, ..) = ask(&app, &patch, &fields, json!({"total": 14})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_order_that_comes_back_goes_on_above_its_last_version() {
    let app = service(None).await;
    let order = created(&app).await;
    let delete = [("if-match", "\"1\""), ("x-actor", "ann")];
    let (status, ..) = ask(&app, &format!("DELETE {order}"), &delete, json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, ..) = ask(&app, &format!("GET {order}"), &[], json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let create = [("if-none-match", "*")];
    let (status, etag, _) = ask(&app, &format!("PUT {order}"), &create, json!({})).await;
    assert_eq!((status, &*etag), (StatusCode::CREATED, "\"2\""));
    let (_, _, trail) = ask(&app, &format!("GET {order}/revisions"), &[], json!({})).await;
    assert_eq!(trail["items"][0]["method"], "POST");
    assert_eq!(trail["items"][0]["deleted"]["actor"], "ann");
    assert_eq!(trail["items"][1]["method"], "PUT");
}

#[tokio::test]
async fn a_milestone_is_set_once_until_it_is_revoked() {
    let app = service(None).await;
    let pickup = format!("POST {}/transport/pickup", created(&app).await);
    let (status, _, first) = ask(&app, &pickup, &[], json!({"by": "ann"})).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _, problem) = ask(&app, &pickup, &[], json!({"by": "bob"})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["type"], "/problems/milestone-already-set");
    assert_eq!(problem["currentResource"], first);
    let (status, ..) = ask(&app, &format!("{pickup}/revoke"), &[], json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = ask(&app, &pickup, &[], json!({"by": "bob"})).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let app = service(Some("secret")).await;
    for path in [ORDERS, "/nothing"] {
        let fields = [("authorization", "Bearer guess"), ("if-none-match", "*")];
        let (status, _, problem) = ask(&app, &format!("GET {path}"), &fields, json!({})).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(problem["type"], "/problems/unauthorized");
    }
}
