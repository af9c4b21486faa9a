//! Representations of one state: each has a tag of its own, each of them may be written against.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri, header::ETAG};
use axum::{Json, Router, routing::get};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_conditional::axum::{Conflict, Created, Expected, Versioned, Wrote};
use tower_conditional::policy::{ConflictStatus, IfMatch};
use tower_conditional::tags::{Opaque, Prefixed};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, ResourceKey};

type Row = Arc<Mutex<i64>>;

async fn read(State(row): State<Row>, RawQuery(query): RawQuery) -> Versioned<String> {
    let version = *row.lock().expect("no handler panics");
    let shown = query.map_or_else(String::new, |_| format!(", version {version}"));
    Versioned(version.into(), format!("state {version}{shown}"))
}

async fn write(State(row): State<Row>, expected: Expected) -> Result<Wrote<()>, Conflict> {
    let mut version = row.lock().expect("no handler panics");
    let current = tower_conditional::store::State::present((*version).into());
    if !expected.holds(&current) {
        return Err(Conflict::with_json(*version, &*version));
    }
    *version += 1;
    Ok(Wrote((*version).into(), ()))
}

async fn create() -> Created<()> {
    Created::at("/record", 5, ())
}

fn policy() -> Policy {
    Policy::rfc9110()
        .if_match(IfMatch::Optional)
        .variant("version", |parts| {
            parts.uri.query() == Some("include=version")
        })
        .variant("german", |parts| parts.uri.query() == Some("lang=de"))
}

fn opaque() -> Opaque {
    Opaque::new("a secret of sixteen bytes").expect("long enough")
}

/// A record in version 5, in handler mode.
fn app(policy: Policy) -> Router {
    let layer = ConditionalLayer::handler()
        .policy(policy)
        .key(|_| Some(ResourceKey::new("/record")));
    Router::new()
        .route("/record", get(read).put(write).route_layer(layer.clone()))
        .route("/records", get(read).post(create).route_layer(layer))
        .with_state(Row::new(Mutex::new(5)))
}

/// Every policy that all of this has to hold for.
fn policies() -> [Policy; 3] {
    [
        policy(),
        policy().tags(Prefixed::new("b2-").expect("a prefix")),
        policy().tags(opaque()),
    ]
}

