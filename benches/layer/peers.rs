//! What people do today: by hand in axum, by a middleware function, by the crate that there is.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http};
use axum_extra::TypedHeader;
use axum_extra::headers::{self, IfMatch, IfNoneMatch};
use bytes::Bytes;

use crate::floor::Table;
use crate::requests;

const ORDER: &str = "/v1/partners/{partner}/orders/{order}";

fn content() -> Response {
    (
        [(CONTENT_TYPE, "application/json")],
        Bytes::from_static(&requests::CONTENT),
    )
        .into_response()
}

async fn read() -> Response {
    content()
}

/// The service in axum, with nothing of all this in it.
pub fn bare() -> Router {
    Router::new().route(ORDER, get(read).put(read))
}

fn current(table: &Table, partner: &str, order: &str) -> Result<u64, StatusCode> {
    let digest = table.digest(&format!("/v1/partners/{partner}/orders/{order}"));
    table.get(digest).ok_or(StatusCode::NOT_FOUND)
}

fn etag(version: u64) -> Result<headers::ETag, StatusCode> {
    let tag = format!("\"{version}\"").parse();
    tag.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn read_by_hand(
    State(table): State<Arc<Table>>,
    Path((partner, order)): Path<(String, String)>,
    if_none_match: Option<TypedHeader<IfNoneMatch>>,
) -> Result<Response, StatusCode> {
    let tag = etag(current(&table, &partner, &order)?)?;
    let fresh = if_none_match.is_some_and(|TypedHeader(sent)| !sent.precondition_passes(&tag));
    Ok(match fresh {
        true => (StatusCode::NOT_MODIFIED, TypedHeader(tag)).into_response(),
        false => (TypedHeader(tag), content()).into_response(),
    })
}

/// The check and the write are two steps: another write fits in between.
async fn write_by_hand(
    State(table): State<Arc<Table>>,
    Path((partner, order)): Path<(String, String)>,
    headers: HeaderMap,
    TypedHeader(sent): TypedHeader<IfMatch>,
    _: Bytes,
) -> Result<Response, StatusCode> {
    // The typed header takes one that is not there for an empty list.
    if !headers.contains_key(IF_MATCH) {
        return Err(StatusCode::PRECONDITION_REQUIRED);
    }
    let tag = etag(current(&table, &partner, &order)?)?;
    if !sent.precondition_passes(&tag) {
        return Ok((StatusCode::PRECONDITION_FAILED, TypedHeader(tag)).into_response());
    }
    let digest = table.digest(&format!("/v1/partners/{partner}/orders/{order}"));
    let tag = etag(table.bump(digest))?;
    Ok((TypedHeader(tag), content()).into_response())
}

/// In the handlers, with the typed headers of axum-extra.
pub fn by_hand(table: Arc<Table>) -> Router {
    Router::new()
        .route(ORDER, get(read_by_hand).put(write_by_hand))
        .with_state(table)
}

fn names(value: &http::HeaderValue, tag: &str) -> bool {
    let list = value.to_str().unwrap_or_default();
    list.split(',').any(|member| member.trim() == tag)
}

async fn check(State(table): State<Arc<Table>>, request: Request, next: Next) -> Response {
    let digest = table.digest(request.uri().path());
    let Some(version) = table.get(digest) else {
        return next.run(request).await;
    };
    let tag = format!("\"{version}\"");
    if let Some(sent) = request.headers().get(IF_NONE_MATCH)
        && names(sent, &tag)
    {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    let writes = request.method() != http::Method::GET;
    let tag = match (writes, request.headers().get(IF_MATCH)) {
        (false, _) => tag,
        (true, None) => return StatusCode::PRECONDITION_REQUIRED.into_response(),
        (true, Some(sent)) if !names(sent, &tag) => {
            return (StatusCode::PRECONDITION_FAILED, [(ETAG, tag)]).into_response();
        }
        (true, Some(_)) => format!("\"{}\"", table.bump(digest)),
    };
    let mut response = next.run(request).await;
    if let Ok(tag) = tag.try_into() {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// In a middleware function, with `split(',')`.
pub fn by_middleware(table: Arc<Table>) -> Router {
    bare().layer(middleware::from_fn_with_state(table, check))
}
