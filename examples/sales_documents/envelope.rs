//! The form of every answer: `{"status":{"request","responseStatus","errorCode"},"records":[…]}`.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::common::json::Object;

/// The one record of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Record(pub(crate) Object);

/// Why there is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    status: StatusCode,
    code: u16,
}

impl Refused {
    pub(crate) const BAD_REQUEST: Self = Self::new(StatusCode::BAD_REQUEST, 1000);
    /// The database was asked to commit, and did not say that it has.
    pub(crate) const OUTCOME_UNKNOWN: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, 1000);
    pub(crate) const UNKNOWN_ID: Self = Self::new(StatusCode::NOT_FOUND, 1011);
    pub(crate) const USED_UUID: Self = Self::new(StatusCode::CONFLICT, 1206);

    pub(crate) const fn new(status: StatusCode, code: u16) -> Self {
        Self { status, code }
    }
}

/// The database did not do what was asked of it, and nothing was changed.
impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        eprintln!("database: {error}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 1000)
    }
}

impl IntoResponse for Record {
    fn into_response(self) -> Response {
        let mut response = StatusCode::OK.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The outermost layer: the only one that knows the form, and puts into it what the others have to
/// say. An error of somebody else, such as axum's 405, has the code 1000.
pub(crate) async fn write(request: Request, next: Next) -> Response {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let name = name.to_owned();
    let mut response = next.run(request).await;
    let (word, code, records) = match response.extensions_mut().remove() {
        Some(Record(record)) => ("ok", 0, vec![record]),
        None => {
            let refused = response.extensions().get::<Refused>();
            (
                "error",
                refused.map_or(1000, |refused| refused.code),
                vec![],
            )
        }
    };
    let envelope = json!({
        "status": {"request": name, "responseStatus": word, "errorCode": code},
        "records": records,
    });
    let (head, body) = Json(envelope).into_response().into_parts();
    let unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(head.headers);
    if unavailable {
        let soon = HeaderValue::from_static("1");
        headers.entry(header::RETRY_AFTER).or_insert(soon);
    }
    *response.body_mut() = body;
    response
}