async fn send(
    app: &Router,
    method: &str,
    uri: &str,
    condition: Option<(&str, &str)>,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

fn tag(response: &Response<Body>) -> String {
    let tag = response.headers()[ETAG].to_str();
    tag.expect("a tag is text").to_owned()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

const URLS: [&str; 3] = ["/record", "/record?include=version", "/record?lang=de"];

#[tokio::test]
async fn each_representation_has_a_tag_of_its_own() {
    for policy in policies() {
        let app = app(policy);
        let mut tags = Vec::new();
        for url in URLS {
            tags.push(tag(&send(&app, "GET", url, None).await));
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), URLS.len(), "{tags:?}");
    }
    let plain = app(policy());
    assert_eq!(
        tag(&send(&plain, "GET", URLS[1], None).await),
        r#""5~version""#
    );
}

#[tokio::test]
async fn each_tag_works_in_if_match_at_each_url() {
    for policy in policies() {
        for read_at in URLS {
            for written_at in URLS {
                let app = app(policy.clone());
                let tag = tag(&send(&app, "GET", read_at, None).await);
                let condition = Some(("if-match", &*tag));
                let read = send(&app, "GET", written_at, condition).await;
                assert_eq!(read.status(), StatusCode::OK, "{read_at}, {written_at}");
                let written = send(&app, "PUT", written_at, condition).await;
                assert_eq!(written.status(), StatusCode::OK, "{read_at}, {written_at}");
                let again = send(&app, "PUT", written_at, condition).await;
                assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
            }
        }
    }
}

#[tokio::test]
async fn a_copy_is_good_for_its_own_url_only() {
    for policy in policies() {
        let app = app(policy);
        for read_at in URLS {
            let tag = tag(&send(&app, "GET", read_at, None).await);
            for asked_at in URLS {
                let condition = Some(("if-none-match", &*tag));
                let answer = send(&app, "GET", asked_at, condition).await;
                let expected = match read_at == asked_at {
                    true => StatusCode::NOT_MODIFIED,
                    false => StatusCode::OK,
                };
                assert_eq!(answer.status(), expected, "{read_at}, {asked_at}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_names_a_tag_that_works() {
    for policy in policies() {
        for status in [ConflictStatus::Conflict, ConflictStatus::PreconditionFailed] {
            let app = app(policy.clone().conflict_status(status));
            for url in URLS {
                let refused = send(&app, "PUT", url, Some(("if-match", r#""4""#))).await;
                assert!(refused.status().is_client_error());
                let current = tag(&send(&app, "GET", url, None).await);
                assert_eq!(tag(&refused), current);
                let condition = Some(("if-match", &*current));
                let retried = send(&app, "PUT", url, condition).await;
                assert_eq!(retried.status(), StatusCode::OK);
            }
        }
    }
}

#[tokio::test]
async fn the_answer_to_a_write_has_the_tag_of_the_url_that_it_went_to() {
    for policy in policies() {
        let app = app(policy);
        for url in URLS {
            let written = tag(&send(&app, "PUT", url, None).await);
            assert_eq!(written, tag(&send(&app, "GET", url, None).await));
        }
    }
}

#[tokio::test]
async fn the_answer_to_a_create_has_the_tag_of_what_was_created() {
    for policy in policies() {
        let app = app(policy);
        let created = send(&app, "POST", "/records", None).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        assert_eq!(
            tag(&created),
            tag(&send(&app, "GET", "/record", None).await)
        );
    }
}

#[tokio::test]
async fn a_variant_that_the_route_does_not_have_names_nothing() {
    let app = app(policy());
    for unknown in [r#""5~french""#, r#""5~""#, r#""5~version~""#, r#""05""#] {
        let condition = Some(("if-match", unknown));
        for method in ["PUT", "GET"] {
            let answer = send(&app, method, "/record", condition).await;
            assert_eq!(
                answer.status(),
                StatusCode::PRECONDITION_FAILED,
                "{unknown}"
            );
        }
    }
}

#[tokio::test]
async fn the_text_of_a_refusal_shows_no_more_than_the_tag() {
    let app = app(policy().tags(opaque()));
    let refused = send(&app, "PUT", "/record", Some(("if-match", r#""4""#))).await;
    let current = tag(&refused);
    let problem: Value = serde_json::from_str(&text(refused).await).expect("JSON");
    let detail = problem["detail"].as_str().expect("text");
    let expected = format!(
        "If-Match version 4 does not match current version {}.",
        current.trim_matches('"')
    );
    assert_eq!(detail, expected);
}

#[tokio::test]
async fn behind_a_compressing_proxy_any_representation_is_recognised() {
    for policy in policies() {
        for (read_at, written_at) in [(URLS[0], URLS[0]), (URLS[1], URLS[0])] {
            let (strict, tolerant) = (app(policy.clone()), app(policy.clone().tolerant(true)));
            let tag = tag(&send(&strict, "GET", read_at, None).await);
            let opaque = tag.trim_matches('"');
            for marked in [format!("W/{tag}"), format!("\"{opaque}-gzip\"")] {
                let condition = Some(("if-match", &*marked));
                let answer = send(&strict, "PUT", written_at, condition).await;
                assert_eq!(answer.status(), StatusCode::PRECONDITION_FAILED, "{marked}");
                let answer = send(&tolerant, "GET", written_at, condition).await;
                assert_eq!(answer.status(), StatusCode::OK, "{marked}");
            }
            let marked = format!("W/{tag}");
            let answer = send(&tolerant, "PUT", written_at, Some(("if-match", &marked))).await;
            assert_eq!(answer.status(), StatusCode::OK, "{marked}");
        }
    }
}

#[tokio::test]
async fn a_tag_under_the_secret_of_before_is_as_good_as_a_new_one() {
    let rotated = Opaque::new("the next secret of this").expect("long enough");
    let rotated = rotated
        .also_reads("a secret of sixteen bytes")
        .expect("long");
    let before = app(policy().tags(opaque()));
    let after = app(policy().tags(rotated));
    for url in URLS {
        let tag = tag(&send(&before, "GET", url, None).await);
        let condition = Some(("if-none-match", &*tag));
        let read = send(&after, "GET", url, condition).await;
        assert_eq!(read.status(), StatusCode::NOT_MODIFIED, "{url}");
        let created = send(&after, "PUT", url, condition).await;
        assert_eq!(created.status(), StatusCode::PRECONDITION_FAILED, "{url}");
    }
    let tag = tag(&send(&before, "GET", "/record", None).await);
    let written = send(&after, "PUT", "/record", Some(("if-match", &tag))).await;
    assert_eq!(written.status(), StatusCode::OK);
}

/// The same promises in claim mode, where the handler knows nothing.
#[tokio::test]
async fn claims_go_by_versions_too() {
    async fn echo(uri: Uri, _: HeaderMap) -> Json<String> {
        Json(uri.to_string())
    }
    for policy in policies() {
        let layer = ConditionalLayer::new(MemoryStore::new()).policy(policy);
        let app = Router::new().route("/record", get(echo).put(echo).route_layer(layer));
        send(&app, "PUT", "/record", None).await;
        let mut tags = Vec::new();
        for url in URLS {
            let read = tag(&send(&app, "GET", url, None).await);
            let condition = Some(("if-none-match", &*read));
            let again = send(&app, "GET", url, condition).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            tags.push(read);
        }
        assert_ne!(tags[0], tags[1]);
        let other = send(&app, "GET", URLS[0], Some(("if-none-match", &tags[1]))).await;
        assert_eq!(other.status(), StatusCode::OK);
        let condition = Some(("if-match", &*tags[1]));
        let first = send(&app, "PUT", URLS[0], condition).await;
        assert_eq!(first.status(), StatusCode::OK);
        let second = send(&app, "PUT", URLS[1], condition).await;
        assert_eq!(second.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(tag(&second), tag(&send(&app, "GET", URLS[1], None).await));
    }
}
