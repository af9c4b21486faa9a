//! Compression and tags: what each order of the layers means.

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::{Router, routing::get};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_conditional::axum::{Expected, Versioned, Wrote};
use tower_conditional::digest::{DigestLayer, Field, Sha256Digest};
use tower_conditional::{ConditionalLayer, Policy};
use tower_http::compression::CompressionLayer;

fn text() -> String {
    "as of today ".repeat(100)
}

fn digests() -> DigestLayer {
    DigestLayer::new([Field::EntityTag, Field::ReprDigest]).collect_unsized()
}

async fn send(
    app: &Router,
    method: &str,
    fields: &[(&str, &str)],
) -> (HeaderMap, StatusCode, Vec<u8>) {
    let mut request = Request::builder().method(method).uri("/report");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response: Response<Body> = app.clone().oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (head.headers, head.status, body.to_vec())
}

fn tag(headers: &HeaderMap) -> &str {
    headers[header::ETAG].to_str().expect("a tag is text")
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

#[tokio::test]
async fn outside_of_compression_each_coding_has_a_tag_and_a_digest_of_its_own() {
    let app = Router::new()
        .route("/report", get(|| async { text() }))
        .layer(CompressionLayer::new())
        .layer(digests())
        .layer(ConditionalLayer::handler());
    let (plain, _, plain_bytes) = send(&app, "GET", &[]).await;
    let (gzip, _, gzip_bytes) = send(&app, "GET", &[GZIP]).await;
    assert_eq!(gzip[header::CONTENT_ENCODING], "gzip");
    assert_ne!(tag(&plain), tag(&gzip));
    for (headers, bytes) in [(&plain, plain_bytes), (&gzip, gzip_bytes)] {
        assert_eq!(
            headers["repr-digest"],
            Sha256Digest::of(bytes).to_field_value()
        );
    }
    let condition = ("if-none-match", tag(&gzip));
    let (same, status, _) = send(&app, "GET", &[GZIP, condition]).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert_eq!(tag(&same), tag(&gzip));
    let (_, status, _) = send(&app, "GET", &[condition]).await;
    assert_eq!(status, StatusCode::OK, "the copy is of other bytes");
}

#[tokio::test]
async fn inside_of_compression_neither_is_of_the_bytes_that_are_sent() {
    let app = Router::new()
        .route("/report", get(|| async { text() }))
        .layer(digests())
        .layer(CompressionLayer::new());
    let (plain, _, _) = send(&app, "GET", &[]).await;
    let (gzip, _, bytes) = send(&app, "GET", &[GZIP]).await;
    assert_eq!(tag(&plain), tag(&gzip), "one strong tag for two codings");
    assert_ne!(
        gzip["repr-digest"],
        Sha256Digest::of(bytes).to_field_value()
    );
}

/// Not even a tolerant policy takes what a proxy has made of a tag of bytes for that tag.
#[tokio::test]
async fn a_marked_tag_of_bytes_matches_nothing() {
    let tolerant = ConditionalLayer::handler().policy(Policy::rfc9110().tolerant(true));
    let app = Router::new()
        .route("/report", get(|| async { text() }))
        .layer(digests())
        .layer(tolerant);
    let (headers, _, _) = send(&app, "GET", &[]).await;
    let marked = tag(&headers)
        .replace("=\"", "")
        .trim_end_matches('"')
        .to_owned()
        + "-gzip\"";
    let (_, status, _) = send(&app, "GET", &[("if-none-match", &marked)]).await;
    assert_eq!(status, StatusCode::OK);
    let (_, status, _) = send(&app, "GET", &[("if-match", &marked)]).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
}

/// A version names a state, so both orders keep writes safe; what a tolerant policy adds is that
/// marks which a compressing proxy leaves do not make every write stale.
#[tokio::test]
async fn version_tags_work_in_both_orders() {
    async fn read() -> Versioned<String> {
        Versioned(5.into(), text())
    }
    async fn write(expected: Expected) -> Wrote<String> {
        assert_eq!(expected.numbers(), Some(vec![5]));
        Wrote(6.into(), text())
    }
    let layer = ConditionalLayer::handler().policy(Policy::rfc9110().tolerant(true));
    let routes = || Router::new().route("/report", get(read).put(write));
    let apps = [
        routes().layer(layer.clone()).layer(CompressionLayer::new()),
        routes().layer(CompressionLayer::new()).layer(layer),
    ];
    for app in apps {
        let (headers, _, _) = send(&app, "GET", &[GZIP]).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(tag(&headers), "\"5\"");
        let condition = ("if-none-match", "\"5\"");
        let (headers, status, _) = send(&app, "GET", &[GZIP, condition]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
        assert_eq!(tag(&headers), "\"5\"");
        for sent in ["\"5\"", "W/\"5\"", "\"5-gzip\""] {
            let (headers, status, _) = send(&app, "PUT", &[GZIP, ("if-match", sent)]).await;
            assert_eq!(status, StatusCode::OK, "{sent}");
            assert_eq!(tag(&headers), "\"6\"");
        }
    }
}
